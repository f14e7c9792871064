"""Copies: made while a node writes, checked, rotated, and put back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import threads

from etlmon.errors import StoreError
from etlmon.records.health import CollectorRun
from etlmon.store import backup
from etlmon.store.backup import Copied, back_up, back_up_for_root
from etlmon.store.damage import DamagedError
from etlmon.store.database import StoreService
from etlmon.store.lock import lock
from etlmon.store.open import prepare
from etlmon.store.restore import restore
from etlmon.units import utc
from tests.store.test_damage import spoil, spoil_index
from tests.waiting import PATIENCE_SECONDS

Until = Callable[[Callable[[], object]], Awaitable[None]]
Flush = Callable[..., list[Any]]
NOW = 1_800_000_000.0
NUMBERS = "SELECT records FROM collector_run ORDER BY rowid"


def run_of(number: int, text: str = "") -> CollectorRun:
    return CollectorRun(
        collector="test",
        instance=text,
        started_at=utc(NOW),
        duration_ms=0,
        state="ok",
        records=number,
    )


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [number for (number,) in connection.execute(NUMBERS)]


def content_of(*statements: str) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return connection.serialize()


OTHERS = content_of("CREATE TABLE migrations (id INTEGER, migration TEXT)")


@pytest.fixture
def made(path: Path) -> Path:
    """Give a database with a row, which no node holds."""
    prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO collector_run VALUES ('a', '', 1, 0, 'ok', NULL, 7)")
    return path


class TestCopying:
    def test_its_directory_is_made_for_the_owner_of_the_database(
        self, made: Path, tmp_path: Path
    ) -> None:
        target = tmp_path / "backups" / "copy.db"
        back_up_for_root(made, target, NOW)
        assert numbers(target) == [7]
        status, owner = target.parent.stat(), made.stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o750, owner.st_uid)

    def test_makes_no_directory_above_its_own(self, made: Path, tmp_path: Path) -> None:
        """Without the disk that is mounted there they would go to another."""
        target = tmp_path / "mnt" / "disk" / "etlmon" / "copy.db"
        words = (
            rf"{tmp_path}/mnt is not there: mount its file system, or mkdir -p {tmp_path}/mnt/disk$"
        )
        for copy in (lambda: back_up(made, target), lambda: back_up_for_root(made, target, NOW)):
            with pytest.raises(StoreError, match=words):
                copy()
        assert not (tmp_path / "mnt").exists()

    def test_of_a_damaged_database_says_what_to_do(self, made: Path, tmp_path: Path) -> None:
        spoil(made, 0)
        with pytest.raises(DamagedError, match=r"database is damaged: .*`etlmon restore` puts"):
            back_up(made, tmp_path / "copy.db")
        assert not list(tmp_path.glob("copy*"))

    def test_on_a_full_disk_it_tells_where_the_copy_was_to_go(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not that the database could not be read, whose disk may be as full."""

        def fill(*_: Any) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr(backup, "_copy", fill)
        monkeypatch.setattr("etlmon.store.faults.hindrance", lambda _directory: "the disk is full")
        target = tmp_path / "copy.db"
        with pytest.raises(StoreError, match=f"cannot copy {made} to {target}: the disk is full"):
            back_up(made, target)

    def test_tells_where_its_file_is_exchanged_meanwhile(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where others may exchange names, SQLite writes to whatever bears the copy's."""
        sound = backup.make_sound

        def exchange(found: Path, *how: Any) -> bool:
            is_mended = sound(found, *how)
            found.rename(found.with_name("away"))
            found.symlink_to("away")
            return is_mended

        monkeypatch.setattr(backup, "make_sound", exchange)
        with pytest.raises(StoreError, match="somebody has exchanged"):
            back_up(made, tmp_path / "copy.db")
        assert not list(tmp_path.glob("copy*"))

    def test_one_that_was_emptied_keeps_its_log(self, made: Path, tmp_path: Path) -> None:
        """SQLite deletes the log beside an empty file, also where it opens that for reading."""
        log = made.with_name(f"{made.name}-wal")
        with closing(sqlite3.connect(made)) as other:
            other.execute("INSERT INTO collector_run VALUES ('a', '', 1, 0, 'ok', NULL, 8)")
            other.commit()
            written = log.read_bytes()
        made.write_bytes(b"")
        log.write_bytes(written)
        target = tmp_path / "copies" / "copy.db"
        with pytest.raises(StoreError, match="is damaged: the file is empty"):
            back_up(made, target)
        assert log.read_bytes() == written
        assert not target.exists()

    async def test_while_the_node_writes_all_the_time(
        self, store: StoreService, path: Path, tmp_path: Path
    ) -> None:
        await store.write([run_of(number, "x" * 500) for number in range(20_000)])
        target = tmp_path / "copy.db"
        written = threading.Event()

        def cancelled() -> bool:
            assert written.wait(PATIENCE_SECONDS)
            return False

        copying = threads.deferToThread(back_up, path, target, cancelled)
        last = 19_999
        while not copying.called:
            last += 1
            await store.write([run_of(last)])
            if last == 20_003:
                written.set()
        assert await copying == Copied(target.stat().st_size, is_mended=False)
        copied = numbers(target)
        assert copied == list(range(len(copied))), "the view of one moment"
        assert 20_000 <= len(copied) <= last
        assert last >= 20_003, "nothing was written meanwhile"

    def test_is_one_file_with_the_databases_rights(self, made: Path, tmp_path: Path) -> None:
        target = tmp_path / "copies" / "copy.db"
        target.parent.mkdir()
        back_up(made, target)
        assert numbers(target) == [7]
        assert [one.name for one in target.parent.iterdir()] == ["copy.db"]
        assert target.stat().st_mode & 0o777 == 0o640

    def test_replaces_nothing(self, made: Path, tmp_path: Path) -> None:
        target = tmp_path / "copy.db"
        target.write_text("precious")
        with pytest.raises(StoreError, match="exists already; name another"):
            back_up(made, target)
        assert target.read_text() == "precious"

    def test_nor_what_somebody_makes_meanwhile(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        target = tmp_path / "copies" / "copy.db"
        sound = backup.make_sound

        def soundly(*how: Any) -> bool:
            target.write_text("precious")
            return sound(*how)

        monkeypatch.setattr(backup, "make_sound", soundly)
        with pytest.raises(StoreError, match="exists since a moment ago; name another"):
            back_up(made, target)
        assert target.read_text() == "precious"
        assert [*target.parent.iterdir()] == [target]

    @pytest.mark.parametrize("place", ["etlmon.db/copy.db", "etlmon.db/deeper/copy.db"])
    def test_a_place_that_cannot_be(self, made: Path, tmp_path: Path, place: str) -> None:
        with pytest.raises(StoreError, match="cannot copy"):
            back_up(made, tmp_path / place)

    def test_a_disk_that_fails_is_named(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That of the database: the one that the copy goes to is well."""

        def fail(_database: Path) -> sqlite3.Connection:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error

        monkeypatch.setattr(backup, "_view", fail)
        monkeypatch.setattr(
            "etlmon.store.faults.hindrance",
            lambda directory: "the disk fails, see dmesg" if directory == made.parent else None,
        )
        target = tmp_path / "copies" / "copy.db"
        with pytest.raises(StoreError, match=rf"cannot copy {made}: the disk fails, see dmesg: "):
            back_up(made, target)

    def test_no_database(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no database"):
            back_up(path, tmp_path / "copy.db")

    def test_of_a_damaged_one_leaves_nothing(self, made: Path, tmp_path: Path) -> None:
        with made.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(made.stat().st_size - 4096))
        with pytest.raises(StoreError, match="cannot copy"):
            back_up(made, tmp_path / "copy.db")
        assert not [one for one in tmp_path.iterdir() if one.name.startswith("copy")]

    def test_an_index_that_is_damaged_is_made_anew_in_the_copy(
        self, made: Path, tmp_path: Path
    ) -> None:
        """All rows are there; who copies may not touch the database itself."""
        spoil_index(made)
        before = made.read_bytes()
        target = tmp_path / "copy.db"
        assert back_up(made, target).is_mended
        assert numbers(target) == [7, 7]
        assert made.read_bytes() == before

    @pytest.mark.parametrize("command", ["backup", "restore"])
    def test_interrupted_at_the_keyboard_it_leaves_nothing(
        self, made: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = tmp_path / "copy.db"
        back_up(made, copy)
        names = {one.name for one in tmp_path.iterdir()}

        def interrupt(*_how: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(f"etlmon.store.{command}.make_sound", interrupt)
        act = {
            "backup": lambda: back_up(made, tmp_path / "another.db"),
            "restore": lambda: restore(copy, made, NOW),
        }[command]
        with pytest.raises(KeyboardInterrupt):
            act()
        assert {one.name for one in tmp_path.iterdir()} - {"etlmon.db.lock"} == names

    def test_given_up(self, made: Path, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="given up"):
            back_up(made, tmp_path / "copy.db", lambda: True)
        assert not [one for one in tmp_path.iterdir() if one.name.startswith("copy")]


class TestOnAReadOnlyFileSystem:
    """As far as SQLite and the kernel say so."""

    @pytest.fixture(autouse=True)
    def read_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_database: Path) -> None:
            raise sqlite3.OperationalError("unable to open database file")

        monkeypatch.setattr(backup, "_view", fail)
        monkeypatch.setattr(backup, "hindrance", lambda _directory: backup.READ_ONLY)

    def test_a_process_that_has_it_open_keeps_its_locks(self, made: Path, tmp_path: Path) -> None:
        """Without them another program that closes it is the last one, and deletes its log."""
        look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
        with closing(sqlite3.connect(made)) as connection:
            connection.execute("UPDATE collector_run SET records = 8")
            connection.commit()
            with pytest.raises(StoreError, match="is on a read-only file system; `etlmon backup"):
                back_up(made, tmp_path / "copy.db")
            subprocess.run([sys.executable, "-c", look, made], check=True)
            assert made.with_name(f"{made.name}-wal").exists()

    def test_what_is_written_to_after_all_is_not_copied(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be read-only for this process alone, as in a container."""
        copied = shutil.copyfileobj

        def write_meanwhile(*how: Any) -> None:
            copied(*how)
            with closing(sqlite3.connect(made)) as connection, connection:
                connection.execute("UPDATE collector_run SET records = 8")

        monkeypatch.setattr(shutil, "copyfileobj", write_meanwhile)
        with pytest.raises(StoreError, match="was written to meanwhile; try again"):
            back_up(made, tmp_path / "copy.db", is_alone=True)
        assert not list(tmp_path.glob("copy*"))


class TestRestoring:
    def test_keeps_the_old_one_and_the_copy(self, made: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy.db"
        back_up(made, copy)
        with closing(sqlite3.connect(made)) as connection, connection:
            connection.execute("UPDATE collector_run SET records = 8")
        kept = restore(copy, made, NOW).kept
        assert (numbers(made), numbers(copy)) == ([7], [7])
        assert kept == made.with_name("etlmon.db.before-restore-20270115T080000Z")
        assert numbers(kept) == [8]
        assert made.stat().st_mode & 0o777 == 0o640

    def test_an_index_of_the_copy_that_is_damaged_is_made_anew(
        self, made: Path, tmp_path: Path
    ) -> None:
        """Such as of one that was made with cp, of a database that is not written to."""
        copy = tmp_path / "copy.db"
        spoil_index(made)
        copy.write_bytes(made.read_bytes())
        restore(copy, made, NOW)
        assert numbers(made) == [7, 7]
        assert not list(tmp_path.glob("*restored*"))

    def test_where_there_is_none(self, made: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.db"
        assert restore(made, other, NOW).kept is None
        assert numbers(other) == [7]

    def test_a_log_of_a_database_that_is_gone_is_not_brought_in(
        self, made: Path, tmp_path: Path
    ) -> None:
        copy, gone = tmp_path / "copy.db", tmp_path / "moved.db"
        back_up(made, copy)
        with closing(sqlite3.connect(made)) as connection:
            with connection:
                connection.execute("UPDATE collector_run SET records = 8")
            wal = made.with_name(made.name + "-wal").read_bytes()
        made.rename(gone)
        made.with_name(made.name + "-wal").write_bytes(wal)
        assert restore(copy, made, NOW).kept is None
        assert numbers(made) == [7]
        assert [one.read_bytes() for one in tmp_path.glob("*.before-restore-*-wal")] == [wal]

    async def test_refuses_while_a_node_has_it(
        self, store: StoreService, path: Path, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy.db"
        back_up(path, copy)
        with pytest.raises(StoreError, match=rf"in use by another node \(pid {os.getpid()}\)"):
            restore(copy, path, NOW)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"garbage" * 1000, "is damaged"),
            (b"", "is no database of etlmon"),
            (OTHERS, "is no database of etlmon"),
            (None, "there is no file"),
        ],
    )
    def test_refuses_what_is_no_copy(
        self, made: Path, tmp_path: Path, content: bytes | None, words: str
    ) -> None:
        copy = tmp_path / "copy.db"
        if content is not None:
            copy.write_bytes(content)
        with pytest.raises(StoreError, match=words):
            restore(copy, made, NOW)
        assert numbers(made) == [7]

    def test_refuses_a_newer_schema(self, made: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy.db"
        back_up(made, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute("INSERT INTO migrations VALUES (9999, 'later', 0, '9')")
        with pytest.raises(StoreError, match=r"has schema 9999.*install the newer"):
            restore(copy, made, NOW)

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("DROP TABLE log_lines", "has no table log_lines, which schema"),
            ("ALTER TABLE cron_jobs DROP COLUMN late_since", "has no column late_since of the tab"),
        ],
    )
    def test_refuses_what_lacks_something(
        self, made: Path, tmp_path: Path, statement: str, words: str
    ) -> None:
        """A node would begin with it, and end at the first row."""
        copy = tmp_path / "copy.db"
        back_up(made, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            connection.execute(statement)
        with pytest.raises(StoreError, match=f"{words}.*it is not whole; use another copy"):
            restore(copy, made, NOW)
        assert numbers(made) == [7]

    def test_refuses_the_database_itself(self, made: Path) -> None:
        with pytest.raises(StoreError, match="is the database itself"):
            restore(made, made, NOW)
        with lock(made):
            pass
