"""Checks of what is watched: mounts, paths, logs, processes."""

from __future__ import annotations

import glob
import os
import pwd
import re
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.collectors.log.search import Search
from etlmon.host.mounts import read_mounts
from etlmon.node.doctor.access import closed_above, for_group, readable, unreadable
from etlmon.node.doctor.base import Finding, drop_in, is_there
from etlmon.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.config.node import NodeConfig
    from etlmon.config.watched import LogSection
    from etlmon.node.doctor.base import Host

_MOST_FILES = 200
_MOST_BYTES = 1 << 20


def mounts(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each mount that has thresholds of its own is one."""
    if not config.disk.mounts:
        return
    there = {os.fsdecode(mount.mount_point) for mount in read_mounts(host.proc)}
    for place in config.disk.mounts:
        if place in there:
            yield Finding("ok", "mount", f"{place}: is mounted")
        else:
            yield Finding(
                "warning",
                "mount",
                f"{place}: nothing is mounted there; its thresholds are without effect",
                "findmnt; correct disk.mounts in node.yaml",
            )


def paths(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each path is a directory that can be listed."""
    for section in config.paths:
        try:
            with os.scandir(section.path) as entries:
                next(entries, None)
        except NotADirectoryError:
            yield Finding("problem", "path", f"{section.path}: not a directory", None)
        except FileNotFoundError:
            yield Finding(
                "problem",
                "path",
                f"{section.path}: not there",
                f"mkdir -p {shell_word(section.path)}; or correct paths in node.yaml",
            )
        except OSError as error:
            yield unreadable(host, "path", section.path, error)
        else:
            yield Finding("ok", "path", f"{section.path}: can be listed")


def logs(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each log can be read, and rotation does not destroy lines."""
    copied = _copytruncated(host.root)
    for section in config.logs:
        found = _files(section)
        if not found:
            yield _not_seen(host, section)
        if len(found) > _MOST_FILES:
            left_out = len(found) - _MOST_FILES
            text = f"{section.name}: {left_out:,} files more, written earlier, are not looked at"
            yield Finding("ok", "log", text)
        for path in sorted(found[:_MOST_FILES]):
            yield readable(host, "log", path)
            if path in copied:
                yield Finding(
                    "warning",
                    "log",
                    f"{path}: logrotate copies and truncates it ({copied[path]}): lines are lost",
                    f"in {copied[path]} write create instead of copytruncate, and have the "
                    "program reopen its log in postrotate",
                )


def _files(section: LogSection) -> list[str]:
    """Give the files that the node would read for a log, those that were written last first."""
    search = Search(os.fsencode(section.path))
    found = search.find(0.0, frozenset(), lambda _path, _status: False)
    return [os.fsdecode(path) for path in found if os.path.lexists(path)]


def _not_seen(host: Host, section: LogSection) -> Finding:
    """Say why a log has no file: none is there yet, or whether one is cannot be seen."""
    closed = closed_above(section.path)
    if closed is None:
        return Finding(
            "warning",
            "log",
            f"{section.name}: {section.path} is not there yet; it is followed when it comes",
            f"ls -ld {shell_word(str(Path(section.path).parent))}",
        )
    directory, error = closed
    return for_group(host, unreadable(host, "log", directory, error), directory, error)


def _copytruncated(root: Path) -> dict[str, str]:
    """Give the logs that logrotate copies and truncates, and the file that says so."""
    found: dict[str, str] = {}
    places = [root / "etc/logrotate.conf", *sorted((root / "etc/logrotate.d").glob("*"))]
    for place in places[:_MOST_FILES]:
        try:
            with place.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            continue
        text = re.sub(r"(?m)^\s*#.*$", "", text)
        for names, body in re.findall(r"([^{}]*)\{([^{}]*)\}", text):
            if not re.search(r"(?m)^\s*copytruncate\b", body):
                continue
            for name in re.findall(r'"(/[^"]+)"|(/\S+)', names):
                for path in glob.glob(name[0] or name[1]):  # noqa: PTH207
                    found[path] = f"/{place.relative_to(root)}"
    return found


def processes(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Others' processes are seen, and can be sent signals if that is allowed."""
    try:
        os.scandir(host.proc / "1").close()
        (host.proc / "1/stat").read_bytes()
    except OSError:
        yield Finding(
            "problem",
            "process",
            f"/proc hides the processes of others from {host.user} (hidepid)",
            "mount -o remount,hidepid=0 /proc, and take hidepid out of /etc/fstab",
        )
        return
    yield Finding("ok", "process", "the processes of all users are seen")
    yield from _criteria(config)
    if host.may("CAP_SYS_PTRACE"):
        yield Finding("ok", "process", "programs, open files and I/O of others are seen")
    else:
        yield Finding(
            "warning",
            "process",
            f"{host.user} sees neither programs nor open files nor I/O of others' processes",
            drop_in("see-open-files"),
        )
    if not (config.control.enabled and config.process_watch):
        return
    if host.may("CAP_KILL"):
        yield Finding("ok", "process", "signals can be sent to processes of all users")
    else:
        yield Finding(
            "warning",
            "process",
            f"{host.user} can send signals to its own processes only",
            drop_in("kill"),
        )


def _criteria(config: NodeConfig) -> Iterator[Finding]:
    """Name the watches whose user or program is not on this host."""
    for watch in config.process_watch:
        if watch.user is not None and not _is_user(watch.user):
            yield Finding(
                "warning",
                "process",
                f"{watch.label}: there is no user {watch.user} on this host",
                "getent passwd; correct process_watch in node.yaml",
            )
        if watch.exe is not None and not is_there(Path(watch.exe)) and not closed_above(watch.exe):
            yield Finding(
                "warning",
                "process",
                f"{watch.label}: {watch.exe} is not there",
                "readlink /proc/PID/exe of a process that is meant",
            )


def _is_user(name: str) -> bool:
    if name.isdigit():
        return True
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
