"""Files that were done with: found again where rotation has moved them, or compressed them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from etlmon.host import follow_aside, follow_lineup
from etlmon.host.generation import Generation
from etlmon.host.rotated import Rotated, open_listed
from etlmon.host.writers import Writers
from tests.host.conftest import Log

QUIET = 40.0


@pytest.mark.parametrize("restart", [False, True])
def test_written_on_after_rotation_has_moved_it_on(
    log: Log, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_aside, "find_writers", lambda *_: Writers(frozenset(), False))
    log.write("1")
    log.follow("beginning")
    log.read()
    log.path.rename(log.named(".1"))
    log.write("2")
    log.read()
    log.read(QUIET)
    log.read()
    if restart:
        log.stop()
    log.named(".1").rename(log.named(".2"))
    log.path.rename(log.named(".1"))
    log.write("3")
    log.write("1 by one who has it open still", to=log.named(".2"))
    if restart:
        log.follow()
    log.read()
    log.read()
    assert sorted(log.lines) == ["1", "1 by one who has it open still", "2", "3"]
    assert log.marks == []


def test_many_archives_cost_as_much_each_as_few(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("1")
    log.follow("beginning")
    log.read()
    log.path.rename(log.named(".1"))
    log.write("2")
    log.read()
    log.read()
    log.named(".1").unlink()
    count = 100
    for number in range(count):
        log.named(f"-{20260101 + number}.gz").write_bytes(gzip.compress(b"planted\n"))
    opened: list[Rotated] = []

    def count_opened(path: bytes, one: Rotated) -> Generation:
        opened.append(one)
        return open_listed(path, one)

    monkeypatch.setattr(follow_lineup, "open_listed", count_opened)
    log.write("3")
    log.read()
    assert count <= len(opened) <= 4 * count


def test_container_that_writes_on_is_seen(log: Log, tmp_path: Path) -> None:
    log.write("1")
    elsewhere, proc = tmp_path / "elsewhere", tmp_path / "proc"
    elsewhere.symlink_to(tmp_path)
    for part in ("fd", "fdinfo"):
        (proc / "1" / part).mkdir(parents=True)
    inode = log.path.stat().st_ino
    (proc / "1/fdinfo/3").write_text(f"flags:\t0100001\nino:\t{inode}\n")
    (proc / "1/fd/3").symlink_to(elsewhere / "app.log.1")
    (proc / "self").symlink_to("/proc/self")
    log.follow("beginning", proc=proc)
    with log.path.open("a") as writer:
        log.path.rename(log.named(".1"))
        log.write("2")
        log.read()
        log.read()
        log.named(".1").unlink()
        print("later", file=writer, flush=True)
    log.read()
    assert log.lines == ["1", "2", "later"]
