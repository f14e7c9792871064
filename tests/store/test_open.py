"""Opening: what is made and with which mode, what is refused and with which words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from etlmon.errors import StoreError
from etlmon.store import open as open_module
from etlmon.store.database import StoreService
from etlmon.store.lock import lock
from etlmon.store.migrate import load_migrations
from etlmon.store.open import prepare

TOP = Path(__file__).parents[2]
NEWEST = load_migrations()[-1].schema_version

Sql = Callable[..., list[tuple[Any, ...]]]


def make(path: Path, *, allowed: bool = False, proc: Path = Path("/proc")) -> int:
    return prepare(path, now_ms=5, network_filesystem_allowed=allowed, proc=proc)


def names_in(directory: Path) -> set[str]:
    return {entry.name for entry in directory.iterdir()}


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


# --- what is made ---------------------------------------------------------------------------------


def test_modes_under_any_umask(path: Path, umask: int) -> None:
    deep = path.parent / "one" / "two" / path.name
    with lock(deep):
        make(deep)
        assert mode(deep) == 0o640
        with closing(sqlite3.connect(deep)) as connection:
            connection.execute("DELETE FROM meta")
            for beside in ("-wal", "-shm"):
                assert mode(deep.with_name(deep.name + beside)) == 0o640
        for directory in (deep.parent, deep.parent.parent):
            assert mode(directory) == 0o750 & ~umask


def test_modes_that_an_administrator_has_set_stay(path: Path) -> None:
    make(path)
    path.chmod(0o600)
    path.parent.chmod(0o711)
    with lock(path):
        make(path)
    assert (mode(path), mode(path.parent)) == (0o600, 0o711)


@pytest.mark.parametrize("before", [None, b""], ids=["no file", "zero bytes"])
def test_new_database(path: Path, sql: Sql, before: bytes | None) -> None:
    if before is not None:
        path.write_bytes(before)
    assert make(path) == NEWEST
    assert path.read_bytes()[18:20] == b"\2\2"  # the file format's marks of WAL
    assert sql("PRAGMA journal_mode") == [("wal",)]
    assert sql("PRAGMA auto_vacuum") == [(2,)]
    assert dict(sql("SELECT * FROM meta")).keys() == {"created_at", "created_by"}
    assert sql("SELECT value FROM meta WHERE key = 'created_at'") == [("5",)]


def test_database_that_is_there_is_opened_as_it_is(path: Path, sql: Sql) -> None:
    make(path)
    before = sql("SELECT * FROM meta ORDER BY key")
    assert prepare(path, now_ms=6, network_filesystem_allowed=True, proc=Path("/proc")) == NEWEST
    assert sql("SELECT * FROM meta ORDER BY key") == before


def test_start_that_was_killed_before_the_schema(path: Path, sql: Sql) -> None:
    """The file has its header and nothing else."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    make(path)
    assert sql("PRAGMA auto_vacuum") == [(2,)]
    assert len(sql("SELECT * FROM meta")) == 2


def test_start_that_was_killed_after_the_schema(path: Path, sql: Sql) -> None:
    make(path)
    sql("DELETE FROM meta")
    make(path)
    assert len(sql("SELECT * FROM meta")) == 2


@pytest.mark.parametrize(
    "name", ["a b.db", "100%41.db", "what?mode=rw.db", "a#b.db", "데이터 é.db"]
)
async def test_names_with_special_characters(tmp_path: Path, name: str) -> None:
    store = StoreService(tmp_path / name, reactor, lambda: 0.0)
    store.startService()
    await store.run(lambda cursor: cursor.execute("INSERT INTO meta VALUES ('a', 'b')"))
    assert await store.read(
        lambda cursor: cursor.execute("SELECT value FROM meta WHERE key = 'a'").fetchall()
    ) == [("b",)]
    assert names_in(tmp_path) == {name + end for end in ("", ".lock", "-wal", "-shm")}
    await store.stopService()


async def test_name_that_is_not_utf_8(tmp_path: Path) -> None:
    store = StoreService(tmp_path / os.fsdecode(b"\xff.db"), reactor, lambda: 0.0)
    store.startService()
    assert await store.read(lambda cursor: cursor.execute("SELECT 1").fetchall()) == [(1,)]
    await store.stopService()


# --- what is refused ------------------------------------------------------------------------------


def test_directory_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"etlmon\.db: Is a directory"):
        make(path)


def test_file_in_the_place_of_the_directory(path: Path) -> None:
    path.write_text("")
    with pytest.raises(StoreError, match=r"cannot open the lock .*: Not a directory"):
        lock(path / "etlmon.db")
    with pytest.raises(StoreError, match=r"directory .*: Not a directory; make it, or name"):
        lock(path / "below" / "etlmon.db")


def test_directory_that_cannot_be_made(
    open_directory: Path, unprivileged: Callable[[], Any]
) -> None:
    open_directory.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="Permission denied; make it, or name"):
        lock(open_directory / "below" / "etlmon.db")


def test_read_only_directory_and_file(
    open_directory: Path, unprivileged: Callable[[], Any]
) -> None:
    path = open_directory / "etlmon.db"
    make(path)
    open_directory.chmod(0o555)
    with unprivileged(), pytest.raises(StoreError, match="Permission denied"):
        make(path)
    with unprivileged(), pytest.raises(StoreError, match="Permission denied"):
        make(path.with_name("other.db"))


def test_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"listen: 127.0.0.1\n" * 500)
    with pytest.raises(StoreError, match="not a database; restore a copy, or move it away"):
        make(path)
    assert path.read_bytes() == b"listen: 127.0.0.1\n" * 500


@pytest.mark.parametrize("left", [0.9, 0.5, 0.2])
def test_truncated_database(path: Path, left: float) -> None:
    make(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)", ((n, "x" * 99) for n in range(999))
        )
    os.truncate(path, int(path.stat().st_size * left))
    before = path.read_bytes()
    with pytest.raises(StoreError, match="malformed; restore a copy, or move it away"):
        make(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "table",
    [
        "dashboards (id)",
        "migrations (id INTEGER, migration TEXT)",
        "migrations AS SELECT '20190312' AS schema_version",
        "migrations AS SELECT -1 AS schema_version",
    ],
)
def test_database_of_another_program(path: Path, sql: Sql, table: str) -> None:
    sql(f"CREATE TABLE {table}")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"belongs to another program; name another node\.db_path"):
        make(path)
    assert path.read_bytes() == before


def test_no_wal_no_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_module, "writer_pragmas", lambda connection: None)
    with pytest.raises(StoreError, match=r"journal mode is delete\); put node.db_path on a local"):
        make(path)


# --- network file systems -------------------------------------------------------------------------


@pytest.fixture
def proc(tmp_path: Path) -> Callable[[str], Path]:
    """Give what makes a /proc where tmp_path/data is a mount of the given type."""

    def make_proc(fs_type: str) -> Path:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/mountinfo").write_text(
            "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
            f"40 22 0:31 / {tmp_path}/data rw shared:2 - {fs_type} server:/export rw\n"
        )
        return tmp_path / "proc"

    return make_proc


@pytest.mark.parametrize("fs_type", ["nfs", "nfs4", "cifs", "ceph", "fuse.sshfs"])
def test_network_file_system_is_refused_unless_forced(
    tmp_path: Path, proc: Callable[[str], Path], fs_type: str
) -> None:
    path = tmp_path / "data" / "etlmon.db"
    root = proc(fs_type)
    with pytest.raises(StoreError, match=rf"\({fs_type}\).*db_on_network_filesystem: true"):
        make(path, proc=root)
    assert not path.exists()
    assert make(path, allowed=True, proc=root) == NEWEST


def test_before_anything_on_it_is_touched(tmp_path: Path, proc: Callable[[str], Path]) -> None:
    """Not even a lock is made there: where the server does not answer, that never ends."""
    path = tmp_path / "data" / "etlmon.db"
    with pytest.raises(StoreError, match=r"on a network file system \(nfs4\)"):
        StoreService(path, reactor, lambda: 0.0, proc=proc("nfs4")).startService()
    assert not path.parent.exists()


def test_link_to_a_network_file_system_is_refused(
    tmp_path: Path, proc: Callable[[str], Path]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "here").symlink_to("data")
    with pytest.raises(StoreError, match="nfs4"):
        make(tmp_path / "here" / "etlmon.db", proc=proc("nfs4"))


def test_local_file_system_beside_it_is_accepted(
    tmp_path: Path, proc: Callable[[str], Path]
) -> None:
    assert make(tmp_path / "data2" / "etlmon.db", proc=proc("nfs4")) == NEWEST


def test_local_mount_and_no_proc_are_accepted(tmp_path: Path, proc: Callable[[str], Path]) -> None:
    assert make(tmp_path / "data" / "etlmon.db", proc=proc("xfs")) == NEWEST
    assert make(tmp_path / "data" / "etlmon.db", proc=tmp_path / "nowhere") == NEWEST


# --- the connections ------------------------------------------------------------------------------


async def test_pragmas_of_the_writer(store: StoreService) -> None:
    def pragmas(cursor: sqlite3.Cursor) -> dict[str, Any]:
        names = (
            "journal_mode synchronous foreign_keys mmap_size busy_timeout temp_store "
            "journal_size_limit auto_vacuum query_only"
        ).split()
        return {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert await store.run(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "mmap_size": 0,
        "busy_timeout": 2000,
        "temp_store": 2,
        "journal_size_limit": 16 << 20,
        "auto_vacuum": 2,
        "query_only": 0,
    }


async def test_pragmas_of_a_reader(store: StoreService) -> None:
    def pragmas(cursor: sqlite3.Cursor) -> list[Any]:
        names = ("query_only", "mmap_size", "busy_timeout")
        return [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await store.read(pragmas) == [1, 0, 2000]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO meta VALUES ('a', 'b')",
        "DELETE FROM meta",
        "CREATE TABLE more (id INTEGER)",
        "PRAGMA user_version = 3",
    ],
)
async def test_reader_cannot_write(store: StoreService, statement: str) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await store.read(lambda cursor: cursor.execute(statement).fetchall())


async def test_reader_cannot_write_even_if_it_switches_query_only_off(store: StoreService) -> None:
    def query(cursor: sqlite3.Cursor) -> None:
        cursor.execute("PRAGMA query_only = OFF")
        cursor.execute("DELETE FROM meta")

    with pytest.raises(StoreError, match="readonly"):
        await store.read(query)


@pytest.mark.parametrize("pragmas", [open_module.writer_pragmas, open_module.reader_pragmas])
def test_a_file_cannot_say_how_much_memory_is_used(
    path: Path, pragmas: Callable[[sqlite3.Connection], None]
) -> None:
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA default_cache_size = 100000000")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        pragmas(connection)
        assert connection.execute("PRAGMA cache_size").fetchone() == (-2000,)
