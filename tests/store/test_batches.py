"""What is known of a batch before it is stored: how many rows, and how much text."""

from __future__ import annotations

from datetime import UTC, datetime

from etlmon.records.path import ChildrenCounted, PathChild, PathsConfigured
from etlmon.store.batches import Batches
from etlmon.store.tables.all import TABLES

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def child(name: str | None) -> PathChild:
    return PathChild(
        path_id="0123456789ab",
        place=0,
        kind="rest",
        name=name,
        directory_count=10**9,
        file_count=0,
        dir_count=0,
        other_count=0,
        collected_at=NOW,
    )


def test_text_counts_wherever_it_stands() -> None:
    """In lists, and in records within the record; numbers and moments are short."""
    batches = Batches(TABLES)
    paths = PathsConfigured(paths=("/a" * 50, "/b" * 25))
    assert batches.of([paths], may_wait=False).characters == 150
    counted = ChildrenCounted(path="/c", children=[child("d" * 80), child(None)])
    found = batches.of([counted], may_wait=False)
    assert (found.records, found.characters) == (2, 2 + 2 * len("0123456789abrest") + 80)
