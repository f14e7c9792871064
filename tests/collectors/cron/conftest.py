"""A real cron daemon in a mount namespace of its own, whose clock the test moves.

libfaketime reads the clock's offset from a file at each call, and a signal wakes cron from its
sleep: so a test steps from minute to minute, or leaps over days, and hears of each job by the
system log that cron writes. Nothing depends on how fast the machine is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from etlmon.collectors.cron.chronicle import Chronicle
from etlmon.collectors.cron.look import Observer
from etlmon.host.processes import TICKS_PER_SECOND
from etlmon.records.cron import CronHistory, CronLogRead
from tests.waiting import PATIENCE_SECONDS

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
CAN_RUN = (
    os.geteuid() == 0
    and LIBRARY is not None
    and all(shutil.which(name, path="/usr/sbin:/usr/bin:/bin") for name in ("cron", "unshare"))
)
PULSE = "pulse"
_DEVICES = ("null", "zero", "random", "urandom")
_SCRIPT = """
set -e
cd "$1"
for name in null zero random urandom; do mount --bind /dev/$name dev/$name; done
mount --rbind dev /dev
mount --bind crontab /etc/crontab
mount --bind cron.d /etc/cron.d
mount --bind crontabs /var/spool/cron/crontabs
mount --bind run /run
mount --bind pam /etc/pam.d/cron
shift
exec "$@"
"""


class RealCron:
    """Debian's cron on crontabs of the test's own, at a moment of the test's choice."""

    def __init__(self, zone: str, start: float) -> None:
        self.zone = zone
        self.at = start
        self.root = Path(tempfile.mkdtemp(prefix="etlmon-cron-"))
        self.root.chmod(0o755)
        for name in ("dev", "cron.d", "crontabs", "run"):
            (self.root / name).mkdir()
        for name in _DEVICES:
            (self.root / "dev" / name).touch()
        (self.root / "pam").write_text(
            "auth required pam_permit.so\naccount required pam_permit.so\n"
            "session required pam_permit.so\n"
        )
        (self.root / "crontab").write_text(f"* * * * * root : {PULSE}\n")
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self.root / "dev" / "log"))
        (self.root / "dev" / "log").chmod(0o666)
        self._log.settimeout(0.004)
        self.messages: list[str] = []
        self._set_clock()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, place: str, content: str | bytes, mode: int = 0o644) -> Path:
        """Write a crontab, as ``cron.d/name`` or ``crontabs/user``."""
        path = self.root / place
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def __enter__(self) -> RealCron:
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "TZ": self.zone,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.root / "clock"),
            "FAKETIME_NO_CACHE": "1",
        }
        assignments = [f"{name}={value}" for name, value in environment.items()]
        within = ["unshare", "--mount", "--propagation", "private"]
        places = ["sh", "-c", _SCRIPT, "sh", str(self.root)]
        daemon = ["env", "-i", *assignments, "cron", "-f", "-L", "15"]
        self._process = subprocess.Popen(
            [*within, *places, *daemon],
            stdin=subprocess.DEVNULL,
        )
        self._until(lambda: any("@reboot jobs" in message for message in self.messages))
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.root)

    def go_to(self, moment: float) -> list[str]:
        """Set the clock, let cron see it, and give the commands that it starts then."""
        self.at = moment
        before = len(self.messages)
        self._set_clock()

        def has_come() -> bool:
            if any(f": {PULSE})" in one for one in self.messages[before:]):
                return True
            self._wake()
            return False

        self._until(has_come)
        while not self._has_done_all():
            pass
        return sorted(
            command
            for message in self.messages[before:]
            if (command := _command(message)) is not None and command != f": {PULSE}"
        )

    def minutes(self, count: int) -> list[tuple[float, list[str]]]:
        """Let minutes pass, and give for each when it began and what was started."""
        return [(self.at, self.go_to(self.at + 60)) for _ in range(count)]

    def _set_clock(self) -> None:
        # Half a minute in: far from both of its ends, however long a step takes.
        offset = self.at + 20 - time.time()
        new = self.root / "clock.new"
        new.write_text(f"{offset:+.6f}\n")
        new.rename(self.root / "clock")

    def _wake(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, "cron has ended"
        # It only looks for children then. (At SIGHUP it closes the log, and hangs for ever if it
        # is just writing to it.)
        self._process.send_signal(signal.SIGCHLD)

    def _has_done_all(self) -> bool:
        """Tell whether cron starts nothing more, though it is woken from its sleep once again.

        Where the clock was changed it sleeps between the minutes that it makes up for.
        """
        slept = self._wait_asleep()
        heard = len(self.messages)
        self._wake()
        self._wait_asleep(more_often_than=slept)
        return len(self.messages) == heard

    def _wait_asleep(self, more_often_than: int = -1) -> int:
        """Wait until cron sleeps and has no child; give how often it has gone to sleep."""
        assert self._process is not None
        process = Path(f"/proc/{self._process.pid}")
        children = process / "task" / process.name / "children"
        slept = -1

        def is_asleep() -> bool:
            nonlocal slept
            status = (process / "status").read_text()
            slept = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
            sleeps = "\nState:\tS" in status
            return sleeps and slept > more_often_than and not children.read_text()

        self._until(is_asleep)
        self._receive()
        return slept

    def _until(self, condition: object) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            self._receive()
            if condition():  # type: ignore[operator]
                return
            assert time.monotonic() < end, f"cron did not do it; it said {self.messages[-5:]}"

    def _receive(self) -> None:
        try:
            while True:
                self.messages.append(self._log.recv(8192).decode("utf-8", "replace").rstrip("\0"))
        except TimeoutError:
            pass


def _command(message: str) -> str | None:
    """Give the command of a line that tells of a start: ``(root) CMD ([123] true)``."""
    _, mark, rest = message.partition(") CMD (")
    if not mark:
        return None
    return rest.rstrip("\n").removesuffix(")").partition("] ")[2].strip()


@pytest.fixture
def real_cron() -> type[RealCron]:
    """Give what runs a real cron, where that can be."""
    if not CAN_RUN:
        pytest.skip("needs root, cron, unshare and libfaketime")
    return RealCron


@pytest.fixture
def unprivileged() -> Callable[[], Any]:
    """Give a context in which root's privileges do not count."""

    @contextmanager
    def drop() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return drop


class LogHost:
    """A host with a crontab, a log of cron and a process table."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for place in ("etc/cron.d", "etc/default", "usr/sbin", "var/log", "run", "proc/42"):
            (root / place).mkdir(parents=True)
        (root / "usr/sbin/cron").touch()
        (root / "run/crond.pid").write_text("42\n")
        (root / "proc/42/comm").write_text("cron\n")
        (root / "proc/stat").write_text("cpu 1\nbtime 1795000000\n")
        self.log = root / "var/log/syslog"
        self.tabs("0 * * * * root load\n")
        self.options("-L 15")
        self.observer = Observer("debian", "UTC", root, root / "proc", find_uid=lambda _: 0)
        self.seconds = datetime(2026, 11, 26, 14, 30, tzinfo=UTC).timestamp()
        self.journalctl: Sequence[str] = ("/no/journalctl",)
        self.wanted: Any = "auto"
        self.chronicle = self.begin()

    def begin(
        self, read: CronLogRead | None = None, known: Any = (), entries: Any = ()
    ) -> Chronicle:
        self.chronicle = Chronicle(
            self.root,
            self.root / "proc",
            read,
            known,
            entries,
            journalctl=self.journalctl,
            log=self.wanted,
        )
        return self.chronicle

    def tabs(self, text: str) -> None:
        (self.root / "etc/cron.d/a").write_text(text)

    def options(self, text: str) -> None:
        (self.root / "etc/default/cron").write_text(f'EXTRA_OPTS="{text}"\n')

    def say(self, at: str, text: str) -> None:
        with self.log.open("a") as file:
            file.write(f"2026-11-26T{at}+00:00 h {text}\n")

    def process(
        self,
        pid: int,
        began: str,
        parent: int = 1,
        command: bytes = b"sh",
        comm: str = "sh",
        uid: int = 0,
    ) -> None:
        moment = datetime.fromisoformat(f"2026-11-26T{began}+00:00").timestamp()
        ticks = int((moment - 1_795_000_000) * TICKS_PER_SECOND)
        (self.root / f"proc/{pid}").mkdir(exist_ok=True)
        rest = " ".join(["0"] * 30)
        (self.root / f"proc/{pid}/stat").write_text(
            f"{pid} ({comm}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 10 {rest}\n"
        )
        (self.root / f"proc/{pid}/status").write_text(f"Name:\t{comm}\nUid:\t{uid}\t{uid}\n")
        (self.root / f"proc/{pid}/cmdline").write_bytes(command.replace(b" ", b"\0") + b"\0")

    def write(self, place: str, text: str, mode: int = 0o644) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def go_on(self, until: str = "") -> tuple[dict[str, CronHistory], CronLogRead | None]:
        """Look at a moment of the day, else at once; give what is told of each job."""
        if until:
            moment = datetime.fromisoformat(f"2026-11-26T{until}+00:00")
            self.seconds = moment.timestamp()
        look = self.observer.look(self.seconds)
        self.entries = look.entries
        names = {entry.job_id: f"{entry.schedule} {entry.command}" for entry in look.entries}
        told, read = self.chronicle.follow(look, self.observer, 100.0, self.seconds)
        return {names[one.job_id]: one for one in told}, read


@pytest.fixture
def log_host(tmp_path: Path) -> LogHost:
    """Give a host on which cron logs."""
    return LogHost(tmp_path)
