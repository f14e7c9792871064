"""What anacron and run-parts start: told by their lines, by time stamps, by the process table."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.cron.log import Event, event_of
from etlmon.records.cron import CronHistory

CRONTAB = "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n"
ANACRONTAB = """\
START_HOURS_RANGE=3-22
1 5 cron.daily run-parts --report /etc/cron.daily
7 9 week /opt/report
"""
DAILY, WEEKLY = "1 5 run-parts --report /etc/cron.daily", "7 9 /opt/report"
POLL = "17 * * * * /etc/cron.hourly/poll"
ROTATE = "1 5 /etc/cron.daily/rotate"
LONG_AGO = 1_700_000_000


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-26T{text}+00:00")


@pytest.fixture
def host(log_host: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    log_host.write("etc/crontab", CRONTAB)
    log_host.write("etc/anacrontab", ANACRONTAB)
    log_host.write("usr/sbin/anacron", "", 0o755)
    for place in ("etc/cron.hourly/poll", "etc/cron.hourly/other", "etc/cron.daily/rotate"):
        log_host.write(place, "#!/bin/sh\n", 0o755)
    # What was made a moment ago is newer than all that is told here.
    monkeypatch.setattr("etlmon.collectors.cron.assembly._changed_at", lambda _: LONG_AGO)
    return log_host


def stamp(host: Any, name: str, day: str, written: datetime) -> None:
    path = host.write(f"var/spool/anacron/{name}", f"{day}\n")
    os.utime(path, (written.timestamp(), written.timestamp()))


class TestAnacron:
    def test_its_lines_tell_of_a_run(self, host: Any) -> None:
        host.say("13:00:00", "anacron[70]: Anacron 2.3 started on 2026-11-26")
        host.say("13:05:00", "anacron[70]: Job `cron.daily' started")
        host.say("13:05:40", "anacron[70]: Job `cron.daily' terminated (exit status: 1)")
        host.say("13:09:00", "anacron[70]: Job `week' started")
        host.say("13:09:10", "anacron[70]: Job `week' terminated (mailing output)")
        told = host.go_on()[0]
        daily, weekly = told[DAILY], told[WEEKLY]
        assert (daily.last_start, daily.last_end, daily.last_exit) == (
            at("13:05:00"),
            at("13:05:40"),
            1,
        )
        assert (weekly.last_exit, weekly.median_runtime_seconds) == (0, 10.0)
        assert (weekly.running_pids, weekly.overlap, weekly.history_reason) == ([], False, None)

    def test_what_runs_is_the_child_that_began_then(self, host: Any) -> None:
        host.process(70, "13:00:00", comm="anacron")
        host.process(71, "13:05:00", parent=70)
        host.process(72, "14:09:00", parent=70)
        host.process(73, "13:05:00", parent=1)
        host.say("13:05:00", "anacron[70]: Job `cron.daily' started")
        told, read = host.go_on()
        assert (told[DAILY].running_pids, told[DAILY].last_end) == ([71], None)
        host.begin(read, told.values())
        assert host.go_on()[0][DAILY].running_pids == [71]
        host.say("14:31:00", "anacron[70]: Job `cron.daily' terminated")
        went = host.go_on("14:32:00")[0][DAILY]
        assert (went.running_pids, went.last_end, went.last_exit) == ([], at("14:31:00"), 0)
        assert went.recent_runtimes_seconds == [5160.0]

    def test_its_time_stamp_tells_where_the_log_does_not(self, host: Any) -> None:
        stamp(host, "week", "20261126", at("08:00:00"))
        went = host.go_on()[0][WEEKLY]
        assert (went.last_start, went.last_end, went.last_exit) == (None, at("08:00:00"), None)
        assert went.history_reason is not None
        host.say("07:58:00", "anacron[70]: Job `week' started")
        host.say("07:59:59", "anacron[70]: Job `week' terminated")
        assert host.go_on()[0][WEEKLY].history_reason is None
        stamp(host, "week", "20261126", at("14:00:00"))
        went = host.go_on()[0][WEEKLY]
        assert (went.last_start, went.last_end) == (None, at("14:00:00"))
        assert "time stamp" in str(went.history_reason)

    def test_it_is_late_when_its_window_has_passed(self, host: Any) -> None:
        host.say("13:00:01", "CRON[20]: (root) CMD ([21] load)")
        stamp(host, "week", "20261119", datetime(2026, 11, 19, 8, tzinfo=UTC))
        stamp(host, "cron.daily", "20261126", at("08:00:00"))
        assert host.go_on("21:00:00")[0][WEEKLY].late_since is None
        told = host.go_on("23:59:00")[0]
        assert told[WEEKLY].late_since == at("22:00:00")
        assert (told[DAILY].late_since, told[WEEKLY].missed_at) == (None, None)
        stamp(host, "week", "20261127", at("23:59:30"))
        assert host.go_on("23:59:59")[0][WEEKLY].late_since is None

    def test_a_real_one_is_understood(self, tmp_path: Path) -> None:
        place = Path(os.environ.get("ETLMON_TEST_SERVERS", "/nonexistent"))
        program = place / "anacron/usr/sbin/anacron"
        if not program.exists():
            pytest.skip("needs anacron (set ETLMON_TEST_SERVERS)")
        (tmp_path / "spool").mkdir()
        (tmp_path / "tab").write_text("1 0 fine true\n1 0 bad exit 3\n1 0 shot kill -9 $$\n")
        said = subprocess.run(
            [program, "-d", "-f", "-n", "-t", tmp_path / "tab", "-S", tmp_path / "spool"],
            check=True,
            capture_output=True,
        ).stderr
        now = datetime(2026, 11, 26, tzinfo=UTC)
        lines = [line.removeprefix(b"anacron: ") for line in said.splitlines()]
        events = [event_of(now, b"anacron", 7, line) for line in lines]
        assert [event for event in events if event is not None] == [
            Event(what, now, b"", name, None, status, "anacron", 7)  # type: ignore[arg-type]
            for name, ended in ((b"fine", 0), (b"bad", 3), (b"shot", 137))
            for what, status in (("start", None), ("end", ended))
        ]


class TestScripts:
    def run_hourly(self, host: Any, status: int = 0) -> dict[str, CronHistory]:
        host.say(
            "14:17:01", "CRON[20]: (root) CMD ([21] cd / && run-parts --report /etc/cron.hourly)"
        )
        if status:
            host.say(
                "14:17:31",
                f"CRON[20]: (CRON) error (grandchild #21 failed with exit status {status})",
            )
        host.say(
            "14:17:31", "CRON[20]: (root) END ([21] cd / && run-parts --report /etc/cron.hourly)"
        )
        told: dict[str, CronHistory] = host.go_on()[0]
        return told

    def test_they_went_as_their_directory_did(self, host: Any) -> None:
        went = self.run_hourly(host)[POLL]
        assert (went.last_start, went.last_end) == (at("14:17:01"), at("14:17:31"))
        assert (went.last_exit, went.running_pids, went.median_runtime_seconds) == (0, [], None)
        assert "the times are those of all in /etc/cron.hourly" in str(went.history_reason)

    def test_which_of_them_failed_is_not_known(self, host: Any) -> None:
        went = self.run_hourly(host, status=1)[POLL]
        assert (went.last_end, went.last_exit) == (at("14:17:31"), None)
        assert "one failed or more (exit status 1)" in str(went.history_reason)

    def test_which_of_them_run_is_known(self, host: Any) -> None:
        host.process(21, "14:17:01", command=b"run-parts --report /etc/cron.hourly")
        host.process(22, "14:17:02", parent=21, command=b"/bin/sh /etc/cron.hourly/poll")
        host.process(23, "14:17:02", parent=22, command=b"/bin/sh /etc/cron.hourly/poll")
        host.process(24, "14:17:02", parent=1, command=b"vi /etc/cron.hourly/poll")
        host.say(
            "14:17:01", "CRON[20]: (root) CMD ([21] cd / && run-parts --report /etc/cron.hourly)"
        )
        told = host.go_on()[0]
        assert told[POLL].running_pids == [22]
        assert told["17 * * * * /etc/cron.hourly/other"].running_pids == []

    def test_one_that_has_been_changed_since_is_not_known(
        self, host: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "etlmon.collectors.cron.assembly._changed_at", lambda _: at("14:18:00").timestamp()
        )
        went = self.run_hourly(host)[POLL]
        assert (went.last_start, went.last_exit) == (None, None)
        assert "changed since" in str(went.history_reason)

    def test_those_of_anacron_go_by_its_lines(self, host: Any) -> None:
        host.say("13:05:00", "anacron[70]: Job `cron.daily' started")
        host.say("13:05:40", "anacron[70]: Job `cron.daily' terminated")
        went = host.go_on()[0][ROTATE]
        assert (went.last_start, went.last_end, went.last_exit) == (
            at("13:05:00"),
            at("13:05:40"),
            0,
        )

    def test_red_hats_run_parts_tells_of_each(self, host: Any) -> None:
        host.process(21, "14:17:01", command=b"run-parts --report /etc/cron.hourly")
        host.process(25, "14:17:05", parent=21, command=b"/bin/sh /etc/cron.hourly/poll")
        host.say("14:17:01", "CROND[21]: (root) CMD (cd / && run-parts --report /etc/cron.hourly)")
        host.say("14:17:02", "run-parts[21]: (/etc/cron.hourly) starting other")
        host.say("14:17:05", "run-parts[21]: (/etc/cron.hourly) finished other")
        host.say("14:17:05", "run-parts[21]: (/etc/cron.hourly) starting poll")
        told = host.go_on()[0]
        other = told["17 * * * * /etc/cron.hourly/other"]
        assert (other.last_start, other.last_end) == (at("14:17:02"), at("14:17:05"))
        assert (other.last_exit, other.recent_runtimes_seconds) == (None, [3.0])
        assert (told[POLL].last_start, told[POLL].running_pids) == (at("14:17:05"), [25])
