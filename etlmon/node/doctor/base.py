"""What a check is handed, and what it gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig

Level = Literal["ok", "warning", "problem"]

_DROP_INS = "etc/systemd/system/etlmon-node.service.d"


class Finding(Struct, frozen=True):
    """One line of what the doctor says."""

    level: Level
    """ok; warning: less is seen than could be; problem: something configured cannot work."""
    check: str
    what: str
    remedy: str | None = None
    """What to type, or to write into which file."""


@dataclass(frozen=True)
class Host:
    """The host that is looked at, and for whom."""

    root: Path = Path("/")
    """Where its files are: those of the system, not those that the configuration names."""
    proc: Path = Path("/proc")
    user: str = "root"
    """Whose rights count: the one that the check runs as."""
    uid: int = field(default_factory=os.geteuid)

    def has_right(self, name: str) -> bool:
        """Whether the administrator has turned on a drop-in of the unit, such as ``read-all``."""
        return is_there(self.root / _DROP_INS / f"{name}.conf")


Check = Callable[[Host, "NodeConfig"], Iterator[Finding]]


def is_there(path: Path) -> bool:
    """Whether something is there, and not out of sight."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def why(error: OSError) -> str:
    """Give the words of an error."""
    return error.strerror or str(error)


def drop_in(name: str) -> str:
    """Give the command that turns a right of the packaged node on."""
    return (
        "install -D -m 644 -t /etc/systemd/system/etlmon-node.service.d "
        f"/usr/share/doc/etlmon/rights/{name}.conf && systemctl daemon-reload && "
        "systemctl restart etlmon-node"
    )


def unreadable(
    host: Host, check: str, path: str, error: OSError, level: Level = "problem"
) -> Finding:
    """Say that something cannot be read, and what helps: a right, if it is rights that lack."""
    if not isinstance(error, PermissionError):
        return Finding(level, check, f"{path}: {why(error)}", f"ls -ld {path}")
    if host.has_right("read-all"):
        return Finding("ok", check, f"{path}: readable by the drop-in read-all.conf")
    return Finding(
        level,
        check,
        f"{path}: {host.user} may not read it",
        f"setfacl -m u:{host.user}:rX {path}; or {drop_in('read-all')}",
    )
