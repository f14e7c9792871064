"""Root's copies of a node's database, in directories of a user who would do root harm."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etlmon.errors import StoreError
from etlmon.host.owners import acting_as, owner_of
from etlmon.store import backup
from etlmon.store.backup import back_up_for_root
from etlmon.store.migrate import load_migrations
from etlmon.store.open import prepare
from etlmon.store.restore import restore

NOW = 1_800_000_000.0
USER = 65_534
SECRET = "only root may read or write this"


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a directory of root's that everybody may enter, as /var/lib is."""
    if os.geteuid() != 0:
        pytest.skip("what root may do is tried as root")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def database(place: Path) -> Path:
    """Give a database in a directory of the node's user, who holds it."""
    directory = place / "lib"
    directory.mkdir()
    os.chown(directory, USER, USER)
    path = directory / "etlmon.db"
    load_migrations()  # a node's user may read them; another one may not go where the tests are
    with acting_as(USER):
        prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO collector_run VALUES ('a', '', 1, 0, 'ok', NULL, 7)")
    return path


@pytest.fixture
def secret(place: Path) -> Path:
    path = place / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT records FROM collector_run")]


def planted(link: Path, target: Path) -> None:
    """Let the node's user put a link where root will look for a file."""
    with acting_as(USER):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def mine(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_mode & 0o777


class TestCopying:
    def test_into_a_directory_of_the_user(self, place: Path, database: Path) -> None:
        target = database.with_name("copy.db")
        back_up_for_root(database, target, NOW)
        assert (numbers(target), mine(target)) == ([7], (USER, 0o640))

    def test_into_one_of_root(self, place: Path, database: Path) -> None:
        (place / "root").mkdir(mode=0o700)
        target = place / "root" / "copy.db"
        copied = back_up_for_root(database, target, NOW)
        assert (numbers(target), mine(target)) == ([7], (0, 0o640))
        assert copied.size_bytes == target.stat().st_size
        assert not list(database.parent.glob("*part*"))
        assert [one.name for one in (place / "root").iterdir()] == ["copy.db"]
        with pytest.raises(StoreError, match="exists already"):
            back_up_for_root(database, target, NOW)

    def test_tells_that_it_passes_through_the_databases_directory(
        self, place: Path, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where that has no room for it, a name made by chance would tell nobody why."""
        (place / "root").mkdir(mode=0o700)
        target = place / "root" / "copy.db"
        usage = type(shutil.disk_usage(place))
        monkeypatch.setattr(shutil, "disk_usage", lambda _directory: usage(9999, 9899, 100))
        words = (
            f"cannot copy {database} to {target}, by way of {database.parent}: .* 100 bytes free"
        )
        with pytest.raises(StoreError, match=words):
            back_up_for_root(database, target, NOW)

    def test_replaces_nothing_that_comes_meanwhile(
        self, place: Path, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (place / "root").mkdir(mode=0o700)
        target = place / "root" / "copy.db"
        copied = shutil.copyfileobj

        def copy(*how: Any) -> None:
            target.write_text("precious")
            copied(*how)

        monkeypatch.setattr(shutil, "copyfileobj", copy)
        with pytest.raises(StoreError, match="exists since a moment ago; name another"):
            back_up_for_root(database, target, NOW)
        assert target.read_text() == "precious"
        assert [*target.parent.iterdir()] == [target]

    def test_into_one_that_is_made(self, place: Path, database: Path) -> None:
        target = place / "backups" / "copy.db"
        back_up_for_root(database, target, NOW)
        assert (mine(target.parent), mine(target)) == ((USER, 0o750), (USER, 0o640))

    def test_into_one_that_somebody_is_quicker_to_make(
        self, place: Path, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is his then, and so is what is done there."""
        target = place / "backups" / "copy.db"

        def look(path: Path) -> int:
            found = owner_of(path)
            if path == target and not target.parent.exists():
                target.parent.mkdir()
                os.chown(target.parent, USER, USER)
            return found

        monkeypatch.setattr(backup, "owner_of", look)
        back_up_for_root(database, target, NOW)
        assert mine(target) == (USER, 0o640)

    @pytest.mark.parametrize("mode", [0o2775, 0o777])
    def test_not_into_one_of_root_where_others_may_exchange_names(
        self, place: Path, database: Path, mode: int
    ) -> None:
        shared = place / "shared"
        shared.mkdir()
        os.chown(shared, 0, USER)
        shared.chmod(mode)
        words = (
            rf"{shared} is root's, and (its group|everybody) may exchange .* chmod go-w {shared}"
        )
        with pytest.raises(StoreError, match=words):
            back_up_for_root(database, shared / "copy.db", NOW)
        shutil.copyfile(database, shared / "copy.db")
        with pytest.raises(StoreError, match=words):
            restore(shared / "copy.db", database, NOW)
        assert [one.name for one in shared.iterdir()] == ["copy.db"]

    def test_into_one_where_everybody_may_make_files(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A journal that somebody puts beside the copy under way is SQLite's own, for SQLite."""
        own = place / "root"
        own.mkdir(mode=0o700)
        path = own / "etlmon.db"
        prepare(path, now_ms=0, network_filesystem_allowed=True, proc=Path("/proc"))
        shared = place / "tmp"
        shared.mkdir()
        shared.chmod(0o1777)
        opened: list[str] = []
        connect = sqlite3.connect

        def note(name: Any, **how: Any) -> sqlite3.Connection:
            opened.append(str(name))
            return connect(name, **how)

        monkeypatch.setattr(sqlite3, "connect", note)
        back_up_for_root(path, shared / "copy.db", NOW)
        assert mine(shared / "copy.db") == (0, 0o640)
        assert opened
        assert not [name for name in opened if str(shared) in name]

    @pytest.mark.parametrize("name", ["copy.db", "part"])
    def test_follows_no_planted_link(
        self, database: Path, place: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even where he has guessed by which name the copy is made."""
        monkeypatch.setattr("etlmon.store.backup.half_made", lambda path: path.with_name("part"))
        planted(database.with_name(name), place / "new")
        with pytest.raises(StoreError, match="exists"):
            back_up_for_root(database, database.with_name("copy.db"), NOW)
        assert not (place / "new").exists()

    def test_takes_no_file_of_root_for_the_database(
        self, database: Path, secret: Path, place: Path
    ) -> None:
        planted(database, secret)
        (place / "root").mkdir(mode=0o700)
        for target in (database.with_name("copy.db"), place / "root" / "copy.db"):
            with pytest.raises(StoreError):
                back_up_for_root(database, target, NOW)
            assert not target.exists()
        assert secret.read_text() == SECRET

    def test_a_directory_that_is_a_link(self, database: Path, place: Path) -> None:
        (place / "root").mkdir(mode=0o700)
        planted(database.with_name("copies"), place / "root")
        with pytest.raises(StoreError, match="Permission denied"):
            back_up_for_root(database, database.parent / "copies" / "copy.db", NOW)
        assert list((place / "root").iterdir()) == []


class TestRestoring:
    @pytest.fixture
    def copy(self, place: Path, database: Path) -> Path:
        (place / "root").mkdir(mode=0o700)
        path = place / "root" / "copy.db"
        back_up_for_root(database, path, NOW)
        return path

    def test_from_a_file_that_only_root_may_read(self, database: Path, copy: Path) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE collector_run SET records = 8")
        kept = restore(copy, database, NOW).kept
        assert kept is not None
        assert (numbers(database), mine(database)) == ([7], (USER, 0o640))
        assert (numbers(kept), mine(kept)[0]) == ([8], USER)
        assert mine(database.with_name("etlmon.db.lock"))[0] == USER

    @pytest.mark.parametrize("name", ["restored", "etlmon.db.lock", "etlmon.db-wal"])
    def test_follows_no_planted_link(
        self,
        database: Path,
        copy: Path,
        secret: Path,
        name: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(
            "etlmon.store.restore.half_restored", lambda path: path.with_name("restored")
        )
        planted(database.with_name(name), secret)
        try:
            restore(copy, database, NOW)
        except StoreError:
            assert name == "etlmon.db.lock"
        assert (secret.read_text(), mine(secret)) == (SECRET, (0, 0o600))

    def test_a_database_that_is_a_link(self, database: Path, copy: Path, place: Path) -> None:
        planted(database, place / "root" / "planted.db")
        with pytest.raises(StoreError, match="Permission denied"):
            restore(copy, database, NOW)
        assert [one.name for one in (place / "root").iterdir()] == ["copy.db"]

    def test_a_copy_that_is_a_link_gives_nothing_away(self, database: Path, secret: Path) -> None:
        link = database.with_name("copy.db")
        planted(link, secret)
        words = "in a directory of nobody, who may not read it: chown -h nobody"
        with pytest.raises(StoreError, match=words):
            restore(link, database, NOW)
        assert not list(database.parent.glob("*restored*"))


class TestWhoseRightsSuffice:
    def test_links_of_root_are_followed_and_others_are_not(self, place: Path) -> None:
        theirs = place / "theirs"
        theirs.mkdir()
        os.chown(theirs, USER, USER)
        (place / "link").symlink_to("./theirs/../theirs")
        (place / "absolute").symlink_to(theirs)
        planted(theirs / "back", place)
        assert owner_of(place / "file") == 0
        assert owner_of(place / "none" / "deeper") == 0
        for way in ("theirs/x", "link/x", "absolute/x", "theirs/back/file", "theirs/../file"):
            assert owner_of(place / way) == USER, way

    def test_links_that_lead_round(self, place: Path) -> None:
        (place / "a").symlink_to("b")
        (place / "b").symlink_to("a")
        with pytest.raises(OSError, match="too many symbolic links"):
            owner_of(place / "a" / "x")

    def test_rights_come_back(self, place: Path) -> None:
        before = os.geteuid(), os.getegid(), os.getgroups()
        with pytest.raises(PermissionError), acting_as(USER):
            (place / "x").touch()
        assert (os.geteuid(), os.getegid(), os.getgroups()) == before
