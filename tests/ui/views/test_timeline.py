"""The coming day: hours of the host's clock, what is not known, and the sums."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from etlmon.ui.views.timeline import day_rows


@pytest.fixture
def timeline(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    made = stage("etl", view="Cron")
    made.client.answers = recorded
    made.start()
    made.press("t")
    return made


def test_hours_are_those_of_the_host(recorded: dict[str, Any]) -> None:
    jobs = recorded["list_cron_jobs"]
    first, rows = day_rows(jobs, jobs[0].last_checked)
    assert first == 21  # 12:00 UTC in Seoul
    assert rows[0].name == "all jobs"
    assert rows[0].runs[:4] == (1 + 1 + 1 + 6 + 60 + 1 + 1, 66, 66, 67)
    assert {row.name for row in rows[1:]}.isdisjoint({"/srv/etl/leap", "\u241b[2J/tmp/evil"})


def test_hours_that_the_node_has_not_reckoned_yet_are_unknown(recorded: dict[str, Any]) -> None:
    jobs = recorded["list_cron_jobs"]
    first, rows = day_rows(jobs, jobs[0].last_checked + timedelta(hours=2, minutes=5))
    assert first == 23
    assert [row.name for row in rows] == [
        "all jobs",
        "/srv/etl/poll",
        "/srv/etl/sync",
        "run-parts /etc/cron.daily",
        "logrotate.service",
    ]
    assert rows[1].runs == (6,) * 22 + (None, None)
    assert rows[0].runs == (66, 67, *(66,) * 20, 0, 0)


@pytest.mark.parametrize("told", [None, "at noon", "2026-11-24T12:03:00"])
def test_without_a_time_of_the_host_it_is_utc(recorded: dict[str, Any], told: str | None) -> None:
    job = msgspec.structs.replace(recorded["list_cron_jobs"][0], next_run_local=told)
    first, rows = day_rows([job], job.last_checked)
    assert (first, len(rows)) == (12, 2)


def test_no_jobs_are_told(timeline: Any) -> None:
    timeline.client.answers["list_cron_jobs"] = []
    timeline.press("r")
    assert "No job runs within 24 hours" in timeline.show()


def test_counts_of_ten_and_more_are_a_plus(timeline: Any) -> None:
    rows = {row.split()[0]: row for row in timeline.show().splitlines()[3:10]}
    assert rows["/srv/etl/poll"].split()[1:] == ["6"] * 24
    assert rows["/srv/etl/sync"].split()[1:] == ["+"] * 24


def test_a_window_is_marked_in_each_hour_and_not_summed_up(timeline: Any) -> None:
    rows = timeline.show(100, 24).splitlines()[3:14]
    (window,) = (row for row in rows if row.startswith("run-parts /etc/cron.daily"))
    assert window.split()[2:] == ["~", "~", "~", *["\u00b7"] * 21]
    (timer,) = (row for row in rows if row.startswith("logrotate.service"))
    assert timer.split()[1:] == [*["\u00b7"] * 3, "1", *["?"] * 20]
    assert "; besides, 1 in windows (~)" in timeline.show(100, 24)
    timeline.press(*["down"] * 8)
    assert "run-parts /etc/cron.daily: a run may begin in one of 3 hours (~)" in timeline.show()


def test_of_windows_alone_no_moment_is_known(recorded: dict[str, Any], timeline: Any) -> None:
    jobs = [job for job in recorded["list_cron_jobs"] if job.next_run_kind == "window"]
    timeline.client.answers["list_cron_jobs"] = jobs
    timeline.press("r", "down", "up")
    assert "all jobs: no moment is known; 1 in windows (~)" in timeline.show()


def test_a_job_is_opened_and_the_sums_are_not(timeline: Any) -> None:
    timeline.press("enter")
    assert timeline.screen.view.title == "24 hours"
    assert "most of them in hour 21: 71" in timeline.show()
    timeline.press("down", "enter")
    assert timeline.screen.view.title == "/srv/etl/load orders"
    timeline.press("esc", "esc")
    assert timeline.screen.view.title == "Cron"
