"""syslog-ng and rsyslog as tuned followers of a log into SQLite: what etlmon is compared with.

They are unpacked and not installed (``./run bench`` fetches them): an overlay in a mount namespace
of its own puts each where it looks for its modules, and nothing else of the host sees it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_IN_PLACE = 'mount -t overlay overlay -o "lowerdir=$0/usr:/usr" /usr && exec "$@"'
_TABLE = """
CREATE TABLE log_lines (id INTEGER PRIMARY KEY AUTOINCREMENT, log_name TEXT, log_path TEXT,
line TEXT, created_at INTEGER, source_inode INTEGER, flags TEXT)
"""
_SYSLOG_NG = """
@version: 3.38
options {{ stats-freq(0); use-dns(no); keep-hostname(yes); }};
source lines {{
    file("{log}" flags(no-parse) follow-freq(0.02) log-fetch-limit(10000) log-iw-size(200000));
}};
destination database {{
    sql(type(sqlite3) database("{database}") table("log_lines") null("")
        session-statements("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL")
        columns("log_name text", "log_path text", "line text", "created_at integer",
                "source_inode integer", "flags text")
        values("app", "{log}", "$MSG", "${{R_UNIXTIME}}000", "1", "[]")
        indexes() flags(explicit-commits) flush-lines(10000) flush-timeout(20)
        log-fifo-size(400000));
}};
log {{ source(lines); destination(database); flags(flow-control); }};
"""
_RSYSLOG = """
module(load="imfile" mode="inotify")
module(load="omprog")
global(workDirectory="{directory}" net.enableDNS="off")
template(name="insert" type="string" option.stdsql="on" string="INSERT INTO log_lines VALUES \
(NULL, 'app', '{log}', '%msg%', %timegenerated:::date-unixtimestamp%000, 1, '[]');\\n")
input(type="imfile" file="{log}" tag="app" ruleset="store")
ruleset(name="store" queue.type="LinkedList" queue.size="200000" queue.dequeueBatchSize="10000"
        queue.workerThreads="1") {{
    action(type="omprog" binary="{program}" template="insert" useTransactions="on"
           beginTransactionMark="BEGIN;" commitTransactionMark="COMMIT;")
}}
"""


@contextmanager
def syslog_ng(directory: Path, log: Path, database: Path) -> Iterator[int]:
    """Run syslog-ng on a log that is there; give its process id."""
    config = directory / "syslog-ng.conf"
    config.write_text(_SYSLOG_NG.format(log=log, database=database))
    files = [f"--{one}={directory}/syslog-ng.{one}" for one in ("persist-file", "pidfile")]
    control = f"--control={directory}/syslog-ng.ctl"
    command = ["/usr/sbin/syslog-ng", "-F", "--no-caps", "-f", str(config), *files, control]
    with _running("syslog-ng-core", directory, command) as pid:
        yield pid


@contextmanager
def rsyslog(directory: Path, log: Path, database: Path) -> Iterator[int]:
    """Run rsyslog on a log that is there, with sqlite3 behind it; give its process id."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(_TABLE)
    program = directory / "store"
    found = shutil.which("sqlite3")
    program.write_text(f"#!/bin/sh\nexec {found} -cmd 'PRAGMA synchronous=NORMAL' {database}\n")
    program.chmod(0o755)
    config = directory / "rsyslog.conf"
    config.write_text(_RSYSLOG.format(directory=directory, log=log, program=program))
    command = ["/usr/sbin/rsyslogd", "-n", "-f", str(config), "-i", f"{directory}/rsyslog.pid"]
    with _running("rsyslog", directory, command) as pid:
        yield pid


def is_here(package: str) -> bool:
    return (_place(package) / "unpacked").exists()


def _place(package: str) -> Path:
    return Path(os.environ.get("ETLMON_TEST_SERVERS", "/nonexistent")) / package


@contextmanager
def _running(package: str, directory: Path, command: list[str]) -> Iterator[int]:
    said = directory / f"{package}.said"
    libraries = ":".join(str(one) for one in _place(package).glob("lib/*-linux-*"))
    with said.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _IN_PLACE, str(_place(package)), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
    try:
        yield process.pid
    except BaseException:
        print(said.read_text(errors="replace")[-2000:])
        raise
    finally:
        process.terminate()
        process.wait(30)
