"""Runs that were due and have not begun: late while they still may, missed when they will not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from etlmon.records.cron import CronHistory

LOAD = "0 * * * * load"


@pytest.fixture
def host(log_host: Any) -> Any:
    log_host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    log_host.go_on()
    return log_host


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-26T{text}+00:00")


def state(host: Any, until: str, job: str = LOAD) -> tuple[datetime | None, datetime | None]:
    """Give since when a job is late, and which run of it was missed, at a moment of the day."""
    went: CronHistory = host.go_on(until)[0][job]
    return went.late_since, went.missed_at


def test_it_is_late_until_it_begins(host: Any) -> None:
    assert state(host, "15:00:01") == (None, None)
    assert state(host, "15:02:00") == (None, None)
    assert state(host, "15:02:01") == (at("15:00:00"), None)
    host.say("15:20:00", "CRON[40]: (root) CMD ([41] load)")
    assert state(host, "15:21:00") == (None, None)
    assert state(host, "15:59:59") == (None, None)


def test_it_is_missed_when_the_next_run_is_due(host: Any) -> None:
    assert state(host, "15:30:00") == (at("15:00:00"), None)
    assert state(host, "16:00:01") == (None, at("15:00:00"))
    assert state(host, "16:02:01") == (at("16:00:00"), at("15:00:00"))


def test_a_start_at_the_time_of_the_next_run_is_the_next_run(host: Any) -> None:
    state(host, "15:30:00")
    host.say("16:00:01", "CRON[40]: (root) CMD ([41] load)")
    assert state(host, "16:00:02") == (None, at("15:00:00"))
    assert state(host, "16:30:00") == (None, at("15:00:00"))


def test_it_is_missed_when_cron_would_not_make_up_for_it(host: Any) -> None:
    host.tabs("0 * * * * root load\n0 15 * * * root daily\n")
    daily = "0 15 * * * daily"
    host.go_on("14:40:00")
    host.say("15:00:01", "CRON[40]: (root) CMD ([41] load)")
    assert state(host, "17:59:00", daily) == (at("15:00:00"), None)
    assert state(host, "18:00:01", daily) == (None, at("15:00:00"))
    assert state(host, "19:00:01", daily) == (None, at("15:00:00"))


def test_it_is_missed_when_cron_began_after_it(host: Any) -> None:
    host.tabs("0 * * * * root load\n0 15 * * * root daily\n")
    host.go_on("14:40:00")
    host.process(42, "15:01:00")  # cron, as its pid file says
    assert state(host, "15:02:01", "0 15 * * * daily") == (None, at("15:00:00"))


def test_what_runs_each_minute_is_judged_too(host: Any) -> None:
    host.tabs("* * * * * root often\n0 * * * * root load\n")
    often = "* * * * * often"
    host.go_on("14:40:01")
    assert state(host, "14:41:01", often) == (None, None)
    assert state(host, "14:42:01", often) == (None, None)
    assert state(host, "14:43:01", often) == (None, at("14:41:00"))
    host.say("14:44:01", "CRON[40]: (root) CMD ([41] often)")
    assert state(host, "14:44:02", often) == (None, at("14:42:00"))


def test_a_changed_schedule_makes_nothing_late(host: Any) -> None:
    host.tabs("30 17 * * * root load\n")
    assert state(host, "14:50:00", "30 17 * * * load") == (None, None)
    assert state(host, "15:30:00", "30 17 * * * load") == (None, None)


def test_nor_does_a_clock_that_is_set_back(host: Any) -> None:
    assert state(host, "14:50:00") == (None, None)
    assert state(host, "09:50:00") == (None, None)
    assert state(host, "10:02:01") == (at("10:00:00"), None)


def test_nothing_is_late_of_a_cron_that_was_never_heard(log_host: Any) -> None:
    log_host.say("14:00:01", "sshd[20]: nothing of cron")
    log_host.go_on("14:50:00")
    assert state(log_host, "15:30:00") == (None, None)
    reason = log_host.go_on()[0][LOAD].history_reason
    assert reason == f"nothing that cron says has been found in {log_host.log} yet"


def test_nor_of_one_that_logs_no_starts(host: Any) -> None:
    host.options("-L 2")
    host.go_on("14:50:00")
    went = host.go_on("15:30:00")[0][LOAD]
    assert (went.late_since, went.missed_at) == (None, None)
    assert "does not log starts and failures" in str(went.history_reason)


def test_nor_of_a_job_that_does_not_run(host: Any) -> None:
    host.write("etc/cron.d/a", "0 * * * * root load", 0o644)  # without its newline
    assert state(host, "15:30:00") == (None, None)


class TestANodeThatBeginsAnew:
    """What was due while nobody looked: the entries and the histories are those that are stored."""

    def restart(self, host: Any, told: Any, read: Any) -> None:
        host.begin(read, told.values(), host.entries)

    def test_what_was_due_meanwhile_is_late_or_missed(self, host: Any) -> None:
        self.restart(host, *host.go_on("14:50:00"))
        assert state(host, "15:10:00") == (at("15:00:00"), None)
        self.restart(host, *host.go_on("15:11:00"))
        assert state(host, "15:12:00") == (at("15:00:00"), None)
        self.restart(host, *host.go_on("15:13:00"))
        host.process(42, "15:30:00")  # the host was booted anew
        assert state(host, "15:40:00") == (None, at("15:00:00"))

    def test_so_is_what_had_been_due_for_a_minute_only(self, host: Any) -> None:
        self.restart(host, *host.go_on("15:01:30"))
        assert state(host, "15:10:00") == (at("15:00:00"), None)
        host.say("15:20:00", "CRON[40]: (root) CMD ([41] load)")
        self.restart(host, *host.go_on("15:20:30"))
        assert state(host, "15:30:00") == (None, None)

    def test_what_began_meanwhile_is_not(self, host: Any) -> None:
        self.restart(host, *host.go_on("14:50:00"))
        host.say("15:00:01", "CRON[40]: (root) CMD ([41] load)")
        assert state(host, "15:10:00") == (None, None)

    def test_nor_is_what_is_due_at_another_time_now(self, host: Any) -> None:
        told, read = host.go_on("14:50:00")
        host.tabs("30 17 * * * root load\n")
        self.restart(host, told, read)
        assert state(host, "15:10:00", "30 17 * * * load") == (None, None)
