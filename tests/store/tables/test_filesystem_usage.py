"""Usage over time: the newest run, the history in steps, the forecast; by the indexes alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from etlmon.records.disk import FilesystemUsage
from etlmon.store.tables import filesystem_usage
from etlmon.store.tables.filesystem_usage import TABLE, history, newest
from etlmon.units import from_millis, utc

HOUR = 3600.0


def usage(mount_point: str, at: float, used: int | None = 0, **fields: Any) -> FilesystemUsage:
    if used is not None:
        fields |= {"total_bytes": 1000, "used_bytes": used, "avail_bytes": 1000 - used}
    return FilesystemUsage(
        mount_point=mount_point, device="dev", fs_type="ext4", collected_at=utc(at), **fields
    )


def hidden(mount_point: str, at: float) -> FilesystemUsage:
    return usage(mount_point, at, None, state="hidden", reason="the kernel's own")


def stale(mount_point: str, at: float, used: int | None = None) -> FilesystemUsage:
    return usage(mount_point, at, used, state="stale", reason="no answer", stale_since=utc(1))


def store(cursor: sqlite3.Cursor, *runs: Iterable[FilesystemUsage]) -> None:
    for run in runs:
        TABLE.inserts[FilesystemUsage](cursor, list(run))


def names(found: Iterable[Any]) -> list[str]:
    return [one.mount_point for one in found]


# --- the newest -----------------------------------------------------------------------------------


def test_nothing_stored(cursor: sqlite3.Cursor) -> None:
    assert newest(cursor, hidden=True) == []


def test_all_rows_of_the_newest_run_by_mount_point(cursor: sqlite3.Cursor) -> None:
    store(
        cursor,
        [usage("/", 10), usage("/gone", 10)],
        [usage("/var", 25, 7), stale("/nfs", 25), usage("/", 25, 8)],
    )
    found = newest(cursor, hidden=False)
    assert names(found) == ["/", "/nfs", "/var"]
    assert [one.used_bytes for one in found] == [8, None, 7]
    assert {one.collected_at for one in found} == {utc(25)}


def test_the_newest_run_is_the_one_stored_last_whatever_the_clock_said(
    cursor: sqlite3.Cursor,
) -> None:
    """A clock that was an hour ahead and is set back must not freeze the view."""
    store(cursor, [usage("/", 4600)], [usage("/", 1000, 5)], [usage("/", 1015, 7)])
    [found] = newest(cursor, hidden=False)
    assert (found.collected_at, found.used_bytes) == (utc(1015), 7)


def test_two_mounts_on_one_place_are_both_given_in_their_order(cursor: sqlite3.Cursor) -> None:
    store(cursor, [usage("/mnt", 10, 1), usage("/mnt", 10, 2)])
    assert [one.used_bytes for one in newest(cursor, hidden=False)] == [1, 2]


def test_hidden_ones_are_given_when_asked_for(cursor: sqlite3.Cursor) -> None:
    store(cursor, [hidden("/proc", 10), usage("/", 10), stale("/nfs", 10)])
    assert names(newest(cursor, hidden=False)) == ["/", "/nfs"]
    found = newest(cursor, hidden=True)
    assert names(found) == ["/", "/nfs", "/proc"]
    assert (found[2].reason, found[2].full_at) == ("the kernel's own", None)


def test_hidden_ones_are_kept_of_the_newest_run_only(cursor: sqlite3.Cursor) -> None:
    for at in (10, 25, 40):
        store(cursor, [hidden("/proc", at), hidden("/sys", at), usage("/", at)])
    assert cursor.execute(
        "SELECT mount_point, collected_at FROM filesystem_usage ORDER BY collected_at, mount_point"
    ).fetchall() == [
        ("/", 10_000),
        ("/", 25_000),
        ("/", 40_000),
        ("/proc", 40_000),
        ("/sys", 40_000),
    ]


def test_forecast_comes_from_the_history_of_each(cursor: sqlite3.Cursor) -> None:
    store(
        cursor,
        *(
            [usage("/fills", n * HOUR, 10 * n), usage("/still", n * HOUR, 500)]
            for n in range(1, 49)
        ),
    )
    fills, still = newest(cursor, hidden=False)
    assert fills.full_at is not None
    hours = (fills.full_at.timestamp() - 48 * HOUR) / HOUR
    assert hours == pytest.approx(52, rel=0.02)
    assert still.full_at is None


def test_forecast_of_one_that_is_stale_comes_from_when_it_answered(cursor: sqlite3.Cursor) -> None:
    """The old figures that stale rows repeat are no sign that it stopped growing."""
    store(cursor, *([usage("/nfs", n * HOUR, 10 * n)] for n in range(1, 49)))
    before = newest(cursor, hidden=False)[0].full_at
    store(cursor, *([stale("/nfs", n * HOUR, 480)] for n in range(49, 500)))
    (after,) = newest(cursor, hidden=False)
    assert after.state == "stale"
    assert before is not None
    assert after.full_at == before


# --- history --------------------------------------------------------------------------------------


def points(cursor: sqlite3.Cursor, since: float, until: float, count: int) -> list[float]:
    found = history(cursor, "/", utc(since), utc(until), count)
    assert found is not None
    return [one.collected_at.timestamp() for one in found]


def test_history_of_what_was_never_seen(cursor: sqlite3.Cursor) -> None:
    store(cursor, [usage("/", 10)])
    assert history(cursor, "/nowhere", utc(0), utc(100), 10) is None


def test_history_outside_of_what_is_stored(cursor: sqlite3.Cursor) -> None:
    store(cursor, [usage("/", 10)])
    assert points(cursor, 100, 200, 10) == []


def test_history_gives_the_newest_of_each_stretch(cursor: sqlite3.Cursor) -> None:
    store(cursor, *([usage("/", at), usage("/other", at)] for at in range(0, 1000, 15)))
    assert points(cursor, 0, 900, 3) == [300, 600, 900]
    assert points(cursor, 0, 100, 10) == [0, 15, 30, 45, 60, 75, 90]


def test_bounds_of_the_history_belong_to_it(cursor: sqlite3.Cursor) -> None:
    store(cursor, *([usage("/", at)] for at in (9.999, 10, 20, 30, 30.001)))
    assert points(cursor, 10, 30, 1000) == [10, 20, 30]
    assert points(cursor, 10, 30, 1) == [30]
    assert points(cursor, 10.001, 29.999, 1000) == [20]


def test_empty_stretches_are_left_out(cursor: sqlite3.Cursor) -> None:
    store(cursor, *([usage("/", at)] for at in (1, 2, 98, 99)))
    assert points(cursor, 0, 100, 10) == [2, 99]


def test_stale_rows_are_no_points(cursor: sqlite3.Cursor) -> None:
    store(cursor, [usage("/", 10)], [stale("/", 20, 5)], [usage("/", 30)], [stale("/", 40)])
    assert points(cursor, 0, 100, 100) == [10, 30]
    assert points(cursor, 0, 40, 1) == [30]


def test_one_that_was_only_hidden_has_an_empty_history(cursor: sqlite3.Cursor) -> None:
    store(cursor, [hidden("/", 10)])
    assert points(cursor, 0, 100, 10) == []


def test_more_points_than_milliseconds(cursor: sqlite3.Cursor) -> None:
    store(cursor, *([usage("/", n / 1000)] for n in range(10)))
    assert points(cursor, 0, 0.009, 500) == [from_millis(n).timestamp() for n in range(10)]


def test_points_have_their_figures(cursor: sqlite3.Cursor) -> None:
    store(cursor, [usage("/", 10, 250, used_percent=25.0, inodes_used=3)])
    (point,) = history(cursor, "/", utc(0), utc(20), 5) or []
    assert (point.total_bytes, point.used_bytes, point.avail_bytes) == (1000, 250, 750)
    assert (point.used_percent, point.inodes_used) == (25.0, 3)


# --- by the indexes -------------------------------------------------------------------------------


def test_no_query_reads_the_whole_table(
    cursor: sqlite3.Cursor, plans: Callable[[Callable[[], object]], dict[str, list[str]]]
) -> None:
    store(cursor, *([usage("/", n * HOUR), hidden("/proc", n * HOUR)] for n in range(20)))

    def work() -> None:
        newest(cursor, hidden=True)
        history(cursor, "/", utc(0), utc(HOUR), 3)
        store(cursor, [hidden("/proc", 21 * HOUR)])

    found = plans(work)
    assert any(text.startswith("DELETE") for text in found)
    for text, plan in found.items():
        assert "SCAN filesystem_usage" not in plan, text
        if "LIMIT 1" in text and "ORDER BY" in text:
            (seek,) = plan
            assert "filesystem_usage_by_mount" in seek
            assert "collected_at>? AND collected_at<?" in seek


@pytest.mark.parametrize("kind", [usage, stale], ids=["ok", "stale"])
def test_effort_does_not_grow_with_the_history(
    cursor: sqlite3.Cursor,
    effort: Callable[[Callable[[], object]], int],
    kind: Callable[..., FilesystemUsage],
) -> None:
    """Seven days of four mounts, of which one may not answer, as cheap as an hour of them."""

    def fill(first: int, last: int) -> None:
        rows = [
            [
                kind(m, n * 15.0) if m == "/d" else usage(m, n * 15.0)
                for m in ("/a", "/b", "/c", "/d")
            ]
            for n in range(first, last)
        ]
        cursor.execute("BEGIN")
        cursor.executemany(
            filesystem_usage._INSERT,
            [filesystem_usage.row(one) for run in rows for one in run],
        )
        cursor.execute("COMMIT")

    def efforts() -> tuple[int, int, int]:
        return (
            effort(lambda: newest(cursor, hidden=True)),
            effort(lambda: history(cursor, "/d", utc(0), utc(3000), 100)),
            effort(lambda: store(cursor, [])),
        )

    fill(0, 240)
    small = efforts()
    fill(240, 10_000)
    large = efforts()
    for few, many in zip(small, large, strict=True):
        assert many < 2 * few + 100
