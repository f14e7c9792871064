"""What the doctor finds of the database itself, and of what is kept beside it."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from etlmon.node.doctor import storage
from etlmon.node.doctor.base import Finding, Host
from etlmon.store.backup import back_up
from etlmon.store.rotation import backup_name
from tests.node.doctor.conftest import config
from tests.store.test_damage import make, spoil


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "etlmon.db"
    make(made, rows=100)
    return made


def text(path: Path) -> str:
    return f"node: {{db_path: {path}}}\nbackup: {{directory: {path.parent}/copies, every: 1d}}"


def damage(path: Path) -> list[Finding]:
    return list(storage.damage(Host(), config(text(path))))


class TestDamage:
    def test_none_and_nothing_is_left_by_the_look(self, path: Path) -> None:
        (one,) = damage(path)
        assert (one.level, one.what) == ("ok", f"{path}: 0.3 MiB, checked, no damage")
        assert list(path.parent.iterdir()) == [path]

    def test_is_told_with_the_newest_copy(self, path: Path) -> None:
        copies = path.parent / "copies"
        copy, later = (
            copies / backup_name(node, seconds)
            for node, seconds in ((socket.gethostname(), 0), ("another", 1))
        )
        for each in (copy, later, copies / "etlmon-20260101T000000Z.db"):
            back_up(path, each)
        spoil(path)
        (one,) = damage(path)
        assert one.level == "problem"
        assert one.what.startswith(f"{path}: damaged: ")
        assert f"etlmon restore -c node.yaml {copy}, while no node runs" in str(one.remedy)

    def test_beside_a_node_that_writes(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as node, node:
            node.execute("UPDATE collector_run SET records = records + 1")
            assert [one.level for one in damage(path)] == ["ok"]

    def test_a_large_one_is_left_to_the_node(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "_MOST_CHECKED_BYTES", 1000)
        (one,) = damage(path)
        assert (one.level, "too large to be checked here" in one.what) == ("ok", True)

    def test_one_of_a_newer_etlmon(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO migrations VALUES (9999, 'later', 0, '9')")
        (one,) = damage(path)
        assert (one.level, "has schema 9999" in one.what) == ("problem", True)
        assert str(one.remedy).startswith("install the newer etlmon again")

    def test_another_file_and_none(self, path: Path) -> None:
        path.write_text("no database\n" * 100)
        (one,) = damage(path)
        assert (one.what, one.remedy) == (f"{path}: no database", "name another node.db_path")
        path.unlink()
        assert damage(path) == []


def test_what_is_kept_is_told_with_its_size_and_age(path: Path) -> None:
    aside = path.with_name("etlmon.db.corrupt-20270115T080000Z-2")
    aside.write_bytes(bytes(1 << 20))
    aside.with_name(f"{aside.name}-wal").write_bytes(bytes(1 << 20))
    before = path.with_name("etlmon.db.before-restore-20270116T080000Z")
    before.write_bytes(b"x")
    schema = path.with_name("etlmon.db.schema-7")
    schema.write_bytes(b"x")
    os.utime(schema, (0, 0))
    path.with_name("etlmon.db.lock").touch()
    found = list(storage.kept(Host(), config(text(path))))
    assert [(one.level, one.what.partition(": ")[2]) for one in found] == [
        ("ok", "0.0 MiB, since 2027-01-16 08:00 UTC: the database was there before a restore"),
        (
            "warning",
            "2.0 MiB, since 2027-01-15 08:00 UTC: a damaged database that a node has set aside",
        ),
        (
            "ok",
            "0.0 MiB, since 1970-01-01 00:00 UTC: the database of schema 7, from before an upgrade",
        ),
    ]
    assert str(found[1].remedy).endswith(f"then rm {aside} {aside}-wal")


def test_its_remedy_takes_no_other_away(path: Path) -> None:
    """Their names begin alike: those of a second, and those of two schemas."""
    names = ("corrupt-20270115T080000Z", "corrupt-20270115T080000Z-2", "schema-1", "schema-16")
    for name in names:
        path.with_name(f"etlmon.db.{name}").touch()
    found = list(storage.kept(Host(), config(text(path))))
    assert sorted(str(one.remedy).partition("rm ")[2] for one in found) == [
        f"{path}.{name}" for name in names
    ]


def test_no_more_of_them_than_can_be_read(path: Path) -> None:
    for day in range(10, 25):
        path.with_name(f"etlmon.db.corrupt-202701{day}T080000Z").touch()
    found = list(storage.kept(Host(), config(text(path))))
    assert len(found) == 11
    assert found[-1].what == "5 more are kept beside it"
    assert "20270115" in found[0].what
