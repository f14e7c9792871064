"""Counts by direct subdirectory: those of the newest complete scan, and no others."""

from __future__ import annotations

import sqlite3

import pytest

from etlmon.records.path import ChildrenCounted, PathChild, PathScanStarted, PathsConfigured
from etlmon.records.path import path_id as id_of
from etlmon.store.tables import path_children, path_stats
from etlmon.units import utc


def child(path: str, place: int, files: int) -> PathChild:
    return PathChild(
        path_id=id_of(path),
        place=place,
        kind="directory",
        name=f"sub-{place}",
        directory_count=1,
        file_count=files,
        dir_count=0,
        other_count=0,
        collected_at=utc(100),
    )


def counted(path: str, *files: int) -> ChildrenCounted:
    children = [child(path, place, number) for place, number in enumerate(files)]
    return ChildrenCounted(path=path, children=children)


@pytest.fixture
def with_paths(cursor: sqlite3.Cursor) -> sqlite3.Cursor:
    started = [
        PathScanStarted(path=path, scan_started_at=utc(1), next_scan_at=utc(2))
        for path in ("/a", "/b")
    ]
    path_stats.TABLE.inserts[PathScanStarted](cursor, started)
    return cursor


def test_a_scan_replaces_those_of_the_one_before(with_paths: sqlite3.Cursor) -> None:
    insert = path_children.TABLE.inserts[ChildrenCounted]
    insert(with_paths, [counted("/a", 9, 8, 7), counted("/b", 1)])
    insert(with_paths, [counted("/a", 5, 6)])
    assert path_children.children(with_paths, id_of("/a")) == [child("/a", 0, 5), child("/a", 1, 6)]
    assert path_children.children(with_paths, id_of("/b")) == [child("/b", 0, 1)]


def test_before_a_complete_scan_there_are_none(with_paths: sqlite3.Cursor) -> None:
    assert path_children.children(with_paths, id_of("/a")) == []
    assert path_children.children(with_paths, id_of("/c")) is None


def test_a_path_that_is_no_longer_configured_takes_its_own_along(
    with_paths: sqlite3.Cursor,
) -> None:
    path_children.TABLE.inserts[ChildrenCounted](with_paths, [counted("/a", 1), counted("/b", 2)])
    path_stats.TABLE.inserts[PathsConfigured](with_paths, [PathsConfigured(paths=("/b",))])
    left = with_paths.execute("SELECT path_id FROM path_children").fetchall()
    assert left == [(id_of("/b"),)]
