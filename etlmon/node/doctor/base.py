"""What a check is handed, and what it gives."""

from __future__ import annotations

import grp
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.unit import Unit

_CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_KILL": 5,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_SYS_PTRACE": 19,
}
"""Those that change what is found, and their numbers: of the package's rights, and of others."""

_RIGHTS = "/usr/share/doc/etlmon/rights"

Level = Literal["ok", "warning", "problem"]


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
    journalctl: Sequence[str] = ("journalctl",)
    """The command that reads the journal."""
    unit: Unit | None = None
    """The unit that runs a node as this user: its rights are the node's."""
    seen_by: str | None = None
    """Who looks, where that is neither root nor ``user``: he cannot tell what ``user`` may."""

    @property
    def lacks(self) -> list[str]:
        """What the unit gives the node and who looks has not: groups and capabilities."""
        if self.unit is None:
            return []
        held, groups = _effective(self.proc), os.getgroups()
        capabilities = [name for name in self.unit.capabilities if capability_bits([name]) & ~held]
        return sorted(capabilities) + [
            f"group {name}" for name in self.unit.groups if group_id(name) not in groups
        ]

    def may(self, capability: str) -> bool:
        """Whether the node has a capability, such as CAP_KILL: by its unit, or as the user is."""
        if self.unit is not None and capability in self.unit.capabilities:
            return True
        return bool(_effective(self.proc) >> _CAPABILITIES[capability] & 1)


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
    """Name the drop-in that gives the packaged node a right; ``turn_on`` is how."""
    return f"the drop-in {_RIGHTS}/{name}.conf"


def turn_on(findings: Iterable[Finding]) -> str | None:
    """Give the command that turns on the drop-ins that remedies name; None if none does."""
    files = {
        file for one in findings for file in re.findall(rf"{_RIGHTS}/\S+\.conf", one.remedy or "")
    }
    if not files:
        return None
    return (
        f"install -D -m 644 -t /etc/systemd/system/etlmon-node.service.d {' '.join(sorted(files))}"
        " && systemctl daemon-reload && systemctl restart etlmon-node"
    )


def group_id(name: str) -> int | None:
    """Give the number of a group, None if there is no such group."""
    if name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def capability_bits(names: Iterable[str]) -> int:
    """Give capabilities as the kernel has them; those that no check is about are left out."""
    return sum(1 << _CAPABILITIES[name] for name in set(names) & set(_CAPABILITIES))


def _effective(proc: Path) -> int:
    try:
        text = (proc / "self/status").read_text("ascii", "replace")
    except OSError:
        return 0
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)", text)
    return int(found[1], 16) if found else 0
