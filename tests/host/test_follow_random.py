"""Random lives of a log against a model: every line that was written comes, once.

The model writes numbered lines, rotates as logrotate does in its various ways, and follows, with
restarts at any moment. Nothing is taken away that has not been read, so nothing may be missing.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from etlmon.host.follow import Follower
from etlmon.host.follow_queue import Limits

LIMITS = Limits(max_line_bytes=1000, partial_seconds=1000.0, rotated_hold_seconds=1e9)


class Life(RuleBasedStateMachine):
    """A log, its writer, and one who follows it."""

    @initialize(existing=st.booleans(), is_link=st.booleans())
    def begin(self, existing: bool, is_link: bool) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="etlmon-test-"))
        self.path = self.directory / "app.log"
        self.now = 0.0
        self.modified = 2_000_000_000_000_000_000
        self.number = 0
        self.date = 20260101
        self.written: list[bytes] = []
        self.unfinished = b""
        self.read: list[bytes] = []
        self.truncated = self.must_tell = self.told_truncated = self.restarts = 0
        self.gaps: list[Any] = []
        self.writer: BinaryIO | None = None
        self.cursor: str | None = None
        if is_link:
            (self.directory / "data").mkdir()
            self.path.symlink_to(self.directory / "data" / "app.log")
        if existing:
            self._target().write_bytes(b"old\n")
            self._tick(self._target())
        self.follower = self._follower()
        self._look()

    def teardown(self) -> None:
        if not hasattr(self, "directory"):
            return
        self.finish_line()
        self.reopen()
        self.drain()
        # An empty file that is gone: what was written to it meanwhile cannot be known.
        assert [gap for gap in self.gaps if gap.length_bytes is not None] == []
        assert sorted(self.read) == sorted(self.written)
        # A new file that got the inode of the old one meanwhile looks like one that was cut off.
        assert self.must_tell <= self.told_truncated <= self.truncated + self.restarts
        self.close_writer()
        self.follower.sleep()
        shutil.rmtree(self.directory)

    def _follower(self) -> Follower:
        self.restarts += self.cursor is not None
        return Follower(bytes(self.path), self.cursor, limits=LIMITS)

    def _target(self) -> Path:
        return Path(os.path.realpath(self.path))

    def _look(self) -> None:
        self.now += 10
        self.follower.look(self.now)
        self.cursor = self.follower.cursor()

    def _tick(self, file: Path | int) -> None:
        """Give a file a time of its own: the kernel's clock may be too coarse for a model."""
        self.modified += 1_000_000_000
        os.utime(file, ns=(self.modified, self.modified))

    def _open(self) -> BinaryIO:
        if self.writer is None:
            self.writer = self._target().open("ab", buffering=0)
            self._tick(self.writer.fileno())
        return self.writer

    def _put(self, data: bytes) -> None:
        self._open().write(data)
        self._tick(self._open().fileno())
        *lines, self.unfinished = (self.unfinished + data).split(b"\n")
        self.written += lines

    # --- the writer ---

    @rule(count=st.integers(1, 40), width=st.integers(0, 50))
    def write(self, count: int, width: int) -> None:
        lines = []
        for _ in range(count):
            self.number += 1
            lines.append(b"%d %s\n" % (self.number, b"x" * width))
        self._put(b"".join(lines))

    @precondition(lambda self: not self.unfinished)
    @rule()
    def begin_line(self) -> None:
        self.number += 1
        self._put(b"%d unfinished" % self.number)

    @precondition(lambda self: self.unfinished)
    @rule()
    def finish_line(self) -> None:
        if self.unfinished:
            self._put(b" finished\n")

    @rule()
    def reopen(self) -> None:
        """The writer opens its log anew, as told by a signal after rotation."""
        self.finish_line()
        self.close_writer()
        self._open()

    def close_writer(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    # --- rotation ---

    def _shift(self) -> Path:
        """Make room for a new app.log.1."""
        base = self._target()
        for number in range(30, 0, -1):
            for end in ("", ".gz"):
                old = base.with_name(f"{base.name}.{number}{end}")
                if old.exists():
                    old.rename(base.with_name(f"{base.name}.{number + 1}{end}"))
        return base.with_name(f"{base.name}.1")

    @rule(create=st.booleans())
    def rename(self, create: bool) -> None:
        target = self._target()
        if target.exists():
            target.rename(self._shift())
            if create:
                target.touch()
                self._tick(target)

    @rule()
    def rename_to_date(self) -> None:
        target = self._target()
        if target.exists():
            self.date += 1
            target.rename(target.with_name(f"{target.name}-{self.date}"))

    @rule(is_seen=st.booleans())
    def copytruncate(self, is_seen: bool) -> None:
        target = self._target()
        is_written = self.writer is None or (
            target.exists() and os.fstat(self.writer.fileno()).st_ino == target.stat().st_ino
        )
        if target.exists() and target.stat().st_size and is_written and not self.unfinished:
            standing = self.follower.standing()
            was_known = standing.inode == target.stat().st_ino and standing.size != 0
            copy = self._shift()
            shutil.copyfile(target, copy)
            self._tick(copy)
            os.truncate(target, 0)
            self._tick(target)
            self.truncated += 1
            if is_seen:
                self._look()
                self.must_tell += was_known

    @rule(number=st.integers(1, 3))
    def compress(self, number: int) -> None:
        base = self._target()
        plain = base.with_name(f"{base.name}.{number}")
        if not plain.exists():
            return
        status = plain.stat()
        if self.writer is not None and os.fstat(self.writer.fileno()).st_ino == status.st_ino:
            return  # it still writes to it
        packed = plain.with_name(f"{plain.name}.gz")
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        os.utime(packed, ns=(status.st_atime_ns, status.st_mtime_ns))
        plain.unlink()

    @rule()
    def delete(self) -> None:
        """All files go; what was in them has been read."""
        self.finish_line()
        self.close_writer()
        self.drain()
        for file in self._target().parent.glob("app.log*"):
            if not file.is_symlink():
                file.unlink()
        self._look()

    # --- who follows ---

    @rule()
    def look(self) -> None:
        self._look()

    @rule(most_lines=st.integers(1, 30), times=st.integers(1, 3))
    def some(self, most_lines: int, times: int) -> None:
        self._look()
        for _ in range(times):
            self._take(most_lines)

    @rule()
    def drain(self) -> None:
        for _ in range(3):
            self._look()
            while self._take(1000):
                pass

    def _take(self, most_lines: int) -> bool:
        reading = self.follower.read(most_lines, self.now)
        if reading is None:
            self.cursor = self.follower.cursor()
            return False
        assert len(reading.lines) <= most_lines
        for place, line in enumerate(reading.lines):
            mark = reading.marks.get(place)
            if line is None:
                assert mark is not None
                self.told_truncated += "truncated" in mark.flags
                if "gap" in mark.flags:
                    self.gaps.append(mark)
            elif line != b"old":
                assert mark is None
                self.read.append(line)
        self.cursor = self.follower.cursor()
        return True

    @rule()
    def restart(self) -> None:
        self.follower.sleep()
        self.follower = self._follower()

    @rule(most_lines=st.integers(1, 30))
    def crash(self, most_lines: int) -> None:
        """What was read since the last commit is not stored."""
        self.now += 10
        self.follower.look(self.now)
        self.follower.read(most_lines, self.now)
        self.follower.sleep()
        self.follower = self._follower()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=60,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
