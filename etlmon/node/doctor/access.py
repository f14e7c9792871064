"""What a user may do with a file, and the remedy where he may not."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.host.owners import user_name
from etlmon.node.doctor.base import Finding, drop_in, is_there, why
from etlmon.node.doctor.unit import unit_word
from etlmon.store.faults import READ_ONLY, hindrance
from etlmon.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.node.doctor.base import Host, Level

_ADM = 4
"""Debian's group for who reads logs, whose number never changes."""
_RESTART = " && systemctl restart etlmon-node"
"""The unit looks for what it leaves writable when it starts."""
_GLOB = re.compile(r"[*?\[]")


def unreadable(
    host: Host, check: str, path: str, error: OSError, level: Level = "problem"
) -> Finding:
    """Say that something cannot be read, and what helps: a right, if it is rights that lack."""
    if not isinstance(error, PermissionError):
        return Finding(level, check, f"{path}: {why(error)}", f"ls -ld {shell_word(path)}")
    if host.may("CAP_DAC_READ_SEARCH"):
        return Finding("ok", check, f"{path}: readable by the unit's CAP_DAC_READ_SEARCH")
    remedy = drop_in("read-all")
    closed = closed_above(path)
    if closed is not None:
        return Finding(
            level,
            check,
            f"{path}: {host.user} may not enter {closed[0]}",
            f"setfacl -m u:{host.user}:x {shell_word(closed[0])}; and look again; or {remedy}",
        )
    word = shell_word(path)
    if Path(path).is_dir() or not is_there(Path(path)):
        remedy = f"setfacl -R -m u:{host.user}:rX -m d:u:{host.user}:rX {word}; or {remedy}"
    else:
        remedy = f"setfacl -m u:{host.user}:r {word} (also after rotation); or {remedy}"
    return Finding(level, check, f"{path}: {host.user} may not read it", remedy)


def readable(host: Host, check: str, path: str) -> Finding:
    """Say whether a file can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        return for_group(host, unreadable(host, check, path, error), path, error)
    kind = os.fstat(descriptor).st_mode
    os.close(descriptor)
    if not stat.S_ISREG(kind):
        return Finding("problem", check, f"{path}: not a file", "correct it in node.yaml")
    return Finding("ok", check, f"{path}: can be read")


def for_group(host: Host, found: Finding, path: str, error: OSError) -> Finding:
    """Put the remedy first that suits what a group may read: Debian's logs are of adm."""
    if found.level == "ok" or not isinstance(error, PermissionError):
        return found
    try:
        status = Path(path).stat()
    except OSError:
        return found
    if not (status.st_mode & stat.S_IRGRP and status.st_gid == _ADM):
        return found
    remedy = drop_in("read-logs") if host.unit is not None else f"usermod -aG adm {host.user}"
    return Finding(found.level, found.check, found.what, f"{remedy}; or {found.remedy}")


def closed_above(path: str) -> tuple[str, OSError] | None:
    """Give the directory that keeps a user from seeing whether a file is there, or which are.

    ``path`` may be a glob. None where nothing does.
    """
    glob = _GLOB.search(path)
    plain = path[: glob.start()] if glob else path
    directory = "/"
    try:
        for one in reversed(Path(f"{plain}x").parents):
            directory = str(one)
            os.stat(f"{directory}/.")  # noqa: PTH116 - Path drops the dot, which asks for the right
        if glob:
            os.scandir(directory).close()
    except PermissionError as error:
        return directory, error
    except OSError:
        return None
    return None


def writable(host: Host, check: str, path: Path) -> Iterator[Finding]:
    """Say whether a file can be written, or made."""
    directory = path.parent
    if host.unit is not None and not host.unit.may_write(directory):
        yield Finding(
            "problem",
            check,
            f"{directory}: read-only for the node, by its unit",
            f"systemctl edit etlmon-node: [Service] and ReadWritePaths={unit_word(str(directory))};"
            " systemctl restart etlmon-node",
        )
    there = next(one for one in (directory, *directory.parents) if is_there(one))
    if hindrance(there) == READ_ONLY:
        yield Finding(
            "problem",
            check,
            f"{there}: its file system is read-only",
            f"dmesg says why; findmnt -T {shell_word(str(there))}, mend it (fsck), and mount it rw",
        )
        return
    if is_there(path):
        if not os.access(path, os.R_OK | os.W_OK):
            yield Finding(
                "problem",
                check,
                f"{path}: {host.user} may not write it",
                give(host, path),
            )
            return
    elif not is_there(directory):
        if not os.access(there, os.W_OK | os.X_OK):
            yield Finding(
                "problem",
                check,
                f"{directory}: not there, and {host.user} may not make it",
                f"install -d -o {host.user} -m 750 {shell_word(str(directory))}"
                f"{_RESTART if host.unit else ''}",
            )
            return
        yield Finding("ok", check, f"{directory}: not there, and will be made")
        return
    if not os.access(directory, os.W_OK | os.X_OK):
        yield Finding(
            "problem",
            check,
            f"{directory}: {host.user} may not write there",
            give(host, directory),
        )
        return
    yield Finding("ok", check, f"{path if is_there(path) else directory}: can be written")


def give(host: Host, path: Path) -> str:
    """Say how the node's user comes by a file: root's may be given, what is another's may not."""
    try:
        uid = path.stat().st_uid
    except OSError:
        uid = 0
    if uid in (0, host.uid):
        word = shell_word(str(path))
        return f"chown {host.user} {word}" if uid == 0 else f"chmod u+rwX {word}"
    name = user_name(uid)
    return f"it is {name}'s: run the node as {name}, or name another place in node.yaml"
