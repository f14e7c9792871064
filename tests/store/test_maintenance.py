"""Figures, checks and compaction, on real files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task

import etlmon
from etlmon.config.node import RetentionSection
from etlmon.records.health import CollectorRun
from etlmon.records.log import LogBlock
from etlmon.store.database import StoreService
from etlmon.store.maintenance import MaintenanceService
from etlmon.store.tables.all import TABLES
from etlmon.store.vacuum import lacking_room, temporary_directory
from etlmon.units import utc
from tests.store.test_damage import make, spoil_index

Until = Callable[[Callable[[], object]], Awaitable[None]]
Size = Callable[..., int]
Flush = Callable[..., list[Any]]
NOW = 1_800_000_000.0


class Turned:
    """The reactor with a clock that the test turns."""

    def __init__(self) -> None:
        self.clock = task.Clock()
        self.seconds = self.clock.seconds
        self.callLater = self.clock.callLater
        self.getThreadPool = reactor.getThreadPool  # type: ignore[attr-defined]
        self.callFromThread = reactor.callFromThread  # type: ignore[attr-defined]


def run_of(number: int, at: float) -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance="x" * 900,
        started_at=utc(at),
        duration_ms=0,
        state="ok",
        records=number,
    )


@pytest.fixture
def turned() -> Turned:
    return Turned()


@pytest.fixture
def maintenance(store: StoreService, turned: Turned) -> Any:
    service = MaintenanceService(
        store,
        TABLES,
        lambda table: RetentionSection(max_rows=5_000, max_age=60.0),
        turned,
        lambda: NOW,
    )
    service.startService()
    yield service
    pytest_twisted.blockon(service.stopService())


async def test_figures(store: StoreService, maintenance: MaintenanceService, size: Size) -> None:
    await store.write([run_of(n, NOW - 90_000) for n in range(1_000)])
    await store.write([run_of(n, NOW - 100 + n / 100) for n in range(3_000)])
    await store.checkpoint()
    figures = await maintenance.figures(None)
    assert figures.size_bytes == size()
    assert figures.content_bytes + figures.free_bytes == figures.size_bytes
    largest = figures.tables[0]
    assert (largest.table, largest.rows, largest.rows_last_day) == ("collector_run", 4_000, 3_000)
    assert largest.oldest_at == utc(NOW - 90_000)
    assert 0.9 < largest.size_bytes / size() <= 1
    assert largest.bytes_last_day == pytest.approx(largest.size_bytes * 0.75, abs=1)
    assert figures.bytes_last_day == largest.bytes_last_day
    assert (largest.max_rows, largest.max_age_seconds, largest.max_bytes) == (5_000, 60.0, None)
    assert {"meta", "migrations", "path_stats"} <= {table.table for table in figures.tables}
    assert (figures.check, figures.backup, figures.compaction) == (None, None, None)


async def test_health_has_them_from_memory_every_ten_minutes(
    store: StoreService, maintenance: MaintenanceService, turned: Turned, until: Until
) -> None:
    """How much is in the tables, and when it was looked at."""

    def rows() -> int | None:
        content = maintenance.content
        return (
            None if content is None else {t.table: t.rows for t in content.tables}["collector_run"]
        )

    await store.write([run_of(n, NOW - 100) for n in range(300)])
    assert maintenance.content is None
    turned.clock.advance(5)
    await until(lambda: rows() == 300)
    assert maintenance.content is not None
    assert maintenance.content.taken_at == utc(NOW)
    found = await maintenance.figures(None)
    assert maintenance.content.bytes_last_day == found.bytes_last_day > 0
    assert store.health().free_bytes == found.free_bytes
    await store.write([run_of(n, NOW - 100) for n in range(10)])
    turned.clock.advance(599)
    assert rows() == 300
    turned.clock.advance(1)
    await until(lambda: rows() == 310)
    await maintenance.stopService()
    assert not turned.clock.getDelayedCalls()


async def test_figures_of_a_table_that_has_no_index_by_time(
    store: StoreService, maintenance: MaintenanceService
) -> None:
    for at, count in ((NOW - 90_000, 7), (NOW - 86_401, 3), (NOW - 86_399, 4), (NOW, 5)):
        await store.write(
            [LogBlock(log_name="a", log_path="/a", created_at=utc(at), lines=["x"] * count)]
        )
    figures = await maintenance.figures(None)
    (lines,) = [table for table in figures.tables if table.table == "log_lines"]
    assert (lines.rows, lines.rows_last_day) == (19, 9)
    assert lines.oldest_at == utc(NOW - 90_000)


async def test_a_compaction_gives_the_pages_back(
    store: StoreService, maintenance: MaintenanceService, size: Size, until: Until
) -> None:
    await store.write([run_of(n, NOW) for n in range(4_000)])
    await store.run(lambda cursor: cursor.execute("DELETE FROM collector_run").close())
    job = maintenance.compact(full=False)
    assert job is not None
    assert (job.id, job.state) == (1, "running")
    assert maintenance.compact(full=False) is None, "one at a time"
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]
    done = maintenance.compaction
    assert done is not None
    assert (done.state, done.phase, done.error_message) == ("done", "done", None)
    assert done.pages_freed == done.pages_to_free > 900
    assert done.size_after_bytes == size() + size("-wal") < 300_000
    assert done.size_before_bytes is not None
    assert done.size_before_bytes > 4_000_000
    again = maintenance.compact(full=True)
    assert again is not None
    assert again.id == 2
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]


async def test_a_full_one_needs_no_memory_for_the_file(
    store: StoreService, maintenance: MaintenanceService, until: Until
) -> None:
    await store.write([run_of(n, NOW) for n in range(4_000)])
    opened: set[str] = set()

    def look() -> None:
        for one in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                opened.add(str(one.readlink()))

    await store.run(
        lambda cursor: cursor.connection.set_progress_handler(look, 100), in_transaction=False
    )
    assert maintenance.compact(full=True) is not None
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]
    assert any("etilqs" in name for name in opened), "SQLite's file for temporary data"
    assert await store.run(lambda c: c.execute("PRAGMA temp_store").fetchone()[0]) == 2


async def test_a_full_one_writes_the_file_anew(
    store: StoreService, maintenance: MaintenanceService, size: Size, until: Until
) -> None:
    """What is left lies in half-empty pages, which only VACUUM brings together."""
    await store.write([run_of(n, NOW) for n in range(4_000)])
    await store.run(
        lambda cursor: cursor.execute("DELETE FROM collector_run WHERE records % 4 <> 0").close()
    )
    await store.checkpoint()
    before = size()
    assert maintenance.compact(full=True) is not None
    meanwhile = store.write([run_of(-1, NOW)])
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]
    await meanwhile
    assert maintenance.compaction.state == "done"  # type: ignore[union-attr]
    assert size() < before * 0.5
    rows = await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM collector_run").fetchone()
    )
    assert rows == (1_001,)
    assert await store.read(lambda c: c.execute("PRAGMA auto_vacuum").fetchone()) == (2,)


async def test_a_full_one_lets_a_database_shrink_that_could_not(
    store: StoreService, maintenance: MaintenanceService, until: Until
) -> None:
    """What was made from a dump, as after damage, keeps its free pages for ever."""

    def forget_how(cursor: sqlite3.Cursor) -> int:
        cursor.execute("PRAGMA auto_vacuum = NONE")
        cursor.execute("VACUUM")
        found: int = cursor.execute("PRAGMA auto_vacuum").fetchone()[0]
        return found

    assert await store.run(forget_how, in_transaction=False) == 0
    assert maintenance.compact(full=True) is not None
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]
    assert await store.read(lambda c: c.execute("PRAGMA auto_vacuum").fetchone()) == (2,)


class TestRoomForAFullOne:
    @pytest.fixture
    def free(self, monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
        """Give what is free where; elsewhere there is enough."""
        found: dict[Path, int] = {}

        def usage(place: Path) -> SimpleNamespace:
            return SimpleNamespace(free=found.get(place, 1 << 40))

        monkeypatch.setattr("etlmon.store.vacuum.shutil.disk_usage", usage)
        return found

    async def test_is_its_content_where_temporary_files_go_and_again_in_its_log(
        self, maintenance: MaintenanceService, path: Path, free: dict[Path, int]
    ) -> None:
        content_bytes = (await maintenance.figures(None)).content_bytes
        same = {"TMPDIR": str(path.parent)}
        free[path.parent] = 2 * content_bytes
        assert lacking_room(path, content_bytes, same) is None
        free[path.parent] -= 1
        words = str(lacking_room(path, content_bytes, same))
        assert words.startswith(f"{2 * content_bytes} bytes of free space beside the database")
        elsewhere = {"SQLITE_TMPDIR": "/dev/shm", "TMPDIR": str(path.parent)}
        assert lacking_room(path, content_bytes, elsewhere) is None
        free[Path("/dev/shm")] = content_bytes - 1
        words = str(lacking_room(path, content_bytes, elsewhere))
        assert words.startswith(f"{content_bytes} bytes of free space for temporary files, in /dev")

    async def test_is_asked_for_the_content_of_the_database(
        self, maintenance: MaintenanceService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(
            "etlmon.store.maintenance.lacking_room", lambda _path, size: asked.append(size)
        )
        assert await maintenance.lacking_room() is None
        assert asked == [(await maintenance.figures(None)).content_bytes]

    def test_none_is_there_where_no_temporary_file_can_be(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As for a service whose file systems are read-only to it but for a few directories."""
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert "let SQLITE_TMPDIR name one" in str(lacking_room(path, 1))

    def test_the_packaged_node_has_a_place_for_them(self) -> None:
        """ProtectSystem=strict leaves it none of SQLite's own."""
        unit = (
            Path(etlmon.__file__).parents[1] / "debian" / "etlmon.etlmon-node.service"
        ).read_text()
        assert "Environment=SQLITE_TMPDIR=%S/etlmon\n" in unit
        assert "StateDirectory=etlmon\n" in unit

    def test_where_sqlite_puts_temporary_files(self, tmp_path: Path) -> None:
        assert temporary_directory({"SQLITE_TMPDIR": str(tmp_path)}) == tmp_path
        assert temporary_directory({"TMPDIR": str(tmp_path / "none")}) == Path("/var/tmp")


async def test_one_for_which_there_is_no_room_holds_up_nothing(
    store: StoreService,
    maintenance: MaintenanceService,
    until: Until,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was free may be taken before it gets there: it is not tried again and again."""

    def fail(_cursor: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("etlmon.store.maintenance.vacuum", fail)
    assert maintenance.compact(full=True) is not None
    await until(lambda: maintenance.compaction.state != "running")  # type: ignore[union-attr]
    job = maintenance.compaction
    assert job is not None
    assert (job.state, job.error_message) == ("failed", "not stored: database or disk is full")
    await store.write([run_of(1, NOW)])
    assert store.health().state == "ok"


async def test_checked_ten_minutes_after_the_start_and_daily(
    maintenance: MaintenanceService, turned: Turned, until: Until
) -> None:
    turned.clock.advance(599)
    assert maintenance.check is None
    turned.clock.advance(1)
    await until(lambda: maintenance.check is not None)
    first = maintenance.check
    assert first is not None
    assert (first.state, first.message, first.left_out) == ("ok", None, [])
    assert first.tables >= 6
    # The next check is to come, and the next look into the tables.
    await until(lambda: len(turned.clock.getDelayedCalls()) == 2)
    turned.clock.advance(86_400)
    await until(lambda: maintenance.check is not first)


async def test_a_large_table_is_left_to_the_copies(
    store: StoreService, maintenance: MaintenanceService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write([run_of(n, NOW) for n in range(1_000)])
    monkeypatch.setattr("etlmon.store.maintenance._MOST_CHECKED_BYTES", 500_000)
    found = await maintenance.checked()
    assert (found.state, found.left_out) == ("ok", ["collector_run"])


async def test_a_damaged_file_is_found_and_replaced(
    store: StoreService,
    maintenance: MaintenanceService,
    turned: Turned,
    path: Path,
    until: Until,
    flush_logged_errors: Flush,
) -> None:
    await store.write([run_of(n, NOW) for n in range(1_000)])
    await store.checkpoint()
    pages = path.stat().st_size // 4096  # noqa: ASYNC240
    with path.open("r+b") as file:
        for page in range(pages // 2, pages - 1):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    turned.clock.advance(600)
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    await until(lambda: maintenance.check is not None)
    assert maintenance.check is not None
    assert maintenance.check.state in ("damaged", "error")  # error: the sizes were not readable
    flush_logged_errors("The database's check", "is damaged")


async def test_an_index_that_it_finds_damaged_is_made_anew(
    path: Path, turned: Turned, sql: Any, until: Until, flush_logged_errors: Flush
) -> None:
    """Nothing fails by it: whoever asks by that index misses a row, and does not know."""
    make(path, rows=10)
    spoil_index(path)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    service = MaintenanceService(
        store, TABLES, lambda _table: RetentionSection(), turned, lambda: NOW
    )
    service.startService()
    turned.clock.advance(600)
    await until(lambda: sql("PRAGMA integrity_check") == [("ok",)])
    await until(lambda: store.health().state == "ok")
    assert store.set_aside is None
    assert service.check is not None
    assert service.check.state == "damaged"
    turned.clock.advance(600)
    await until(lambda: service.check is not None and service.check.state == "ok")
    await service.stopService()
    await store.stopService()
    flush_logged_errors("missing from index")


async def test_what_a_check_finds_is_looked_into(
    store: StoreService,
    maintenance: MaintenanceService,
    monkeypatch: pytest.MonkeyPatch,
    turned: Turned,
    until: Until,
    flush_logged_errors: Flush,
) -> None:
    monkeypatch.setattr(
        "etlmon.store.maintenance.check", lambda _path, _table, **_how: "page 7 is wrong"
    )
    turned.clock.advance(600)
    await until(lambda: maintenance.check is not None)
    assert maintenance.check is not None
    assert (maintenance.check.state, maintenance.check.message) == ("damaged", "page 7 is wrong")
    await until(lambda: store.health().state == "ok")
    assert store.set_aside is None, "a sound file is kept"
    flush_logged_errors("page 7 is wrong")
