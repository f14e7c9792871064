"""A log that logrotate rotates without a pause, and one who follows it and dies at any moment.

Not a measure of speed: many times a second happens what else comes once a day. Each way of
rotating has a writer, a logrotate and a follower of its own, all at once, so that each is
interrupted anywhere. `./run bench rotation [SEED]` goes the way of a seed again, as far as the
kernel lets it.
"""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import Pool
from pathlib import Path

from measure import Limit, conclude

from etlmon.host.follow import Follower
from etlmon.host.lines import Mark

SECONDS = 20.0
WAYS = {
    "create": "create",
    "copytruncate": "copytruncate",
    "create, compress later": "create\n compress\n delaycompress",
    "copytruncate, compress later": "copytruncate\n compress\n delaycompress",
    "create, dateext": "create\n dateext\n dateformat -%Y%m%d-%s",
}
RATES = (1_000, 5_000, 20_000)
_TICK_SECONDS = 0.01
_DIGITS = 10


def numbers(lines: Iterable[bytes]) -> Iterator[int]:
    """Give those of whole lines: one may be copied while it is written, and then be cut off."""
    return (int(line) for line in lines if len(line) == _DIGITS)


class Log:
    """A log, who writes to it, and who rotates it."""

    def __init__(self, directory: Path, way: str, chance: random.Random) -> None:
        self.path = directory / "app.log"
        self.path.touch()
        self.rotations = 0
        self._is_cut = way.startswith("copytruncate")
        self._chance = chance
        self._rate = chance.choice(RATES)
        self._conf = directory / "conf"
        self._conf.write_text(f"{self.path} {{\n rotate 1000\n {WAYS[way]}\n}}\n")
        self._conf.chmod(0o644)
        self._reopens = threading.Event()
        self._stops = threading.Event()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Have it written to and rotated meanwhile."""
        threads = [threading.Thread(target=run) for run in (self._write, self._rotate)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stops.set()
            for thread in threads:
                thread.join()

    def numbers(self) -> set[int]:
        """Give the numbers of the lines that are in all its files."""
        found: list[bytes] = []
        for file in self.path.parent.glob(f"{self.path.name}*"):
            data = file.read_bytes()
            found += (gzip.decompress(data) if file.suffix == ".gz" else data).split()
        return set(numbers(found))

    def _write(self) -> None:
        file, number, began = self.path.open("ab", buffering=0), 0, time.monotonic()
        while not self._stops.wait(_TICK_SECONDS):
            if self._reopens.is_set():
                file.close()
                file = self.path.open("ab", buffering=0)
                self._reopens.clear()
            due = int((time.monotonic() - began) * self._rate)
            if due > number:
                file.write(b"".join(b"%0*d\n" % (_DIGITS, one) for one in range(number, due)))
                number = due
        file.close()

    def _rotate(self) -> None:
        state = self._conf.with_name("state")
        while not self._stops.wait(self._chance.choice([0.0, 0.05, 0.1, 0.3, 0.6])):
            while self._reopens.is_set() and not self._stops.is_set():
                time.sleep(_TICK_SECONDS)  # what is written to is not to be compressed
            # It fails where a file of this second is there already, and does nothing.
            subprocess.run(
                ["logrotate", "-f", "-s", state, self._conf], check=False, stderr=subprocess.DEVNULL
            )
            self.rotations += 1
            if not self._is_cut:
                self._reopens.set()


class Reader:
    """One who follows, and keeps what was read and the cursor, or dies before it does."""

    def __init__(self, path: Path, chance: random.Random) -> None:
        self._path = path
        self._chance = chance
        self._cursor: str | None = None
        self._follower = self._begin()
        # Of what rotates away before a first cursor is kept nothing can be known.
        self._follower.look(time.monotonic())
        self._cursor = self._follower.cursor()
        self.numbers: list[int] = []
        self.marks: list[Mark] = []

    def live(self, seconds: float) -> None:
        """Look and read for so long, or until it dies, and begin anew."""
        until = time.monotonic() + seconds
        while self._step(may_die=True) is not None and time.monotonic() < until:
            time.sleep(_TICK_SECONDS / 2)
        self._follower.sleep()
        time.sleep(self._chance.choice([0.0, 0.0, 0.1, 0.5]) * self._chance.random())
        self._follower = self._begin()

    def finish(self) -> None:
        """Read all that is there."""
        quiet = 0
        while quiet < 3:
            quiet = 0 if self._step(may_die=False) else quiet + 1
        self._follower.sleep()

    def _begin(self) -> Follower:
        return Follower(bytes(self._path), self._cursor, begin="beginning", wall_clock=time.time)

    def _step(self, *, may_die: bool) -> int | None:
        """Read some; give how many lines and marks were kept, None if it died before."""
        now = time.monotonic()
        self._follower.look(now)
        lines: list[int] = []
        marks: list[Mark] = []
        for _ in range(self._chance.choice([1, 1, 5, 50])):
            reading = self._follower.read(1000, now)
            if reading is None:
                break
            lines += numbers(line for line in reading.lines if line is not None)
            marks += reading.marks.values()
        if may_die and self._chance.random() < 0.05:
            return None
        self.numbers += lines
        self.marks += marks
        self._cursor = self._follower.cursor()
        return len(lines) + len(marks)


def follow(way: str, seed: int) -> tuple[int, int, int, int]:
    """Give the rotations, the lines missing, those that came twice, and gaps told of nothing."""
    chance = random.Random(f"{seed} {way}")
    with tempfile.TemporaryDirectory(prefix="etlmon-bench-") as directory:
        log = Log(Path(directory), way, chance)
        reader = Reader(log.path, chance)
        end = time.monotonic() + SECONDS
        with log.busy():
            while time.monotonic() < end:
                reader.live(chance.choice([0.0, 0.0, 0.05, 0.3]) * chance.random())
        reader.finish()
        written = log.numbers()
    times = Counter(reader.numbers)
    lost = max(written) + 1 - len(written | times.keys())  # written between copy and cut
    gaps = sum("gap" in mark.flags for mark in reader.marks)
    twice = sum(one > 1 for one in times.values())
    return log.rotations, len(written - times.keys()), twice, max(0, gaps - lost)


def main() -> None:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1_000_000)
    limits = []
    with Pool(len(WAYS)) as pool:
        results = pool.starmap(follow, [(way, seed) for way in WAYS])
    for way, (rotations, missing, twice, gaps) in zip(WAYS, results, strict=True):
        print(f"{way}: {rotations} rotations, seed {seed}")
        limits += [
            Limit(f"{way}: lines missing", missing, 0),
            Limit(f"{way}: lines twice", twice, 0),
            Limit(f"{way}: gaps told where nothing is missing", gaps, 0),
        ]
    conclude(limits)


if __name__ == "__main__":
    main()
