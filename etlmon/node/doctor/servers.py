"""Checks of the daemons whose files are read: FTP servers, cron."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.collectors.cron.sources import JOURNAL, find_source
from etlmon.errors import CollectError
from etlmon.host.crond import LOGS_ALL, Daemon, find_daemon
from etlmon.host.crontabs import spool
from etlmon.host.journal import Journal
from etlmon.node.doctor.access import closed_above, for_group, readable, unreadable
from etlmon.node.doctor.base import Finding, drop_in
from etlmon.text import shell_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etlmon.collectors.cron.sources import Wanted
    from etlmon.config.node import NodeConfig
    from etlmon.node.doctor.base import Host

_MOST_FILES = 200


def xferlogs(host: Host, config: NodeConfig) -> Iterator[Finding]:
    """Each transfer log can be read, and vsftpd writes it."""
    settings = _vsftpd(host.root)
    for section in config.xferlog:
        path = section.path
        if os.path.lexists(path):
            found = readable(host, "xferlog", path)
            if found.level == "problem":
                found = Finding(
                    "problem",
                    "xferlog",
                    f"{found.what}: FTP servers make it 0600 root",
                    f"setfacl -m u:{host.user}:r {shell_word(path)}",
                )
            yield found
        elif (closed := closed_above(path)) is not None:
            directory, error = closed
            found = unreadable(host, "xferlog", directory, error)
            yield for_group(host, found, directory, error)
        else:
            yield Finding(
                "warning",
                "xferlog",
                f"{path}: not there yet; it is read when it comes",
                f"ls -ld {shell_word(str(Path(path).parent))}",
            )
        if settings is not None:
            yield from _judge_vsftpd(path, settings)
        for user, directory in section.roots.items():
            yield _root(host, user, directory)


def _root(host: Host, user: str, directory: str) -> Finding:
    """Say whether the uploads of a user can be looked for."""
    try:
        os.scandir(directory).close()
    except OSError as error:
        return unreadable(host, "xferlog", directory, error)
    return Finding("ok", "xferlog", f"{directory}: the uploads of {user} can be looked for")


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
    yield _history(host, config.cron.log)
    place = spool(host.root, daemon.kind).decode()
    try:
        names = os.listdir(host.root / place.lstrip("/"))  # noqa: PTH208
    except OSError as error:
        yield _closed_crontabs(host, place, error)
        return
    closed = []
    for name in names[:_MOST_FILES]:
        try:
            (host.root / place.lstrip("/") / name).open("rb").close()
        except OSError:
            closed.append(name)
    if closed and not host.may("CAP_DAC_READ_SEARCH"):
        yield Finding(
            "warning",
            "cron",
            f"{place}: {len(closed)} of {len(names)} crontabs cannot be read by {host.user}",
            drop_in("read-all"),
        )
    else:
        yield Finding("ok", "cron", f"{place}: {len(names)} crontabs can be read")


def _closed_crontabs(host: Host, place: str, error: OSError) -> Finding:
    found = unreadable(host, "cron", place, error, "warning")
    # No access list: cron ignores a crontab whose mode is not 0600, and a list changes that.
    return found if found.level == "ok" else replace(found, remedy=drop_in("read-all"))


def _history(host: Host, wanted: Wanted) -> Finding:
    """Say whether what cron logs can be read: how jobs went is known from that alone."""
    name = find_source(host.root, time.time(), wanted)
    if name is None:
        return Finding(
            "warning",
            "cron",
            "what cron logs is in no file and no journal, so that how jobs went is not known",
            "apt-get install rsyslog",
        )
    if name != JOURNAL:
        found = readable(host, "cron", name)
        return found if found.level == "ok" else replace(found, level="warning")
    if host.may("CAP_DAC_READ_SEARCH"):
        return Finding("ok", "cron", "the journal, where cron logs: readable by a capability")
    try:
        Journal((), None, since_seconds=0.0, command=host.journalctl).read(1)
    except CollectError as error:
        by_group = f"usermod -aG systemd-journal {host.user}"
        return Finding(
            "warning",
            "cron",
            f"cron logs to the journal: {error}",
            drop_in("read-logs") if host.unit is not None else by_group,
        )
    return Finding("ok", "cron", "the journal, where cron logs, can be read")


def _judge_logging(daemon: Daemon) -> Iterator[Finding]:
    if daemon.kind != "debian":
        return
    level = daemon.log_level
    if level & LOGS_ALL == LOGS_ALL:
        yield Finding("ok", "cron", f"cron logs starts, ends and failures (-L {level})")
    else:
        yield Finding(
            "warning",
            "cron",
            f"cron logs too little to tell how jobs end (-L {level})",
            'EXTRA_OPTS="-L 15" in /etc/default/cron, and systemctl restart cron',
        )
