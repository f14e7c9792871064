"""A file that is found again after a time in which nobody looked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from errno import EACCES

import msgspec
import pytest

from etlmon.host import follow_restore, rotated
from etlmon.host.cursor import decode, encode
from etlmon.host.follow import Follower
from etlmon.host.generation import Generation, open_generation
from etlmon.host.packing import zstd
from tests.host.conftest import Log
from tests.host.test_follow_alike import pack, rotate
from tests.waiting import wait_for_tick

pytestmark = pytest.mark.usefixtures("numbers_are_kept")

PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd.compress}


class TestEmptyAtTheLastLook:
    """Nothing tells which of the files it was, if rotation has deleted the oldest unread."""

    @pytest.fixture(autouse=True)
    def stopped(self, log: Log) -> None:
        log.write("0")
        log.follow("beginning")
        log.read()

    @pytest.mark.parametrize(
        ("deleted", "lines", "flags"),
        [
            (0, ["0", "1", "2", "3"], []),
            (1, ["0", "1", "2", "3"], [("gap",)]),
            (2, ["0", "2", "3"], [("gap",)]),
        ],
    )
    def test_renamed_and_compressed(
        self, log: Log, deleted: int, lines: list[str], flags: list[tuple[str, ...]]
    ) -> None:
        for number in range(1, 4):
            wait_for_tick()
            log.path.rename(log.named(".1"))
            log.path.touch()
            if number == 1:
                log.read()
                log.read()
                log.stop()
            for old in range(3, 0, -1):
                if log.named(f".{old}.gz").exists():
                    log.named(f".{old}.gz").rename(log.named(f".{old + 1}.gz"))
            pack(log, ".1")
            wait_for_tick()
            log.write(str(number))
        for number in range(deleted):
            log.named(f".{3 - number}.gz").unlink()
        log.follow()
        log.read()
        assert (log.lines, log.flags) == (lines, flags)
        log.restart()
        assert log.read() == []

    @pytest.mark.parametrize("deleted", [0, 2])
    def test_copied_and_cut_off(self, log: Log, deleted: int) -> None:
        rotate(log)
        log.read()
        log.stop()
        for number in range(1, 4):
            log.write(str(number))
            rotate(log)
        log.write("4")
        for number in range(deleted):
            log.named(f".{4 - number}").unlink()
        log.marks.clear()
        log.follow()
        log.read()
        assert log.lines == ["0", *([] if deleted else ["1"]), "2", "3", "4"]
        assert log.flags.count(("gap",)) == (1 if deleted else 0)
        assert log.flags.count(("truncated",)) == (2 if deleted else 3)


class TestAfterDowntime:
    @pytest.fixture(autouse=True)
    def stopped(self, log: Log) -> None:
        log.follow()
        log.write("1")
        log.read()
        log.stop()
        log.write("2", "3")

    @pytest.mark.parametrize("ending", [".1", "-20260131", ".2026-01-31T00:00", "-1767225600"])
    def test_renamed(self, log: Log, ending: str) -> None:
        log.path.rename(log.named(ending))
        log.write("4")
        log.follow()
        assert (log.lines, log.marks) == (["1", "2", "3", "4"], [])

    def test_renamed_with_the_date_before_its_ending(self, log: Log) -> None:
        log.path.rename(log.path.with_name("app-20260131.log"))
        log.write("4")
        log.follow()
        assert (log.lines, log.marks) == (["1", "2", "3", "4"], [])

    @pytest.mark.parametrize(
        "ending", [".1.gz", "-20260131.gz", ".1.bz2", ".1.xz", ".1.zst", "-20260131.zst"]
    )
    def test_compressed(self, log: Log, ending: str) -> None:
        status = log.path.stat()
        packed = log.named(ending)
        packed.write_bytes(PACK[packed.suffix](log.path.read_bytes()))
        os.utime(packed, (status.st_atime, int(status.st_mtime)))
        log.path.unlink()
        log.write("4")
        log.follow()
        assert (log.lines, [flags for flags in log.flags if flags != ("truncated",)]) == (
            ["1", "2", "3", "4"],
            [],
        )
        log.restart()
        assert log.read() == []

    @pytest.mark.parametrize("is_other", [False, True])
    @pytest.mark.parametrize("suffix", PACK)
    def test_compressed_file_that_is_broken(self, log: Log, suffix: str, is_other: bool) -> None:
        """It ends too early, or is none of its kind."""
        packed = PACK[suffix](b"1\n2\n3\n" + os.urandom(100_000))
        log.named(f".1{suffix}").write_bytes(b"no such thing" if is_other else packed[:5000])
        log.path.unlink()
        log.write("4")
        log.follow()
        assert "4" in log.lines
        assert any("gap" in flags for flags in log.flags)

    @pytest.mark.parametrize("is_deleted", [True, False])
    @pytest.mark.parametrize("suffix", PACK)
    def test_compressed_file_that_breaks_while_it_is_read(
        self, log: Log, suffix: str, is_deleted: bool
    ) -> None:
        packed = log.named(f".1{suffix}")
        packed.write_bytes(PACK[suffix](b"1\n2\n3\n" + b"more\n" * 50_000))
        log.path.unlink()
        log.write("4")
        follower = Follower(bytes(log.path), log.cursor, limits=log.limits)
        follower.look(0.0)
        assert follower.read(1000, 0.0) is not None
        log.cursor = follower.cursor()
        follower.sleep()
        if is_deleted:
            packed.unlink()
        else:
            wait_for_tick()
            os.truncate(packed, 20)
        log.follow()
        assert (log.lines[1:], log.flags) == (["4"], [("gap",)])
        assert log.read() == []

    @pytest.mark.parametrize(
        ("dictionary_bytes", "is_read"), [(64 << 20, True), (256 << 20, False)]
    )
    def test_compressed_file_that_demands_memory(
        self, log: Log, dictionary_bytes: int, is_read: bool
    ) -> None:
        """As much as ``xz -9`` has it, which is the most of its presets, and more."""
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": dictionary_bytes}]
        first, second = (lzma.compress(one, filters=filters) for one in (b"1\n2\n", b"3\n"))
        log.named(".1.xz").write_bytes(first + bytes(8) + second)
        log.path.unlink()
        log.write("4")
        log.follow()
        assert log.lines == (["1", "2", "3", "4"] if is_read else ["1", "4"])
        assert set(log.flags) == (set() if is_read else {("gap",)})

    @pytest.mark.parametrize("is_kept", [True, False])
    def test_empty_then_filled_and_compressed(self, log: Log, is_kept: bool) -> None:
        log.path.rename(log.named(".2"))
        log.path.touch()
        log.follow()
        log.stop()
        assert log.lines == ["1", "2", "3"]
        packed = log.named(".1.gz")
        if is_kept:
            packed.write_bytes(gzip.compress(b"4\n5\n"))
        log.write("6", to=log.named(".new"))  # with an inode of its own
        log.named(".new").rename(log.path)
        log.follow()
        if is_kept:
            assert (log.lines, log.marks) == (["1", "2", "3", "4", "5", "6"], [])
        else:
            assert log.lines == ["1", "2", "3", "6"]
            assert log.flags == [("gap",)], "nobody knows what was in it"
            assert "to its end; how much of it is not known" in str(log.marks[0])

    def test_gone(self, log: Log) -> None:
        log.path.rename(log.path.with_name("moved-away"))
        log.write("4")
        log.follow()
        assert log.lines == ["1", "4"]
        assert log.flags == [("gap",)]
        log.restart()
        assert log.flags == [("gap",)], "it is told once"

    def test_renamed_and_nothing_in_its_place(self, log: Log) -> None:
        log.path.rename(log.named(".1"))
        log.follow()
        assert log.lines == ["1", "2", "3"]
        log.write("4")
        assert log.read() == ["4"]


def test_new_file_with_the_inode_of_the_old(log: Log) -> None:
    log.write("0")
    log.follow()
    log.write("1")
    log.read()
    log.stop()
    cursor = decode(log.cursor)
    assert cursor is not None
    (position,) = cursor.waiting
    log.path.unlink()
    log.write("2", "3")
    # As a file system may give it, which gives each number again at once.
    position = msgspec.structs.replace(position, inode=log.path.stat().st_ino)
    log.cursor = encode(msgspec.structs.replace(cursor, waiting=(position,)))
    log.follow()
    assert log.lines == ["1", "2", "3"]


def test_named_file_that_may_not_be_read_for_a_while(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of others meanwhile would be read again at each look."""
    log.write("0")
    with log.path.open("a", buffering=1) as writer:
        log.follow(begin="beginning")
        log.path.rename(log.named(".1"))
        log.write("1")
        log.read()
        log.stop()
        writer.write("2\n")

    def refuse(path: bytes) -> Generation:
        if path == bytes(log.path):
            raise PermissionError(EACCES, os.strerror(EACCES))
        return open_generation(path)

    with monkeypatch.context() as patch:
        patch.setattr(follow_restore, "open_generation", refuse)
        patch.setattr(rotated, "open_generation", refuse)
        for _ in range(3):
            with pytest.raises(PermissionError):
                log.follow() if log.follower is None else log.read()
    log.read()
    assert (log.lines, log.marks) == (["0", "1", "2"], [])
