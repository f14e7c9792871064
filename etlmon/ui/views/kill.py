"""The form for a signal: which one, why, and to which process - for good, whatever moves meanwhile.

It is made for one process of one node, known by its identity, and never becomes one of another: the
list behind it may change as it likes. Nothing is sent but after a yes to what has been seen on the
screen, or for SIGKILL after a name has been typed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from etlmon.client.http import ClientError, ProblemError
from etlmon.contract.kill import KILL_PROCESS, ProcessKillQuery
from etlmon.records.health import Health
from etlmon.records.kill import KillAnswer, KillRequest
from etlmon.records.process import ProcessSample
from etlmon.ui.format import format_moment, format_seconds, visible
from etlmon.ui.keys import KILL, KILL_OUTCOME, KILL_WAITING, QUESTION, Place
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, View
from etlmon.ui.views.process_text import find_process, process_state
from etlmon.ui.widgets.line import Piece, cut
from etlmon.ui.widgets.lines import Lines

Stage = Literal["form", "question", "waiting", "answered"]

SIGNALS = {
    "SIGTERM": "asks it to end",
    "SIGKILL": "ends it at once, whatever it is doing",
    "SIGINT": "asks it to end, as ^C on its terminal does",
    "SIGHUP": "tells it that its terminal is gone; many daemons then read their settings anew",
    "SIGQUIT": "ends it with a core dump",
    "SIGUSR1": "means what its program makes of it",
    "SIGUSR2": "means what its program makes of it",
    "SIGSTOP": "halts it until SIGCONT",
    "SIGCONT": "has it go on",
}
"""What they do. Which of them a process may be sent, the node says; all, if it does not."""

_END = frozenset(("SIGTERM", "SIGKILL", "SIGINT", "SIGQUIT"))
"""Those after which a process that still runs is not what was wanted."""
_UNKNOWN = "means what its program makes of it"

_WAIT_SECONDS = 5.0
_LATE_SECONDS = 3.0
"""How much longer than the node waits an answer may take before it is called late."""
_MOST_REASON = 500
_MOST_NAME = 256
_MOST_COMMAND = 240
_NOTHING_SENT = ("refused", "no such host", "unreachable", "bad certificate", "busy")
"""Failures that come before a request has left."""


def why_no_signal(process: ProcessSample | None) -> str | None:
    """Say why a row cannot be sent a signal at all; None if it can."""
    if process is None:
        return "That is no process: choose one below the watch."
    name = f"{process.pid} ({visible(process.process_name)})"
    if process.status != "RUNNING":
        left = "; what is left of it goes when its parent takes note"
        return f"{name} has ended already{left if process.state == 'Z' else ''}."
    if process.is_kernel_thread:
        return f"{name} is a part of the kernel: it takes no signals."
    if process.signals is not None and not process.signals:
        rule = "its watch's allow_signals" if process.watch else "control.unwatched_signals"
        return f"{name} gets no signals by {rule} or control in node.yaml."
    return None


class KillView(View):
    """The form for a signal to one process, the waiting, and what came of it."""

    title = "Signal"
    is_alone = True
    places: tuple[Place, ...] = (KILL,)

    def __init__(self, process: ProcessSample, want: Want, session: Session) -> None:
        self.widget = self._text = Lines(from_end=True)
        self._process = process
        self._want = want
        self._session = session
        self._opened_at = session.now
        self._name = f"{process.pid} {visible(process.process_name)}"
        health: Health | None = session.health.value
        self._host = visible(session.name if health is None else health.node_name)
        self._stage: Stage = "form"
        self._signals = tuple(SIGNALS if process.signals is None else process.signals)
        self._signal = "SIGTERM" if "SIGTERM" in self._signals else self._signals[0]
        self._field = 0
        self._reason = ""
        self._typed = ""
        self._sent_at = session.now
        self._told: list[Piece] = []
        self._can_escalate = False
        self._has_ended = False
        self._has_left = False

    @property
    def wants(self) -> tuple[Want, ...]:
        """The list that the process is in: it may end meanwhile."""
        return (self._want,)

    @property
    def moves(self) -> bool:
        """Whether seconds are being counted."""
        return self._stage == "waiting"

    def update(self, session: Session) -> None:
        """Show the form as it is now."""
        self._text.set_lines(self._lines())

    def can(self, command: str) -> bool:
        """Send another signal where there is something left to get it."""
        if command == "again":
            return not self._has_ended
        return command != "escalate" or self._can_escalate

    def run(self, command: str, around: Around) -> bool:
        """Do a command of the stage."""
        if self._stage == "question":
            self._answer(command, around)
        elif command == "back":
            self._has_left = True
            around.leave()
        elif self._stage == "answered":
            if self.can(command):
                self._begin_again("SIGKILL" if command == "escalate" else self._signal)
        elif self._stage == "form":
            self._fill_in(command, around)
        return True

    def write(self, key: str) -> bool:
        """Take a letter into the field that is written."""
        if self._stage != "form" or len(key) != 1 or not key.isprintable():
            return False
        if self._writes == "reason":
            self._reason = (self._reason + key)[:_MOST_REASON]
        elif self._writes == "name":
            self._typed = (self._typed + key)[:_MOST_NAME]
        else:
            return False
        return True

    @property
    def _fields(self) -> tuple[str, ...]:
        named = ("name",) if self._signal == "SIGKILL" else ()
        return ("signal", "reason", *named)

    @property
    def _writes(self) -> str:
        return self._fields[min(self._field, len(self._fields) - 1)]

    def _fill_in(self, command: str, around: Around) -> None:
        last = len(self._fields) - 1
        if command in ("next signal", "previous signal"):
            names = self._signals
            step = 1 if command == "next signal" else -1
            self._signal = names[(names.index(self._signal) + step) % len(names)]
            self._field = 0
            self._typed = ""
        elif command in ("next field", "previous field"):
            step = 1 if command == "next field" else -1
            self._field = (self._field + step) % (last + 1)
        elif command in ("shorten", "clear"):
            self._take_away(everything=command == "clear")
        elif self._field < last:
            self._field += 1
        elif self._signal != "SIGKILL":
            self._turn_to("question")
        elif self._typed.strip() in self._accepted:
            self._send(around, None)
        else:
            around.say(f"SIGKILL needs a name: type {self._names()}. Nothing was sent.")

    def _take_away(self, *, everything: bool) -> None:
        if self._writes == "reason":
            self._reason = "" if everything else self._reason[:-1]
        elif self._writes == "name":
            self._typed = "" if everything else self._typed[:-1]

    def _answer(self, command: str, around: Around) -> None:
        if command == "yes" and self._text.is_seen:
            self._send(around, None)
        elif command == "yes":  # typed, or pasted, before the question was there
            around.say("Nothing was sent yet: read the question, then press y.")
        else:
            self._turn_to("form")

    def _begin_again(self, signal: str) -> None:
        self._signal = signal
        self._field = 0
        self._typed = ""
        self._turn_to("form")

    def _turn_to(self, stage: Stage) -> None:
        self._stage = stage
        self.places = {
            "form": (KILL,),
            "question": (QUESTION,),
            "waiting": (KILL_WAITING,),
            "answered": (KILL_OUTCOME,),
        }[stage]

    def _send(self, around: Around, token: str | None) -> None:
        """Send the signal; the node may ask for a second call with the token that it gives."""
        if token is None:
            self._sent_at = self._session.now
        self._turn_to("waiting")
        body = KillRequest(
            signal=self._signal,
            confirm=True,
            identity=self._process.identity,
            wait=_WAIT_SECONDS,
            reason=self._reason.strip() or None,
            token=token,
        )

        def failed(error: ClientError) -> None:
            given = error.problem.token if isinstance(error, ProblemError) else None
            if given is None or token is not None:
                self._have(around, *_failure(error))
            elif self._has_left:
                text = "Nothing was sent: the form was left before the node asked to confirm."
                self._have(around, "warning", text)
            else:
                self._send(around, given)

        around.send(
            self._session,
            KILL_PROCESS,
            lambda answer: self._have_answer(around, answer),
            failed,
            query=ProcessKillQuery(pid=self._process.pid),
            body=body,
        )

    def _have_answer(self, around: Around, answer: KillAnswer) -> None:
        self._has_ended = has_ended = answer.outcome == "exited"
        is_well = has_ended or not _END.intersection(answer.signals)
        self._can_escalate = (
            not is_well and "SIGKILL" in self._signals and "SIGKILL" not in answer.signals
        )
        how = "" if answer.by_pidfd else " (a kernel without pidfd: compared an instant before)"
        glyph = "\u2713" if is_well else "!"
        style = "ok" if is_well else "warning"
        self._have(around, style, f"{glyph} {visible(answer.message)}{how}")

    def _have(self, around: Around, style: str, text: str) -> None:
        self._turn_to("answered")
        self._told = [(style, text)]
        if self._has_left:
            around.say(f"{self._session.name}: {self._signal} to {self._name}: {text}")

    # What is on the screen

    def _lines(self) -> list[list[Piece]]:
        process = self._process
        at = format_moment(process.start_time)
        lines: list[list[Piece]] = [
            [("title", f"A signal to {self._name} on {self._host}")],
            [],
            _field("node", f"{visible(self._session.name)}  {visible(self._session.address)}"),
            [*_field("process", f"{self._name}  "), process_state(self._now() or process)],
            _field("user", visible(process.user or "unknown")),
            _field("started", f"{at}, {format_seconds(process.runtime_sec)} before it was shown"),
            _field("command", _command(process)),
            _field("watch", visible(process.watch or "none: control.unwatched_signals decides")),
        ]
        gone = self._gone()
        if gone and self._stage != "answered":
            lines.append([("warning", f"  {gone}")])
        lines.append([])
        return (
            lines
            + {
                "form": self._form,
                "question": self._question,
                "waiting": self._waiting,
                "answered": self._answered,
            }[self._stage]()
        )

    def _form(self) -> list[list[Piece]]:
        writes = self._writes
        lines = [
            [
                *_label("signal", writes == "signal"),
                ("key", f"\u2039 {self._signal} \u203a"),
                ("text", f"  {SIGNALS.get(self._signal, _UNKNOWN)}"),
            ],
            [
                *_label("reason", writes == "reason"),
                *_written(self._reason, writes == "reason", "for the audit; may be empty"),
            ],
        ]
        if self._signal == "SIGKILL":
            asks = f"type {self._names()}"
            pieces = _written(self._typed, writes == "name", asks)
            lines.append([*_label("name", writes == "name"), *pieces])
        return [*lines, [], [("dim", "  Nothing is sent before the last field and its Enter.")]]

    def _question(self) -> list[list[Piece]]:
        question = f"Send {self._signal} to {self._name} on {self._host}?"
        because = f"  Reason: {visible(self._reason.strip())}" if self._reason.strip() else ""
        return [[("message", f"  {question} "), ("key", "y"), ("text", f"/n{because}")]]

    def _waiting(self) -> list[list[Piece]]:
        seconds = max(0.0, (self._session.now - self._sent_at).total_seconds())
        text = f"  {self._signal} is under way for {seconds:.0f} s; the node waits up to "
        lines: list[list[Piece]] = [[("message", f"{text}{_WAIT_SECONDS:.0f} s for its end.")]]
        if seconds > _WAIT_SECONDS + _LATE_SECONDS:
            late = "The node is late: whether the signal was sent is not known yet."
            lines.append([("warning", f"  {late}")])
        return lines

    def _answered(self) -> list[list[Piece]]:
        lines: list[list[Piece]] = [[("text", "  "), *self._told]]
        if self._can_escalate:
            lines += [[], [("text", "  "), ("key", "K"), ("text", " goes on to SIGKILL.")]]
        return lines

    def _gone(self) -> str:
        """Say what has become of the process since, as far as the list tells."""
        held = self._session.held(self._want)
        if not _is_newer(held.received_at, self._opened_at):
            return ""
        now = self._now()
        if now is None:
            return "It is not in the list any more: it has ended, or is not watched now."
        if now.status != "RUNNING":
            return f"It has ended meanwhile. {visible(now.exit_reason or '')}".rstrip()
        return ""

    def _now(self) -> ProcessSample | None:
        process = self._process
        return find_process(self._session, self._want, process.identity, process.watch)

    @property
    def _accepted(self) -> list[str]:
        """What may be typed for SIGKILL; a process may have taken away its own name."""
        return list(filter(None, (self._host, visible(self._process.process_name).strip())))

    def _names(self) -> str:
        return " or ".join(self._accepted)


def _is_newer(moment: datetime | None, than: datetime) -> bool:
    return moment is not None and moment > than


def _label(name: str, is_written: bool) -> list[Piece]:
    return [("key" if is_written else "dim", f"{'>' if is_written else ' '} {name.ljust(9)}")]


def _field(name: str, text: str) -> list[Piece]:
    return [*_label(name, False), ("text", text)]


def _written(text: str, is_written: bool, hint: str) -> list[Piece]:
    cursor = "\u2588" if is_written else ""
    return [("text", visible(text)), ("key", cursor), ("dim", "" if text else f" {hint}")]


def _command(process: ProcessSample) -> str:
    if process.cmdline is None:
        return "not readable for this node"
    return cut(visible(process.cmdline), _MOST_COMMAND) or "none"


def _failure(error: ClientError) -> tuple[str, str]:
    """Put a failure into words, and whether the signal may have gone out."""
    if isinstance(error, ProblemError) and error.problem.status < 500:
        return "critical", f"\u2717 {visible(' '.join(error.problem.detail.split()))}"
    text = f"\u2717 {visible(str(error)).rstrip('.')}."
    if error.kind == "busy":
        return "critical", text
    if error.kind in _NOTHING_SENT:
        return "critical", f"{text} Nothing was sent."
    return "critical", f"{text} Whether the signal was sent is not known: see Audit and the list."
