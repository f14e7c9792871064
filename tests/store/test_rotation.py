"""Whose a copy is, by its name, and which of them stay."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from etlmon.store.backup import back_up
from etlmon.store.damage import stamp
from etlmon.store.leftovers import half_made
from etlmon.store.open import prepare
from etlmon.store.rotation import COPIED_FROM, KeptCopies, backup_name, made_at, place_of

NOW = 1_800_000_000.0


@pytest.fixture
def database(path: Path) -> Path:
    prepare(path, now_ms=1, network_filesystem_allowed=True, proc=Path("/proc"))
    return path


@pytest.fixture
def copies(tmp_path: Path, database: Path) -> KeptCopies:
    (tmp_path / "copies").mkdir()
    return KeptCopies(tmp_path / "copies", "etl-01", database, "here")


def test_only_our_copies_go(copies: KeptCopies) -> None:
    def place(hour: int, node: str = "etl-01") -> Path:
        return copies.directory / backup_name(node, NOW + 3600 * hour)

    for hour in range(5):
        back_up(copies.database, place(hour))
    others = place(3, "etl-02"), place(4, "etl"), place(4, "etl-01-20270115T080000Z")
    for other in others:
        back_up(copies.database, other)
    late, abandoned, of_another = (half_made(place(0, node)) for node in ("etl-01", "etl-01", "x"))
    for path, seconds in ((late, 82_801), (abandoned, 82_799), (of_another, 0)):
        path.touch()
        os.utime(path, (NOW + seconds, NOW + seconds))
    (copies.directory / "precious.db").touch()
    (copies.directory / "etlmon-etl-01-20269999T000000Z.db").touch()  # no day of any year
    gone = copies.rotate(2, NOW + 86_400)
    assert sorted(gone) == sorted([*map(place, range(3)), abandoned])
    assert copies.newest(NOW + 86_400) == place(4)
    assert {*others, late, of_another, place(3), place(4)} <= {*copies.directory.iterdir()}
    assert len([*copies.directory.iterdir()]) == 9


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 4096, None])
def test_what_is_no_whole_copy_counts_for_nothing(
    copies: KeptCopies, content: bytes | None
) -> None:
    good, bad = (copies.directory / backup_name("etl-01", NOW + one) for one in (0, 1))
    back_up(copies.database, good)
    bad.write_bytes(good.read_bytes()[:-4096] if content is None else content)
    assert copies.newest(NOW + 10) == good
    assert copies.rotate(1, NOW + 10) == []
    assert bad.exists()


@pytest.mark.parametrize(
    "rows",
    [
        "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT x, x FROM n",
        "SELECT 'created_at', printf('%.*c', 500000000, 'x')",
    ],
)
def test_what_a_view_has_in_the_place_of_the_table_holds_up_nothing(
    copies: KeptCopies, rows: str
) -> None:
    good = copies.directory / backup_name("etl-01", NOW)
    back_up(copies.database, good)
    with closing(sqlite3.connect(copies.directory / f"etlmon-{stamp(NOW)}.db")) as connection:
        connection.execute(f"CREATE VIEW meta (key, value) AS {rows}")
    assert copies.newest(NOW + 10) == good
    assert copies.rotate(1, NOW + 10) == []


def test_names_without_a_node_are_ours_if_the_database_is(
    copies: KeptCopies, tmp_path: Path
) -> None:
    """As an older etlmon made them, of this node and of another."""
    other = tmp_path / "other.db"
    prepare(other, now_ms=2, network_filesystem_allowed=True, proc=Path("/proc"))
    mine, theirs, broken = (
        copies.directory / f"etlmon-{stamp(NOW + 3600 * hour)}.db" for hour in range(3)
    )
    back_up(copies.database, mine)
    back_up(other, theirs)
    with closing(sqlite3.connect(broken)) as connection:
        connection.execute("CREATE TABLE meta (word TEXT)")
    assert copies.newest(NOW + 86_400) == mine
    later = copies.directory / backup_name("etl-01", NOW + 7200)
    back_up(copies.database, later)
    assert copies.newest(NOW + 86_400) == later
    assert copies.rotate(1, NOW + 86_400) == [mine]
    assert {*copies.directory.iterdir()} == {theirs, broken, later}


def test_two_nodes_of_one_name_leave_each_other_alone(copies: KeptCopies, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    prepare(other, now_ms=2, network_filesystem_allowed=True, proc=Path("/proc"))
    theirs = KeptCopies(copies.directory, copies.node, other, "there")
    for hour, kept in enumerate((copies, theirs, copies, theirs)):
        back_up(kept.database, copies.directory / backup_name("etl-01", NOW + 3600 * hour))
    first, second, third, fourth = sorted(copies.directory.iterdir())
    assert copies.newest(NOW + 86_400) == third
    assert copies.rotate(1, NOW + 86_400) == [first]
    assert theirs.newest(NOW + 86_400) == fourth
    assert theirs.rotate(1, NOW + 86_400) == [second]


def test_two_of_which_one_was_cloned_leave_each_other_alone(copies: KeptCopies) -> None:
    """With the same name, and a database that was begun at the same moment."""
    theirs = replace(copies, place="there")
    for hour, kept in enumerate((copies, theirs, copies, theirs)):
        back_up(
            kept.database,
            copies.directory / backup_name("etl-01", NOW + 3600 * hour),
            notes={COPIED_FROM: kept.place},
        )
    before_that = copies.directory / backup_name("etl-01", NOW - 3600)
    back_up(copies.database, before_that)
    first, second, third, fourth = sorted(copies.directory.iterdir())[1:]
    assert copies.newest(NOW + 86_400) == third
    assert copies.rotate(2, NOW + 86_400) == [before_that], "of an older etlmon it is of both"
    assert copies.rotate(1, NOW + 86_400) == [first]
    assert theirs.newest(NOW + 86_400) == fourth
    assert theirs.rotate(1, NOW + 86_400) == [second]


def test_a_clone_is_told_by_its_host_and_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "machine-id").write_text("0123456789abcdef\n")
    here = place_of(tmp_path / "a.db", "etl-01", tmp_path)
    assert here == place_of(tmp_path / "." / "a.db", "another name", tmp_path)
    assert here != place_of(tmp_path / "b.db", "etl-01", tmp_path)
    (tmp_path / "machine-id").write_text("fedcba9876543210\n")
    assert here != place_of(tmp_path / "a.db", "etl-01", tmp_path)
    (tmp_path / "machine-id").unlink()
    names = {place_of(tmp_path / "a.db", node, tmp_path) for node in ("etl-01", "etl-02")}
    assert len(names) == 2


def test_where_the_database_tells_nothing_the_name_must_do(copies: KeptCopies) -> None:
    """As where it is damaged, and a copy is looked for; but none is removed then."""
    for hour in range(2):
        back_up(copies.database, copies.directory / backup_name("etl-01", NOW + 3600 * hour))
    copies.database.write_bytes(b"x" * 8192)
    assert copies.newest(NOW + 86_400) == copies.directory / backup_name("etl-01", NOW + 3600)
    assert copies.rotate(1, NOW + 86_400) == []
    assert len([*copies.directory.iterdir()]) == 2


def test_without_a_directory_there_are_none(copies: KeptCopies) -> None:
    copies.directory.rmdir()
    assert copies.newest(NOW) is None
    assert copies.rotate(1, NOW) == []


def test_a_name_is_safe_and_its_own() -> None:
    names = [
        backup_name(node, NOW)
        for node in ("etl-01", "etl/01", "etl_01", "../../etc", "é", "è", "x" * 300, "x" * 301)
    ]
    assert len(set(names)) == len(names)
    for name in names:
        assert "/" not in name
        assert len(name) <= 100
        assert name.isascii()
        assert made_at(name) == NOW
    assert names[0] == "etlmon-etl-01-20270115T080000Z.db"
