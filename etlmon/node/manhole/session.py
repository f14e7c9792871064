"""A session: lines come in, run in the reactor's thread, and what they print goes out.

On a terminal Twisted's own line editor reads them. Without one (``etlmon console <script``,
``ssh -T``, ``ssh HOST COMMAND``) they are run one after the other, a Deferred is waited for before
the next, and only what they print comes back.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twisted.conch.insults.insults import ServerProtocol
from twisted.conch.manhole import Manhole, ManholeInterpreter
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from etlmon.node.manhole.later import passed_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LONGEST_STATEMENT_SECONDS = 5.0
"""Longer no statement holds up the node: it is interrupted."""
_LONGEST_WAIT_SECONDS = 60.0
"""So long a script waits for a Deferred before it goes on."""
_MOST_BYTES_WAITING = 1 << 20
_GREETING = (
    "etlmon console: Python in the running node. help() lists the tools; Ctrl-D ends.\n"
    "What you type holds up the node while it runs.\n"
)


class HeldUp(BaseException):
    """A statement has held up the node for too long. No ``except Exception`` keeps it."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise HeldUp in what takes longer; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise HeldUp(f"interrupted: the node stood still for {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Interpreter(ManholeInterpreter):
    """Runs statements; shows what a Deferred gives when it fires.

    ``handler`` takes the output (``addOutput``), ``ends`` is called by ``exit()``.
    """

    def __init__(
        self,
        handler: Any,
        namespace: Mapping[str, Any],
        ends: Callable[[], None],
        longest_seconds: float = LONGEST_STATEMENT_SECONDS,
    ) -> None:
        super().__init__(handler, {"__name__": "console", **namespace})
        self.statements = 0
        self._ends = ends
        self._longest_seconds = longest_seconds

    def push(self, line: bytes) -> bool:
        """Take a line; True if the statement goes on in the next. Never raises."""
        try:
            more = bool(super().push(line))
            if line.strip() and not more:
                self.statements += 1
            return more
        except UnicodeDecodeError as error:
            self.resetBuffer()
            self.write(f"not UTF-8: {error}\n")
            return False

    def runcode(self, code: Any) -> None:
        """Run a statement; no end of it ends the node."""
        stdin, sys.stdin = sys.stdin, io.StringIO()  # input() must not wait for the daemon's
        try:
            with interrupted_after(self._longest_seconds):
                super().runcode(code)
        except SystemExit:
            self._ends()
        except HeldUp as error:  # at the very end, where the statement's own handler was over
            self.write(f"{error}\n")
        finally:
            sys.stdin = stdin

    def displayhook(self, obj: Any) -> None:
        """Show a value; of a Deferred, what it fires with."""
        self.locals["_"] = obj
        if isinstance(obj, Deferred):
            # A second Deferred, so that the value goes on to whoever else waits for it.
            waiting: Deferred[Any] = Deferred()
            obj.addBoth(passed_to(waiting))
            self.handler.wait_for(waiting)
        elif obj is not None:
            self.write(f"{_shown(obj)}\n")

    def show_result(self, result: Any, *, is_late: bool) -> None:
        """Show what a Deferred has fired with."""
        if isinstance(result, Failure):
            self.write(f"{type(result.value).__name__}: {result.getErrorMessage()}\n", is_late)
        else:
            self.locals["_"] = result
            self.write(f"{_shown(result)}\n", is_late)


class Terminal(Manhole):
    """The session of somebody at a terminal, below a ``ServerProtocol``."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        super().__init__()
        self._namespace_given = namespace
        self.interpreter: Interpreter

    def connectionMade(self) -> None:
        """Greet, and prompt."""
        super().connectionMade()
        self.interpreter = Interpreter(self, self._namespace_given, self.handle_QUIT)

    def initializeScreen(self) -> None:
        """Begin where the cursor is: what is on the screen may be what the session is about."""
        self.terminal.write(_GREETING)
        self.setInsertMode()
        self.terminal.write(self.ps[self.pn])

    def terminalSize(self, width: int, height: int) -> None:
        """Take the size, and leave what is on the screen alone."""
        self.width, self.height = width, height

    def handle_QUIT(self) -> None:
        """End the session."""
        if not self._needsNewline():
            self.terminal.nextLine()
        self.terminal.loseConnection()

    def lineReceived(self, line: bytes) -> None:
        """Run a line, and prompt for the next unless it was the end."""
        self.pn = int(self.interpreter.push(line))
        if self.terminal is not None:
            self.terminal.write(self.ps[self.pn])

    def wait_for(self, waiting: Deferred[Any]) -> None:
        """Show what a Deferred fires with, at once or when it does."""
        if waiting.called:
            waiting.addBoth(lambda result: self.interpreter.show_result(result, is_late=False))
            return
        self.interpreter.write("(waiting for it; go on)\n")
        waiting.addBoth(self._show_late)

    def _show_late(self, result: Any) -> None:
        if self.terminal is not None:
            self.interpreter.show_result(result, is_late=True)

    def connectionLost(self, reason: Failure) -> None:
        """Show nothing any more."""
        super().connectionLost(reason)
        self.terminal = None


class Screen(ServerProtocol):
    """What is between a terminal and ``Terminal``: it takes keys apart."""

    transport: Any

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        super().__init__(Terminal, namespace)
        self._last: Terminal | None = None

    def connectionMade(self) -> None:
        """Begin the session."""
        super().connectionMade()
        self._last = self.terminalProtocol

    @property
    def statements(self) -> int:
        """How many statements have been run."""
        return 0 if self._last is None else self._last.interpreter.statements

    def dataReceived(self, data: bytes) -> None:
        """Take keys, up to the one that ends the session."""
        for place in range(len(data)):
            if self.terminalProtocol is not None:
                super().dataReceived(data[place : place + 1])

    def loseConnection(self) -> None:
        """End, and leave the screen as it is but for the mode that was set."""
        self.resetModes([4])
        self.transport.loseConnection()

    def input_ended(self) -> None:
        """There are no more keys."""
        self.loseConnection()


class Script:
    """A session without a terminal: lines are run in their order, as fast as they are done."""

    def __init__(
        self,
        namespace: Mapping[str, Any],
        write: Callable[[bytes], None],
        end: Callable[[], None],
        clock: Any,
    ) -> None:
        self.interpreter = Interpreter(self, namespace, self._end)
        self._write = write
        self._end_session = end
        self._clock = clock
        self._buffer = bytearray()
        self._waiting = False
        self._running = False
        self._input_ended = False
        self._has_ended = False

    @property
    def statements(self) -> int:
        """How many statements have been run."""
        return self.interpreter.statements

    def dataReceived(self, data: bytes) -> None:
        """Take more of the script."""
        self._buffer += data
        if len(self._buffer) > _MOST_BYTES_WAITING:
            self.addOutput(f"too much at once: {_MOST_BYTES_WAITING} bytes at most\n")
            self._end()
        self._go_on()

    def input_ended(self) -> None:
        """There are no more lines: when those that there are have been run, the session ends."""
        self._input_ended = True
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"
        self._buffer += b"\n"  # ends a block that is open
        self._go_on()

    def connectionLost(self, _reason: object = None) -> None:
        """Run no more of it."""
        self._has_ended = True

    def _go_on(self) -> None:
        if self._running:  # a Deferred that has fired already
            return
        self._running = True
        try:
            while not self._waiting and not self._has_ended:
                line, newline, _ = self._buffer.partition(b"\n")
                if not newline:
                    break
                del self._buffer[: len(line) + 1]
                self.interpreter.push(bytes(line).rstrip(b"\r"))
        finally:
            self._running = False
        if self._input_ended and not self._waiting:
            self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._end_session()

    def addOutput(self, data: str, isAsync: bool | None = None) -> None:
        """Send what a statement prints."""
        if not self._has_ended:
            self._write(data.encode("utf-8", "backslashreplace"))

    def wait_for(self, waiting: Deferred[Any]) -> None:
        """Run the next line when a Deferred has fired, and what it fired with has been shown."""
        self._waiting = True
        waiting.addTimeout(_LONGEST_WAIT_SECONDS, self._clock)
        waiting.addBoth(self._show)

    def _show(self, result: Any) -> None:
        self._waiting = False
        self.interpreter.show_result(result, is_late=False)
        self._go_on()


def _shown(value: object) -> str:
    """Give a value as text; one that cannot be shown says so."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__}, whose repr fails: {type(error).__name__}: {error}>"
