"""The file with the tokens: who is let in, and as what.

It holds no token, only SHA-256 of each. That is enough, and a slow hash with salt would add
nothing: those make up for passwords that people have thought of and that can be guessed. A token
is 256 bits of the system's random numbers; whoever has the hash cannot find what it is of by
trying, and no two are the same. What would be added is the time of a slow hash at each request.

The file decides over the host, so it is trusted only where nobody else can have a hand in it: a
plain file, of this user's or root's, that neither group nor others may even read, in directories
that none of them can exchange it in, or one above it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.control.callers import ROLES
from etlmon.errors import EtlmonError
from etlmon.host.owners import acting_as, owner_of, way_to
from etlmon.text import TOKEN_PREFIX, one_line, shell_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from etlmon.control.callers import Role

_HEADER = """\
# Who may use the API of this node: name, role, SHA-256 of the token, when it was made.
# `etlmon token add`, `list` and `remove` write and read it; the node takes changes by itself.
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LINE = re.compile(r"(\S+) +(\S+) +sha256:([0-9a-f]{64}) +(\S+)")
_MOST_BYTES = 256 << 10
_MOST_TOKENS = 1_000
_TOKEN_BYTES = 32
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class TokensError(EtlmonError):
    """The file with the tokens is not there, not safe, or not what it should be."""


@dataclass(frozen=True)
class Token:
    """A token as the file keeps it; the token itself is known to its owner alone."""

    name: str
    role: Role
    sha256: str
    made_at: datetime

    def line(self) -> str:
        """Give its line of the file."""
        made = self.made_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return f"{self.name} {self.role} sha256:{self.sha256} {made}\n"


def sha256(token: str) -> str:
    """Give the hash by which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def find(tokens: Sequence[Token], presented: str) -> Token | None:
    """Give the token that was presented, if it is one of these.

    It takes as long for any that is not: all are looked at, each in the same time.
    """
    digest = sha256(presented)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.sha256, digest):
            found = token
    return found


def read(path: Path, *, administers: bool = False) -> tuple[Token, ...]:
    """Give the tokens of a file. Raises TokensError with the remedy. It blocks.

    For root who ``administers`` it, it may be another user's: the one that the node runs as.
    """
    if administers:
        with _with_the_rights_for(path):
            return _read(path, any_owner=os.geteuid() == 0)
    return _read(path)


def _read(path: Path, *, any_owner: bool = False) -> tuple[Token, ...]:
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as error:
        raise TokensError(_not_opened(path, error)) from error
    try:
        _check_safe(path, os.fstat(descriptor), any_owner=any_owner)
        _check_directories(path)
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TokensError(f"{path}: {_words(error)}") from error
    finally:
        os.close(descriptor)
    return parse(raw, str(path))


def parse(raw: bytes, name: str) -> tuple[Token, ...]:
    """Give the tokens in the content of a file; raise TokensError naming the line."""
    if len(raw) > _MOST_BYTES:
        raise TokensError(f"{name}: larger than {_MOST_BYTES >> 10} KiB; that is no tokens file")
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise TokensError(f"{name}: not plain text; that is no tokens file") from error
    found: dict[str, Token] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        token = _parse_line(line, f"{name}:{number}")
        if token.name in found:
            raise TokensError(f"{name}:{number}: {token.name} is there twice; remove one line")
        found[token.name] = token
    if len(found) > _MOST_TOKENS:
        raise TokensError(f"{name}: more than {_MOST_TOKENS} tokens")
    return tuple(found.values())


def _parse_line(line: str, place: str) -> Token:
    # What stands there is not shown: it may be a token that was put in by hand.
    fields = _LINE.fullmatch(line.strip(" "))
    if fields is None:
        raise TokensError(
            f"{place}: not a line of name, role, sha256:HASH and time; write it by "
            "`etlmon token add NAME --role ROLE`"
        )
    check_name(fields[1], place)
    role = next((role for role in ROLES if role == fields[2]), None)
    if role is None:
        raise TokensError(f"{place}: there is no such role; write {' or '.join(ROLES)}")
    try:
        made_at = datetime.fromisoformat(fields[4])
    except ValueError as error:
        raise TokensError(f"{place}: the time is none; write 2026-01-31T12:00:00Z") from error
    if made_at.tzinfo is None:
        raise TokensError(f"{place}: the time has no zone; write 2026-01-31T12:00:00Z")
    return Token(fields[1], role, fields[3], made_at)


def check_name(name: str, place: str = "NAME") -> None:
    """Raise TokensError for what is no name of a token: it stands in logs and in the audit."""
    if not _NAME.fullmatch(name):
        raise TokensError(
            f"{place}: {one_line(name)[:80]} is no name; write letters, digits and . _ @ -, at "
            "most 64, beginning with a letter or a digit"
        )


def add(path: Path, name: str, role: Role, now: datetime) -> str:
    """Make a token, put it into the file, and give it: it can be had at no other time.

    The file is made if it is not there. Raises TokensError. It blocks.
    """
    check_name(name)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)

    def added(tokens: Sequence[Token]) -> list[Token]:
        if any(token.name == name for token in tokens):
            raise TokensError(
                f"{path}: there is a token {name} already; remove it first, or take another name"
            )
        if len(tokens) >= _MOST_TOKENS:
            raise TokensError(f"{path}: there are {_MOST_TOKENS} tokens already; remove some")
        return [*tokens, Token(name, role, sha256(secret), now)]

    _change(path, added, make=True)
    return secret


def remove(path: Path, name: str) -> None:
    """Take a token out of the file. Raises TokensError, also if it is not there. It blocks."""

    def removed(tokens: Sequence[Token]) -> list[Token]:
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            known = ", ".join(token.name for token in tokens) or "none"
            raise TokensError(f"{path}: there is no token {one_line(name)[:80]}; there are {known}")
        return left

    _change(path, removed)


def _change(
    path: Path, change: Callable[[Sequence[Token]], Sequence[Token]], *, make: bool = False
) -> None:
    """Write the file anew, whole or not at all; one who changes it waits for another."""
    directory = path.parent
    with _with_the_rights_for(path), _locked(directory):
        _check_directories(path)
        owner = os.lstat(path) if os.path.lexists(path) else None
        wanted = change(() if make and owner is None else read(path, administers=True))
        half_made = directory / f".{path.name}.{secrets.token_hex(8)}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(half_made, flags, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)  # whatever the umask took away
                is_other = owner and (owner.st_uid, owner.st_gid) != _owner(file.fileno())
                if owner is not None and is_other and os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write((_HEADER + "".join(token.line() for token in wanted)).encode())
                file.flush()
                os.fsync(file.fileno())
            half_made.replace(path)
        except OSError as error:
            half_made.unlink(missing_ok=True)
            raise TokensError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def _with_the_rights_for(path: Path) -> Iterator[None]:
    """Let root change what is in a directory of another user with that user's rights alone.

    He could have a link lead root's hand to where only root may write.
    """
    try:
        owner = owner_of(path.parent)
    except OSError as error:
        raise TokensError(_words(error)) from error
    with acting_as(owner):
        yield


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TokensError(f"{directory}: {error.strerror}; make that directory first") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _owner(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_uid, found.st_gid


def _not_opened(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        word = shell_word(str(path))
        return f"{path}: not there; make it by `etlmon token add NAME --role ROLE --file {word}`"
    if isinstance(error, PermissionError):
        return (
            f"{path}: may not be read by uid {os.geteuid()}; it must belong to the user that the "
            f"node runs as: chown USER {shell_word(str(path))}; root may read it in any case"
        )
    if path.is_symlink():
        return f"{path}: a symbolic link; name the file itself"
    return f"{path}: {error.strerror}"


def _check_safe(path: Path, found: os.stat_result, *, any_owner: bool = False) -> None:
    """Raise TokensError for a file that others may have written, or may read."""
    if not stat.S_ISREG(found.st_mode):
        raise TokensError(f"{path}: not a plain file; make it by `etlmon token add`")
    if found.st_uid not in {0, os.geteuid()} and not any_owner:
        raise TokensError(
            f"{path}: belongs to uid {found.st_uid}, who could let anybody in; "
            f"chown {os.geteuid()} {shell_word(str(path))}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise TokensError(
            f"{path}: is open to others (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"chmod 600 {shell_word(str(path))}"
        )


def _check_directories(path: Path) -> None:
    """Raise TokensError where others may put another file in the place of this one.

    As ssh does it (StrictModes): neither its directory nor any above it, nor one that holds a link
    on the way, may be another user's, or be written by a group. Where it is sticky, as /tmp is,
    everybody may write, but exchange only what is his.
    """
    for at, found in way_to(path.parent):
        name = one_line(at)
        if found.st_uid not in {0, os.geteuid()}:
            raise TokensError(
                f"{name}: belongs to uid {found.st_uid}, who could exchange what is in it; "
                f"chown {os.geteuid()} {shell_word(at)}, or put the file elsewhere"
            )
        writers = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(found.st_mode) and writers and not found.st_mode & stat.S_ISVTX:
            who = "everybody" if writers & stat.S_IWOTH else "its group"
            raise TokensError(
                f"{name}: {who} may exchange the files in it; chmod go-w {shell_word(at)}"
            )


def _words(error: OSError) -> str:
    return error.strerror or str(error)
