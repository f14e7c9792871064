"""A Debian 12 of its own for the package: a clean root, booted by systemd, that leaves nothing.

The root is made by debootstrap once and kept between runs, if that is possible. Where no mirror can
be reached, an overlay of this system's own root serves, without systemd. What is done to either
goes to a tmpfs in a private mount namespace.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[2]
PACKAGES = "python3,adduser,systemd"
MIRROR = "http://deb.debian.org/debian"
UNIT = "/lib/systemd/system/etlmon-node.service"
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

# As the first process of namespaces of its own: $1 the base, $2 an empty directory, $3 the init.
ENTER = """
set -e
base=$1; place=$2; shift 2
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
mount -t overlay -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" overlay "$place/root"
root=$place/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up
hostname etl-test
rm -f "$root/usr/sbin/policy-rc.d"
echo "127.0.0.1 localhost etl-test" >"$root/etc/hosts"
if [ "$1" = /lib/systemd/systemd ]; then mount -t cgroup2 none "$root/sys/fs/cgroup"; fi
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
mount --make-rshared /  # as systemd does on a host, not in a container
exec env -i container=etlmon-test PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
"""
NOTE_PID = 'echo $$ >/run/etlmon.pid; exec "$@"'  # nsenter hands no signal on
NAMESPACES = "--pid --fork --kill-child --mount --propagation private --net --uts --ipc".split()
SYSTEMD = (
    "/lib/systemd/systemd --log-target=null --show-status=no systemd.unit=basic.target".split()
)


class Debian:
    """A system in namespaces of its own, and programs run in it as root."""

    def __init__(self, base: Path, place: Path, *, systemd: bool) -> None:
        self.systemd = systemd
        self._group: Path | None = None
        place.mkdir()
        command = ["unshare", *NAMESPACES, "sh", "-c", ENTER, "sh", str(base), str(place)]
        if systemd:
            # A group of its own, that becomes the root of all groups that systemd sees.
            groups = place.with_name("groups")
            groups.mkdir()
            own = self._group = groups / f"etlmon-test-{os.getpid()}"
            script = (
                f"mount -t cgroup2 none {groups} && mkdir {own} && echo $$ >{own}/cgroup.procs && "
                f"umount -l {groups} && exec unshare --cgroup " + shlex.join([*command[1:]])
            )
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
            command[-1] += " " + shlex.join(SYSTEMD)
        else:
            command += ["sleep", "infinity"]
        self._holder = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self.daemon: subprocess.Popen[bytes] | None = None
        self._pid = self._first_process()
        if systemd:
            self.wait_for(
                lambda: self._said("systemctl", "is-system-running") in ("running", "degraded"),
                "systemd has started",
            )

    def _first_process(self) -> int:
        """Give the pid of the first process of the new system, once it is that."""
        wanted = "systemd" if self.systemd else "sleep"
        found: list[int] = []

        def look() -> bool:
            if self._holder.poll() is not None:
                said = self._holder.communicate()[0]
                raise AssertionError(f"the system did not start: {said.decode()}")
            tasks = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
            found[:] = [int(pid) for pid in tasks.read_text().split()]
            with suppress(FileNotFoundError, ProcessLookupError):  # a mount or mkdir on the way
                return bool(found) and Path(f"/proc/{found[0]}/comm").read_text().strip() == wanted
            return False

        self.wait_for(look, "the system has a first process")
        return found[0]

    @staticmethod
    def wait_for(condition: Callable[[], Any], what: str, seconds: float = 180) -> Any:
        give_up_at = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < give_up_at, f"not in {seconds} s: {what}"
            time.sleep(0.1)
        return value

    def command(self, *words: str) -> list[str]:
        """Give the command that runs ``words`` in the system."""
        return ["nsenter", "-t", str(self._pid), "-a", "env", "-i", PATH, *words]

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program and give what it said; fail if it fails."""
        done = subprocess.run(
            self.command(*words),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
        )
        said = done.stdout.decode()
        assert not check or done.returncode == 0, f"{words}: status {done.returncode}: {said}"
        return said

    def _said(self, *words: str) -> str:
        return self.run(*words, check=False).strip()

    def put(self, file: Path, place: str) -> None:
        """Copy a file into the system."""
        with file.open("rb") as content:
            subprocess.run(
                self.command("tee", place), check=True, stdin=content, stdout=subprocess.DEVNULL
            )

    def files(self) -> set[str]:
        """Give every path but those of what runs."""
        leave_out = "-path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp"
        return set(
            self.run(
                "find", "/", "(", *leave_out.split(), ")", "-prune", "-o", "-print"
            ).splitlines()
        )

    def start_node(self) -> None:
        """Start the service; without systemd its command line, as its user."""
        if self.systemd:
            self.run("systemctl", "start", "etlmon-node")
            return
        unit = self.run("cat", UNIT)
        [line] = [text for text in unit.splitlines() if text.startswith("ExecStart=")]
        [user] = [text for text in unit.splitlines() if text.startswith("User=")]
        as_user = ["setpriv", f"--reuid={user[5:]}", f"--regid={user[5:]}", "--clear-groups"]
        self.daemon = subprocess.Popen(
            self.command("sh", "-c", NOTE_PID, "sh", *as_user, *line.partition("=")[2].split()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def stop_node(self) -> None:
        """Stop what `start_node` has started, but for a unit: removing the package does that."""
        if self.daemon is not None:
            self.run("sh", "-c", "kill $(cat /run/etlmon.pid)")
            self.daemon.communicate(timeout=180)
            self.daemon = None

    def restart_node(self) -> None:
        """Do what an upgrade does by itself where there is systemd."""
        if self.daemon is not None:
            self.stop_node()
            self.start_node()

    def ask(self, *curl: str) -> str:
        """Run this system's curl in the network of the other one; empty if it fails."""
        command = ["nsenter", "-t", str(self._pid), "-n", *curl]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else ""

    def get(self, path: str) -> Any:
        """Ask the node; None while it does not answer."""
        url = f"http://127.0.0.1:8080/api/v1/{path}"
        answer = self.ask("curl", "-sS", "--fail", "--max-time", "60", url)
        return json.loads(answer) if answer else None

    def get_until(self, path: str, wanted: Callable[[Any], Any]) -> Any:
        """Ask until the answer is as wanted."""
        answers: list[Any] = []

        def ask() -> bool:
            answers[:] = [self.get(path)]
            return answers[0] is not None and bool(wanted(answers[0]))

        self.wait_for(ask, f"{path} is as wanted")
        return answers[0]

    def end(self) -> None:
        """End every process of the system."""
        self.stop_node()
        os.kill(self._pid, signal.SIGKILL)
        self._holder.communicate(timeout=180)
        if self._group is not None:
            # Else it stays for ever, and in the way of who gets the same pid.
            groups = self._group.parent
            script = f"mount -t cgroup2 none {groups} && find {self._group} -depth -type d -delete"
            apart = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
            subprocess.run(apart, check=True)


def _cached_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return cache / "etlmon" / f"bookworm-{PACKAGES.replace(',', '-')}"


@pytest.fixture(scope="module")
def making_root() -> Iterator[subprocess.Popen[bytes] | None]:
    """Make the clean root, while the package is being built; None if it is there."""
    root = _cached_root()
    if root.exists() or os.environ.get("ETLMON_TEST_ROOT") == "overlay":
        yield None
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    fresh = root.with_name(f"{root.name}.{os.getpid()}")
    options = ["--variant=minbase", f"--include={PACKAGES}", "bookworm", str(fresh), MIRROR]
    making = subprocess.Popen(
        ["debootstrap", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    yield making
    if making.poll() is None:
        making.terminate()
        making.wait()
    shutil.rmtree(fresh, ignore_errors=True)


def _is_made(making: subprocess.Popen[bytes]) -> bool:
    """Wait for the root; False where no mirror gives it, or not in time: an overlay serves then."""
    with suppress(subprocess.TimeoutExpired):
        return making.wait(timeout=300) == 0
    return False


@pytest.fixture(scope="module")
def package(
    tmp_path_factory: pytest.TempPathFactory, making_root: subprocess.Popen[bytes] | None
) -> Path:
    """The package, built from this checkout; or the one that ETLMON_DEB names."""
    if os.environ.get("ETLMON_DEB"):
        return Path(os.environ["ETLMON_DEB"])
    directory = tmp_path_factory.mktemp("package")
    built = subprocess.run(
        [TOP / "run", "deb", str(directory)], check=False, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    [package] = directory.glob("*.deb")
    return package


@pytest.fixture(scope="module")
def debian(
    making_root: subprocess.Popen[bytes] | None,
    package: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Debian]:
    """A Debian 12 that has never seen etlmon."""
    if os.geteuid() != 0:
        pytest.skip("a system of its own needs root")
    root = _cached_root()
    if making_root is not None and _is_made(making_root):
        fresh = root.with_name(f"{root.name}.{os.getpid()}")
        shutil.rmtree(fresh / "var/cache/apt", ignore_errors=True)
        if not root.exists():
            fresh.rename(root)
    is_clean = root.exists() and os.environ.get("ETLMON_TEST_ROOT") != "overlay"
    base = root if is_clean else Path("/")
    made = Debian(base, tmp_path_factory.mktemp("debian") / "system", systemd=is_clean)
    yield made
    made.end()
