"""The child by itself; find is the judge of its counts."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlmon.collectors.path.exclude import compile_exclude
from etlmon.fsworker.jobs import walk
from etlmon.fsworker.jobs.memory import Directory
from etlmon.fsworker.jobs.scan import Scan
from tests.fsworker.conftest import SCAN, WORKER, Worker, counts, find
from tests.others import NOBODY
from tests.waiting import PATIENCE_SECONDS

Start = Callable[..., Worker]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to mount, or to be nobody")

# The interpreter may be where nobody may go: it starts as root and then becomes nobody.
_AS_NOBODY = """
import os, sys
sys.path.append(sys.argv.pop().rsplit("/", 3)[0])
import etlmon.fsworker.jobs.ahead, etlmon.fsworker.jobs.scan_ahead
from etlmon.fsworker.jobs.server import main
os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""


def fill(path: Path, depth: int = 3) -> None:
    """Make a tree with some of everything."""
    (path / "file").write_text("x")
    (path / "line\nbreak").write_text("")
    (path / os.fsdecode(b"bad-\xff\xfe")).write_text("")
    (path / ".hidden.tmp").write_text("")
    os.link(path / "file", path / "hard link")
    os.mkfifo(path / "fifo")
    (path / "loop").symlink_to(".")
    (path / "dangling").symlink_to("nowhere")
    (path / "empty").mkdir()
    if depth:
        for name in ("a", "b\n", os.fsdecode(b"\xe9")):
            (path / name).mkdir()
            fill(path / name, depth - 1)


# --- counts ---------------------------------------------------------------------------------------


def test_counts_are_those_of_find(tree: Path, worker: Worker) -> None:
    """Links and loops are not followed, hard links count each, whatever the names are."""
    fill(tree)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "socket"))
    answer = worker.scan(tree)
    assert counts(answer) == find(tree)
    assert answer["files"] == int(
        subprocess.check_output(
            ["sh", "-c", 'find -H "$1" -xdev -type f -print0 | tr -dc "\\0" | wc -c', "", tree]
        )
    )
    assert (answer["stopped"], answer["troubles"]) == (None, [])
    assert answer["listed"] == answer["dirs"] + 1


@pytest.mark.parametrize("depth", range(6))
def test_max_depth_is_that_of_find(tree: Path, worker: Worker, depth: int) -> None:
    fill(tree)
    assert counts(worker.scan(tree, max_depth=depth)) == find(tree, "-maxdepth", str(depth))


def test_empty_directory_is_not_an_error(tree: Path, worker: Worker) -> None:
    assert counts(worker.scan(tree)) == {"files": 0, "dirs": 0, "others": 0}


def test_root_that_is_a_link_is_followed(tree: Path, worker: Worker) -> None:
    (tree / "real").mkdir()
    fill(tree / "real", 1)
    (tree / "link").symlink_to("real")
    assert counts(worker.scan(tree / "link")) == find(tree / "link") == find(tree / "real")


def test_newest_mtime_is_the_newest_directory_listed(tree: Path, worker: Worker) -> None:
    fill(tree, 1)
    os.utime(tree / "a", ns=(0, 4_000_000_000_123_456_789))
    assert worker.scan(tree)["newest_mtime_ns"] == 4_000_000_000_123_456_789


def test_root_with_a_name_that_is_not_utf8(tree: Path, worker: Worker) -> None:
    root = os.fsencode(tree) + b"/\xff\n"
    Path(os.fsdecode(root)).mkdir()
    fill(Path(os.fsdecode(root)), 0)
    assert counts(worker.scan(root)) == find(root)


names = st.binary(min_size=1, max_size=6).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
entries = st.recursive(
    st.sampled_from(["file", "fifo", "link"]),
    lambda children: st.dictionaries(names, children, max_size=5),
    max_leaves=30,
)


def build(path: Path, content: Any) -> None:
    if content == "file":
        path.touch()
    elif content == "fifo":
        os.mkfifo(path)
    elif content == "link":
        path.symlink_to("..")
    else:
        path.mkdir()
        for name, child in content.items():
            build(path / os.fsdecode(name), child)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=st.dictionaries(names, entries, max_size=6), depth=st.none() | st.integers(0, 4))
def test_any_tree_counts_as_find_counts_it(
    worker: Worker, content: dict[bytes, Any], depth: int | None
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "root")
        build(root, content)
        limit = [] if depth is None else ["-maxdepth", str(depth)]
        assert counts(worker.scan(root, max_depth=depth)) == find(root, *limit)


# --- what is left out -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "arguments"),
    [
        ("*.tmp", ["-name", "*.tmp"]),
        ("a", ["-name", "a"]),
        ("a/", ["-type", "d", "-name", "a"]),
        ("file/", ["-type", "d", "-name", "file"]),
        ("*", ["-name", "*"]),
        ("a/a", ["-path", "ROOT/a/a"]),
        ("b?/a/file", ["-path", "ROOT/b?/a/file"]),
        ("[!f]*", ["-name", "[!f]*"]),
        ("line?break", ["-name", "line?break"]),
    ],
)
def test_exclude_prunes_as_find_does(
    tree: Path, worker: Worker, pattern: str, arguments: list[str]
) -> None:
    fill(tree)
    prune = [argument.replace("ROOT", str(tree)) for argument in arguments]
    expected = find(tree, "(", *prune, ")", "-prune", "-o", "-printf", "%y")
    assert counts(worker.scan(tree, exclude=compile_exclude([pattern]))) == expected


def test_skipped_directory_is_counted_and_not_opened(tree: Path, worker: Worker) -> None:
    fill(tree, 2)
    answer = worker.scan(tree, skip=["a/a", "empty"])
    under = find(tree / "a" / "a")
    assert counts(answer) == {key: find(tree)[key] - under[key] for key in under}
    assert answer["skipped_mounts"] == 2


def in_namespace(setup: str, root: Path) -> list[str]:
    """Give what a command is begun with, to run it where ``setup`` has been mounted."""
    script = f'set -e; cd "$0"; {setup}; exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(root)]


@needs_root
def test_other_file_system_is_counted_and_not_entered(tree: Path, start: Start) -> None:
    fill(tree, 1)
    prefix = in_namespace("mount -t tmpfs none a; mkdir a/inside; touch a/inside/file", tree)
    answer = start([*prefix, *WORKER]).scan(tree)
    assert counts(answer) == find(tree, prefix=prefix)
    assert answer["skipped_mounts"] == 1
    assert answer["troubles"] == []


@needs_root
def test_bind_mount_of_the_same_device_is_entered(tree: Path, start: Start) -> None:
    for name in ("data", "elsewhere"):
        (tree / name).mkdir()
    (tree / "data" / "target").mkdir()
    fill(tree / "elsewhere", 1)
    prefix = in_namespace("mount --bind elsewhere data/target", tree)
    answer = start([*prefix, *WORKER]).scan(tree / "data")
    assert counts(answer) == find(tree / "data", prefix=prefix)
    assert answer["files"] > 0


@needs_root
def test_directory_bound_below_itself_is_a_loop(tree: Path, start: Start) -> None:
    fill(tree, 2)
    prefix = in_namespace("mount --bind a a/a", tree)
    answer = start([*prefix, *WORKER]).scan(tree)
    assert counts(answer) == find(tree, prefix=prefix)
    assert answer["troubles"] == [{"kind": "ELOOP", "count": 1, "example": "a/a"}]


# --- deep, long, wide -----------------------------------------------------------------------------


def dig(root: Path, levels: int, name: bytes, siblings: bool) -> None:
    """Make a chain of directories; with siblings, each holds a file and two more directories."""
    directory = os.open(root, os.O_DIRECTORY)
    for _ in range(levels):
        if siblings:
            os.close(os.open(b"file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
            for other in (b"A", b"z"):
                os.mkdir(other, dir_fd=directory)
                os.mkdir(other + b"/x", dir_fd=directory)
        os.mkdir(name, dir_fd=directory)
        upper, directory = directory, os.open(name, os.O_DIRECTORY, dir_fd=directory)
        os.close(upper)
    os.close(directory)


@pytest.mark.parametrize(
    ("levels", "name", "siblings"),
    [(5000, b"d", False), (1000, b"dddd", True), (60, b"n" * 255, True), (60, b"\xff" * 255, True)],
)
def test_deep_trees_need_few_descriptors(
    tree: Path, start: Start, levels: int, name: bytes, siblings: bool
) -> None:
    dig(tree, levels, name, siblings)
    few = start(["prlimit", "--nofile=64", *WORKER])
    answer = few.scan(tree)
    assert counts(answer) == find(tree)
    assert answer["dirs"] == levels * (5 if siblings else 1)
    assert answer["troubles"] == []


def test_way_up_in_a_deep_tree_is_no_way_from_its_root(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would take time that grows with the square of the depth: minutes for 10,000 levels."""
    dig(tree, 200, b"m", siblings=True)
    for level in range(200):  # Some that are listed after it, whatever the order.
        tree.joinpath(*["m"] * level, "later").mkdir()
    before = find(tree)
    monkeypatch.setattr(Scan, "_reopen", lambda _: pytest.fail("opened from the root"))
    assert counts(Scan(str(tree)).run()) == before


def test_flat_directory_takes_no_memory(tree: Path, start: Start) -> None:
    """10,000 names of 200 characters are 2.5 MB as a list, more as directory entries."""
    for number in range(10_000):
        os.close(os.open(tree / f"{number:0200}", os.O_CREAT | os.O_WRONLY))
    one = start()
    one.scan(tree.parent, max_depth=0)
    before = peak_memory_bytes(one)
    assert one.scan(tree)["files"] == 10_000
    assert peak_memory_bytes(one) - before < 1 << 20


def peak_memory_bytes(one: Worker) -> int:
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


# --- what cannot be read, and what goes away ------------------------------------------------------


@needs_root
def test_unreadable_directories_are_troubles(tree: Path, start: Start) -> None:
    """Not listed, or listed and not entered: counted by kind, and never taken for empty."""
    fill(tree, 2)
    (tree / "a" / "a").chmod(0o000)
    (tree / "b\n").chmod(0o311)
    command = [*WORKER[:-1], "-c", _AS_NOBODY, WORKER[-1]]
    answer = start(command).scan(tree)
    assert counts(answer) == find(tree, prefix=NOBODY)
    [trouble] = answer["troubles"]
    assert (trouble["kind"], trouble["count"]) == ("EACCES", 2)
    assert trouble["example"] in ("a/a", "b\n")

    (tree / "a" / "a").chmod(0o744)  # Its names can be read, and nothing more.
    answer = start(command).scan(tree)
    assert answer["troubles"][0]["count"] == 2  # b, and what is in a/a

    tree.chmod(0o700)
    answer = start(command).scan(tree)
    assert answer == {"errno": "EACCES", "text": f"{tree}: Permission denied"}


@pytest.mark.parametrize("name", ["missing", "file", "file/below"])
def test_root_that_cannot_be_opened_is_an_error(tree: Path, worker: Worker, name: str) -> None:
    (tree / "file").write_text("")
    answer = worker.scan(tree / name)
    expected = errno.ENOENT if name == "missing" else errno.ENOTDIR
    assert answer["errno"] == errno.errorcode[expected]
    assert answer["text"] == f"{tree / name}: {os.strerror(expected)}"


class _Interfering(Scan):
    """A scan during which something happens to each directory before it is entered."""

    happening: Callable[[Path], None]
    root: Path

    def _enter(self, directory: Directory) -> None:
        self.happening(self.root / self._relative(directory.name))
        super()._enter(directory)


def _replace_by_link(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/usr")


def _replace_by_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


@pytest.mark.parametrize("happening", [shutil.rmtree, _replace_by_link, _replace_by_file])
def test_directory_that_vanishes_is_no_trouble(
    tree: Path, happening: Callable[[Path], None]
) -> None:
    fill(tree, 1)
    before = find(tree, "-maxdepth", "1")
    scan = _Interfering(str(tree))
    scan.root, scan.happening = tree, happening  # type: ignore[method-assign]
    answer = scan.run()
    assert counts(answer) == before
    assert answer["troubles"] == []
    assert answer["listed"] == 1


def test_directory_whose_status_cannot_be_read_is_a_trouble(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server that fails between two calls; the scan goes on, and keeps nothing open."""
    (tree / "bad").mkdir()
    (tree / "good" / "below").mkdir(parents=True)
    real, inode = os.fstat, (tree / "bad").stat().st_ino

    def fails(fd: int) -> os.stat_result:
        status = real(fd)
        if status.st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return status

    monkeypatch.setattr(os, "fstat", fails)
    before = len(list(Path("/proc/self/fd").iterdir()))
    answer = Scan(str(tree)).run()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert counts(answer) == {"files": 0, "dirs": 3, "others": 0}
    assert answer["troubles"] == [{"kind": "EIO", "count": 1, "example": "bad"}]


def test_upper_directory_that_is_moved_away_in_a_deep_tree(tree: Path) -> None:
    """It has to be opened again by its path, and what is there now is not it."""
    dig(tree, 60, b"m", siblings=True)
    moved: list[Path] = []

    def happening(path: Path) -> None:
        if not moved and len(path.relative_to(tree).parts) == 60:
            moved.append(path)
            (tree / "m").rename(tree / "moved")
            shutil.copytree("/etc/default", tree / "m")

    scan = _Interfering(str(tree))
    scan.root, scan.happening = tree, happening  # type: ignore[method-assign]
    answer = scan.run()
    assert moved
    assert answer["troubles"] == []
    assert answer["files"] <= 60


def test_tree_that_changes_all_the_time(tree: Path, worker: Worker) -> None:
    fill(tree, 2)
    least = find(tree)
    done = threading.Event()

    def change() -> None:
        rng = random.Random(1)
        while not done.is_set():
            path = tree / f"coming and going {rng.randrange(5)}"
            (path / "x" / "y").mkdir(parents=True, exist_ok=True)
            (path / "x" / "file").write_text("")
            shutil.rmtree(path)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            answer = worker.scan(tree)
            assert answer["troubles"] == []
            assert all(answer[key] >= least[key] for key in least)
    finally:
        done.set()
        thread.join()


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "stopped"), [(49, "max_files"), (50, None), (0, "max_files")])
def test_max_files_stops_the_scan(
    tree: Path, worker: Worker, limit: int, stopped: str | None
) -> None:
    for number in range(50):
        (tree / str(number)).write_text("")
    answer = worker.scan(tree, max_files=limit)
    assert (answer["files"], answer["stopped"]) == (limit, stopped)


def test_timeout_stops_the_scan_within_a_directory(tree: Path, worker: Worker) -> None:
    for number in range(1500):
        os.close(os.open(tree / str(number), os.O_CREAT | os.O_WRONLY))
    answer = worker.scan(tree, timeout_seconds=0.0)
    assert answer["stopped"] == "timeout"
    assert 0 < answer["files"] < 1500
    answer = worker.scan(tree, timeout_seconds=0.0, exclude=compile_exclude(["*"]))
    assert (answer["stopped"], answer["files"]) == ("timeout", 0)


def test_progress_tells_where_the_scan_is(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tree)
    monkeypatch.setattr(walk, "_PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(walk, "_ORDERS_SECONDS", 0.0)
    lines: list[dict[str, Any]] = []
    answer = Scan(str(tree), tell=lines.append).run()
    told = [line["progress"] for line in lines]
    assert len(told) >= answer["listed"]
    assert counts(told[-1]) == counts(answer)
    assert {"", "a", "a/b\n/a"} <= {one["directory"] for one in told}


def test_scan_that_stops_within_a_directory_leaves_nothing_open(tree: Path) -> None:
    """Whether it has come to directories below that one or not."""
    for name in ("leaf", "above", "above/leaf"):
        (tree / name).mkdir()
        for number in range(30):
            (tree / name / f"{number}").touch()
    before = psutil.Process().num_fds()
    stops = {Scan(str(tree), max_files=most).run()["stopped"] for most in range(89)}
    assert stops == {"max_files"}
    assert psutil.Process().num_fds() == before


# --- the process ----------------------------------------------------------------------------------


def test_statvfs_is_that_of_the_system(tree: Path, worker: Worker) -> None:
    answer = worker.ask(op="statvfs", path=str(tree))["answer"]
    expected = os.statvfs(tree)
    assert (answer["blocks"], answer["frsize"]) == (expected.f_blocks, expected.f_frsize)
    assert answer["st_dev"] == tree.stat().st_dev
    assert answer["read_only"] is False
    missing = worker.ask(op="statvfs", path=str(tree / "missing"))["error"]
    assert missing == {
        "errno": "ENOENT",
        "text": f"{tree / 'missing'}: No such file or directory",
    }


@needs_root
def test_statvfs_tells_read_only(tree: Path, start: Start) -> None:
    prefix = in_namespace("mount -t tmpfs -o ro none .", tree)
    assert start([*prefix, *WORKER]).ask(op="statvfs", path=str(tree))["answer"]["read_only"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        b"{}",
        b'{"id": 7, "op": "format"}',
        b'{"id": 7, "op": ["scan"]}',
        b'{"id": 7, "op": "statvfs"}',
        b'{"id": 7, "op": "statvfs", "path": 3}',
        b'{"id": 7, "op": "statvfs", "path": "a\\u0000b"}',
        b'{"id": 7, "op": "scan", "path": "/etc", "max_depth": "3"}',
        b'{"id": 7, "op": "scan", "path": "/etc", "exclude": "("}',
        b'{"id": 7, "op": "scan", "path": "/etc", "skip": [1, {}]}',
    ],
)
def test_request_that_makes_no_sense_is_an_error(worker: Worker, line: bytes) -> None:
    answer = worker.send(line)
    assert answer["id"] in (7, None)
    assert answer["error"]["text"]
    assert worker.ask(op="statvfs", path="/")["answer"]["blocks"] > 0


@pytest.mark.parametrize(
    ("where", "what", "text"),
    [
        ("counting.Counting._list", {"op": "scan"}, "workers.memory_limit (300MiB) at a wide one"),
        ("top.Top._list", {"op": "top", "count": 1}, "workers.memory_limit (300MiB) at ."),
    ],
)
def test_no_memory_is_told_with_the_place_and_the_remedy(
    tree: Path, start: Start, where: str, what: dict[str, Any], text: str
) -> None:
    (tree / "a wide one").mkdir()
    module, kind, method = where.split(".")
    program = f"""
import sys
sys.path.append(sys.argv.pop().rsplit("/", 3)[0])
from etlmon.fsworker.jobs import {module}, server
real = {module}.{kind}.{method}
def full(self, *where):
    if len(self._levels) == 1:
        raise MemoryError
    real(self, *where)
{module}.{kind}.{method} = full
server.main()
"""
    one = start([*WORKER[:-1], "-c", program, '{"memory_bytes": 314572800}', WORKER[-1]])
    error = one.ask(**{**SCAN, "path": str(tree), **what})["error"]
    assert error == {
        "errno": None,
        "text": f"{tree}: the worker reached {text}: raise it, or exclude what is there",
    }
    assert "answer" in one.ask(op="statvfs", path="/")


def test_interrupt_is_the_parents_business(start: Start) -> None:
    one = start([*WORKER, '{"nice": 5}'])
    one.ask(op="statvfs", path="/")
    one.process.send_signal(signal.SIGINT)
    assert "answer" in one.ask(op="statvfs", path="/")
    assert os.getpriority(os.PRIO_PROCESS, one.process.pid) == min(
        19, os.getpriority(os.PRIO_PROCESS, 0) + 5
    )


def test_scan_ends_when_the_parent_is_gone(tree: Path, start: Start) -> None:
    """Noticed at the next progress line; before that nothing tells."""
    (tree / "d").mkdir()
    one = start(
        [
            *WORKER[:-1],
            "-c",
            "import sys; sys.path.append(sys.argv.pop().rsplit('/', 3)[0]);"
            "from etlmon.fsworker.jobs import server, walk;"
            "walk._PROGRESS_SECONDS = walk._ORDERS_SECONDS = 0.0;"
            "server.main()",
            WORKER[-1],
        ]
    )
    assert one.process.stdin
    assert one.process.stdout
    one.process.stdout.close()
    request = {"id": 1, "op": "scan", "path": str(tree), "timeout_seconds": 60.0}
    one.process.stdin.write(json.dumps(request).encode() + b"\n")
    one.process.stdin.flush()
    assert one.process.wait(PATIENCE_SECONDS) == 0
