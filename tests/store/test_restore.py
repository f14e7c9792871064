"""Putting a copy back: whoever kills it leaves a whole database, the old one or the new one."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etlmon.errors import StoreError
from etlmon.store import rotation, shape, sizes
from etlmon.store.backup import back_up
from etlmon.store.damage import DamagedError
from etlmon.store.open import prepare
from etlmon.store.restore import restore
from tests.store.conftest import NOBODY
from tests.store.killed import killed
from tests.store.test_backup import NOW, numbers
from tests.store.test_damage import spoil

OLD, NEW = [7, 8], [7]


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> Path:
    """Give a copy; then the database gets a row more, which is in its log alone."""
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    add(path, 7)
    copy = tmp_path / "copy"
    back_up(path, copy)
    add(path, 8, keeps_log=True)
    return copy


def add(path: Path, number: int, *, keeps_log: bool = False) -> None:
    """Store a row; ``keeps_log`` leaves it in the log, as a node that is killed does."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            values = ("a", "", number, 0, "ok", None, number)
            connection.execute("INSERT INTO collector_run VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        log = path.with_name(f"{path.name}-wal").read_bytes()
        file = path.read_bytes()
    if keeps_log:
        path.with_name(f"{path.name}-wal").write_bytes(log)
        path.write_bytes(file)


@pytest.fixture
def states(path: Path, copy: Path, tmp_path: Path) -> Iterator[Any]:
    """Give what a restore has left behind that was killed at each of its steps."""
    before = tmp_path / "before"
    before.mkdir()
    for one in tmp_path.glob("etlmon.db*"):
        shutil.move(one, before)

    def each() -> Iterator[int]:
        step, was_killed = 0, True
        while was_killed:
            step += 1
            for one in tmp_path.glob("etlmon.db*"):
                one.unlink()
            shutil.copytree(before, tmp_path, dirs_exist_ok=True)
            was_killed = killed(step, lambda: restore(copy, path, NOW))
            yield step

    return before, each


def test_killed_at_any_step_it_leaves_one_of_them_whole(
    path: Path, copy: Path, states: Any
) -> None:
    found = []
    for step in states[1]():
        kept = path.parent.glob("*.before-restore-*Z")
        now = numbers(path)
        assert now in (OLD, NEW), step
        assert now == OLD or [numbers(one) for one in kept] == [OLD], step
        found.append(now)
    assert OLD in found
    assert found == sorted(found, reverse=True), "first the old one, then the new one"
    assert len(found) > 20, "there were steps"
    restore(copy, path, NOW + 1)
    assert numbers(path) == NEW


@pytest.mark.parametrize("loss", ["damaged", "emptied", "gone"])
def test_killed_while_it_replaces_what_is_lost_it_hides_nothing(
    path: Path, states: Any, loss: str
) -> None:
    """The next start must not take it for a database that was never there."""
    before, each = states
    old = before / path.name
    if loss == "damaged":
        spoil(old, 4096)
        old.write_bytes(bytes(4096) + old.read_bytes()[4096:])
    elif loss == "emptied":
        old.write_bytes(b"")
    else:
        old.unlink()
    log = (before / f"{path.name}-wal").read_bytes()
    for step in each():
        logs = path.parent.glob("etlmon.db*-wal")  # its own, or kept under another name
        assert log in [one.read_bytes() for one in logs], step
        try:
            prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
        except DamagedError:
            continue
        assert numbers(path) == NEW, step


def test_another_program_that_reads_the_old_one_is_named(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows cannot be brought into the file, and so not be kept by one name."""
    monkeypatch.setattr("etlmon.store.restore._PATIENCE_MS", 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM collector_run").fetchall()
        add(path, 9)
        with pytest.raises(StoreError, match="is being read by another program"):
            restore(copy, path, NOW)
        reader.execute("ROLLBACK")
    assert numbers(path) == [*OLD, 9]
    assert not list(path.parent.glob("*restore*"))


def test_a_file_system_without_links(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_names: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    kept = restore(copy, path, NOW).kept
    assert kept is not None
    assert (numbers(path), numbers(kept)) == (NEW, OLD)


def test_the_log_beside_a_copy_is_brought_in(path: Path, copy: Path, tmp_path: Path) -> None:
    """Such as of one that was made by hand, or that a node has set aside."""
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(path, both / "x.db")
    shutil.copy(path.with_name(f"{path.name}-wal"), both / "x.db-wal")
    restore(copy, path, NOW)
    assert numbers(path) == NEW
    content = {one: one.read_bytes() for one in both.iterdir()}
    restore(both / "x.db", path, NOW + 1)
    assert numbers(path) == OLD
    assert {one: one.read_bytes() for one in both.iterdir()} == content
    assert not list(tmp_path.glob("*restored*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to give a file away")
def test_the_log_of_somebody_else_is_refused(path: Path, copy: Path, tmp_path: Path) -> None:
    """In /tmp anybody can put one beside a copy: it would be the content of the database."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    shutil.copy(copy, shared / "copy")
    log = shared / "copy-wal"
    log.write_bytes(b"planted")
    os.chown(log, NOBODY, NOBODY)
    with pytest.raises(StoreError, match=r"-wal is of nobody, and .* of root: remove it"):
        restore(shared / "copy", path, NOW)
    assert numbers(path) == OLD
    os.chown(log, 0, 0)
    restore(shared / "copy", path, NOW)
    assert numbers(path) == NEW


PLANTED = """
CREATE TABLE "of ""others""\n" (x TEXT);
CREATE VIEW peek AS SELECT * FROM collector_run;
CREATE TRIGGER planted AFTER INSERT ON collector_run BEGIN DELETE FROM collector_run; END;
CREATE TRIGGER beside INSTEAD OF INSERT ON peek BEGIN DELETE FROM collector_run; END;
CREATE UNIQUE INDEX one_a_minute ON collector_run (started_at / 60000);
DROP INDEX collector_run_by_time;
CREATE INDEX collector_run_by_time ON collector_run (started_at) WHERE records = 1;
DROP INDEX filesystem_usage_by_mount;
ANALYZE;
"""


def test_what_is_not_of_the_schema_stays_out(
    path: Path, copy: Path, sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Whoever could write to a copy has left what would run with each row."""
    parts = (
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 2"
    )
    before = sql(parts)
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(PLANTED)
    content = copy.read_bytes()
    assert restore(copy, path, NOW).left_out == [
        'table of "others"\\n',
        "view peek",
        "trigger planted",
        "trigger beside",
        "index one_a_minute",
        "index collector_run_by_time",
    ]
    assert copy.read_bytes() == content
    assert sql(parts) == before
    assert sql("PRAGMA integrity_check") == [("ok",)]
    sql("INSERT INTO collector_run VALUES ('a', '', 9, 0, 'ok', NULL, 9)")
    assert numbers(path) == [*NEW, 9]
    copy.unlink()
    back_up(path, copy)
    assert restore(copy, path, NOW + 1).left_out == []


@pytest.mark.parametrize(
    "spent",
    [
        "INSERT INTO sqlite_sequence VALUES ('log_lines', 9223372036854775807)",
        "INSERT INTO sqlite_sequence VALUES ('log_lines', 'x')",
        "INSERT INTO log_lines (id, log_name, log_path, created_at, flags)"
        " VALUES (9223372036854775807, 'app', '/app', 1, '[]');"
        " DELETE FROM sqlite_sequence",
    ],
)
def test_a_copy_without_ids_to_give_is_refused(path: Path, copy: Path, spent: str) -> None:
    """Each row of a log would be refused as if the disk were full."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(f"DELETE FROM sqlite_sequence; {spent}")
    with pytest.raises(StoreError, match="the table log_lines has no more ids to give"):
        restore(copy, path, NOW)
    assert numbers(path) == OLD


def test_statistics_are_those_of_the_rows(
    path: Path, copy: Path, sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Whoever has changed them would make the queries of the node slow."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript("ANALYZE; UPDATE sqlite_stat1 SET stat = '9999999 1 1'")
        rows = connection.execute("SELECT count(*) FROM collector_run").fetchone()[0]
    assert restore(copy, path, NOW).left_out == []
    found = sql("SELECT DISTINCT stat FROM sqlite_stat1 WHERE tbl = 'collector_run'")
    assert found
    assert all(int(stat.split()[0]) == rows for (stat,) in found)


def rewrite(copy: Path, table: str, old: str, new: str) -> None:
    """Change a table's SQL, as somebody may who has the file."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        changed = connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ? AND instr(sql, ?)",
            (old, new, table, old),
        )
        assert changed.rowcount == 1


STATE = "state TEXT NOT NULL"


@pytest.mark.parametrize(
    "new",
    [
        f"{STATE} CHECK (abs(random()) < 0)",
        f"{STATE} CHECK /* (records > 0) -- */ (0)",
        f"{STATE} DEFAULT 'it''s'",
        f"{STATE} UNIQUE",
        f"{STATE} REFERENCES audit_log (id)",
        "state BLOB NOT NULL",
    ],
)
def test_a_table_that_is_another_than_the_schemas_is_refused(
    path: Path, copy: Path, new: str
) -> None:
    """Nothing that has been put into it is run, not even by the check of the copy."""
    rewrite(copy, "collector_run", STATE, new)
    with pytest.raises(
        StoreError,
        match=r"copy: the table collector_run is not made as schema \d+ has it.*use another copy",
    ):
        restore(copy, path, NOW)
    assert numbers(path) == OLD
    assert not list(path.parent.glob("*restore*"))


def test_a_table_whose_sql_cannot_be_read_hides_no_other(path: Path, copy: Path) -> None:
    rewrite(copy, "collector_run", STATE, f"{STATE} CHECK (0)")
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("CREATE TABLE x (word)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET name = 'sqlite_x', tbl_name = 'sqlite_x',"
            " sql = CAST(? AS TEXT) WHERE name = 'x'",
            (b"CREATE TABLE sqlite_x (word /* \xff */)",),
        )
    with pytest.raises(StoreError, match=r"cannot check how the tables of .*copy are made"):
        restore(copy, path, NOW)
    assert numbers(path) == OLD


def test_a_column_that_a_node_does_not_know_is_refused(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("ALTER TABLE log_lines ADD COLUMN more TEXT NOT NULL DEFAULT 'x'")
    with pytest.raises(StoreError, match="the table log_lines is not made as schema"):
        restore(copy, path, NOW)


def test_a_view_in_the_place_of_the_migrations_is_not_asked(path: Path, copy: Path) -> None:
    """It would give rows for ever."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TABLE migrations")
        connection.execute(
            "CREATE VIEW migrations (schema_version) AS WITH RECURSIVE n (x) AS"
            " (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT x FROM n"
        )
    with pytest.raises(StoreError, match=r"copy is no database of etlmon"):
        restore(copy, path, NOW)
    assert numbers(path) == OLD


_ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n"
_STUCK = "instr(zeroblob(900000000), zeroblob(400000000) || x'01')"
"""SQLite searches for it for years, and nothing can interrupt that."""


def nested_views() -> str:
    """Give views of which the last is made of 400 << 14 parts."""
    first = f"CREATE VIEW v0 AS SELECT {' UNION ALL SELECT '.join(['1'] * 400)};"
    return first + "".join(
        f"CREATE VIEW v{number} AS SELECT 1 FROM v{number - 1} a, v{number - 1} b;"
        for number in range(1, 15)
    )


def ends_within(seconds: int, act: Callable[[], object]) -> bool:
    """Act in a process that is killed after so long: nothing else ends a call of SQLite."""
    child = os.fork()
    if child == 0:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def written(name: str, sql: str) -> str:
    """Give what writes another SQL for something into a schema."""
    quoted = sql.replace("'", "''")
    return f"""
        PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = '{quoted}' WHERE name = '{name}';
    """


@pytest.mark.parametrize(
    "planted",
    [
        nested_views(),
        f"CREATE TABLE x (a, CHECK ({_STUCK} = 0)); PRAGMA ignore_check_constraints = ON;"
        " INSERT INTO x VALUES (1);",
        "CREATE TABLE x (a); INSERT INTO x VALUES (1);"
        + written("x", f"CREATE TABLE x (a, b AS ({_STUCK}) NOT NULL)"),
        "CREATE INDEX x ON collector_run (records) WHERE state IS NULL;"
        + written("x", f"CREATE INDEX x ON collector_run (records) WHERE {_STUCK}"),
        "ANALYZE;"
        + written("sqlite_stat1", f"CREATE TABLE sqlite_stat1 (tbl, idx, x, stat AS ({_STUCK}))"),
        "CREATE VIRTUAL TABLE x USING fts5 (a); DROP TABLE x_config;"
        f" CREATE VIEW x_config (k, v) AS SELECT 1, x FROM ({_ENDLESS});",
    ],
    ids=["views", "constraint", "generated column", "index", "statistics", "virtual table"],
)
def test_nothing_that_is_planted_is_run(
    path: Path, copy: Path, planted: str, sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    """Each of them would hold up the restore for hours or for ever."""
    parts = (
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 2"
    )
    before = sql(parts)
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(planted)
    assert ends_within(30, lambda: restore(copy, path, NOW))
    assert numbers(path) == NEW
    assert sql(parts) == before
    assert sql("PRAGMA integrity_check") == [("ok",)]


def test_statistics_that_are_computed_hold_up_nobody(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does so whenever it opens the file, here for an hour, whatever it is asked."""
    monkeypatch.setattr(shape, "_MOST_SECONDS", 0.2)
    search = "instr(zeroblob(19000 + length(x)), zeroblob(9000) || x'01')"
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(
            "ANALYZE; WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 99999)"
            " INSERT INTO sqlite_stat1 SELECT 'meta', 'meta', '1 1' FROM n;"
            + written(
                "sqlite_stat1",
                f"CREATE TABLE sqlite_stat1 (tbl, idx, x, stat AS ({'||'.join([search] * 99)}))",
            )
        )

    def try_it() -> None:
        with pytest.raises(StoreError, match="to look at its schema takes too long: somebody has"):
            restore(copy, path, NOW)
        rotation._told(copy)

    assert ends_within(30, try_it)
    assert numbers(path) == OLD


def test_views_of_views_hold_up_no_node(path: Path) -> None:
    def use() -> None:
        prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
        with closing(sqlite3.connect(path)) as connection:
            assert sizes.reckon(connection.cursor(), ["meta", "log_lines"])["meta"].rows == 2
        back_up(path, path.with_name("another"))

    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(nested_views())
    assert ends_within(30, use)


@pytest.mark.parametrize("planted", ["sqlite_x", "damaged"])
def test_what_cannot_be_dropped_goes_with_its_pages(
    path: Path, copy: Path, planted: str, sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript("CREATE TABLE x (a); INSERT INTO x VALUES (zeroblob(1 << 20))")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'x'")
        if planted == "sqlite_x":
            connection.executescript(
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET name = 'sqlite_x',"
                " tbl_name = 'sqlite_x', sql = 'CREATE TABLE sqlite_x (a)' WHERE name = 'x'"
            )
    if planted == "damaged":
        with copy.open("r+b") as file:
            file.seek((root[0] - 1) * 4096)
            file.write(b"\xff" * 4096)
    assert restore(copy, path, NOW).left_out == [f"table {planted.replace('damaged', 'x')}"]
    assert numbers(path) == NEW
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert path.stat().st_size < 1 << 20


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ("type = 'TRIGGER'", "something that is no TRIGGER: x"),
        ("type = 'trigger' || char(0)", "what is no text"),
        ("name = 'x' || char(0) || 'y'", "what is no text"),
        ("sql = CAST(sql AS BLOB)", "what is no text"),
        ("sql = sql || char(0) || ' [[['", "what is no text"),
        ("sql = 'create' || substr(sql, 7)", "something that is no trigger: x"),
    ],
)
def test_a_schema_that_no_sqlite_writes_is_refused(
    path: Path, copy: Path, odd: str, told: str
) -> None:
    """SQLite would run the trigger, whatever the words are by which it is looked for."""
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(
            "CREATE TRIGGER x AFTER INSERT ON collector_run BEGIN SELECT RAISE(IGNORE); END;"
            f" PRAGMA writable_schema = ON; UPDATE sqlite_schema SET {odd} WHERE name = 'x'"
        )
    with pytest.raises(StoreError, match=rf"its schema (holds|has) {told}.*use another copy"):
        restore(copy, path, NOW)
    assert numbers(path) == OLD
    assert not list(path.parent.glob("*restore*"))


def test_too_many_tables_are_no_database_of_ours(path: Path, copy: Path) -> None:
    """To drop them one by one takes a time that grows with the square of their number."""
    with closing(sqlite3.connect(copy)) as connection, connection:
        for number in range(1000):
            connection.execute(f"CREATE VIEW v{number} AS SELECT 1")
    with pytest.raises(StoreError, match=r"it has 10\d\d tables, indexes and so on"):
        restore(copy, path, NOW)


def test_a_table_may_be_written_in_another_way(path: Path, copy: Path) -> None:
    """Comments, spaces, quotes of names, and the case of words, mean nothing."""
    rewrite(
        copy, "collector_run", STATE, '"state" /* "of" it -- */ \n\ttext\tNot null -- (state)\n'
    )
    restore(copy, path, NOW)
    assert numbers(path) == NEW


def test_a_table_of_a_newer_etlmon_is_told_as_that(path: Path, copy: Path) -> None:
    rewrite(copy, "collector_run", STATE, "state TEXT")
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (9999, 'later', 0, '9.9.9')")
    with pytest.raises(StoreError, match=r"has schema 9999.*install the newer etlmon"):
        restore(copy, path, NOW)


def test_an_index_that_cannot_be_made_is_told(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **_how: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("etlmon.store.restore.put_right", fill)
    with pytest.raises(StoreError, match="nor can be made so: database or disk is full"):
        restore(copy, path, NOW)
    assert numbers(path) == OLD
    assert not list(path.parent.glob("*restore*"))


def test_nothing_is_begun_that_the_disk_has_no_room_for(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type(shutil.disk_usage(path.parent))
    monkeypatch.setattr(shutil, "disk_usage", lambda _directory: usage(9999, 9999 - 100, 100))
    opened: list[object] = []
    monkeypatch.setattr("etlmon.store.restore._write", lambda *how: opened.append(how))
    with pytest.raises(StoreError, match=rf"has 100 bytes free, {copy.stat().st_size} are needed"):
        restore(copy, path, NOW)
    assert not opened
    assert numbers(path) == OLD
