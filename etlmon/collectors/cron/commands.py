"""The command of an entry: what is odd about it, and how the daemon logs it."""

from __future__ import annotations

import re

from etlmon.text import host_text

_WORD = re.compile(rb"[^ \t]+")
_PERCENT = re.compile(rb"(?<!\\)%")
_NOT_PRINTED = re.compile(rb"[^ -~]")
_DELETE = 0x7F
_FIELD_LIKE = re.compile(rb"[0-9*][0-9*,/-]*")


def command_lint(command: bytes, *, user_column: bool) -> list[str]:
    """Give what is odd about a command that the daemon takes."""
    lint = []
    if not command:
        lint.append("has no command: cron runs nothing, at these times")
    first = _WORD.match(command)
    if first and _FIELD_LIKE.fullmatch(first[0]):
        lint.append(
            f"looks like a sixth time field: cron knows no seconds, and runs {host_text(first[0])}"
            " as the command"
        )
    if not user_column and first and first[0] == b"root":
        lint.append("looks like a user column: here root is taken as the command")
    if _PERCENT.search(command):
        lint.append(
            "a % that is not written \\% ends the command; what follows is its standard input"
        )
    return lint


def logged_command(raw: bytes) -> bytes:
    r"""Give the command as the daemon logs it: up to the first bare %, ``\%`` as %.

    Bytes that cannot be printed are logged as ``^I`` and the like, others than ASCII in octal.
    """
    command = _PERCENT.split(raw, maxsplit=1)[0].replace(b"\\%", b"%")
    return _NOT_PRINTED.sub(_printed, command)


def _printed(found: re.Match[bytes]) -> bytes:
    byte = found[0][0]
    return b"\\%03o" % byte if byte > _DELETE else bytes((ord("^"), byte ^ 0x40))
