"""A damaged database is set aside and kept, a new one begun, and the node goes on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor, task

from etlmon.errors import StoreError
from etlmon.records.health import CollectorRun
from etlmon.store.damage import DamagedError, check, looks_like_database, set_aside, stamp
from etlmon.store.database import StoreService
from etlmon.store.indexes import mend_indexes
from etlmon.store.migrate import load_migrations, migrate
from etlmon.store.open import prepare
from etlmon.units import utc
from tests.store.killed import killed

Until = Callable[[Callable[[], object]], Awaitable[None]]
Sql = Callable[..., list[tuple[Any, ...]]]
Flush = Callable[..., list[Any]]

NOW = 1_800_000_000.0
LABEL = "corrupt-20270115T080000Z"


def run_of(number: int) -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance="x" * 500,
        started_at=utc(NOW),
        duration_ms=0,
        state="ok",
        records=number,
    )


def make(path: Path, rows: int = 2_000) -> None:
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO collector_run VALUES ('a', ?, ?, 0, 'ok', NULL, ?)",
            [("x" * 500, number, number) for number in range(rows)],
        )


def spoil(path: Path, first: int = 8192) -> None:
    """Overwrite the pages from ``first`` on, as a failing disk does."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(first)
        file.write(os.urandom(4096) * ((size - first) // 4096))


def test_what_a_check_finds_is_one_line(path: Path) -> None:
    """The log would show the end of a line as two characters."""
    make(path)
    with path.open("r+b") as file:
        file.seek(-5 * 4096, os.SEEK_END)
        file.write(bytes(4096))
    found = check(path)
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(DamagedError) as raised,
    ):
        mend_indexes(connection, path)
    for words in (found, str(raised.value)):
        assert words is not None
        assert words.splitlines() == [words]
        assert not words.startswith("*")


def test_stamp_is_utc() -> None:
    assert stamp(NOW) == "20270115T080000Z"


class TestCheck:
    def test_a_sound_one(self, path: Path) -> None:
        make(path)
        assert check(path) is None
        assert check(path, "collector_run") is None

    def test_a_damaged_one(self, path: Path) -> None:
        make(path)
        spoil(path)
        found = check(path)
        assert found is not None
        assert 0 < len(found) <= 300

    def test_one_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(StoreError, match="cannot check"):
            check(path)


class TestSettingAside:
    def test_takes_what_lies_beside(self, path: Path) -> None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).write_text(suffix)
        aside = set_aside(path, "x")
        assert sorted(one.name for one in path.parent.iterdir()) == [
            "etlmon.db",
            "etlmon.db.x",
            "etlmon.db.x-shm",
            "etlmon.db.x-wal",
        ]
        assert aside.read_text() == ""
        assert path.stat().st_size == 0, "until a new one is begun"

    @pytest.mark.parametrize("has_links", [True, False])
    def test_replaces_nothing(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
    ) -> None:
        if not has_links:
            monkeypatch.setattr("etlmon.store.damage.link", lambda *_: False)
        for text in ("one", "two"):
            path.write_text(text)
            set_aside(path, "x")
            assert path.stat().st_size == 0
        assert path.with_name("etlmon.db.x").read_text() == "one"
        assert path.with_name("etlmon.db.x-2").read_text() == "two"


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (b"SQLite format 3\0 and so on", True),
        (bytes(4096), True),
        (b"root:x:0:0:root:/root:/bin/bash\n", False),
        (b"", False),
    ],
)
def test_what_was_a_database_once(path: Path, head: bytes, is_one: bool) -> None:
    path.write_bytes(head)
    assert looks_like_database(path) is is_one


def test_a_log_beside_it_tells(path: Path) -> None:
    path.write_bytes(b"garbage")
    path.with_name("etlmon.db-wal").touch()
    assert looks_like_database(path)


async def test_at_start(path: Path, flush_logged_errors: Flush) -> None:
    make(path)
    with path.open("r+b") as file:
        file.seek(16)
        file.write(os.urandom(8176))
    spoilt = path.read_bytes()  # noqa: ASYNC240
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert store.set_aside == path.with_name(f"etlmon.db.{LABEL}")
    assert store.set_aside.read_bytes() == spoilt
    assert await store.read(
        lambda cursor: cursor.execute("SELECT value FROM meta WHERE key = 'in_place_of'").fetchone()
    ) == (store.set_aside.name,)
    await store.write([run_of(1)])
    assert store.health().state == "ok"
    await store.stopService()
    flush_logged_errors("is damaged")


async def test_a_node_that_is_killed_before_it_has_begun_a_new_one_hides_nothing(
    path: Path, flush_logged_errors: Flush
) -> None:
    """The next one finds no database: it tells what has become of it, as the first would have."""
    make(path)
    set_aside(path, "corrupt-20270114T080000Z")
    make(path)
    kept = set_aside(path, LABEL)
    spoil(kept)
    kept.with_name(f"{kept.name}-wal").touch()
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert store.set_aside == kept
    assert await store.read(
        lambda cursor: cursor.execute("SELECT value FROM meta WHERE key = 'in_place_of'").fetchone()
    ) == (kept.name,)
    await store.stopService()
    flush_logged_errors("a damaged one is kept as")
    again = StoreService(path, reactor, lambda: NOW)
    again.startService()
    assert again.set_aside is None
    await again.stopService()


async def test_killed_while_it_begins_a_new_one_it_hides_nothing(
    path: Path, tmp_path: Path, flush_logged_errors: Flush
) -> None:
    def begin() -> None:
        store = StoreService(path, reactor, lambda: NOW)
        store.startService()

    make(path)
    kept = set_aside(path, LABEL)
    spoil(kept)
    step, was_killed = 0, True
    while was_killed:
        step += 7
        for one in tmp_path.iterdir():  # noqa: ASYNC240
            if one != kept:
                one.unlink()
        make_empty(path)
        was_killed = killed(step, begin)
        store = StoreService(path, reactor, lambda: NOW)
        store.startService()
        assert (
            await store.read(
                lambda cursor: cursor.execute(
                    "SELECT value FROM meta WHERE key = 'in_place_of'"
                ).fetchone()
            )
        ) == (kept.name,), step
        await store.stopService()
    assert step > 7
    flush_logged_errors("a damaged one is kept as")


async def test_so_it_does_with_half_of_the_schema_made(
    path: Path, flush_logged_errors: Flush
) -> None:
    make(path)
    kept = set_aside(path, LABEL)
    spoil(kept)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, 0, load_migrations()[:3])
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert store.set_aside == kept
    assert await store.read(
        lambda cursor: cursor.execute("SELECT value FROM meta WHERE key = 'in_place_of'").fetchone()
    ) == (kept.name,)
    await store.stopService()
    flush_logged_errors("a damaged one is kept as")


async def test_one_that_somebody_removes_is_not_told_as_damaged(path: Path) -> None:
    """Though a damaged one was set aside, once."""
    make(path)
    set_aside(path, LABEL)
    path.unlink()  # noqa: ASYNC240
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert store.set_aside is None
    found = await store.read(
        lambda cursor: cursor.execute(
            "SELECT count(*) FROM meta WHERE key = 'in_place_of'"
        ).fetchone()
    )
    assert found == (0,)
    await store.stopService()


async def test_killed_while_it_sets_one_aside_it_loses_no_log(
    path: Path, tmp_path: Path, flush_logged_errors: Flush
) -> None:
    """The database opens well without its log, as it was before; so the next start ends that."""
    make(path)
    log = path.with_name(f"{path.name}-wal")
    rows = "SELECT count(*) FROM collector_run"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM collector_run WHERE records < 1000")
        connection.commit()
        content = {"": path.read_bytes(), "-wal": log.read_bytes()}  # noqa: ASYNC240
    step, was_killed = 0, True
    found: list[Path | None] = []
    while was_killed:
        step += 1
        for one in tmp_path.glob("etlmon.db*"):  # noqa: ASYNC240
            one.unlink()
        for end, text in content.items():
            path.with_name(path.name + end).write_bytes(text)
        was_killed = killed(step, lambda: set_aside(path, LABEL))
        store = StoreService(path, reactor, lambda: NOW + 1)
        store.startService()
        kept = store.set_aside
        found.append(kept)
        if kept is None:
            assert await store.read(lambda cursor: cursor.execute(rows).fetchone()) == (1_000,)
        else:
            assert kept == path.with_name(f"etlmon.db.{LABEL}"), step
            for end, text in content.items():
                assert kept.with_name(kept.name + end).read_bytes() == text, step
            left = 1_000 if store.is_put_back else 0
            assert await store.read(lambda cursor: cursor.execute(rows).fetchone()) == (left,)
        await store.stopService()
    assert found[0] is None
    assert found[-1] is not None
    assert sorted(found, key=bool) == found, "once it is begun it is ended"
    flush_logged_errors("is damaged", "a damaged one is kept as")


async def test_another_programs_file_is_left_alone(path: Path) -> None:
    """Each start refuses it, also after the first has made a lock beside it."""
    path.write_bytes(b"root:x:0:0:root:/root:/bin/bash\n" * 100)  # noqa: ASYNC240
    for _ in range(2):
        with pytest.raises(StoreError, match="not a database"):
            StoreService(path, reactor, lambda: NOW).startService()
    assert path.read_bytes().startswith(b"root:x:0:0")  # noqa: ASYNC240


async def test_while_it_is_written(
    path: Path, sql: Sql, until: Until, flush_logged_errors: Flush
) -> None:
    make(path)
    store = StoreService(path, reactor, lambda: NOW)
    told: list[bool] = []
    store.on_replaced(lambda: told.append(True))
    store.startService()
    await store.run(lambda cursor: cursor.execute("PRAGMA cache_size = 0").close())
    spoil(path)
    number = 0
    while store.set_aside is None or not told:
        number += 1
        await store.write([run_of(number)])
        await task.deferLater(reactor, 0.001)
    await store.write([run_of(-1)])
    await until(lambda: not store.health().held_records and store.health().state == "ok")
    health = store.health()
    assert "kept as" in str(health.last_error)
    assert told == [True]
    stored = [records for (records,) in sql("SELECT records FROM collector_run ORDER BY rowid")]
    assert stored[-1] == -1
    assert stored[:-1] == list(range(stored[0], number + 1)), "none lost since, none twice"
    assert check(path) is None
    assert check(store.set_aside) is not None
    await store.stopService()
    flush_logged_errors("takes no writes", "is damaged")


async def test_found_by_a_read(path: Path, until: Until, flush_logged_errors: Flush) -> None:
    make(path)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    spoil(path)
    with pytest.raises(StoreError, match="cannot be read"):
        await store.read(
            lambda cursor: cursor.execute(
                "SELECT sum(length(instance)) FROM collector_run"
            ).fetchall()
        )
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    assert await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM collector_run").fetchone()
    ) == (0,)
    await store.stopService()
    flush_logged_errors("is damaged")


def spoil_index(
    path: Path,
    rows: int = 1,
    name: str = "collector_run_by_time",
    insert: str = "INTO collector_run SELECT 'b', 'x', i - 1, 0, 'ok', NULL, 7 + i",
) -> None:
    """Leave rows out of an index, number 7 and more, which the quick check does not see."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (number,) = connection.execute("PRAGMA schema_version").fetchone()
        row = connection.execute(
            "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema WHERE name = ?", (name,)
        ).fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = ?", (name,))
        connection.execute(f"PRAGMA schema_version = {number + 1}")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            f" INSERT {insert} FROM n",
            (rows - 1,),
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
        connection.execute(f"PRAGMA schema_version = {number + 2}")


async def test_an_index_that_is_damaged_is_made_anew(
    path: Path, sql: Sql, flush_logged_errors: Flush
) -> None:
    """All rows are there still: nothing need be set aside, and nothing fails for ever."""
    make(path, rows=10)
    spoil_index(path)
    assert check(path) is None
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    await store.run(lambda cursor: cursor.execute("DELETE FROM collector_run WHERE records = 7"))
    assert store.set_aside is None
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql("SELECT count(*) FROM collector_run") == [(9,)]
    await store.stopService()
    flush_logged_errors("takes no writes")


async def test_a_false_alarm_changes_nothing(store: StoreService, sql: Sql, until: Until) -> None:
    await store.write([run_of(1)])
    store.suspect(StoreError("a doubt"))
    assert store.health().state == "degraded"
    assert str(store.health().reason).startswith("the file is checked for damage")
    done = store.write([run_of(2)])
    await done
    assert (store.set_aside, store.health().state) == (None, "ok")
    assert sql("SELECT records FROM collector_run") == [(1,), (2,)]


async def test_stopping_meanwhile_ends(store: StoreService) -> None:
    store.suspect(StoreError("a doubt"))
    await store.stopService()


async def test_the_log_of_one_that_was_emptied_is_kept(
    path: Path, until: Until, flush_logged_errors: Flush
) -> None:
    """SQLite itself deletes it, whoever opens the file."""
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    await store.write([run_of(1)])
    os.truncate(path, 0)
    store.suspect(StoreError("a doubt"))
    await until(lambda: store.set_aside is not None and store.health().state == "ok")
    assert store.set_aside is not None
    assert store.set_aside.with_name(store.set_aside.name + "-wal").stat().st_size > 0
    await store.stopService()
    flush_logged_errors("is empty", "takes no writes")


def make_empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("is_gone", [False, True])
async def test_so_it_is_at_start(path: Path, flush_logged_errors: Flush, *, is_gone: bool) -> None:
    wal = path.with_name(path.name + "-wal")
    wal.write_bytes(b"written")
    if not is_gone:
        make_empty(path)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    assert path.with_name(f"{path.name}.{LABEL}-wal").read_bytes() == b"written"
    assert store.health().state == "ok"
    await store.stopService()
    flush_logged_errors("is empty")


async def test_that_cannot_be_set_aside_at_first(
    path: Path, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(path)
    tries = []

    def refuse_once(real: Path, label: str) -> Path:
        tries.append(label)
        if len(tries) == 1:
            raise StoreError("Read-only file system")
        return set_aside(real, label)

    monkeypatch.setattr("etlmon.store.aside.set_aside", refuse_once)
    monkeypatch.setattr("etlmon.store.current._TRY_AGAIN_SECONDS", 0.05)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    spoil(path)
    store.suspect(StoreError("a doubt"))
    await until(lambda: tries)
    assert store.health().state == "degraded"
    await until(lambda: store.health().state == "ok")
    await store.write([run_of(1)])
    await store.stopService()
    flush_logged_errors("Read-only file system", "is damaged")


async def test_that_cannot_be_checked(
    store: StoreService, until: Until, flush_logged_errors: Flush, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> None:
        raise StoreError("cannot check: disk I/O error")

    monkeypatch.setattr("etlmon.store.current.check", fail)
    for number in (1, 2):
        store.suspect(StoreError("a doubt"))
        await store.write([run_of(number)])
    assert store.health().state == "ok"
    assert len(flush_logged_errors("disk I/O error")) == 1


async def test_reads_that_wait_meanwhile_are_answered(
    path: Path, until: Until, flush_logged_errors: Flush
) -> None:
    make(path)
    store = StoreService(path, reactor, lambda: NOW)
    store.startService()
    await store.checkpoint()
    spoil(path)
    store.suspect(StoreError("a doubt"))
    answers = [store.read(lambda _cursor: None) for _ in range(5)]
    for answer in answers:
        with pytest.raises(StoreError, match="closed"):
            await answer
    await until(lambda: store.health().state == "ok")
    await store.stopService()
    flush_logged_errors("is damaged")
