"""Checks of what the node itself needs: its database, its files, ports, limits, the clock."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import resource
import socket
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.config.addresses import UnixAddress, parse_listen
from etlmon.control.tokens import TokensError, read
from etlmon.host.mounts import covering, read_mounts, resolve
from etlmon.host.zone import find_zone
from etlmon.node.doctor.access import give, writable
from etlmon.node.doctor.base import Finding, is_there, why
from etlmon.node.doctor.unit import has_socket
from etlmon.node.places import database_path
from etlmon.store.lock import NETWORK_FILE_SYSTEMS
from etlmon.store.wal import has_reset_bug
from etlmon.text import shell_word
from etlmon.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.base import Host

_LEAST_FREE_BYTES = 100 << 20
_ENOUGH_FREE_BYTES = 1 << 30
_ENOUGH_WATCHES = 8_192
_ENOUGH_INSTANCES = 64
_ENOUGH_DESCRIPTORS = 4_096
_UNSYNCHRONISED = 0x40
_TIMEX_BYTES = 512
_STEP_SECONDS = 5.0


def rights(host: Host, _config: NodeConfig) -> Iterator[Finding]:
    """Who looks has what the unit gives the node: only root can take it on."""
    if host.seen_by is not None:
        yield Finding(
            "warning",
            "rights",
            f"{host.seen_by} cannot tell what {host.user} may: paths, logs, crontabs, the database "
            "and other files of the node were not looked at",
            "sudo etlmon doctor",
        )
    elif host.lacks:
        yield Finding(
            "warning",
            "rights",
            f"looked without what the unit gives: {', '.join(host.lacks)}",
            "sudo etlmon doctor",
        )


def sqlite(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """The database's SQLite is sound, and its file system one on which locks hold."""
    version = sqlite3.sqlite_version
    if has_reset_bug(sqlite3.sqlite_version_info):
        yield Finding(
            "warning",
            "database",
            f"SQLite {version} has the WAL-reset bug: etlmon keeps clear of it by its one writer",
            "never write to the database of a running node; `sqlite3 -readonly` may look",
        )
    else:
        yield Finding("ok", "database", f"SQLite {version}")
    path = database_path(config)
    mounts = read_mounts(host.proc)
    mount = covering(mounts, resolve(mounts, os.fsencode(path)))
    if mount is not None and mount.fs_type in NETWORK_FILE_SYSTEMS:
        is_allowed = config.node.db_on_network_filesystem
        yield Finding(
            "warning" if is_allowed else "problem",
            "database",
            f"{path}: on a network file system ({mount.fs_type}), where SQLite's locks do not hold",
            "name a local node.db_path",
        )


def database(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """The database, and its copies, have a place, and room there."""
    path = database_path(config)
    yield from writable(host, "database", path)
    yield from _room("database", path.parent)
    if config.backup is not None:
        yield from writable(host, "backup", Path(config.backup.directory) / "copy")
        yield from _room("backup", Path(config.backup.directory))


def _room(check: str, directory: Path) -> Iterator[Finding]:
    there = next((one for one in (directory, *directory.parents) if is_there(one)), None)
    if there is None:
        return
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    told = f"{directory}: {free >> 20} MiB free"
    if free < _LEAST_FREE_BYTES:
        yield Finding("problem", check, told, f"df -h {shell_word(str(there))}; make room")
    elif free < _ENOUGH_FREE_BYTES and check == "database":
        yield Finding("warning", check, told, "set node.db_max_bytes, or make room")
    else:
        yield Finding("ok", check, told)


def files(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Tokens and keys are safe, and the log can be written."""
    if config.auth is not None:
        path = Path(config.auth.tokens_file)
        try:
            tokens = read(path)
        except TokensError as error:
            yield Finding(
                "problem",
                "tokens",
                str(error),
                f"{give(host, path)}; chmod 600 {shell_word(str(path))}",
            )
        else:
            yield Finding(
                "ok" if tokens else "warning",
                "tokens",
                f"{path}: {len(tokens)} tokens",
                None
                if tokens
                else f"etlmon token add NAME --role viewer --file {shell_word(str(path))}",
            )
    if config.log.file is not None:
        yield from writable(host, "own log", Path(config.log.file))
    manhole = config.manhole
    if manhole is not None and manhole.socket is not None:
        yield from writable(host, "console", Path(manhole.socket).parent / "new")
    if manhole is not None and manhole.authorized_keys is not None:
        from etlmon.node.manhole.keys import KeyTrouble, authorized_keys

        keys = manhole.authorized_keys
        try:
            number = len(authorized_keys(keys))
        except KeyTrouble as error:
            yield Finding("problem", "console", str(error), f"ls -l {shell_word(keys)}")
        else:
            yield Finding(
                "ok" if number else "warning",
                "console",
                f"{keys}: {number} keys are let in",
                None if number else f"cat id_ed25519.pub >> {shell_word(keys)}",
            )


def ports(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """What is to be listened on is free, or is this node's."""
    wanted = [("node.listen", config.node.listen)]
    if config.manhole is not None and config.manhole.ssh is not None:
        wanted.append(("manhole.ssh", config.manhole.ssh))
    for setting, listen in wanted:
        where = parse_listen(listen)
        if isinstance(where, UnixAddress):
            if host.seen_by is not None:
                continue
            yield from writable(host, "port", Path(where.path).parent / "new")
            continue
        family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((where.host, where.port))
            except OSError as error:
                yield _taken(host, setting, listen, where.port, error)
            else:
                yield Finding("ok", "port", f"{listen}: free")


def _taken(host: Host, setting: str, listen: str, port: int, error: OSError) -> Finding:
    if error.errno != errno.EADDRINUSE:
        return Finding("problem", "port", f"{listen}: {why(error)}", f"another {setting}")
    inodes, users = _listeners(host.proc, port)
    owner = _owner(host.proc, inodes)
    if owner is not None and owner[1] in ("etlmon", "twistd"):
        return Finding("ok", "port", f"{listen}: in use by {owner[1]} (pid {owner[0]})")
    if host.unit is not None and users == {0} and has_socket(host.root):
        return Finding("ok", "port", f"{listen}: opened by systemd, for the node")
    if owner is None and host.uid != 0 and users == {host.uid}:
        # A node with a capability shows its descriptors to nobody of its own user.
        return Finding("ok", "port", f"{listen}: in use by a process of {host.user}")
    told = "" if owner is None else f" by {owner[1]} (pid {owner[0]})"
    return Finding(
        "warning" if owner is None else "problem",
        "port",
        f"{listen}: in use{told}",
        f"ss -ltnp 'sport = :{port}'; another {setting}, if it is not this node",
    )


def _listeners(proc: Path, port: int) -> tuple[set[str], set[int]]:
    """Give the sockets that listen on a port, as /proc names them, and whose they are."""
    inodes: set[str] = set()
    users: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
                users.add(int(fields[7]))
    return inodes, users


def _owner(proc: Path, inodes: set[str]) -> tuple[int, str] | None:
    """Give the process that has one of these sockets, as far as that is visible."""
    for one in proc.iterdir():
        if not one.name.isdigit():
            continue
        try:
            if any(os.readlink(link) in inodes for link in (one / "fd").iterdir()):  # noqa: PTH115
                return int(one.name), (one / "comm").read_text("utf-8", "replace").strip()
        except OSError:
            continue
    return None


def limits(host: Host, _config: NodeConfig) -> Iterator[Finding]:
    """There are enough inotify watches and descriptors."""
    for name, enough in (
        ("max_user_watches", _ENOUGH_WATCHES),
        ("max_user_instances", _ENOUGH_INSTANCES),
    ):
        try:
            number = int((host.proc / "sys/fs/inotify" / name).read_text("ascii"))
        except (OSError, ValueError):
            yield Finding("warning", "limits", f"fs.inotify.{name} is not known: logs are polled")
            continue
        if number < enough:
            yield Finding(
                "warning",
                "limits",
                f"fs.inotify.{name} is {number}",
                f"echo fs.inotify.{name}={enough} >> /etc/sysctl.d/60-etlmon.conf && "
                "sysctl --system",
            )
        else:
            yield Finding("ok", "limits", f"fs.inotify.{name} is {number}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if host.unit is not None and host.unit.descriptors is not None:
        hard = host.unit.descriptors
    told = f"{'any number of' if hard == resource.RLIM_INFINITY else hard} open files are allowed"
    if hard != resource.RLIM_INFINITY and hard < _ENOUGH_DESCRIPTORS:
        remedy = "LimitNOFILE=65536 in the unit, or ulimit -Hn 65536"
        yield Finding("warning", "limits", told, remedy)
    else:
        yield Finding("ok", "limits", told)


def clock(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """The clock is kept right and goes on only, and the time zone is known."""
    found = synchronised()
    if found is None:
        yield Finding("ok", "clock", "whether the clock is kept right cannot be told here")
    elif found.is_so:
        error = f"{found.error_seconds:.3g} s wrong at the most"
        yield Finding("ok", "clock", f"the kernel says that the clock is synchronised, {error}")
    else:
        yield Finding(
            "warning",
            "clock",
            "nothing keeps the clock right, as the kernel says",
            "timedatectl set-ntp true, or apt-get install chrony",
        )
    yield from _judge_step(database_path(config))
    zone = config.node.timezone
    if zone is not None:
        if find_zone(zone) is None:
            yield Finding(
                "problem", "clock", f"{zone}: no such time zone", "apt-get install tzdata"
            )
        else:
            yield Finding("ok", "clock", f"cron and transfers are read in {zone}")
        return
    place = host.root / "etc/localtime"
    if not is_there(place):
        yield Finding(
            "warning",
            "clock",
            "there is no /etc/localtime: cron and transfers are read as UTC",
            "timedatectl set-timezone Europe/Berlin, or node.timezone in node.yaml",
        )
    else:
        known = re.search(r"/zoneinfo/(.+)", str(place.resolve()))
        yield Finding("ok", "clock", f"the time zone is {known[1] if known else 'local'}")


def _judge_step(database: Path) -> Iterator[Finding]:
    """Say whether the clock has been set back since the node last wrote."""
    now = time.time()
    for path in (database.with_name(f"{database.name}-wal"), database):
        try:
            ahead = path.stat().st_mtime - now
        except OSError:
            continue
        if ahead > _STEP_SECONDS:
            told = format_duration(round(ahead))
            yield Finding(
                "warning",
                "clock",
                f"the clock has been set back: {path} is of {told} from now",
                "set it right (timedatectl); until then what is new sorts before what is old",
            )
            return


@dataclass(frozen=True)
class Synchronised:
    """What the kernel says of its clock."""

    is_so: bool
    error_seconds: float
    """The most that it may be wrong by, as far as who sets it knows."""


def synchronised() -> Synchronised | None:
    """Ask the kernel (adjtimex(2)) whether something keeps the clock right; None if it is mute."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = (ctypes.c_long * (_TIMEX_BYTES // 8))()
        if libc.adjtimex(ctypes.byref(buffer)) == -1:
            return None
    except (AttributeError, OSError):
        return None
    # struct timex: modes (int, padded), offset, freq, maxerror (us), esterror, status (int)
    return Synchronised(not int(buffer[5]) & _UNSYNCHRONISED, buffer[3] / 1e6)
