"""The files of one log as one: their names, and how they stand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from etlmon.records.log import LogFile
from etlmon.ui.format import text_width
from etlmon.ui.views.logfiles import short_names, together


def file(path: str, **fields: Any) -> LogFile:
    given: dict[str, Any] = {
        "name": "jobs",
        "path": path,
        "state": "following",
        "updated_at": datetime(2026, 11, 24, 12, tzinfo=UTC),
    }
    return LogFile(**(given | fields))


def test_one_file_needs_no_name() -> None:
    assert short_names([]) == short_names([file("/a/b.log")]) == {}


def test_names_begin_where_paths_differ_and_are_equally_wide() -> None:
    names = short_names([file("/data/a/x.log"), file("/data/b/long.log")])
    assert names == {"/data/a/x.log": "a/x.log   ", "/data/b/long.log": "b/long.log"}


def test_a_long_name_keeps_its_end_and_a_hostile_one_is_visible() -> None:
    names = short_names([file("/d/" + "x" * 100 + "-01.log"), file("/d/\x1b[2J한국.log")])
    assert {text_width(name) for name in names.values()} == {20}
    first, second = names.values()
    assert first.startswith("…")
    assert first.endswith("-01.log")
    assert "\x1b" not in second


def test_files_together_have_the_worst_state_and_sums() -> None:
    one = file("/d/a", lag_bytes=5, gaps=1)
    other = file("/d/b", state="error", error_message="no", lag_bytes=None, gaps=2)
    both = together([one, other])
    assert both is not None
    assert (both.state, both.error_message, both.lag_bytes, both.gaps) == ("error", "no", 5, 3)
    assert together([]) is None
