"""The kill command: which process, may it be done, what came of it."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from etlmon.config.signals import allowed_signals, is_among
from etlmon.control.confirmation import LIFE_SECONDS, Confirmations
from etlmon.control.signals import gone, open_target
from etlmon.errors import ApiError, CollectError
from etlmon.host.pidfds import ExitReader
from etlmon.host.processes import parse_identity
from etlmon.records.audit import NOBODY
from etlmon.records.kill import KillAnswer
from etlmon.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from etlmon.config.node import NodeConfig
    from etlmon.control.audit import Attempt
    from etlmon.control.policy import Policy
    from etlmon.control.signals import Target
    from etlmon.host.processes import Identity
    from etlmon.records.kill import KillOutcome, KillRequest
    from etlmon.records.process import ProcessSample

T = TypeVar("T")

_END = frozenset(("SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT"))
"""What is sent to have a process end; of the others most are not."""
_HALT = frozenset(("SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU"))
_HINTS = {
    "D": "it hangs in the kernel (state D), and ends when the kernel lets it go",
    "T": "it is stopped (state T), and takes the signal when it is continued",
    "t": "a debugger has stopped it (state t), and lets it take the signal or not",
}
_STOPPED = ("T", "t")
_AFTER_KILL_SECONDS = 5.0
_LOOK_SECONDS = 0.1
"""How often a process is looked at where the kernel cannot tell of its end."""


class InThread(Protocol):
    """Runs a blocking function in a thread."""

    def __call__(self, function: Callable[[], T], /) -> Awaitable[T]:
        """Give what ``function`` returns, or raise what it raises."""


class Kills:
    """Sends signals on command.

    ``samples`` gives what is stored of a pid: of the process that has it, or had it last, by watch.
    ``watches_of`` looks which watches select the process of an identity now; None: it is gone.
    ``stop`` ends the waiting for processes that do not end; they are told to be running.
    """

    def __init__(
        self,
        config: NodeConfig,
        policy: Policy,
        samples: Callable[[int], Awaitable[Sequence[ProcessSample]]],
        reactor: Any,
        in_thread: InThread,
        proc: Path,
        watches_of: Callable[[str], Awaitable[Sequence[str] | None]],
    ) -> None:
        self._watches_of = watches_of
        self._policy = policy
        self._samples = samples
        self._reactor = reactor
        self._in_thread = in_thread
        self._proc = proc
        self._confirmations = Confirmations(reactor.seconds)
        self._waiting: set[Deferred[bool]] = set()
        self._is_stopping = False
        self.apply(config)

    def apply(self, config: NodeConfig) -> None:
        """Take new settings."""
        self._asks_token = config.control.confirmation_token
        self._allowed = allowed_signals(config)

    def stop(self) -> None:
        """Wait for no process any longer."""
        self._is_stopping = True
        for waiting in list(self._waiting):
            waiting.callback(False)

    async def kill(self, pid: int, asked: KillRequest, attempt: Attempt) -> KillAnswer:
        """Send a signal to the process that is meant, and tell what became of it.

        Raises ApiError; nothing has been sent then, unless it says so.
        """
        with self._policy.counted("kill", confirmed=asked.confirm):
            number = _signal(asked.signal)
            samples = await self._samples(pid)
            expected = _expected(pid, asked, samples)
            target = await self._in_thread(lambda: open_target(self._proc, expected))
            try:
                self._check_allowed(pid, await self._watches(expected, samples), asked)
                self._check_token(asked, target, attempt)
                return await self._kill(target, number, asked, attempt)
            finally:
                target.close()

    async def _kill(
        self, target: Target, number: signal.Signals, asked: KillRequest, attempt: Attempt
    ) -> KillAnswer:
        how = "" if target.pidfd is not None else ", without pidfd"
        name = f"pid {target.identity.pid} ({target.name}, {target.identity}{how})"
        await attempt.acts(f"{asked.signal} to {name}")
        began = self._reactor.seconds()
        await self._in_thread(lambda: target.send(number))
        sent, not_sent = [asked.signal], ""
        has_ended = await self._ends(target, asked.wait)
        if not has_ended and asked.escalate and number != signal.SIGKILL and not self._is_stopping:
            try:
                await self._in_thread(lambda: target.send(signal.SIGKILL))
            except ApiError as error:
                if error.status != 404:  # it has not just ended by itself
                    not_sent = f"; SIGKILL was not sent: {error.detail}"
            else:
                sent.append("SIGKILL")
            if not not_sent:
                has_ended = await self._ends(target, _AFTER_KILL_SECONDS)
        waited = round(self._reactor.seconds() - began, 3)
        outcome: KillOutcome = "exited" if has_ended else "running"
        reason, state = await self._in_thread(
            lambda: (target.exit_reason(), None) if has_ended else (None, target.state())
        )
        return KillAnswer(
            pid=target.identity.pid,
            process_name=target.name,
            identity=str(target.identity),
            signals=sent,
            outcome=outcome,
            waited_seconds=waited,
            state=state,
            exit_reason=reason,
            by_pidfd=target.pidfd is not None,
            message=_in_words(sent, waited, state, reason, has_ended=has_ended) + not_sent,
        )

    async def _watches(self, expected: Identity, samples: Sequence[ProcessSample]) -> list[str]:
        """Give the watches of a process: as it was sampled last, or else as it is now.

        One that has just started has no sample yet, and may be just what a watch protects: where
        processes that no watch selects may be sent signals, it is looked at.
        """
        labels: Sequence[str | None] | None = [
            sample.watch
            for sample in samples
            if sample.identity == str(expected) and sample.status == "RUNNING"
        ]
        known = self._allowed.by_watch
        if self._allowed.unwatched and not any(label in known for label in labels or ()):
            try:
                labels = await self._watches_of(str(expected))
            except CollectError as error:
                raise ApiError(
                    503,
                    "processes-unreadable",
                    f"It cannot be read which watches select the process {expected.pid} ({error}); "
                    "nothing was sent.",
                ) from error
            if labels is None:
                raise gone(expected.pid)
        return [label for label in labels or () if label is not None and label in known]

    def _check_allowed(self, pid: int, labels: Sequence[str], asked: KillRequest) -> None:
        """Raise ApiError (403), naming the key, for a signal that this process is not to get.

        One that several watches select gets what all of them allow.
        """
        wanted = [asked.signal, *(["SIGKILL"] if asked.escalate else [])]
        for name in wanted:
            for label in labels:
                allowed = self._allowed.by_watch[label]
                if not is_among(name, allowed):
                    raise ApiError(
                        403,
                        "signal-not-allowed",
                        f"The watch {label} allows {_list(allowed)}, not {name}: see allow_signals "
                        "of process_watch in node.yaml.",
                    )
            others = self._allowed.unwatched
            if not labels and not is_among(name, others):
                raise ApiError(
                    403,
                    "process-not-watched",
                    f"No watch selects the process {pid}, and others get {_list(others)}: "
                    "add it to process_watch in node.yaml, or the signal to "
                    "control.unwatched_signals. One that has just started is watched from its "
                    "first sample on.",
                )

    def _check_token(self, asked: KillRequest, target: Target, attempt: Attempt) -> None:
        """Raise ApiError (409) for a command that must carry a token and carries none or another.

        The first one is given its token there: all other checks have been passed by then.
        """
        if not self._asks_token:
            return
        caller = attempt.caller
        who = caller.origin if caller.who == NOBODY else caller.who
        command = ("kill", who, target.identity, asked.signal, asked.escalate)
        if asked.token is None:
            raise ApiError(
                409,
                "confirmation-token-required",
                "Nothing was sent yet: this node asks for a second call. Send the same command for "
                f"the process {target.identity.pid} ({target.name}) with the token of this answer, "
                f"within {LIFE_SECONDS:.0f} s.",
                token=self._confirmations.give(command),
            )
        if not self._confirmations.take(asked.token, command):
            raise ApiError(
                409,
                "confirmation-token-wrong",
                "Nothing was sent: the token was not given for just this command, process and "
                f"caller, has been used, or is older than {LIFE_SECONDS:.0f} s. Send the command "
                "without a token to get a new one.",
            )

    def _ends(self, target: Target, seconds: float) -> Deferred[bool]:
        """Fire with whether the process has ended, as soon as it has or when time is up."""
        ended: Deferred[bool] = Deferred()
        if self._is_stopping:
            seconds = 0.0
        self._waiting.add(ended)

        def has_ended() -> None:
            if not ended.called:
                ended.callback(True)

        late = self._reactor.callLater(seconds, ended.callback, False)
        copy = _copy(target.pidfd)
        reader: Any = (
            _Looking(self._reactor, self._in_thread, target, ended)
            if copy is None
            else ExitReader(self._reactor, copy, has_ended)
        )

        def over(result: bool) -> bool:
            self._waiting.discard(ended)
            reader.close()
            if late.active():
                late.cancel()
            return result

        return ended.addCallback(over)


class _Looking:
    """Looks whether a process has ended, again and again, where the kernel cannot tell."""

    def __init__(
        self, reactor: Any, in_thread: InThread, target: Target, ended: Deferred[bool]
    ) -> None:
        self._reactor = reactor
        self._in_thread = in_thread
        self._target = target
        self._ended = ended
        self._later: Any = None
        self._look()

    def _look(self) -> None:
        self._later = None
        looking = Deferred.fromCoroutine(self._ask())
        looking.addBoth(self._looked)

    async def _ask(self) -> bool:
        return await self._in_thread(self._target.has_ended)

    def _looked(self, has_ended: Any) -> None:
        if self._ended.called:
            return
        if has_ended is True:
            self._ended.callback(True)
        else:
            self._later = self._reactor.callLater(_LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._later is not None and self._later.active():
            self._later.cancel()


def _copy(pidfd: int | None) -> int | None:
    """Give a copy of a descriptor, for the reader closes what it reads.

    None where there can be none: the signal has been sent, and what becomes of the process is to be
    told also by a node that has as many files open as it may.
    """
    try:
        return None if pidfd is None else os.dup(pidfd)
    except OSError:
        return None


def _signal(name: str) -> signal.Signals:
    try:
        return signal.Signals[name]
    except KeyError as error:
        raise ApiError(
            400, "bad-body", "signal: there is no such signal; write SIGTERM or SIGKILL."
        ) from error


def _expected(pid: int, asked: KillRequest, samples: Sequence[ProcessSample]) -> Identity:
    """Give the process that is meant: the one that was named, or the one that was sampled last."""
    if asked.identity is not None:
        try:
            identity = parse_identity(asked.identity)
        except ValueError as error:
            raise ApiError(400, "bad-body", f"identity: {error}.") from error
        if identity.pid != pid:
            raise ApiError(400, "bad-body", "identity: it is of another pid than the path names.")
        return identity
    running = [sample for sample in samples if sample.status == "RUNNING"]
    if not running:
        raise ApiError(
            409,
            "identity-needed",
            f"No sample of a running process {pid} is stored, so it is not known which one is "
            "meant: send its identity, as GET /api/v1/processes gives it. Nothing was sent.",
        )
    return parse_identity(running[0].identity)


def _list(allowed: Sequence[str]) -> str:
    return ", ".join(allowed) or "no signal"


def _in_words(
    sent: Sequence[str], waited: float, state: str | None, reason: str | None, *, has_ended: bool
) -> str:
    last = " and ".join(sent)
    time = format_duration(round(waited, 1)) if waited >= 0.1 else "0s"
    if has_ended:
        return (
            f"exited {time} after {sent[0]}"
            + (f": {reason}" if reason else "")
            + (f" ({last})" if len(sent) > 1 else "")
        )
    if sent[-1] in _HALT and state == "T":
        return f"stopped by {last} (state T); SIGCONT has it go on"
    if sent[-1] == "SIGCONT" and state not in _STOPPED:
        return f"{last} had it go on; it runs" + (f" (state {state})" if state else "")
    hint = _HINTS.get(state or "")
    if hint is None and sent[-1] in _END:
        hint = "SIGKILL ends it without asking it"
    return f"still running {time} after {last}" + (f"; {hint}" if hint else "")
