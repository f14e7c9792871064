"""The unit that systemd runs the node by, with its drop-ins: which rights the node will have."""

from __future__ import annotations

import re
import resource
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "etlmon-node"
_PLACES = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""Where units and drop-ins are; of those of one name the first holds."""
_MOST_BYTES = 1 << 20
_OWN_DIRECTORIES = {
    "StateDirectory": "/var/lib",
    "LogsDirectory": "/var/log",
    "CacheDirectory": "/var/cache",
    "RuntimeDirectory": "/run",
}


@dataclass(frozen=True)
class Unit:
    """What of a unit decides over rights."""

    user: str
    groups: tuple[str, ...] = ()
    capabilities: frozenset[str] = frozenset()
    """Those that the node's process gets (``AmbientCapabilities=``), in capitals: CAP_KILL."""
    writable: tuple[Path, ...] | None = None
    """Below which directories it may write at all; None where that is not restricted."""
    descriptors: int | None = None
    """How many it may have open at most (``LimitNOFILE=``); None where the unit does not say."""

    def may_write(self, directory: Path) -> bool:
        """Whether the unit leaves a directory writable; whose it is is another matter."""
        return self.writable is None or any(directory.is_relative_to(one) for one in self.writable)


def read_unit(root: Path) -> Unit | None:
    """Give the unit of the node as systemd would read it; None where there is none."""
    main = next((file for file in _named(root, f"{NAME}.service")), None)
    if main is None:
        return None
    drop_ins: dict[str, Path] = {}
    for directory in _named(root, f"{NAME}.service.d"):
        for file in directory.glob("*.conf"):
            drop_ins.setdefault(file.name, file)
    settings: dict[str, list[str]] = {}
    for file in (main, *(drop_ins[name] for name in sorted(drop_ins))):
        for name, words in _settings(file):
            # An empty assignment takes back all that came before it.
            settings[name] = [*settings.get(name, ()), *words] if words else []
    return _unit(settings)


def unit_word(text: str) -> str:
    """Give a path as it is written in a unit."""
    safe = text.replace("%", "%%")
    if not re.search(r"[\s\"'\\]", safe):
        return safe
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def has_socket(root: Path) -> bool:
    """Whether systemd is to open the node's socket for it."""
    return any(
        (root / place / "sockets.target.wants" / f"{NAME}.socket").is_symlink()
        for place in _PLACES[:2]
    )


def _unit(settings: dict[str, list[str]]) -> Unit:
    def last(name: str) -> str:
        return (settings.get(name) or [""])[-1]

    writable = [word.lstrip("-+") for word in settings.get("ReadWritePaths", ())]
    for name, above in _OWN_DIRECTORIES.items():
        writable += [f"{above}/{word}" for word in settings.get(name, ())]
    return Unit(
        user=last("User") or "root",
        groups=tuple(settings.get("SupplementaryGroups", ())),
        capabilities=frozenset(word.upper() for word in settings.get("AmbientCapabilities", ())),
        writable=(
            tuple(Path(word) for word in writable) if last("ProtectSystem") == "strict" else None
        ),
        descriptors=_hard_limit(last("LimitNOFILE")),
    )


def _hard_limit(text: str) -> int | None:
    """Give the second of ``soft:hard``, or the one that is there; None for what is no number."""
    found = text.rpartition(":")[2]
    if found == "infinity":
        return resource.RLIM_INFINITY
    return int(found) if found.isdigit() else None


def _named(root: Path, name: str) -> Iterator[Path]:
    for place in _PLACES:
        if (found := root / place / name).exists():
            yield found


def _settings(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the assignments of the section [Service], each with its words."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    section = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        stripped = line.strip()
        if stripped[:1] in ("", "#", ";"):
            continue
        if stripped[0] == "[":
            section = stripped
        elif section == "[Service]":
            name, _, value = stripped.partition("=")
            yield name.strip(), _words(value)


def _words(value: str) -> list[str]:
    try:
        return [word.replace("%%", "%") for word in shlex.split(value)]
    except ValueError:  # a quote that does not end
        return value.split()
