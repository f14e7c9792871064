"""What cron logs of its jobs: lines of real daemons, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.cron.log import Event, parse_line
from etlmon.collectors.cron.look import Observer

NOW = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            "Nov 26 15:12:09 etl1 CRON[19399]: (root) CMD (   cd / && run-parts x)",
            Event("start", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"root",
                  b"cd / && run-parts x", 19399),
        ),
        (
            "<78>Nov  6 15:12:09 CRON[19398]: (etl) CMD ([19399] load (all))",
            Event("start", datetime(2026, 11, 6, 15, 12, 9, tzinfo=BERLIN), b"etl", b"load (all)",
                  19399),
        ),
        (
            "2026-11-26T15:12:09.123456+01:00 etl1 CRON[19398]: (etl) END ([19399] load)",
            Event("end", datetime(2026, 11, 26, 14, 12, 9, 123456, tzinfo=UTC), b"etl", b"load",
                  19399),
        ),
        (
            "Nov 26 15:12:09 h CRON[7]: (CRON) error (grandchild #8 failed with exit status 3)",
            Event("failed", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"", b"", 8, 3),
        ),
        (
            "Nov 26 15:12:09 h CRON[7]: (CRON) error (grandchild #8 terminated by signal 9)",
            Event("failed", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"", b"", 8, 137),
        ),
        (
            "Nov 26 15:12:09 h CROND[7]: (etl) CMDEND (load)",
            Event("end", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"etl", b"load", None),
        ),
        (
            "Dec 31 23:59:59 h CROND[7]: (etl) CMD (load)",
            Event("start", datetime(2025, 12, 31, 23, 59, 59, tzinfo=BERLIN), b"etl", b"load", 7),
        ),
        (
            "Nov 26 15:12:09 h anacron[7]: Job `cron.daily' started",
            Event("start", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"", b"cron.daily",
                  None, None, "anacron", 7),
        ),
        (
            "Nov 26 15:12:09 h anacron[7]: Job `it's' terminated (exit status: 3) (mailing output)",
            Event("end", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"", b"it's", None, 3,
                  "anacron", 7),
        ),
        (
            "Nov 26 15:12:09 h anacron[7]: Job `a' terminated due to signal 9 (produced output)",
            Event("end", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"", b"a", None, 137,
                  "anacron", 7),
        ),
        (
            "Nov 26 15:12:09 h run-parts[7]: (/etc/cron.daily) starting logrotate",
            Event("start", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"",
                  b"/etc/cron.daily/logrotate", None, None, "run-parts", 7),
        ),
        (
            "Nov 26 15:12:09 h run-parts(/etc/cron.daily)[7]: finished logrotate",
            Event("end", datetime(2026, 11, 26, 15, 12, 9, tzinfo=BERLIN), b"",
                  b"/etc/cron.daily/logrotate", None, None, "run-parts", 7),
        ),
        ("Nov 26 15:12:09 h run-parts[7]: starting logrotate", None),
        ("Nov 26 15:12:09 h anacron[7]: Normal exit (3 jobs run)", None),
        ("Nov 26 15:12:09 h cron[7]: (*system*) RELOAD (/etc/crontab)", None),
        ("Nov 31 15:12:09 h CRON[7]: (etl) CMD (load)", None),
        ("Nov 26 15:12:09 h sshd[7]: (etl) CMD (load)", None),
        ("", None),
    ],
)  # fmt: skip
def test_lines(line: str, event: Event | None) -> None:
    assert parse_line(line.encode(), NOW, BERLIN) == event


@pytest.mark.parametrize(
    ("now", "begun"),
    [("00:10:05", "00:10:01"), ("01:10:05", "01:10:01"), ("01:10:00", "01:10:01")],
)
def test_the_hour_that_comes_twice_is_told_apart_by_when_it_is_read(now: str, begun: str) -> None:
    line = b"Oct 25 02:10:01 h CRON[7]: (etl) CMD ([8] load)"
    event = parse_line(line, datetime.fromisoformat(f"2026-10-25T{now}+00:00"), BERLIN)
    assert event is not None
    assert event.at == datetime.fromisoformat(f"2026-10-25T{begun}+00:00")


def test_a_run_over_a_change_of_the_clock_takes_as_long_as_it_takes() -> None:
    began, ended = (
        parse_line(f"Oct 25 {clock}:00 h CRON[7]: (etl) {what} ([8] load)".encode(), NOW, BERLIN)
        for clock, what in (("01:50", "CMD"), ("03:10", "END"))
    )
    assert began is not None
    assert ended is not None
    assert ended.at - began.at == timedelta(hours=2, minutes=20)


@given(st.binary(max_size=200))
def test_any_line_is_taken(line: bytes) -> None:
    parse_line(line, NOW, BERLIN)
    parse_line(b"Nov 26 15:12:09 h CRON[7]: (etl) CMD (" + line + b")", NOW, BERLIN)
    parse_line(b"Nov 26 15:12:09 h anacron[7]: Job `" + line, NOW, BERLIN)
    parse_line(b"Nov 26 15:12:09 h run-parts[7]: " + line, NOW, BERLIN)


@pytest.fixture
def host(log_host: Any) -> Any:
    return log_host


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-26T{text}+00:00")


LOAD = "0 * * * * load"


def test_a_run_from_its_beginning_to_its_end(host: Any) -> None:
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("13:00:31", "CRON[10]: (root) END ([11] load)")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:01:01", "CRON[20]: (CRON) error (grandchild #21 failed with exit status 3)")
    host.say("14:01:01", "CRON[20]: (root) END ([21] load)")
    went = host.go_on()[0][LOAD]
    assert (went.last_start, went.last_end, went.last_exit) == (at("14:00:01"), at("14:01:01"), 3)
    assert (went.running_pids, went.overlap, went.median_runtime_seconds) == ([], False, 45.0)
    assert went.history_reason is None


def test_a_success_is_known_only_where_failures_are_logged(host: Any) -> None:
    host.options("-L 3")
    host.say("14:00:01", "CRON[20]: (root) CMD (load)")
    host.say("14:00:02", "CRON[19]: (root) END (load)")
    went = host.go_on()[0][LOAD]
    assert (went.last_end, went.last_exit) == (at("14:00:02"), None)
    assert "-L 15" in str(went.history_reason)


def test_what_runs_and_overlaps(host: Any) -> None:
    host.process(11, "13:00:01")
    host.process(21, "14:00:01")
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    went = host.go_on()[0][LOAD]
    assert (went.running_pids, went.overlap, went.last_end) == ([11, 21], True, None)


def test_a_pid_that_another_has_is_not_taken_for_it(host: Any) -> None:
    host.process(21, "14:20:00")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    assert host.go_on()[0][LOAD].running_pids == []


def test_a_failure_whose_end_was_not_told_is_not_that_of_the_next_run(host: Any) -> None:
    host.say("13:00:01", "CRON[10]: (root) CMD ([21] load)")
    host.say("13:00:02", "CRON[10]: (CRON) error (grandchild #21 failed with exit status 3)")
    host.say("14:00:01", "CRON[10]: (root) CMD ([21] load)")
    host.say("14:00:09", "CRON[10]: (root) END ([21] load)")
    went = host.go_on()[0][LOAD]
    assert (went.last_end, went.last_exit) == (at("14:00:09"), 0)


class TestForged:
    """Anybody may write into a file of the system log: what is seen not to be so is not taken."""

    def test_a_process_that_no_cron_has_started_is_no_job(self, host: Any) -> None:
        host.process(1, "12:00:00", parent=0, comm="systemd")
        host.process(900, "13:00:00", comm="bash", uid=1000)
        host.process(21, "14:00:01", parent=900, uid=1000)
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        assert host.go_on()[0][LOAD].last_start is None
        host.process(42, "12:00:00", comm="cron")
        host.process(30, "14:10:00", parent=42, comm="cron")
        host.process(31, "14:10:00", parent=30, uid=1000)
        host.say("14:10:00", "CRON[30]: (root) CMD ([31] load)")
        went = host.go_on()[0][LOAD]
        assert (went.last_start, went.running_pids) == (at("14:10:00"), [31])

    def test_a_cron_of_somebody_else_is_none(self, host: Any) -> None:
        host.process(1, "12:00:00", parent=0, comm="systemd")
        host.process(900, "13:00:00", comm="cron", uid=1000)
        host.process(21, "14:00:01", parent=900, uid=1000)
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        assert host.go_on()[0][LOAD].last_start is None

    def test_a_start_to_come_is_none(self, host: Any) -> None:
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        host.say("20:00:01", "CRON[20]: (root) CMD ([22] load)")
        assert host.go_on("14:30:00")[0][LOAD].last_start == at("14:00:01")

    @pytest.mark.parametrize(
        "text",
        [
            "(root) END ([21] load)",
            "(CRON) error (grandchild #21 failed with exit status 0)",
        ],
    )
    def test_what_still_runs_has_not_ended(self, host: Any, text: str) -> None:
        host.process(21, "14:00:01")
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        host.go_on()
        host.say("14:01:01", f"CRON[20]: {text}")
        went = host.go_on()[0][LOAD]
        assert (went.last_end, went.last_exit, went.running_pids) == (None, None, [21])
        (host.root / "proc/21/stat").unlink()
        host.say("14:02:01", "CRON[20]: (root) END ([21] load)")
        assert host.go_on()[0][LOAD].last_end == at("14:02:01")

    def test_anacron_is_who_is_called_so(self, host: Any) -> None:
        for place in ("etc/anacrontab", "usr/sbin/anacron"):
            host.write(place, "1 5 daily backup\n")
        host.process(70, "13:00:00", comm="bash", uid=1000)
        host.say("14:00:01", "anacron[70]: Job `daily' started")
        assert host.go_on()[0]["1 5 backup"].last_start is None
        host.process(70, "13:00:00", comm="anacron", uid=1000)
        host.say("14:05:01", "anacron[70]: Job `daily' started")
        assert host.go_on()[0]["1 5 backup"].last_start is None
        host.process(70, "13:00:00", comm="anacron")
        host.say("14:10:01", "anacron[70]: Job `daily' started")
        assert host.go_on()[0]["1 5 backup"].last_start == at("14:10:01")


def test_jobs_with_one_command_are_told_apart_by_their_times(host: Any) -> None:
    host.tabs("0 * * * * root load\n30 * * * * root load\n")
    host.say("13:30:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:00:01", "CRON[30]: (root) CMD ([31] load)")
    told = host.go_on()[0]
    assert told[LOAD].last_start == at("14:00:01")
    assert told["30 * * * * load"].last_start == at("13:30:01")


def test_jobs_with_one_command_that_are_due_together_have_begun_together(host: Any) -> None:
    host.tabs("0 * * * * root load\n0 14 * * * root load\n")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:00:01", "CRON[30]: (root) CMD ([31] load)")
    told = host.go_on()[0]
    assert [went.last_start for went in told.values()] == [at("14:00:01")] * 2


def test_input_and_blanks_are_no_part_of_what_is_compared(host: Any) -> None:
    host.tabs("0 * * * * root   date +\\%F  % x\n")
    host.say("14:00:01", "CRON[30]: (root) CMD ([31]   date +%F  )")
    (went,) = host.go_on()[0].values()
    assert went.last_start == at("14:00:01")


def test_it_goes_on_where_it_had_stopped(host: Any) -> None:
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("13:00:31", "CRON[10]: (root) END ([11] load)")
    told, read = host.go_on()
    host.begin(read, told.values())
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:00:11", "CRON[20]: (root) END ([21] load)")
    went = host.go_on()[0][LOAD]
    assert went.recent_runtimes_seconds == [30.0, 10.0]
    assert went.last_exit == 0


@pytest.mark.parametrize("case", ["no log", "unreadable"])
def test_where_nothing_can_be_known_it_says_why(host: Any, case: str) -> None:
    if case == "unreadable":
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        host.log.unlink()
        host.log.mkdir()
    went = host.go_on()[0][LOAD]
    assert went.last_start is None
    words = {"no log": "neither a journal nor", "unreadable": "cannot be read"}
    assert words[case] in str(went.history_reason)


def test_a_job_that_cron_is_told_not_to_log_says_so(host: Any) -> None:
    host.observer = Observer("cronie", "UTC", host.root, host.root / "proc", find_uid=lambda _: 0)
    host.tabs("-0 * * * * root quiet\n30 * * * * root load\n")
    host.say("14:30:01", "CROND[20]: (root) CMD (load)")
    host.go_on()
    told, _ = host.go_on("16:00:10")
    assert told["0 * * * * quiet"].history_reason == "the line begins with -: cron does not log it"
    assert (told["0 * * * * quiet"].late_since, told["0 * * * * quiet"].missed_at) == (None, None)
    assert told["30 * * * * load"].late_since == at("15:30:00")


def test_a_real_cron_is_understood(real_cron: Any, host: Any) -> None:
    cron = real_cron("UTC", NOW.timestamp())
    cron.write(
        "cron.d/a",
        "31 * * * * root : fine\n31 * * * * root exit 3\n31 * * * * root kill -9 $$\n"
        "31 * * * * root : \t\\% 한국어 \x7f % input\n",
    )
    with cron:
        cron.go_to(cron.at + 60)
        messages = list(cron.messages)
    host.tabs(
        "* * * * * root : fine\n* * * * * root exit 3\n* * * * * root kill -9 $$\n"
        "* * * * * root : \t\\% 한국어 \x7f % input\n"
    )
    host.log.write_text("".join(f"{message}\n" for message in messages))
    host.seconds = datetime.now(UTC).timestamp()
    told = {name.removeprefix("* * * * * "): one for name, one in host.go_on()[0].items()}
    assert {name: one.last_exit for name, one in told.items()} == {
        ": fine": 0,
        "exit 3": 3,
        "kill -9 $$": 137,
        ": \t\\% 한국어 \x7f % input": 0,
    }
    assert all(one.last_end is not None for one in told.values())
