"""Processes as procfs tells them: what names one, and how a line of stat is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.host.processes import (
    Identity,
    cpu_clock_ns,
    descends_from,
    own_pid,
    parse_identity,
    parse_stat,
    read_boot_id,
    read_identity,
    read_stat,
)
from tests.waiting import PATIENCE_SECONDS

PROC = Path("/proc")
BOOT = "4dd80203-a77c-47d9-8ea3-510dd3e1d2ef"
REST = (
    b"S 1 7 7 0 -1 4194560 97 0 0 0 31 11 5 5 20 0 3 0 66535 3133440 358 184467 1 2 3 4 5 0 0 0 "
    b"0 0 0 0 17 1 0 0 0 0 0 9 10 11 1001 1002 13 14 768\n"
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


class TestCpuClock:
    def test_it_goes_while_a_process_works_and_only_then(
        self, child: subprocess.Popen[bytes]
    ) -> None:
        before = time.process_time_ns()
        found = cpu_clock_ns(os.getpid())
        assert found is None or before <= found <= time.process_time_ns()
        stat = PROC / str(child.pid) / "stat"
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        first = None
        while stat.read_bytes().rpartition(b") ")[2][:1] != b"S" or (
            first != (first := cpu_clock_ns(child.pid))  # it is called asleep a little before it is
        ):
            assert time.monotonic() < give_up_at
            time.sleep(0.001)

    def test_of_a_process_that_is_not_there_there_is_none(
        self, child: subprocess.Popen[bytes]
    ) -> None:
        child.kill()
        child.wait()
        assert cpu_clock_ns(child.pid) is None
        assert cpu_clock_ns(1 << 40) is None

    def test_one_that_goes_in_steps_misses_what_takes_less(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 20_000_000)
        assert cpu_clock_ns(7) is None
        monkeypatch.setattr(time, "clock_gettime_ns", lambda _: 20_000_001)
        assert cpu_clock_ns(7) == 20_000_001


class TestIdentity:
    def test_its_text_gives_it_again(self) -> None:
        one = Identity(BOOT, 12345, 66535)
        assert str(one) == f"{BOOT}:12345:66535"
        assert parse_identity(str(one)) == one

    @given(st.integers(0, 10**10 - 1), st.integers(0, 10**19 - 1))
    def test_any_numbers(self, pid: int, start: int) -> None:
        assert parse_identity(str(Identity(BOOT, pid, start))) == (BOOT, pid, start)

    @given(st.text(max_size=80))
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an identity"):
            parse_identity(text)

    @pytest.mark.parametrize(
        "text", [f"{BOOT}:1:2\n", f"{BOOT}:1", f"{BOOT}:-1:2", f"{BOOT}:1:\u0661"]
    )
    def test_what_nearly_is_one_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an identity"):
            parse_identity(text)

    def test_a_process_keeps_it_and_another_has_another(self, child) -> None:
        one = read_identity(PROC, child.pid)
        assert one == read_identity(PROC, child.pid)
        assert one.pid == child.pid
        assert one != read_identity(PROC, os.getpid())

    def test_none_is_told_from_unknown(self, tmp_path: Path) -> None:
        with pytest.raises(ProcessLookupError):
            read_identity(PROC, (1 << 22) + 1)
        (tmp_path / "sys/kernel/random").mkdir(parents=True)
        (tmp_path / "sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
        (tmp_path / "7").mkdir()
        (tmp_path / "7/stat").write_bytes(b"7 (torn")
        with pytest.raises(ValueError, match="stat"):
            read_identity(tmp_path, 7)

    def test_a_boot_id_is_a_uuid(self, tmp_path: Path) -> None:
        assert len(read_boot_id(PROC)) == 36
        (tmp_path / "sys/kernel/random").mkdir(parents=True)
        (tmp_path / "sys/kernel/random/boot_id").write_text("none\n")
        with pytest.raises(ValueError, match="UUID"):
            read_boot_id(tmp_path)


class TestStat:
    def test_every_field(self) -> None:
        stat = parse_stat(b"7 (etl worker) " + REST)
        assert stat == (
            *(7, b"etl worker", "S", 1, 4194560, 42, 3, 66535, 358),
            *((b"3", b"1001", b"1002"), 768),
        )
        assert not stat.is_kernel_thread
        assert not stat.has_ended

    @given(st.binary(max_size=15).filter(lambda name: b"\0" not in name))
    def test_a_name_may_hold_anything(self, name: bytes) -> None:
        stat = parse_stat(b"7 (" + name + b") " + REST)
        assert (stat.comm, stat.start_ticks) == (name, 66535)

    @given(st.binary(max_size=60))
    def test_what_is_no_line_of_it_is_refused(self, line: bytes) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - of int(), too
            parse_stat(line)

    def test_an_old_kernel_says_less(self) -> None:
        short = b" ".join(REST.split()[:40])
        stat = parse_stat(b"7 (x) " + short)
        assert (stat.program_mark, stat.exit_code) == ((b"", b"", b""), 0)

    def test_kernel_threads_and_zombies(self, child) -> None:
        assert parse_stat(b"2 (kthreadd) " + REST.replace(b"4194560", b"2129984")).is_kernel_thread
        assert not read_stat(PROC, child.pid).has_ended
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended = read_stat(PROC, child.pid)
        assert ended.has_ended
        assert (ended.state, ended.exit_code) == ("Z", 9)


def test_a_program_executed_leaves_a_mark() -> None:
    script = "import os; os.read(0, 1); os.execv('/bin/cat', ['cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        before = read_stat(PROC, process.pid)
        process.stdin.write(b"xy")
        process.stdin.flush()
        os.read(process.stdout.fileno(), 1)
        after = read_stat(PROC, process.pid)
        process.kill()
    assert before.start_ticks == after.start_ticks
    assert before.program_mark != after.program_mark


def test_one_knows_itself(tmp_path: Path) -> None:
    assert own_pid(PROC) == os.getpid()
    assert own_pid(tmp_path) is None


def test_descent(child) -> None:
    assert descends_from(PROC, child.pid, os.getpid())
    assert descends_from(PROC, os.getpid(), os.getpid())
    assert not descends_from(PROC, os.getpid(), child.pid)
    with pytest.raises(ProcessLookupError):
        descends_from(PROC, (1 << 22) + 1, os.getpid())
