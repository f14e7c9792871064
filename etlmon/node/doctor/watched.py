"""Checks of what is watched: paths, logs, transfers, cron, processes."""

from __future__ import annotations

import glob
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.host.crontabs import Daemon, find_daemon, spool
from etlmon.node.doctor.base import Finding, drop_in, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.base import Host

_MOST_FILES = 200
_MOST_BYTES = 1 << 20
_CAP_KILL = 5
_CAP_SYS_PTRACE = 19
_LOGS_WANTED = 15
"""What cron is to log, a sum: 1 starts, 2 ends, 4 failures, 8 process ids."""


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
                f"mkdir -p {section.path}, or correct paths in node.yaml",
            )
        except OSError as error:
            yield unreadable(host, "path", section.path, error)
        else:
            yield Finding("ok", "path", f"{section.path}: can be listed")


def logs(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each log can be read, and rotation does not destroy lines."""
    copied = _copytruncated(host.root)
    for section in config.logs:
        found = sorted(glob.glob(section.path))[:_MOST_FILES]  # noqa: PTH207 - not below a root
        if not found:
            directory = str(Path(section.path).parent)
            yield Finding(
                "warning",
                "log",
                f"{section.name}: {section.path} is not there yet; it is followed when it comes",
                f"ls -ld {directory}",
            )
        for path in found:
            yield _readable(host, "log", path)
            if path in copied:
                yield Finding(
                    "warning",
                    "log",
                    f"{path}: logrotate copies and truncates it ({copied[path]}): lines are lost",
                    f"in {copied[path]} write create instead of copytruncate, and have the "
                    "program reopen its log in postrotate",
                )


def _readable(host: Host, check: str, path: str) -> Finding:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        found = unreadable(host, check, path, error)
        if isinstance(error, PermissionError) and found.level != "ok":
            return Finding(found.level, check, found.what, f"{_for_group(path)}; or {found.remedy}")
        return found
    kind = os.fstat(descriptor).st_mode
    os.close(descriptor)
    if not stat.S_ISREG(kind):
        return Finding("problem", check, f"{path}: not a file", "correct it in node.yaml")
    return Finding("ok", check, f"{path}: can be read")


def _for_group(path: str) -> str:
    """Give the remedy that suits a log that its group may read: Debian's are of adm."""
    try:
        found = Path(path).stat()
    except OSError:
        return f"ls -l {path}"
    if found.st_mode & stat.S_IRGRP and found.st_gid == 4:
        return drop_in("read-logs")
    return f"chgrp adm {path} && chmod g+r {path}, and {drop_in('read-logs')}"


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


def xferlogs(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each transfer log can be read, and vsftpd writes it."""
    settings = _vsftpd(host.root)
    for section in config.xferlog:
        path = section.path
        if os.path.lexists(path):
            found = _readable(host, "xferlog", path)
            if found.level == "problem":
                found = Finding(
                    "problem",
                    "xferlog",
                    f"{found.what}: FTP servers make it 0600 root",
                    f"setfacl -m u:{host.user}:r {path}",
                )
            yield found
        else:
            yield Finding(
                "warning",
                "xferlog",
                f"{path}: not there yet; it is read when it comes",
                f"ls -ld {Path(path).parent}",
            )
        if settings is not None:
            yield from _judge_vsftpd(path, settings)


def _vsftpd(root: Path) -> dict[str, str] | None:
    for name in ("etc/vsftpd.conf", "etc/vsftpd/vsftpd.conf"):
        try:
            text = (root / name).read_text("utf-8", "replace")
        except OSError:
            continue
        pairs = re.findall(r"(?m)^([a-z_]+)=(.*?)\s*$", text)
        return {"": f"/{name}", **dict(pairs)}
    return None


def _judge_vsftpd(path: str, settings: dict[str, str]) -> Iterator[Finding]:
    """Say whether vsftpd logs transfers, and into this file."""
    place = settings[""]

    def is_on(name: str) -> bool:
        return settings.get(name, "NO").upper() in ("YES", "TRUE", "1")

    if not is_on("xferlog_enable"):
        yield Finding(
            "warning", "xferlog", "vsftpd logs no transfers", f"xferlog_enable=YES in {place}"
        )
        return
    standard = is_on("xferlog_std_format") or is_on("dual_log_enable")
    native = not is_on("xferlog_std_format") or is_on("dual_log_enable")
    written = []
    if standard:
        written.append(settings.get("xferlog_file", "/var/log/xferlog"))
    if native and not is_on("syslog_enable"):
        written.append(settings.get("vsftpd_log_file", "/var/log/vsftpd.log"))
    if path in written:
        yield Finding("ok", "xferlog", f"vsftpd writes {path}")
    else:
        yield Finding(
            "warning",
            "xferlog",
            f"vsftpd writes {' and '.join(written) or 'to syslog'}, not {path}",
            f"xferlog_std_format=YES and xferlog_file={path} in {place}, or another xferlog.path",
        )


def cron(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Crontabs can be read, and cron logs how jobs end."""
    if not config.cron.enabled:
        return
    daemon = find_daemon(host.root, host.proc)
    if daemon.kind is None:
        yield Finding("ok", "cron", "no cron is installed")
        return
    if daemon.running is False:
        yield Finding("warning", "cron", "cron does not run", "systemctl enable --now cron")
    yield from _judge_logging(daemon)
    place = spool(host.root, daemon.kind).decode()
    try:
        names = os.listdir(host.root / place.lstrip("/"))  # noqa: PTH208
    except OSError as error:
        yield unreadable(host, "cron", place, error, "warning")
        return
    closed = []
    for name in names[:_MOST_FILES]:
        try:
            (host.root / place.lstrip("/") / name).open("rb").close()
        except OSError:
            closed.append(name)
    if closed and not host.has_right("read-all"):
        yield Finding(
            "warning",
            "cron",
            f"{place}: {len(closed)} of {len(names)} crontabs cannot be read by {host.user}",
            drop_in("read-all"),
        )
    else:
        yield Finding("ok", "cron", f"{place}: {len(names)} crontabs can be read")


def _judge_logging(daemon: Daemon) -> Iterator[Finding]:
    if daemon.kind != "debian":
        return
    level = _log_level(daemon.options)
    if level & _LOGS_WANTED == _LOGS_WANTED:
        yield Finding("ok", "cron", f"cron logs starts, ends and failures (-L {level})")
    else:
        yield Finding(
            "warning",
            "cron",
            f"cron logs too little to tell how jobs end (-L {level})",
            'EXTRA_OPTS="-L 15" in /etc/default/cron, and systemctl restart cron',
        )


def _log_level(options: tuple[str, ...]) -> int:
    found = re.search(r"(?:^|\s)-L\s*(\d+)", " ".join(options))
    return int(found[1]) if found else 1


def processes(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Others' processes are seen, and can be sent signals if that is allowed."""
    rights = _capabilities(host.proc)
    try:
        with os.scandir(host.proc / "1"):
            pass
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
    if rights >> _CAP_SYS_PTRACE & 1 or host.has_right("see-open-files"):
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
    if rights >> _CAP_KILL & 1 or host.has_right("kill"):
        yield Finding("ok", "process", "signals can be sent to processes of all users")
    else:
        yield Finding(
            "warning",
            "process",
            f"{host.user} can send signals to its own processes only",
            drop_in("kill"),
        )


def _capabilities(proc: Path) -> int:
    try:
        text = (proc / "self/status").read_text("ascii", "replace")
    except OSError:
        return 0
    found = re.search(r"(?m)^CapEff:\s*([0-9a-f]+)", text)
    return int(found[1], 16) if found else 0
