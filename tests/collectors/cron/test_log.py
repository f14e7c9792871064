"""What cron logs of its jobs: lines of real daemons, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.cron.chronicle import Chronicle
from etlmon.collectors.cron.log import Event, parse_line
from etlmon.collectors.cron.look import Observer
from etlmon.host.processes import TICKS_PER_SECOND
from etlmon.records.cron import CronHistory, CronLogRead

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
        ("Nov 26 15:12:09 h cron[7]: (*system*) RELOAD (/etc/crontab)", None),
        ("Nov 31 15:12:09 h CRON[7]: (etl) CMD (load)", None),
        ("Nov 26 15:12:09 h sshd[7]: (etl) CMD (load)", None),
        ("", None),
    ],
)  # fmt: skip
def test_lines(line: str, event: Event | None) -> None:
    assert parse_line(line.encode(), NOW, BERLIN) == event


@given(st.binary(max_size=200))
def test_any_line_is_taken(line: bytes) -> None:
    parse_line(line, NOW, BERLIN)
    parse_line(b"Nov 26 15:12:09 h CRON[7]: (etl) CMD (" + line + b")", NOW, BERLIN)


class Host:
    """A host with a crontab, a log of cron and a process table."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for place in ("etc/cron.d", "etc/default", "usr/sbin", "var/log", "run", "proc/42"):
            (root / place).mkdir(parents=True)
        (root / "usr/sbin/cron").touch()
        (root / "run/crond.pid").write_text("42\n")
        (root / "proc/42/comm").write_text("cron\n")
        (root / "proc/stat").write_text("cpu 1\nbtime 1795000000\n")
        self.log = root / "var/log/syslog"
        self.tabs("0 * * * * root load\n")
        self.options("-L 15")
        self.observer = Observer("debian", "UTC", root, root / "proc", find_uid=lambda _: 0)
        self.seconds = NOW.timestamp()
        self.chronicle = self.begin()

    def begin(self, read: CronLogRead | None = None, known: Any = ()) -> Chronicle:
        self.chronicle = Chronicle(self.root, self.root / "proc", read, known)
        return self.chronicle

    def tabs(self, text: str) -> None:
        (self.root / "etc/cron.d/a").write_text(text)

    def options(self, text: str) -> None:
        (self.root / "etc/default/cron").write_text(f'EXTRA_OPTS="{text}"\n')

    def say(self, at: str, text: str) -> None:
        with self.log.open("a") as file:
            file.write(f"2026-11-26T{at}+00:00 h {text}\n")

    def process(self, pid: int, began: str) -> None:
        ticks = int((at(began).timestamp() - 1_795_000_000) * TICKS_PER_SECOND)
        (self.root / f"proc/{pid}").mkdir()
        rest = " ".join(["0"] * 30)
        (self.root / f"proc/{pid}/stat").write_text(
            f"{pid} (sh) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 10 {rest}\n"
        )

    def go_on(self) -> tuple[dict[str, CronHistory], CronLogRead | None]:
        look = self.observer.look(self.seconds)
        names = {entry.job_id: f"{entry.schedule} {entry.command}" for entry in look.entries}
        told, read = self.chronicle.follow(look, self.observer, 100.0, self.seconds)
        return {names[one.job_id]: one for one in told}, read


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-26T{text}+00:00")


LOAD = "0 * * * * load"


def test_a_run_from_its_beginning_to_its_end(host: Host) -> None:
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("13:00:31", "CRON[10]: (root) END ([11] load)")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:01:01", "CRON[20]: (CRON) error (grandchild #21 failed with exit status 3)")
    host.say("14:01:01", "CRON[20]: (root) END ([21] load)")
    went = host.go_on()[0][LOAD]
    assert (went.last_start, went.last_end, went.last_exit) == (at("14:00:01"), at("14:01:01"), 3)
    assert (went.running_pids, went.overlap, went.median_runtime_seconds) == ([], False, 45.0)
    assert went.history_reason is None


def test_a_success_is_known_only_where_failures_are_logged(host: Host) -> None:
    host.options("-L 3")
    host.say("14:00:01", "CRON[20]: (root) CMD (load)")
    host.say("14:00:02", "CRON[19]: (root) END (load)")
    went = host.go_on()[0][LOAD]
    assert (went.last_end, went.last_exit) == (at("14:00:02"), None)
    assert "-L 15" in str(went.history_reason)


def test_what_runs_and_overlaps(host: Host) -> None:
    host.process(11, "13:00:01")
    host.process(21, "14:00:01")
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    went = host.go_on()[0][LOAD]
    assert (went.running_pids, went.overlap, went.last_end) == ([11, 21], True, None)


def test_a_pid_that_another_has_is_not_taken_for_it(host: Host) -> None:
    host.process(21, "14:20:00")
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    assert host.go_on()[0][LOAD].running_pids == []


def test_jobs_with_one_command_are_told_apart_by_their_times(host: Host) -> None:
    host.tabs("0 * * * * root load\n30 * * * * root load\n")
    host.say("13:30:01", "CRON[20]: (root) CMD ([21] load)")
    host.say("14:00:01", "CRON[30]: (root) CMD ([31] load)")
    told = host.go_on()[0]
    assert told[LOAD].last_start == at("14:00:01")
    assert told["30 * * * * load"].last_start == at("13:30:01")


def test_input_and_blanks_are_no_part_of_what_is_compared(host: Host) -> None:
    host.tabs("0 * * * * root   date +\\%F  % x\n")
    host.say("14:00:01", "CRON[30]: (root) CMD ([31]   date +%F  )")
    (went,) = host.go_on()[0].values()
    assert went.last_start == at("14:00:01")


def test_what_was_due_and_did_not_begin_is_missed(host: Host) -> None:
    host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
    host.go_on()
    host.seconds += 3600  # 15:30
    assert host.go_on()[0][LOAD].missed_at == at("15:00:00")
    host.seconds += 1860  # 16:01
    host.say("16:00:01", "CRON[40]: (root) CMD ([41] load)")
    assert host.go_on()[0][LOAD].missed_at == at("15:00:00")
    host.seconds += 300
    assert host.go_on()[0][LOAD].missed_at == at("15:00:00")


def test_it_goes_on_where_it_had_stopped(host: Host) -> None:
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
def test_where_nothing_can_be_known_it_says_why(host: Host, case: str) -> None:
    if case == "unreadable":
        host.say("14:00:01", "CRON[20]: (root) CMD ([21] load)")
        host.log.unlink()
        host.log.mkdir()
    went = host.go_on()[0][LOAD]
    assert went.last_start is None
    words = {"no log": "the journal is not read", "unreadable": "cannot be read"}
    assert words[case] in str(went.history_reason)


def test_a_real_cron_is_understood(real_cron: Any, host: Host) -> None:
    cron = real_cron("UTC", NOW.timestamp())
    cron.write(
        "cron.d/a", "31 * * * * root : fine\n31 * * * * root exit 3\n31 * * * * root kill -9 $$\n"
    )
    with cron:
        cron.go_to(cron.at + 60)
        messages = list(cron.messages)
    host.tabs("* * * * * root : fine\n* * * * * root exit 3\n* * * * * root kill -9 $$\n")
    host.log.write_text("".join(f"{message}\n" for message in messages))
    host.seconds = datetime.now(UTC).timestamp()
    told = {name.removeprefix("* * * * * "): one for name, one in host.go_on()[0].items()}
    assert {name: one.last_exit for name, one in told.items()} == {
        ": fine": 0,
        "exit 3": 3,
        "kill -9 $$": 137,
    }
    assert all(one.last_end is not None for one in told.values())
