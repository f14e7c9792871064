"""Runs the checks: each in a child of its own, as the node's user, with a deadline.

A mount that does not answer holds up its child, and no one else. A child that cannot even be killed
is left behind.
"""

from __future__ import annotations

import codecs
import ctypes
import importlib
import os
import pwd
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from etlmon.errors import EtlmonError
from etlmon.host.owners import user_name
from etlmon.node.doctor import servers, storage, system, watched
from etlmon.node.doctor.base import Finding, Host, capability_bits, group_id
from etlmon.node.doctor.unit import Unit, read_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.base import Check

CHECKS: tuple[Check, ...] = (
    system.rights,
    system.sqlite,
    system.database,
    storage.damage,
    storage.kept,
    system.files,
    system.ports,
    system.limits,
    system.clock,
    watched.mounts,
    watched.paths,
    watched.logs,
    servers.xferlogs,
    servers.cron,
    watched.processes,
)
CHECKS_FOR_ANYBODY: tuple[Check, ...] = (
    system.rights,
    system.sqlite,
    system.ports,
    system.limits,
    system.clock,
    watched.mounts,
)
"""Those that find the same whoever looks."""
_DEADLINE_SECONDS = 10.0
_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522


def host_for(user: str | None, root: Path = Path("/"), *, of_unit: bool = False) -> Host:
    """Give the host as a user sees it; None is whoever runs this. Raises EtlmonError.

    ``of_unit``: it is for the node that the package's unit runs, and so for its user, unless
    ``user`` is another. Whoever is neither he nor root can then look at a part of it only.
    """
    caller = user_name(os.geteuid())
    unit = read_unit(root) if of_unit and user is None else None
    if user is None:
        user = caller if unit is None else unit.user
    if user == caller:
        return Host(root=root, user=user, uid=os.geteuid(), unit=_unit_of(user, root))
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise EtlmonError(f"there is no user {user} on this host") from error
    seen_by = None
    if os.geteuid() != 0:
        if unit is None:
            raise EtlmonError(f"only root may look as {user}: sudo etlmon doctor --user {user}")
        seen_by = caller
    return Host(root=root, user=user, uid=uid, unit=_unit_of(user, root), seen_by=seen_by)


def _unit_of(user: str, root: Path) -> Unit | None:
    """Give the node's unit, if it is this user whom it runs the node as."""
    unit = read_unit(root)
    return unit if unit is not None and unit.user == user else None


def examine(
    host: Host,
    config: NodeConfig,
    checks: Sequence[Check] | None = None,
    deadline_seconds: float = _DEADLINE_SECONDS,
) -> list[Finding]:
    """Give what the checks find, in their order; without ``checks``, all that suit who looks."""
    if checks is None:
        checks = CHECKS if host.seen_by is None else CHECKS_FOR_ANYBODY
    return [
        finding for check in checks for finding in _in_child(check, host, config, deadline_seconds)
    ]


def exit_status(findings: Sequence[Finding]) -> int:
    """Give 0 if all is well, 1 if there is a warning, 2 if there is a problem."""
    ranks = {"ok": 0, "warning": 1, "problem": 2}
    return max((ranks[one.level] for one in findings), default=0)


def _in_child(
    check: Check, host: Host, config: NodeConfig, deadline_seconds: float
) -> list[Finding]:
    name = getattr(check, "__name__", "check")
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(check, host, config, writer, name)
    os.close(writer)
    try:
        answer = _read(reader, deadline_seconds)
    finally:
        os.close(reader)
        _end(child)
    if answer is None:
        return [
            Finding(
                "problem",
                name,
                f"no answer in {deadline_seconds:g} s: something that it looks at hangs",
                "look for a mount that does not answer: etlmon get fs, or timeout 5 df",
            )
        ]
    try:
        return msgspec.json.decode(answer, type=list[Finding])
    except msgspec.DecodeError:
        return [Finding("problem", name, "the check itself failed", None)]


def _be_child(check: Check, host: Host, config: NodeConfig, writer: int, name: str) -> None:
    """Look, as the user, and end without a trace of what the parent has open."""
    try:
        _become(host, config)
        try:
            found = list(check(host, config))
        except Exception as error:
            found = [Finding("problem", name, f"the check itself failed: {error!r}", None)]
        answer = msgspec.json.encode(found)
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _become(host: Host, config: NodeConfig) -> None:
    """Take on the user with the rights that the node's unit gives him."""
    if host.uid == os.geteuid() or host.seen_by is not None:
        return
    found = pwd.getpwuid(host.uid)
    # What is needed later must be here before: the user may not be able to read this Python.
    codecs.lookup("ascii")
    if config.manhole is not None:
        importlib.import_module("etlmon.node.manhole.keys")
    os.environ["HOME"] = found.pw_dir
    os.environ.pop("XDG_STATE_HOME", None)
    unit = host.unit or Unit(user=host.user)
    capabilities = capability_bits(unit.capabilities)
    os.initgroups(found.pw_name, found.pw_gid)
    given = [number for name in unit.groups if (number := group_id(name)) is not None]
    os.setgroups([*os.getgroups(), *given])
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
    # capset(2): the process itself; effective, permitted and inheritable of 0-31, and of 32-63.
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)(capabilities, capabilities, 0, 0, 0, 0))


def _read(reader: int, deadline_seconds: float) -> bytes | None:
    answer = bytearray()
    give_up_at = time.monotonic() + deadline_seconds
    while True:
        left = give_up_at - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            return None
        piece = os.read(reader, 65_536)
        if not piece:
            return bytes(answer)
        answer += piece


def _end(child: int) -> None:
    """Collect a child, or kill it; one that hangs in the kernel is not waited for."""
    give_up_at = time.monotonic() + 0.5
    os.kill(child, signal.SIGKILL)  # it has ended, or has not been collected: the pid is its own
    while time.monotonic() < give_up_at:
        if os.waitpid(child, os.WNOHANG)[0]:
            return
        select.select([], [], [], 0.005)
