r"""Lines of transfer logs: bytes in, what they say out. Nothing is dropped, nothing is raised.

Each line is looked at alone, so that one file may hold lines of several writers:

- *xferlog*, the format of wu-ftpd: vsftpd (``xferlog_std_format``), ProFTPD, Pure-FTPd, with a
  prefix of syslog or without::

    DATE SECONDS HOST BYTES FILE TYPE FLAGS DIRECTION MODE USER SERVICE AUTH AUTH-USER STATUS

- the *native* format of vsftpd (``vsftpd.log``), which also goes to syslog::

    DATE [pid N] [USER] OK UPLOAD: Client "ADDRESS", "FILE", N bytes, X.XXKbyte/sec

Nothing is quoted in either, and not every writer keeps blanks out of its fields. So a line is read
from both ends, which leaves the user's name in the middle with all its blanks; where the name of
the file has blanks too, the last place that can be its end is taken and the line is *ambiguous*.

Names are decoded as UTF-8 with ``surrogateescape``: ``os.fsencode`` gives the bytes again.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import msgspec
from msgspec.structs import replace

Kind = Literal["transfer", "event", "broken", "unparsed"]
Format = Literal["xferlog", "vsftpd"]
TransferType = Literal["ascii", "binary"]
Direction = Literal["upload", "download", "delete"]
AccessMode = Literal["anonymous", "guest", "real"]
AuthMethod = Literal["none", "rfc931", "other"]
Completion = Literal["complete", "incomplete"]


class Parsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a line says, or a piece of a line that holds several.

    What it does not say is None. Words stand for the letters of the log.
    """

    kind: Kind
    """What it is: a transfer (a deletion is one); an event is another line of a native log, such
    as a login; broken is the beginning of a line whose end another line has taken."""
    format: Format | None = None
    time_text: str | None = None
    """The time as it is written; ``read_time`` knows it."""
    transfer_time_sec: int | None = None
    remote_host: str | None = None
    bytes: int | None = None
    """Bytes moved in this transfer, not the size of the file."""
    filename: str | None = None
    transfer_type: TransferType | None = None
    action_flags: str | None = None
    direction: Direction | None = None
    access_mode: AccessMode | None = None
    username: str | None = None
    """For an anonymous user the password, which is what he says of himself."""
    service: str | None = None
    auth_method: AuthMethod | None = None
    auth_user: str | None = None
    status: Completion | None = None
    pid: int | None = None
    """The process of the session: only native lines have it."""
    rate_bytes_per_second: float | None = None
    action: str | None = None
    """The word of a native line, for example UPLOAD."""
    ambiguous: bool = False
    """Whether the line can be read in more ways than this one."""
    may_be_forged: bool = False
    """Whether a user may have put it there, by a name that is a line or a part of one."""
    reason: str | None = None
    """Why it is no plain transfer: what is wrong with it, in words."""
    start: int = 0
    """Where in the line this piece begins, in bytes."""


TYPES: dict[str, TransferType] = {"a": "ascii", "b": "binary"}
DIRECTIONS: dict[str, Direction] = {"i": "upload", "o": "download", "d": "delete"}
MODES: dict[str, AccessMode] = {"a": "anonymous", "g": "guest", "r": "real"}
STATUSES: dict[str, Completion] = {"c": "complete", "i": "incomplete"}
METHODS: dict[str, AuthMethod] = {"0": "none", "1": "rfc931"}
_NATIVE_DIRECTIONS: dict[str, Direction] = {
    "UPLOAD": "upload",
    "DOWNLOAD": "download",
    "DELETE": "delete",
}
_OUTCOMES: dict[str, Completion] = {"OK": "complete", "FAIL": "incomplete"}
_DIGITS = frozenset("0123456789")
_ANONYMOUS = frozenset({"ftp", "anonymous"})
_MONTHS = {
    name: number
    for number, name in enumerate(
        "jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1
    )
}

_CUT_SHORT = "cut short: another line follows within it"
_FORGED = "more than one line in one: a user may have made it up, by his name or that of a file"
_MOST_INTEGER = (1 << 63) - 1
"""The largest number that the database can hold."""

# Every pattern is anchored, and of its repetitions each ends where the next thing cannot go on
# from: the effort is linear in the line, whatever it holds.
_DAY_NAME = "(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)"
_MONTH_NAME = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
_ENGLISH_DATE = f"{_DAY_NAME} {_MONTH_NAME} [ 0-3]?[0-9] {_CLOCK} [0-9]{{4}}"
_PLAIN = (
    f"({_ENGLISH_DATE}) ([0-9]{{1,18}}) ([^ \n]+) ([0-9]{{1,18}}) ([^ \n]+) ([ab]) ([A-Z_]+) "
    "([iod]) ([arg]) ([^ \n]+) ([^ \n]+) ([01]) ([^ \n]+) ([ci])"
)
match_plain = re.compile(_PLAIN).fullmatch
"""Matches a line of an xferlog that has nothing special: its groups are the fields, in order."""
plain_lines = re.compile(f"^{_PLAIN}$", re.MULTILINE).finditer
"""Gives all such lines of a text of many, with the same groups."""
_DATE = re.compile(f"([^ ]{{1,32}} +[^ ]{{1,32}} +[0-9]{{1,2}} {_CLOCK} [0-9]{{4}}) ").match
_HEAD = re.compile("(-?[0-9]{1,19}) ([^ ]+) ([0-9]{1,20}) (?=([^ ]*))").match
_MIDDLE = re.compile("([^ ]*) ([ab]) ([A-Z_]+) ([iod]) ([arg]) ").match
_LAST_MIDDLE = re.compile("(.*) ([ab]) ([A-Z_]{1,32}) ([iod]) ([arg])(?: |\\Z)", re.DOTALL).match
_NEXT_DATES = re.compile(
    f"{_ENGLISH_DATE} (?=-?[0-9]{{1,19}} [^ ]{{1,255}} [0-9]{{1,20}} |\\[pid [0-9]+\\] )"
).finditer
_SYSLOG = re.compile(
    f"(?:<[0-9]{{1,3}}>)?({_MONTH_NAME} [ 0-3][0-9] {_CLOCK}(?: [0-9]{{4}})?|"
    "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.+Z-]{8,32})"
    " [^ ]{1,255} [^ :\\[]{1,64}(?:\\[([0-9]{1,10})\\])?: +(?:xferlog[^:]{0,40}: )?"
).match
_NATIVE = re.compile(
    "(?:\\[pid ([0-9]{1,10})\\] )?(?:\\[(.{0,255}?)\\] )?(?:(OK|FAIL) )?"
    '([A-Z]{2,16}|FTP command|FTP response): Client "([^"]{0,255})"'
    '(?:, anon password "([^"]{0,255})")?'
    '(?:, "(.*)")?(?:, ([0-9]{1,20}) bytes)?(?:, ([0-9]{1,20}(?:\\.[0-9]{1,6})?)Kbyte/sec)?\\.?',
    re.DOTALL,
).fullmatch
_NATIVE_ACTIONS = re.compile('(?:[A-Z]{2,16}|FTP command|FTP response): Client "').findall


def parse(line: bytes) -> tuple[Parsed, ...]:
    """Give what a line says: one piece, or several if others have been written into it.

    The line may end in LF or CR LF. An empty line gives nothing.
    """
    text = line.decode("utf-8", "surrogateescape")
    found = match_plain(text[:-1] if text[-1:] == "\n" else text)
    if found is None:
        return _parse_other(text.rstrip("\r\n"))
    # fmt: off
    (date, seconds, host, moved, name, kind, flags, direction, mode, user, service, method,
     auth_user, status) = found.groups()
    # fmt: on
    return (
        Parsed(
            kind="transfer",
            format="xferlog",
            time_text=date,
            transfer_time_sec=int(seconds),
            remote_host=host,
            bytes=int(moved),
            filename=name,
            transfer_type=TYPES[kind],
            action_flags=flags,
            direction=DIRECTIONS[direction],
            access_mode=MODES[mode],
            username=user,
            service=service,
            auth_method=METHODS[method],
            auth_user=None if auth_user == "*" else auth_user,
            status=STATUSES[status],
        ),
    )


@lru_cache(maxsize=4096)
def read_time(text: str) -> datetime | None:
    """Give the time that a line has written: naive if it names no zone, None if it is none.

    A time of syslog without a year is in the year 1904, which has every day. Names of days and
    months that are not English are passed over, unless the month is a number (as in Korean).
    """
    if text[4:5] == "-" and "T" in text:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    words = text.split()
    if len(words) == 5:
        _, month_text, day, clock, year = words
    elif len(words) == 4:
        month_text, day, clock, year = words
    elif len(words) == 3:
        (month_text, day, clock), year = words, "1904"
    else:
        return None
    month = _month(month_text)
    try:
        hour, minute, second = clock.split(":")
        # A leap second is the end of its minute: datetime knows none.
        moment = (int(year), month, int(day), int(hour), int(minute), min(int(second), 59))
        return datetime(*moment)  # noqa: DTZ001 - the log names no zone
    except ValueError:
        return None


def _month(text: str) -> int:
    """Give the number of a month, from its English name or its digits; 0 if it is not known."""
    digits = re.match("[0-9]{1,2}", text)
    return int(digits[0]) if digits else _MONTHS.get(text[:3].lower(), 0)


def _parse_other(text: str) -> tuple[Parsed, ...]:
    """Read a line that is no plain line of an xferlog."""
    line = text.lstrip("\0")  # a log that was emptied under its writer begins with a hole
    if not line.strip():
        return ()
    start = len(text) - len(line)
    prefix = _SYSLOG(line)
    own_date = prefix.end() + 1 if prefix else 1
    cuts = [0, *(found.start() for found in _NEXT_DATES(line, own_date)), len(line)]
    if len(cuts) == 2:
        return (_read_piece(line, start),)
    # A line that was cut short holds the next one: the disk was full, or the writer's buffer. But
    # where the whole can be read as one line, somebody may have put a line into his name.
    whole = _read_piece(line, 0)
    is_forgeable = whole.kind != "unparsed" and not whole.ambiguous
    pieces: list[Parsed] = []
    for begin, end in pairwise(cuts):
        piece = _read_piece(line[begin:end], start, is_cut=end < len(line))
        if is_forgeable or whole.format == "vsftpd":
            piece = replace(
                piece, ambiguous=True, may_be_forged=True, reason=piece.reason or _FORGED
            )
        pieces.append(piece)
        start += len(os.fsencode(line[begin:end]))
    return tuple(pieces)


def _read_piece(text: str, start: int, *, is_cut: bool = False) -> Parsed:
    """Read a line that holds no other; ``is_cut`` if another one follows without a line's end."""
    prefix = _SYSLOG(text)
    body = text[prefix.end() :] if prefix else text
    date = _DATE(body)
    if date is not None:
        time_text, rest = date[1], body[date.end() :]
        found = _read_native(rest) or _read_xferlog(rest, may_lack_status=not is_cut)
        if found is not None:
            return replace(found, time_text=time_text, start=start)
        if is_cut:
            return _beginning(time_text, rest, start)
        return Parsed(
            kind="unparsed", time_text=time_text, reason=_what_is_wrong(rest), start=start
        )
    if prefix is not None:
        time_text, pid = prefix.groups()
        found = _read_native(body)
        if found is not None:
            pid = found.pid or (int(pid) if pid else None)
            return replace(found, time_text=time_text, pid=pid, start=start)
        reason = "no transfer after the prefix of syslog"
        return Parsed(kind="unparsed", time_text=time_text, reason=reason, start=start)
    if is_cut:
        return Parsed(kind="broken", reason=_CUT_SHORT, start=start)
    return Parsed(kind="unparsed", reason="no date at the beginning", start=start)


def _read_xferlog(rest: str, *, may_lack_status: bool) -> Parsed | None:
    """Read what follows the date in an xferlog; None if it is none."""
    head = _HEAD(rest)
    if head is None or not _fits(head):
        return None
    # From the right, for the user's name may hold blanks, and may be empty.
    words = rest.rsplit(" ", 4)
    if len(words) == 5 and words[4] in STATUSES and words[2] in _DIGITS:
        before, service, method, auth_user, status = words
    elif may_lack_status and len(words) == 5 and words[3] in _DIGITS:
        before, service, method, auth_user = rest.rsplit(" ", 3)
        status = None
    else:
        return None
    middle = _MIDDLE(before + " ", head.end())
    ambiguous = middle is None
    if middle is None:
        middle = _LAST_MIDDLE(before, head.end())
        if middle is None:
            return None
    name, kind, flags, direction, mode = middle.groups()
    return Parsed(
        kind="transfer",
        format="xferlog",
        transfer_time_sec=int(head[1]),
        remote_host=head[2],
        bytes=int(head[3]),
        filename=name,
        transfer_type=TYPES[kind],
        action_flags=flags,
        direction=DIRECTIONS[direction],
        access_mode=MODES[mode],
        username=before[middle.end() :],
        service=service,
        auth_method=METHODS.get(method, "other"),
        auth_user=None if auth_user == "*" else auth_user,
        status=STATUSES[status] if status else None,
        ambiguous=ambiguous,
        reason="the name of the file has blanks: its end is a guess" if ambiguous else None,
    )


def _read_native(rest: str) -> Parsed | None:
    """Read what follows the date in vsftpd's own format; None if it is something else."""
    found = _NATIVE(rest)
    if found is None:
        return None
    pid, user, outcome, action, host, password, name, moved, kbytes = found.groups()
    moved_bytes = int(moved) if moved else 0
    if moved_bytes > _MOST_INTEGER:
        return None
    direction = _NATIVE_DIRECTIONS.get(action)
    rate = float(kbytes) * 1024 if kbytes else None
    took = moved_bytes / rate if rate else None
    if took is not None and took >= _MOST_INTEGER:
        return None
    is_anonymous = password is not None or user in _ANONYMOUS
    is_doubtful = len(_NATIVE_ACTIONS(rest)) > 1
    doubt = _FORGED if is_doubtful else None
    return Parsed(
        kind="event" if direction is None else "transfer",
        format="vsftpd",
        # vsftpd writes whole seconds, at least one, into an xferlog.
        transfer_time_sec=None if took is None else max(1, round(took)),
        remote_host=host,
        bytes=moved_bytes,
        filename=name,
        direction=direction,
        access_mode="anonymous" if is_anonymous else None,
        username=user if password is None else password,
        status=_OUTCOMES.get(outcome),
        pid=int(pid) if pid else None,
        rate_bytes_per_second=rate,
        action=action,
        ambiguous=is_doubtful,
        may_be_forged=is_doubtful,
        reason=doubt if direction is not None else f"no transfer: {action}",
    )


def _beginning(time_text: str, rest: str, start: int) -> Parsed:
    """Give what is left of a line whose end another line has taken."""
    broken = Parsed(
        kind="broken",
        time_text=time_text,
        reason=_CUT_SHORT,
        start=start,
    )
    head = _HEAD(rest)
    if head is None or not _fits(head):
        return broken
    return replace(
        broken,
        format="xferlog",
        transfer_time_sec=int(head[1]),
        remote_host=head[2],
        bytes=int(head[3]),
        filename=head[4] or None,
    )


def _fits(head: re.Match[str]) -> bool:
    """Whether the database can hold the numbers."""
    return max(abs(int(head[1])), int(head[3])) <= _MOST_INTEGER


def _what_is_wrong(rest: str) -> str:
    """Say what in a line with a date is not as it should be."""
    head = _HEAD(rest)
    if head is None:
        return "no seconds, host and bytes after the date"
    if not _fits(head):
        return "a number that is too large"
    if _LAST_MIDDLE(rest) is None:
        return "no type, flags, direction and access mode after the name of the file"
    return "no service, authentication and status at the end"
