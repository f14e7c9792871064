"""Migrations: in order, all or none of them, with a copy before the first of an upgrade."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from etlmon import __version__
from etlmon.errors import StoreError
from etlmon.store.faults import NoRoomError, why_not_yet
from etlmon.store.migrate import Migration, load_migrations, migrate, schema_version
from etlmon.store.tables.all import HISTORIES

FIRST = Migration(1, "first", "CREATE TABLE a (x TEXT) STRICT;\nINSERT INTO a VALUES ('one');\n")
SECOND = Migration(2, "second", "ALTER TABLE a ADD COLUMN y INTEGER;\nUPDATE a SET y = 2;\n")
THIRD = Migration(3, "third", "CREATE INDEX a_by_y ON a (y);\n")
BROKEN = Migration(2, "broken", "UPDATE a SET x = 'gone';\nDROP TABLE b;\n")


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as one:
        one.execute("PRAGMA journal_mode = WAL")
        yield one


def dump(connection: sqlite3.Connection) -> list[str]:
    return list(connection.iterdump())


def copies(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.glob("*.schema-*")}


def test_those_of_this_version_are_numbered_without_a_hole() -> None:
    found = load_migrations()
    assert [step.schema_version for step in found] == list(range(1, len(found) + 1))
    assert found[0].name == "first_slice"


def test_new_database(connection: sqlite3.Connection, path: Path) -> None:
    assert schema_version(connection) == 0
    assert migrate(connection, path, 7, [FIRST, SECOND]) == 2
    assert schema_version(connection) == 2
    assert connection.execute("SELECT * FROM a").fetchall() == [("one", 2)]
    assert connection.execute("SELECT * FROM migrations").fetchall() == [
        (1, "first", 7, __version__),
        (2, "second", 7, __version__),
    ]
    assert not copies(path)


def test_nothing_missing_changes_nothing(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    assert migrate(connection, path, 8, [FIRST]) == 1
    assert dump(connection) == before
    assert not copies(path)


def test_upgrade_makes_a_copy_first(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    assert migrate(connection, path, 8, [FIRST, SECOND, THIRD]) == 3
    assert copies(path) == {"etlmon.db.schema-1"}
    copy = path.with_name("etlmon.db.schema-1")
    assert stat.S_IMODE(copy.stat().st_mode) & 0o137 == 0  # no wider than the database
    with closing(sqlite3.connect(copy)) as restored:
        assert dump(restored) == before
        assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert migrate(restored, copy, 9, [FIRST]) == 1


def test_copy_replaces_an_older_one(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path, 7, [FIRST])
    path.with_name("etlmon.db.schema-1").write_text("old")
    migrate(connection, path, 8, [FIRST, SECOND])
    assert copies(path) == {"etlmon.db.schema-1"}
    with closing(sqlite3.connect(path.with_name("etlmon.db.schema-1"))) as copy:
        assert schema_version(copy) == 1


def test_the_copy_is_beside_the_file_and_not_beside_a_link_to_it(
    connection: sqlite3.Connection, path: Path, tmp_path: Path
) -> None:
    """Who put the database on a larger disk has left a link where there is less room."""
    migrate(connection, path, 7, [FIRST])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    named = elsewhere / "node.db"
    named.symlink_to(path)
    migrate(connection, named, 8, [FIRST, SECOND])
    assert copies(path) == {"etlmon.db.schema-1"}
    assert [*elsewhere.iterdir()] == [named]


def test_no_copy_no_upgrade(connection: sqlite3.Connection, path: Path) -> None:
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    path.with_name("etlmon.db.schema-1").mkdir()
    with pytest.raises(StoreError, match=r"cannot copy .* before its upgrade: .*directory"):
        migrate(connection, path, 8, [FIRST, SECOND])
    assert dump(connection) == before
    assert copies(path) == {"etlmon.db.schema-1"}


def test_no_copy_is_begun_that_the_disk_has_no_room_for(
    connection: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that waits for room tries it every 5 s: each time the disk would be full."""
    migrate(connection, path, 7, [FIRST])
    usage = type(shutil.disk_usage(path.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: usage(9999, 9999 - 100, 100))
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *how: opened.append(how))
    with pytest.raises(
        StoreError, match=r"No space left on device: \d+ bytes are needed"
    ) as caught:
        migrate(connection, path, 8, [FIRST, SECOND])
    assert why_not_yet(caught.value, path) == "the disk is full"
    assert opened == []


def test_one_that_fails_again_and_again_is_copied_once(
    connection: sqlite3.Connection, path: Path
) -> None:
    """A start that waits for room tries it every 5 s; and what comes in between is copied, too."""
    copy = path.with_name("etlmon.db.schema-1")
    migrate(connection, path, 7, [FIRST])

    def copied() -> tuple[int, int]:
        with pytest.raises(StoreError):
            migrate(connection, path, 8, [FIRST, BROKEN])
        return copy.stat().st_ino, copy.stat().st_size

    first = copied()
    assert copied() == first
    connection.execute("INSERT INTO a VALUES ('two')")
    second = copied()
    assert second != first
    assert copied() == second
    with closing(sqlite3.connect(copy)) as other:
        assert other.execute("SELECT x FROM a").fetchall() == [("one",), ("two",)]


def test_what_another_program_keeps_in_the_log_is_copied_too(
    connection: sqlite3.Connection, path: Path
) -> None:
    """By size and time the file is then as when it was copied last."""
    migrate(connection, path, 7, [FIRST])
    with pytest.raises(StoreError):
        migrate(connection, path, 8, [FIRST, BROKEN])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM a").fetchall()
        connection.execute("INSERT INTO a VALUES ('two')")
        with pytest.raises(StoreError):
            migrate(connection, path, 8, [FIRST, BROKEN])
    with closing(sqlite3.connect(path.with_name("etlmon.db.schema-1"))) as copy:
        assert copy.execute("SELECT x FROM a").fetchall() == [("one",), ("two",)]


def test_without_room_on_the_disk_for_it(
    connection: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(path.parent))
    free = 100 << 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: usage(0, 0, free))
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    connection.execute("PRAGMA max_page_count = 1")  # as a disk that is full
    large = Migration(2, "large", "CREATE TABLE b AS SELECT zeroblob(1000000) FROM a;")
    with pytest.raises(NoRoomError, match="database or disk is full; the database is as") as caught:
        migrate(connection, path, 8, [FIRST, large])
    assert dump(connection) == before
    assert why_not_yet(caught.value, path) == "the disk is full"
    assert not caught.value.is_over()
    free += 2 << 20
    assert caught.value.is_over()


LARGE = Migration(2, "large", "CREATE TABLE b AS SELECT * FROM collector_run; DROP TABLE b;")


@pytest.mark.parametrize("has_others", [False, True])
def test_below_the_greatest_size_the_oldest_rows_make_the_room(
    connection: sqlite3.Connection, path: Path, *, has_others: bool
) -> None:
    """Those of the largest history that this schema has as today's does; the copy has them all."""
    history = "CREATE TABLE collector_run (started_at INTEGER, text TEXT) STRICT;"
    if has_others:  # which cannot be cut as today's
        history += "CREATE TABLE log_lines (line TEXT); INSERT INTO log_lines VALUES (zeroblob(9));"
    numbers = "SELECT started_at FROM collector_run ORDER BY 1"
    migrate(connection, path, 7, [Migration(1, "first", history)])
    connection.executemany(
        "INSERT INTO collector_run VALUES (?, ?)", [(n, "x" * 3000) for n in range(100)]
    )
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 10}").fetchone()
    assert migrate(connection, path, 8, [FIRST, LARGE], HISTORIES) == 2
    left = [number for (number,) in connection.execute(numbers)]
    assert left == list(range(50, 100))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert path.stat().st_size <= (pages + 10) * 4096
    with closing(sqlite3.connect(path.with_name("etlmon.db.schema-1"))) as copy:
        assert [number for (number,) in copy.execute(numbers)] == list(range(100))


def test_what_fits_in_no_way_says_what_must_be_given(
    connection: sqlite3.Connection, path: Path
) -> None:
    """And is tried again: a quota may be in the way, which looks as if the disk had room."""
    migrate(connection, path, 7, [Migration(1, "first", "CREATE TABLE collector_run (x TEXT);")])
    connection.execute("PRAGMA max_page_count = 1")
    large = Migration(2, "large", "CREATE TABLE b AS SELECT zeroblob(1000000);")
    words = r"failed: .* free space, or allow a larger node\.db_max_bytes"
    with pytest.raises(NoRoomError, match=words) as caught:
        migrate(connection, path, 8, [FIRST, large], HISTORIES)
    assert why_not_yet(caught.value, path) == "the disk is full"
    assert caught.value.is_over()


@pytest.mark.parametrize("sql", [BROKEN.sql, "UPDATE a SET x = 'gone';\nnonsense;\n"])
def test_migration_that_fails_leaves_everything_as_it_was(
    connection: sqlite3.Connection, path: Path, sql: str
) -> None:
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    with pytest.raises(
        StoreError, match=r"migration 2 \(broken\) failed: .*the database is as it was before it"
    ):
        migrate(connection, path, 8, [FIRST, Migration(2, "broken", sql), THIRD])
    assert dump(connection) == before
    assert not connection.in_transaction
    assert migrate(connection, path, 9, [FIRST, SECOND]) == 2


def test_with_the_one_that_fails_those_before_it_are_undone(
    connection: sqlite3.Connection, path: Path
) -> None:
    """The older program goes on with the file, as it was."""
    migrate(connection, path, 7, [FIRST])
    before = dump(connection)
    with pytest.raises(StoreError, match="migration 3"):
        migrate(connection, path, 7, [FIRST, SECOND, Migration(3, "bad", "DROP TABLE b;")])
    assert dump(connection) == before
    assert migrate(connection, path, 8, [FIRST]) == 1
    assert migrate(connection, path, 8, [FIRST, SECOND, THIRD]) == 3


def test_first_migration_that_fails_leaves_an_empty_database(
    connection: sqlite3.Connection, path: Path
) -> None:
    with pytest.raises(StoreError):
        migrate(connection, path, 7, [Migration(1, "bad", FIRST.sql + "DROP TABLE b;")])
    assert connection.execute("SELECT * FROM sqlite_schema").fetchall() == []


def test_the_copy_from_before_an_upgrade_is_named_to_who_goes_back(
    path: Path, connection: sqlite3.Connection
) -> None:
    """With its time, since when it lacks what was stored."""
    migrate(connection, path, 0, [FIRST])
    migrate(connection, path, 86_400_000, [FIRST, SECOND])
    words = (
        r"install the newer etlmon again, or go back .*, at 1970-01-02 00:00 UTC, which lacks all"
        rf" that was stored since: etlmon restore -c node.yaml {path}.schema-1$"
    )
    with pytest.raises(StoreError, match=words):
        migrate(connection, path, 0, [FIRST])


@pytest.mark.parametrize(
    "what", ["another's", "of another time", "of another schema", "no database"]
)
def test_a_copy_that_does_not_fit_is_not_named(
    path: Path, connection: sqlite3.Connection, what: str
) -> None:
    migrate(connection, path, 7, [FIRST])
    migrate(connection, path, 8, [FIRST, SECOND])
    copy = path.with_name("etlmon.db.schema-1")
    if what == "no database":
        copy.write_text("x" * 4096)
    else:
        change = {
            "another's": "UPDATE migrations SET applied_at = 6",
            "of another time": "INSERT INTO migrations VALUES (2, 'second', 8, '')",
            "of another schema": "DROP TABLE migrations",
        }[what]
        with closing(sqlite3.connect(copy)) as other, other:
            other.execute(change)
    with pytest.raises(StoreError, match=r"again, or name another node\.db_path$"):
        migrate(connection, path, 9, [FIRST])


@pytest.mark.parametrize("at", ["'soon'", "1e300", f"{(1 << 63) - 1}", "-9e18", "NULL", "x'00'"])
def test_what_somebody_has_put_for_a_time_is_no_time(
    connection: sqlite3.Connection, path: Path, at: str
) -> None:
    """Such as in a database that is to be read by another's node."""
    with closing(sqlite3.connect(path.with_name(f"{path.name}.schema-1"))) as copy:
        for one in (copy, connection):
            one.execute("CREATE TABLE migrations AS SELECT 1 AS schema_version, 7 AS applied_at")
        copy.commit()
    connection.execute(f"INSERT INTO migrations VALUES (2, {at})")
    with pytest.raises(StoreError, match=r"again, or name another node\.db_path$"):
        migrate(connection, path, 9, [FIRST])


def test_a_database_that_tells_no_times_at_all_is_refused_too(
    connection: sqlite3.Connection, path: Path
) -> None:
    connection.execute("CREATE TABLE migrations AS SELECT 2 AS schema_version")
    with pytest.raises(StoreError, match=r"again, or name another node\.db_path$"):
        migrate(connection, path, 9, [FIRST])


def test_an_upgrade_is_told_with_what_was_kept(
    path: Path, connection: sqlite3.Connection, log_lines: list[str]
) -> None:
    migrate(connection, path, 7, [FIRST])
    assert log_lines == [], "a new one is no upgrade"
    migrate(connection, path, 8, [FIRST, SECOND, THIRD], seconds=iter([10.0, 72.25]).__next__)
    assert log_lines == [
        f"The database (0.0 MiB) is copied to {path}.schema-1, and then brought to the new schema;"
        " nothing is served until that is done.",
        "The database has been brought from schema 1 to 3 in 62.2 s; as it was before, it is kept"
        f" as {path}.schema-1.",
    ]


def test_newer_schema_is_refused_with_the_remedy(
    connection: sqlite3.Connection, path: Path
) -> None:
    migrate(connection, path, 7, [FIRST, SECOND])
    before = dump(connection)
    with pytest.raises(
        StoreError,
        match=rf"has schema 2, this etlmon {__version__} knows up to 1; install the newer etlmon",
    ):
        migrate(connection, path, 8, [FIRST])
    assert dump(connection) == before


SCRIPT = """
-- A comment; with a semicolon, and a ' quote.
CREATE TABLE log (line TEXT); CREATE TABLE other (line TEXT); -- two on a line
/* INSERT INTO log VALUES ('never');
*/
INSERT INTO log VALUES ('a;b''c;
d'); -- a string over two lines
CREATE TRIGGER twice AFTER INSERT ON log
BEGIN
    INSERT INTO other VALUES (new.line || ';');
    INSERT INTO other VALUES (CASE WHEN new.line = ';' THEN 'x' ELSE 'y' END);
END;
INSERT INTO log VALUES (";")
-- The last statement has no semicolon, and this is no statement.
"""


def test_statements(connection: sqlite3.Connection, path: Path) -> None:
    """Comments, strings with semicolons, triggers, several on a line, none forgotten."""
    migrate(connection, path, 7, [Migration(1, "script", SCRIPT)])
    assert connection.execute("SELECT line FROM log").fetchall() == [("a;b'c;\nd",), (";",)]
    assert connection.execute("SELECT line FROM other").fetchall() == [(";;",), ("x",)]


def test_script_of_comments_only(connection: sqlite3.Connection, path: Path) -> None:
    assert migrate(connection, path, 7, [Migration(1, "nothing", "-- nothing; at all\n")]) == 1
