"""Crontabs, taken apart as the daemon that runs them would do it.

What a line means, and what a mistake in it costs, depends on the daemon: Debian's cron drops the
whole file at the first mistake, cronie only the line. All lines are read all the same, so that
what would have run can be shown too. Pure: text goes in, entries come out.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from etlmon.collectors.cron.commands import command_lint, logged_command
from etlmon.collectors.cron.schedule import (
    ALIASES,
    FIELDS,
    BadEntryError,
    Dialect,
    Schedule,
    schedule,
)
from etlmon.text import host_text

MOST_LINES = 10_000
"""More entries than this are read of no file, and Debian's cron refuses a longer one."""
_DEBIAN_LAST_LINE = 10_003  # its header lines and the way it counts make it more than it says
_DEBIAN_LINE_BYTES = 998
_DEBIAN_COMMAND_BYTES = 999
_CRONIE_LINE_BYTES = 131_071
_CRONIE_MOST_VARIABLES = 1_000
_CRONIE_GARBAGE_BYTES = 32_768
_MOST_DELAY_MINUTES = 24 * 60
_LONGEST_ZONE = 255
"""No zone has a longer name, and each entry below it bears what there is of it."""

_ASSIGNMENT = re.compile(
    rb"""(?:(?P<quote>["'])(?P<quoted_name>(?:(?!(?P=quote))[^=])*)(?P=quote)"""
    rb"""|(?P<name>(?!["'])[^\s=]*))"""
    rb"""\s*=\s*"""
    rb"""(?:(?P<mark>["'])(?P<quoted>(?:(?!(?P=mark)).)*)(?P=mark)\s*"""
    rb"""|(?P<value>(?!["'])\S.*)|(?P<nothing>))""",
    re.DOTALL,
)
_ALIAS = re.compile(rb"@([^ \t]*)[ \t]*")
_FIVE = re.compile(rb"[ \t]+".join([rb"([^ \t]+)"] * 5) + rb"[ \t]*")
_WORD = re.compile(rb"[^ \t]+")
_BLANKS = re.compile(rb"[ \t]*")
_NO_NEWLINE = "missing newline at the end of the file"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that is meant to run something, whether the daemon takes it or not."""

    line: int
    text: str
    """The schedule as it is written."""
    schedule: Schedule | None
    """None where the times cannot be read."""
    user: str | None
    """Whom the line itself names."""
    command: str
    raw_command: bytes
    logged: bytes
    """The command as the daemon logs it, without blanks at its ends."""
    error: str | None = None
    """Why the daemon refuses the line."""
    lint: tuple[str, ...] = ()
    zone: str | None = None
    """CRON_TZ, where the daemon goes by it."""
    is_silent: bool = False
    """Whether cron is told not to log it."""
    delay_minutes: int = 0
    """RANDOM_DELAY: at most so many minutes are added, as many as cron picks when it starts."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What the daemon does not like in a file."""

    line: int
    text: str


@dataclass
class Crontab:
    """A file taken apart."""

    entries: list[Entry] = field(default_factory=list)
    refused: Mistake | None = None
    """Why the daemon drops the whole file."""
    lint: list[Mistake] = field(default_factory=list)
    """What is odd in lines that are no entries, or is passed over."""


def parse_crontab(
    content: bytes,
    dialect: Dialect,
    *,
    user_column: bool,
    knows_user: Callable[[bytes], bool],
    privileged: bool = True,
) -> Crontab:
    """Take a crontab apart.

    ``user_column`` is true for /etc/crontab and /etc/cron.d; ``knows_user`` tells whether an
    account exists; ``privileged`` is false for the crontab of a user who is not root.
    """
    reader: _Reader = (_Debian if dialect == "debian" else _Cronie)(
        user_column=user_column, knows_user=knows_user, privileged=privileged
    )
    reader.read(content)
    return reader.tab


class _Reader(ABC):
    """Reads the lines one after the other; what the daemons have in common."""

    dialect: Dialect
    line_bytes: int

    def __init__(
        self, *, user_column: bool, knows_user: Callable[[bytes], bool], privileged: bool
    ) -> None:
        self.tab = Crontab()
        self.user_column = user_column
        self.knows_user = knows_user
        self.privileged = privileged
        self.variables: dict[bytes, bytes] = {}

    def read(self, content: bytes) -> None:
        """Read the whole file."""
        lines = content.split(b"\n")
        unended = lines.pop()
        for number, raw in enumerate(lines, 1):
            line = raw.lstrip(b" \t")
            if not line or line.startswith(b"#"):
                self.passed_over(number, len(raw) + 1)
                continue
            if len(self.tab.entries) >= MOST_LINES:
                self.tab.lint.append(Mistake(number, f"only {MOST_LINES:,} entries are shown"))
                break
            self.line(number, line)
        rest = unended.lstrip(b" \t")
        if rest and not rest.startswith(b"#"):
            self.unended(len(lines) + 1, rest)

    def line(self, number: int, line: bytes) -> None:
        """Read a line that is neither empty nor a comment."""
        found = _ASSIGNMENT.fullmatch(line[: self.line_bytes]) if b"=" in line else None
        if found is not None and self.takes(found):
            self.assign(number, found)
        else:
            self.tab.entries.append(self.entry(number, line))

    def takes(self, found: re.Match[bytes]) -> bool:
        """Tell whether what looks like an assignment is one."""
        return True

    def assign(self, number: int, found: re.Match[bytes]) -> None:
        """Take an assignment."""
        name = found["name"] if found["quoted_name"] is None else found["quoted_name"]
        quoted = found["quoted"]
        value = (found["value"] or b"").rstrip() if quoted is None else quoted
        self.variables[name] = value
        shown = host_text(name[:40])
        if quoted is None and b" #" in value:
            self.lint(number, f"{shown} keeps the text after #: a comment needs its own line")
        if re.search(rb"\$\{?[A-Za-z_]", value) and name != b"MAILFROM":
            self.lint(number, f"{shown}: cron puts in no variables for $, it stays as it is")

    def entry(self, number: int, line: bytes) -> Entry:
        """Read a line as an entry."""
        lint: list[str] = []
        at, text, made, error = self.times(line, lint)
        user, command = None, line[at:]
        if self.user_column:
            named = _WORD.match(line, at)
            user = named[0] if named else b""
            command = line[at + len(user) :]
        refusal = error or self.refusal(user, command)
        command = self.options(command.lstrip(b" \t"))
        if refusal is None:
            refusal = self.command_refusal(command)
        if refusal is None:
            lint.extend(command_lint(command, user_column=self.user_column))
        if line.endswith(b"\r"):
            lint.append("ends in CR LF: the carriage return is a part of the command")
        return Entry(
            line=number,
            text=host_text(text),
            schedule=made,
            user=host_text(user) if user else None,
            command=host_text(command),
            raw_command=command,
            logged=logged_command(command).strip(b" \t"),
            error=refusal,
            lint=tuple(lint),
            zone=self.zone(),
            delay_minutes=self.delay_minutes(),
        )

    def times(self, line: bytes, lint: list[str]) -> tuple[int, bytes, Schedule | None, str | None]:
        """Read an alias or five fields: where they end, their text, the schedule or an error."""
        if line.startswith(b"@"):
            found = _ALIAS.match(line)
            assert found is not None
            made = ALIASES.get(found[1])
            error = None if made else "bad time specifier"
            return found.end(), found[0].rstrip(b" \t"), made, error
        whole = _FIVE.match(line)
        if whole is not None:
            try:
                made, odd = schedule(whole.groups(), self.dialect)
            except BadEntryError as refusal:
                return whole.end(), b" ".join(whole.groups()), None, str(refusal)
            lint.extend(odd)
            return whole.end(), b" ".join(whole.groups()), made, None
        return self.too_few(line)

    def too_few(self, line: bytes) -> tuple[int, bytes, Schedule | None, str | None]:
        """Read a line of less than five fields: an earlier one that is bad is what is named."""
        words: list[bytes] = []
        at = 0
        for _ in FIELDS:
            word = _WORD.match(line, at)
            if word is None:
                break
            words.append(word[0])
            blanks = _BLANKS.match(line, word.end())
            at = blanks.end() if blanks else word.end()
        text = b" ".join(words)
        try:
            schedule((*words, *([b"?"] * (len(FIELDS) - len(words)))), self.dialect)
        except BadEntryError as refusal:
            return at, text, None, str(refusal)
        raise AssertionError("a field that is not there cannot be read")

    @abstractmethod
    def refusal(self, user: bytes | None, rest: bytes) -> str | None:
        """Tell why the daemon refuses an entry for what follows its times."""

    def command_refusal(self, command: bytes) -> str | None:
        """Tell why the daemon refuses a command."""
        return None

    def options(self, command: bytes) -> bytes:
        """Give the command without what the daemon takes for itself."""
        return command

    def zone(self) -> str | None:
        """Give the time zone of the entries that follow, if the file sets one."""
        return None

    def delay_minutes(self) -> int:
        """Give the most minutes that are added to the times that follow."""
        return 0

    def passed_over(self, number: int, size_bytes: int) -> None:  # noqa: B027 - one of two hears
        """Hear of an empty line or a comment."""

    def unended(self, number: int, line: bytes) -> None:
        """Read a last line without a newline, of which neither daemon runs anything."""
        if _ASSIGNMENT.fullmatch(line[: self.line_bytes]) is None:
            self.tab.entries.append(replace(self.entry(number, line), error=_NO_NEWLINE))

    def refuse(self, number: int, text: str) -> None:
        """Note why the whole file is dropped; the first reason counts."""
        if self.tab.refused is None:
            self.tab.refused = Mistake(number, text)

    def lint(self, number: int, text: str) -> None:
        """Note what is odd."""
        self.tab.lint.append(Mistake(number, text))


class _Debian(_Reader):
    dialect = "debian"
    line_bytes = _DEBIAN_LINE_BYTES

    def read(self, content: bytes) -> None:
        super().read(content)
        lines = content.split(b"\n")[_DEBIAN_LAST_LINE:-1]
        for number, line in enumerate(lines, _DEBIAN_LAST_LINE + 1):
            if line.strip(b" \t") and not line.lstrip(b" \t").startswith(b"#"):
                self.refuse(number, f"more than {MOST_LINES:,} lines")
                break

    def line(self, number: int, line: bytes) -> None:
        if b"\0" in line:
            self.refuse(number, "holds a NUL byte, at which cron ends the line in the middle")
        super().line(number, line)

    def takes(self, found: re.Match[bytes]) -> bool:
        return found["nothing"] is None  # without a value it is read as an entry, and refused

    def assign(self, number: int, found: re.Match[bytes]) -> None:
        super().assign(number, found)
        if found["name"] in (b"CRON_TZ", b"TZ", b"RANDOM_DELAY"):
            shown = host_text(found["name"])
            self.lint(number, f"{shown} does not move the times in Debian's cron")

    def entry(self, number: int, line: bytes) -> Entry:
        entry = super().entry(number, line)
        if entry.error is not None:
            self.refuse(number, entry.error)
        return entry

    def refusal(self, user: bytes | None, rest: bytes) -> str | None:
        command = rest
        if user is None and rest.startswith(b"*"):
            return "bad command"
        if user is not None:
            # Without a blank after it, the name goes on into the next line: no account has that.
            if not rest or not self.knows_user(user):
                return "bad username"
            command = rest[1:]
        return "command too long" if len(command) >= _DEBIAN_COMMAND_BYTES else None

    def unended(self, number: int, line: bytes) -> None:
        self.refuse(number, _NO_NEWLINE)
        super().unended(number, line)


class _Cronie(_Reader):
    dialect = "cronie"
    line_bytes = _CRONIE_LINE_BYTES

    def __init__(
        self, *, user_column: bool, knows_user: Callable[[bytes], bool], privileged: bool
    ) -> None:
        super().__init__(user_column=user_column, knows_user=knows_user, privileged=privileged)
        self.garbage_bytes = 0
        self.assignments = 0

    def passed_over(self, number: int, size_bytes: int) -> None:
        self.garbage_bytes += size_bytes
        if self.garbage_bytes > _CRONIE_GARBAGE_BYTES and not self.user_column:
            self.refuse(number, f"more than {_CRONIE_GARBAGE_BYTES:,} bytes of comments in a row")

    def line(self, number: int, line: bytes) -> None:
        self.garbage_bytes = 0
        super().line(number, line)
        if not self.user_column and len(self.tab.entries) > MOST_LINES:
            self.refuse(number, f"more than {MOST_LINES:,} entries")

    def assign(self, number: int, found: re.Match[bytes]) -> None:
        super().assign(number, found)
        self.assignments += 1
        if not self.user_column and self.assignments > _CRONIE_MOST_VARIABLES:
            self.refuse(number, f"more than {_CRONIE_MOST_VARIABLES:,} assignments")

    def entry(self, number: int, line: bytes) -> Entry:
        if not line.startswith(b"-"):
            return super().entry(number, line)
        if not self.privileged:
            entry = super().entry(number, line[1:])
            return replace(entry, error="bad option: only root may keep a job out of the log by -")
        return replace(super().entry(number, line[1:]), is_silent=True)

    def times(self, line: bytes, lint: list[str]) -> tuple[int, bytes, Schedule | None, str | None]:
        at, text, made, error = super().times(line, lint)
        if error is None and (at >= len(line) or line[at : at + 1] == b"*"):
            error = "bad command"
        return at, text, made, error

    def refusal(self, user: bytes | None, rest: bytes) -> str | None:
        if not rest.strip(b" \t"):
            return "bad command"
        if user is not None and not self.knows_user(user):
            return f"the account {host_text(user[:40])} does not exist"
        return None

    def options(self, command: bytes) -> bytes:
        found = re.match(rb"-n[ \t]+(?=\S)", command)
        return command[found.end() :] if found else command

    def command_refusal(self, command: bytes) -> str | None:
        return "bad option" if command.startswith(b"-") else None

    def zone(self) -> str | None:
        value = self.variables.get(b"CRON_TZ")
        return host_text(value[:_LONGEST_ZONE]) if value else None

    def delay_minutes(self) -> int:
        found = re.match(rb"\s*\+?([0-9]{1,6})", self.variables.get(b"RANDOM_DELAY", b""))
        minutes = int(found[1]) if found else 0
        return minutes if minutes <= _MOST_DELAY_MINUTES else 0

    def unended(self, number: int, line: bytes) -> None:
        self.lint(number, f"{_NO_NEWLINE}: cron ignores this last line")
        super().unended(number, line)
