"""Whether the daemon takes a file at all, by its name, owner, mode and links.

Debian's cron and cronie look at different things, and neither tells anybody but the system log.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from etlmon.text import host_text

if TYPE_CHECKING:
    from etlmon.collectors.cron.schedule import Dialect
    from etlmon.host.crontabs import TabFile

Status = Literal["active", "ignored", "unknown"]

_PLAIN = re.compile(rb"[A-Za-z0-9_-]+")
_LSB_HIERARCHICAL = re.compile(rb"_?([a-z0-9_.]+-)+[a-z0-9]+")
_LSB_LEFT_OVER = re.compile(rb"[a-z0-9-].*dpkg-(old|dist)")
_LSB_TRADITIONAL = re.compile(rb"[a-z0-9][a-z0-9-]*")
_RPM_ENDS = (b".rpmsave", b".rpmorig", b".rpmnew")
# What the run-parts of Red Hat's crontabs package passes over.
_RUN_PARTS_ENDS = (b"~", b",", b".cfsaved", *_RPM_ENDS, b".swp", b",v")


@dataclass(frozen=True)
class Verdict:
    """What becomes of a file, and why if it is not run."""

    status: Status
    reason: str | None = None
    line: int | None = None


ACTIVE = Verdict("active")


def judge_file(
    file: TabFile,
    dialect: Dialect,
    owner_uid: int | None,
    *,
    lsb_names: bool = False,
    permits_any: bool = False,
) -> Verdict:
    """Tell what the daemon makes of a file before it reads it.

    ``owner_uid`` is the uid of the account that a user's crontab is named after, None where there
    is no such account. The others are options of Debian's cron (-l) and of cronie (-p).
    """
    if file.place == "run-parts":
        return _judge_script(file, dialect)
    reason = _name_reason(file, dialect, lsb_names=lsb_names)
    if reason is None and file.place == "user" and owner_uid is None:
        reason = f"no account is called {host_text(file.name)} (an orphan)"
    if reason is None and file.place != "anacron" and not permits_any:
        rules = _debian_reason if dialect == "debian" else _cronie_reason
        reason = rules(file, owner_uid)
    if reason is not None:
        return Verdict("ignored", reason)
    if file.content is not None:
        return ACTIVE
    return unread(file)


def unread(file: TabFile) -> Verdict:
    """Tell of a file that this node could not read."""
    if file.status is not None and not stat.S_ISREG(file.status.st_mode):
        return Verdict("ignored", "not a regular file")
    if file.error == "ENOENT":
        return Verdict("ignored", "a symbolic link to nothing")
    if file.error == "TOOBIG":
        return Verdict("unknown", "larger than 4 MiB: not read")
    if file.error == "NOROOM":
        return Verdict("unknown", "not read: there are more than 32 MiB of crontabs already")
    if file.error in {"EACCES", "EPERM"}:
        return Verdict(
            "unknown", "this node may not read it: it needs root, or CAP_DAC_READ_SEARCH"
        )
    return Verdict("unknown", f"cannot be read: {file.error}")


def _name_reason(file: TabFile, dialect: Dialect, *, lsb_names: bool) -> str | None:
    name = file.name
    if file.place not in {"cron.d", "user"}:
        return None
    if name.startswith(b"."):
        return "the name begins with a dot"
    if dialect == "debian":
        if file.place == "user" or _debian_name(name, lsb_names=lsb_names):
            return None
        if lsb_names:
            return "not a name by the rules of the LSB, which cron is told to go by (-l)"
        return "the name may hold letters, digits, - and _ only, no dot"
    if name.startswith(b"#"):
        return "the name begins with #"
    if name.endswith(b"~"):
        return "the name ends with ~"
    for end in _RPM_ENDS:
        if name.endswith(end) and len(name) > len(end):
            return f"the name ends with {end.decode()}"
    return None


def _debian_name(name: bytes, *, lsb_names: bool) -> bool:
    if not lsb_names:
        return _PLAIN.fullmatch(name) is not None
    if _LSB_HIERARCHICAL.fullmatch(name):
        return _LSB_LEFT_OVER.fullmatch(name) is None
    return _LSB_TRADITIONAL.fullmatch(name) is not None


def _debian_reason(file: TabFile, owner_uid: int | None) -> str | None:
    status = file.status
    of_user = file.place == "user"
    if file.link_owner is not None:
        if of_user:
            return "a symbolic link, which is not allowed for a user's crontab"
        if file.link_owner != 0:
            return f"the symbolic link belongs to uid {file.link_owner}, not to root"
    if status is None:
        return None
    if status.st_uid not in ({0, owner_uid} if of_user else {0}):
        whose = "to its user or root" if of_user else "to root"
        return f"belongs to uid {status.st_uid}, not {whose}"
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    mode = stat.S_IMODE(status.st_mode)
    if of_user and mode != 0o600:
        return f"mode {mode:04o}; it must be exactly 0600"
    if not of_user and mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"mode {mode:04o}; group or others may write it"
    if status.st_nlink != 1:
        return f"{status.st_nlink} hard links; there may be only one"
    return None


def _cronie_reason(file: TabFile, owner_uid: int | None) -> str | None:
    status = file.status
    if status is None:
        return None
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o7533 != 0o400:
        return f"mode {mode:04o}; only its owner may write it, nobody may run it"
    of_user = file.place == "user"
    if status.st_uid not in ({0, owner_uid} if of_user else {0}):
        whose = "to its user or root" if of_user else "to root"
        return f"belongs to uid {status.st_uid}, not {whose}"
    if of_user and status.st_nlink != 1:
        return f"{status.st_nlink} hard links; there may be only one"
    return None


def _judge_script(file: TabFile, dialect: Dialect) -> Verdict:
    """Tell whether run-parts starts a script."""
    status = file.status
    if status is None:
        return unread(file)
    reason = None
    if dialect == "debian":
        if not _PLAIN.fullmatch(file.name):
            reason = "run-parts takes only names of letters, digits, - and _: no dot"
    elif file.name.startswith(b"."):
        reason = "the name begins with a dot"
    elif file.name.endswith(_RUN_PARTS_ENDS):
        reason = "run-parts passes over names that end so"
    if reason is None and not stat.S_ISREG(status.st_mode):
        reason = "not a regular file"
    if reason is None and not status.st_mode & 0o111:
        reason = f"mode {stat.S_IMODE(status.st_mode):04o}; it is not executable"
    return Verdict("ignored", reason) if reason else ACTIVE
