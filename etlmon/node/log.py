"""The node's own log: one line for each event, to standard error or to a file.

As text a line is: moment, level, room of the code, message. As JSON it is an object with these
and with the event's own fields. Nothing that others have written can begin a line of its own.

What Twisted says of itself is written from ``warn`` on, and all of it at ``debug``.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgspec
from twisted.logger import (
    ILogObserver,
    Logger,
    LogLevel,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

from etlmon.errors import EtlmonError
from etlmon.units import utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.logger import LogEvent
    from twisted.python.failure import Failure

    from etlmon.config.node import LogSettings
    from etlmon.errors import ConfigError

_OURS = "etlmon."
_MOST_CHARACTERS = 4_000
_MOST_FRAMES = 8
_FILE_MODE = 0o640
# The names that systemd's journal takes from the beginning of a line (sd-daemon(3)).
_PRIORITIES = {
    LogLevel.debug: b"<7>",
    LogLevel.info: b"<6>",
    LogLevel.warn: b"<4>",
    LogLevel.error: b"<3>",
    LogLevel.critical: b"<2>",
}
# What Twisted puts into an event besides the fields of who logs.
_TWISTED_OWN = frozenset(
    ("message", "time", "system", "format", "isError", "failure", "why", "logLevel")
)


@implementer(ILogObserver)
class NodeLog:
    """Writes events. A line that cannot be written is counted, and told of when one can be again.

    ``stderr`` takes the lines where there is no ``settings.file``; ``in_journal`` says that it
    leads to systemd's journal, which has a clock of its own and takes the level from a prefix.
    """

    log = Logger()

    def __init__(
        self, settings: LogSettings, stderr: IO[bytes], *, in_journal: bool = False
    ) -> None:
        """Open the file. Raises EtlmonError."""
        self.level = settings.level
        self._path = settings.file
        self._as_json = settings.format == "json"
        self._in_journal = in_journal and settings.file is None
        self._out = stderr
        self._lost = 0
        self._why_lost = ""
        if self._path is not None:
            try:
                self._out = _open(self._path)
            except OSError as error:
                raise EtlmonError(
                    f"cannot open log.file {self._path}: {error.strerror}; make its directory "
                    "writable for the node, or name another file"
                ) from error

    @property
    def is_file(self) -> bool:
        """Whether it goes to a file, and not to standard error."""
        return self._path is not None

    def __call__(self, event: LogEvent) -> None:
        """Write an event, if it is wanted."""
        if self._is_wanted(event):
            self._write(self._line(event))

    def reopen(self) -> None:
        """Go on in a new file of the same name, after the old one was renamed."""
        if self._path is None:
            self.log.info("SIGUSR1: this log is no file; there is nothing to reopen.")
            return
        old = self._out
        try:
            self._out = _open(self._path)
        except OSError as error:
            self.log.error(
                "cannot reopen log.file {path}: {why}; the log goes on in the old file",
                path=self._path,
                why=error.strerror,
            )
            return
        old.close()

    def reopen_on_signal(self, reactor: Any) -> None:
        """Reopen the file whenever SIGUSR1 comes; without this it would end the process."""
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(self.reopen))

    def close(self) -> None:
        """Close the file; standard error stays."""
        if self._path is not None:
            self._out.close()

    def _is_wanted(self, event: LogEvent) -> bool:
        level = event.get("log_level") or LogLevel.info
        least = LogLevel.levelWithName(self.level)
        if not str(event.get("log_namespace", "")).startswith(_OURS) and least > LogLevel.debug:
            least = max(least, LogLevel.warn)
        return bool(level >= least)

    def _write(self, line: bytes) -> None:
        if self._lost:
            told = f"{self._lost} lines of this log were lost: {self._why_lost}"
            line = self._line({"log_level": LogLevel.warn, "log_format": told}) + line
        try:
            while line:
                line = line[self._out.write(line) or 0 :]
        except (OSError, ValueError) as error:  # ValueError: it is closed
            self._lost += 1
            self._why_lost = getattr(error, "strerror", None) or str(error)
        else:
            self._lost = 0

    def _line(self, event: LogEvent) -> bytes:
        level = event.get("log_level") or LogLevel.info
        room = _room(str(event.get("log_namespace", __name__)))
        message = formatEvent(event)
        failure: Failure | None = event.get("log_failure")
        if not message and failure is not None:
            message = "An error that nobody has taken care of."
        when = "" if self._in_journal else _moment(event)
        if self._as_json:
            line = _json({"time": when} if when else {}, level.name, room, message, event)
        else:
            words = [when, f"{level.name:<5}"] if when else []
            told = message if failure is None else f"{message} {_in_brief(failure)}"
            line = _one_line(" ".join([*words, f"{room}: {told}"])).encode()
        priority = _PRIORITIES[level] if self._in_journal else b""
        return priority + line + b"\n"


def begin_logging(settings: LogSettings) -> NodeLog:
    """Send the log of this process, one in the foreground, where ``settings`` say.

    Raises EtlmonError.
    """
    log = node_log(settings)
    globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False, discardBuffer=True)
    return log


def node_log(settings: LogSettings, descriptor: int = 2) -> NodeLog:
    """Give a log that goes to ``descriptor`` where it is no file. Raises EtlmonError."""
    stderr = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115 - it stays open
    return NodeLog(settings, stderr, in_journal=leads_to_journal(descriptor, os.environ))


def leads_to_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether systemd has connected a descriptor with its journal (systemd.exec(5))."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def last_words(error: EtlmonError) -> str:
    """Give the lines, one for each mistake, with which a process ends that cannot be a node.

    Where standard error leads to the journal they are errors there, as those of the log are.
    """
    # twistd puts its log in the place of standard error, which has a priority of its own.
    in_journal = sys.stderr is sys.__stderr__ and leads_to_journal(2, os.environ)
    priority = _PRIORITIES[LogLevel.error].decode() if in_journal else ""
    return "\n".join(f"{priority}etlmon: {_one_line(line)}" for line in str(error).splitlines())


def end_unconfigured(error: ConfigError) -> NoReturn:
    """End the process for a mistake in its configuration, which no new start would mend."""
    print(last_words(error), file=sys.stderr)  # noqa: T201 - there is no log yet
    sys.exit(os.EX_CONFIG)


def _open(path: str) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    return open(os.open(path, flags, _FILE_MODE), "wb", buffering=0)  # noqa: PTH123 - stays open


def _room(namespace: str) -> str:
    """Give the module that speaks, without our name and without that of a class in it."""
    module, _, last = namespace.removeprefix(_OURS).rpartition(".")
    return module if module and last[:1].isupper() else f"{module}.{last}".lstrip(".")


def _moment(event: LogEvent) -> str:
    moment = utc(event.get("log_time", 0.0))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(fields: dict[str, Any], level: str, room: str, message: str, event: LogEvent) -> bytes:
    fields |= {"level": level, "room": room, "message": message[:_MOST_CHARACTERS]}
    failure: Failure | None = event.get("log_failure")
    if failure is not None:
        fields["error"] = _error(failure)
        fields["traceback"] = failure.getTraceback()[-_MOST_CHARACTERS:]
    for name, value in event.items():
        if not name.startswith("log_") and name not in _TWISTED_OWN:
            plain = value if isinstance(value, int | float) else _text(value)
            fields.setdefault(name, plain)
    return msgspec.json.encode({name: _encodable(value) for name, value in fields.items()})


def _text(value: object) -> str:
    try:
        return str(value)[:_MOST_CHARACTERS]
    except Exception:  # whatever a field's own __str__ raises, its line is written
        return f"<{type(value).__name__}>"


def _encodable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _in_brief(failure: Failure) -> str:
    """Give what was raised and where, the innermost place first."""
    frames = traceback.extract_tb(failure.getTracebackObject())[::-1][:_MOST_FRAMES]
    places = ", ".join(f"{_short(frame.filename)}:{frame.lineno}" for frame in frames)
    return f"{_error(failure)} ({places})" if places else _error(failure)


def _error(failure: Failure) -> str:
    return f"{getattr(failure.type, '__name__', failure.type)}: {_text(failure.value)}"


def _short(path: str) -> str:
    """Give the path of a module from its package on."""
    for directory in sorted(filter(None, sys.path), key=len, reverse=True):
        if path.startswith(directory + "/"):
            return path[len(directory) + 1 :]
    return path


def _one_line(text: str) -> str:
    """Make what is no printable character visible, and cut what is too long."""
    cut = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "..."
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
