"""Uploads that are looked for on the disk, from their lines to what is stored of them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail

from etlmon.collectors.xferlog import uploads
from etlmon.errors import CollectError
from etlmon.fsworker.find import FindOrder
from etlmon.fsworker.pool import WorkerPool
from etlmon.records.xferlog import XferlogLanding
from tests.collectors.xferlog.conftest import append, line


def landed_at(harness) -> str:
    return datetime.fromtimestamp(harness.times.wall, UTC).strftime("%a %b %e %H:%M:%S %Y")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "srv"
    place.mkdir()
    return place


def put(root: Path, name: str, content: bytes, at: float) -> Path:
    path = root / name
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


async def test_an_upload_that_is_there_has_landed(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    path = put(root, "a.csv", b"12345", harness.times.wall)
    log.write_text(
        line(name="/a.csv", date=landed_at(harness))
        + line(name="/a.csv", date=landed_at(harness), user="other")
        + line(name="/a.csv", date=landed_at(harness), way="o")
        + line(name="/a.csv", date="Tue Nov 24 01:00:00 2026")
    )
    await harness.run()
    entries = await harness.entries()
    assert [entry.landing for entry in entries] == ["landed", None, None, None]
    assert (entries[0].landed_path, entries[0].landed_bytes) == (str(path), 5)
    assert entries[0].landing_checked_at is not None
    assert not [
        record
        for batch in harness.batches[2:]
        for record in batch.records
        if isinstance(record, XferlogLanding)
    ]


async def test_an_upload_that_is_open_for_writing_has_not_landed_yet(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    path = put(root, "a.csv", b"12345", harness.times.wall)
    log.write_text(line(name="/a.csv", date=landed_at(harness)))
    with path.open("ab"):
        await harness.run()
        (entry,) = await harness.entries()
        assert entry.landing == "partial"
        assert entry.landing_reason == f"process {os.getpid()} has it open for writing"
    harness.times.advance(5)
    await harness.run()
    (entry,) = await harness.entries()
    assert (entry.landing, entry.landing_reason) == ("landed", None)


async def test_a_restart_goes_on_waiting_for_uploads(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    path = put(root, "a.csv", b"123", harness.times.wall)
    log.write_text(line(name="/a.csv", date=landed_at(harness)))
    await harness.run()
    (entry,) = await harness.entries()
    assert (entry.landing, entry.landing_reason) == ("partial", "3 bytes, 5 were sent")
    await harness.collector.deafen()
    harness.begin_anew()
    path.write_bytes(b"12345")
    os.utime(path, (harness.times.wall, harness.times.wall))
    harness.times.advance(15)
    await harness.run()
    (entry,) = await harness.entries()
    assert entry.landing == "landed"


async def test_a_restart_goes_on_looking_for_what_was_not_there(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    log.write_text(
        line(name="/a.csv", date=landed_at(harness)) + line(name="/b.csv", date=landed_at(harness))
    )
    await harness.run()
    assert [entry.landing for entry in await harness.entries()] == ["vanished", "vanished"]
    await harness.collector.deafen()
    harness.begin_anew()
    put(root, "a.csv", b"12345", harness.times.wall)
    harness.times.advance(5)
    told = len(harness.batches)
    await harness.run()
    first, second = await harness.entries()
    assert (first.landing, first.landed_bytes) == ("landed", 5)
    assert second.landing == "vanished"
    # What is as it was is not stored again.
    (batch,) = (one for one in harness.batches[told:] if isinstance(one.records[0], XferlogLanding))
    assert [record.offset for record in batch.records] == [0]


async def test_a_restart_leaves_alone_what_vanished_long_ago(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    log.write_text(line(name="/a.csv", date=landed_at(harness)))
    await harness.run()
    await harness.collector.deafen()
    harness.begin_anew()
    put(root, "a.csv", b"12345", harness.times.wall)
    harness.times.advance(901)
    await harness.run()
    (entry,) = await harness.entries()
    assert entry.landing == "vanished"


async def test_an_upload_that_is_not_there_has_vanished(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    log.write_text(line(name="/a.csv", date=landed_at(harness)))
    await harness.run()
    (entry,) = await harness.entries()
    assert (entry.landing, entry.landing_reason) == (
        "vanished",
        "there is no such file: renamed, moved on or deleted",
    )


async def test_of_two_uploads_of_one_name_the_first_is_overwritten(make, log, root) -> None:
    """In one turn, or in two if the second had ended before the first was looked at."""
    harness = make(roots={"etl": str(root)})
    put(root, "a.csv", b"12345", harness.times.wall)
    log.write_text(line(name="/a.csv", date=landed_at(harness)) * 2)
    await harness.run()
    found = [(entry.landing, entry.landing_reason) for entry in await harness.entries()]
    assert found == [("overwritten", "uploaded again under the same name"), ("landed", None)]
    append(log, line(name="/a.csv", date=landed_at(harness)))
    await harness.run()
    assert [entry.landing for entry in await harness.entries()] == [
        "overwritten",
        "overwritten",
        "landed",
    ]


async def test_an_upload_that_was_renamed_has_landed(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    path = put(root, "a.csv", b"12345", harness.times.wall)
    log.write_text(line(name="/a.csv.tmp", date=landed_at(harness)))
    await harness.run()
    (entry,) = await harness.entries()
    assert (entry.landing, entry.landing_reason) == ("landed", "renamed to a.csv")
    assert entry.landed_path == str(path)


async def test_another_upload_is_none_that_was_renamed(make, log, root) -> None:
    harness = make(roots={"etl": str(root)})
    put(root, "a b.csv", b"12345", harness.times.wall)
    date = landed_at(harness)
    log.write_text(line(name="/a_b.csv.tmp", date=date) + line(name="/a_b.csv", date=date))
    await harness.run()
    assert [entry.landing for entry in await harness.entries()] == ["vanished", "landed"]


async def test_a_link_of_the_user_leads_to_nothing_outside(make, log, root, tmp_path) -> None:
    harness = make(roots={"etl": str(root)})
    put(tmp_path, "secret.csv", b"12345", harness.times.wall)
    (root / "a.csv").symlink_to(tmp_path / "secret.csv")
    (root / "in").symlink_to(tmp_path)
    date = landed_at(harness)
    log.write_text(line(name="/a.csv", date=date) + line(name="/in/secret.csv", date=date))
    await harness.run()
    found = [(entry.landing, entry.landed_path) for entry in await harness.entries()]
    assert found == [("vanished", None)] * 2


async def test_of_many_uploads_none_waits_for_the_timer(make, log, root, monkeypatch) -> None:
    monkeypatch.setattr(uploads, "_LOOKS_A_RUN", 2)
    harness = make(roots={"etl": str(root)})
    hints: list[None] = []
    harness.collector.listen(lambda: hints.append(None))
    for number in range(5):
        put(root, f"{number}.csv", b"12345", harness.times.wall)
    log.write_text("".join(line(name=f"/{n}.csv", date=landed_at(harness)) for n in range(5)))
    for still in (1, 2, 2):
        await harness.run()
        assert len(hints) == still
    assert {entry.landing for entry in await harness.entries()} == {"landed"}


@pytest.fixture
def network_proc(tmp_path: Path, root: Path) -> Path:
    """Give a /proc that says of the uploads' directory that it is on NFS."""
    place = tmp_path / "proc"
    (place / "self").mkdir(parents=True)
    (place / "self/mountinfo").write_text(
        "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"21 20 0:50 / {root} rw - nfs4 server:/export rw,vers=4.2\n"
    )
    return place


@pytest_twisted.async_yield_fixture
async def workers():
    from twisted.internet import reactor

    pool = WorkerPool(reactor, wall_clock=time.time)
    yield pool
    await pool.stop()


async def test_on_a_network_file_system_workers_look(
    make, log, root, network_proc, workers
) -> None:
    harness = make(roots={"etl": str(root)})
    harness.proc, harness.workers = network_proc, workers
    harness.begin_anew()
    (root / "in box").mkdir()
    path = put(root, "in box/한.csv", b"12345", harness.times.wall)
    log.write_text(
        line(name="/in_box/???.csv", date=landed_at(harness))
        + line(name="/in_box/none.csv", date=landed_at(harness))
        + line(name="/in_box/", date=landed_at(harness))
    )
    await harness.run()
    # Another host may still write to it: being quiet decides.
    assert [entry.landing for entry in await harness.entries()] == [
        "pending",
        "vanished",
        "unknown",
    ]
    harness.times.advance(5)
    await harness.run()
    entry = (await harness.entries())[0]
    assert (entry.landing, entry.landed_path) == ("landed", str(path))


async def test_a_network_file_system_that_does_not_answer_is_asked_again(
    make, log, root, network_proc
) -> None:
    class Stuck:
        asked = 0

        def find(self, order: FindOrder) -> Deferred[Any]:
            self.asked += 1
            assert order.one_at_a_time
            return fail(CollectError("no answer"))

    harness = make(roots={"etl": str(root)})
    harness.proc, harness.workers = network_proc, Stuck()
    harness.begin_anew()
    log.write_text(line(name="/a.csv", date=landed_at(harness)))
    await harness.run()
    (entry,) = await harness.entries()
    assert (entry.landing, entry.landing_reason) == ("unknown", "no answer")
    harness.times.advance(5)
    await harness.run()
    assert harness.workers.asked == 2
