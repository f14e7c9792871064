"""Where what cron says is read: a file, or the journal where no syslog daemon writes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.cron import sources
from etlmon.collectors.cron.sources import JOURNAL, LOGS, find_source

LOAD = "0 * * * * load"
DAY = 86_400.0


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-26T{text}+00:00")


def said(moment: str, pid: int, text: str) -> tuple[float, str, int, bytes]:
    return at(moment).timestamp(), "CRON", pid, text.encode()


@pytest.fixture
def host(log_host: Any) -> Any:
    """Give a host that systemd has started."""
    (log_host.root / "run/systemd/system").mkdir(parents=True)
    return log_host


@pytest.fixture
def journal(host: Any, write_journal: Callable[..., Path]) -> Callable[..., None]:
    """Give what writes the host's journal anew."""

    def write(*entries: Any) -> None:
        host.journalctl = ("journalctl", f"--file={write_journal(*entries)}")
        host.begin()

    return write


def age(path: Path, seconds: float, now: float) -> None:
    os.utime(path, (now - seconds, now - seconds))


class TestWhichOne:
    def test_the_first_file_that_is_there(self, log_host: Any) -> None:
        assert find_source(log_host.root, log_host.seconds) is None
        for place in reversed(LOGS):
            log_host.write(place, "")
            assert find_source(log_host.root, log_host.seconds) == str(log_host.root / place)

    def test_without_a_journal_an_old_file_is_better_than_none(self, log_host: Any) -> None:
        path = log_host.write("var/log/syslog", "")
        age(path, 30 * DAY, log_host.seconds)
        assert find_source(log_host.root, log_host.seconds) == str(path)

    def test_of_two_files_the_one_that_is_still_written(self, log_host: Any) -> None:
        old = log_host.write("var/log/cron.log", "")
        new = log_host.write("var/log/syslog", "")
        age(new, 0, log_host.seconds)
        age(old, 30 * DAY, log_host.seconds)
        assert find_source(log_host.root, log_host.seconds) == str(new)
        age(old, 0, log_host.seconds)
        assert find_source(log_host.root, log_host.seconds) == str(old)

    def test_the_journal_where_no_file_is_written_any_more(self, host: Any) -> None:
        assert find_source(host.root, host.seconds) == JOURNAL
        path = host.write("var/log/syslog", "")
        age(path, 1.1 * DAY, host.seconds)
        assert find_source(host.root, host.seconds) == JOURNAL
        age(path, 0.9 * DAY, host.seconds)
        assert find_source(host.root, host.seconds) == str(path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
    def test_the_journal_where_only_that_may_be_read(
        self, host: Any, unprivileged: Callable[[], Any]
    ) -> None:
        path = host.write("var/log/syslog", "", 0o600)
        directories = [one for one in host.root.rglob("*") if one.is_dir()]
        for one in (*directories, host.root, *host.root.parents):
            if one != Path("/tmp"):
                one.chmod(one.stat().st_mode | 0o055)
        age(path, 0, host.seconds)
        with unprivileged():
            assert find_source(host.root, host.seconds) == JOURNAL


def test_jobs_are_told_of_by_the_journal(host: Any, journal: Callable[..., None]) -> None:
    first = [
        said("13:00:01", 10, "(root) CMD ([11] load)"),
        said("13:00:31", 10, "(root) END ([11] load)"),
        (*said("13:30:00", 15, "(root) CMD ([16] load)"), 1000),  # by somebody else
        said("14:00:01", 20, "(root) CMD ([21] load)"),
        said("14:01:01", 20, "(CRON) error (grandchild #21 failed with exit status 3)"),
    ]
    journal(*first)
    told, read = host.go_on()
    went = told[LOAD]
    assert (went.last_start, went.last_end, went.last_exit) == (at("14:00:01"), at("14:01:01"), 3)
    assert (went.recent_runtimes_seconds, went.history_reason) == ([30.0, 60.0], None)
    assert read.path == JOURNAL
    journal(*first, said("15:00:01", 30, "(root) CMD ([31] load)"))
    host.begin(read, told.values(), host.entries)
    went = host.go_on("15:01:00")[0][LOAD]
    assert (went.last_start, went.recent_runtimes_seconds) == (at("15:00:01"), [30.0, 60.0])


def test_the_journal_counts_where_it_is_wanted(host: Any, journal: Callable[..., None]) -> None:
    host.wanted = "journal"
    journal(said("14:00:01", 20, "(root) CMD ([21] load)"))
    host.say("14:20:01", "CRON[30]: (root) CMD ([31] load)")
    age(host.log, 0, host.seconds)
    told, read = host.go_on()
    assert (told[LOAD].last_start, read.path) == (at("14:00:01"), JOURNAL)
    (host.root / "run/systemd/system").rmdir()
    host.begin()
    told, _ = host.go_on()
    assert "cron.log is journal" in str(told[LOAD].history_reason)


def test_what_cannot_be_read_at_once_is_read_next(
    host: Any, journal: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_ENTRIES_A_READ", 2)
    monkeypatch.setattr(sources, "_JOURNAL_READS_A_LOOK", 2)
    journal(*(said(f"13:00:{n:02}", n, f"(root) CMD ([{n}] load)") for n in range(1, 8)))
    assert host.go_on()[0][LOAD].last_start == at("13:00:04")
    assert host.chronicle.more
    assert host.go_on()[0][LOAD].last_start == at("13:00:07")
    assert not host.chronicle.more


def test_a_file_that_is_left_behind_gives_way_to_the_journal_and_comes_back(
    host: Any, journal: Callable[..., None]
) -> None:
    """What both tell is taken once."""
    host.say("13:00:01", "CRON[10]: (root) CMD ([11] load)")
    host.say("13:00:31", "CRON[10]: (root) END ([11] load)")
    age(host.log, 60, host.seconds)
    journal(
        said("13:00:01", 10, "(root) CMD ([11] load)"),
        said("13:00:31", 10, "(root) END ([11] load)"),
        said("14:00:01", 20, "(root) CMD ([21] load)"),
        said("14:00:11", 20, "(root) END ([21] load)"),
    )
    told, read = host.go_on()
    assert (told[LOAD].recent_runtimes_seconds, read.path) == ([30.0], str(host.log))
    age(host.log, 2 * DAY, host.seconds)
    told, read = host.go_on()
    assert (told[LOAD].recent_runtimes_seconds, read.path) == ([30.0, 10.0], JOURNAL)
    host.say("15:00:01", "CRON[30]: (root) CMD ([31] load)")
    host.say("15:00:21", "CRON[30]: (root) END ([31] load)")
    age(host.log, 0, host.seconds)
    told, read = host.go_on("15:01:00")
    assert told[LOAD].recent_runtimes_seconds == [30.0, 10.0, 20.0]
    assert read.path == str(host.log)


def test_a_clock_that_is_set_back_hides_nothing(host: Any) -> None:
    host.say("14:00:01", "CRON[10]: (root) CMD ([11] load)")
    age(host.log, 60, host.seconds)
    told, _ = host.go_on()
    host.begin(None, told.values())  # as after another log: what is known is not taken again
    host.go_on()
    host.say("13:00:01", "CRON[20]: (root) CMD ([21] load)")
    assert host.go_on("13:01:00")[0][LOAD].last_start == at("13:00:01")


def test_where_the_journal_cannot_be_read_it_says_why(host: Any) -> None:
    program = host.write(
        "journalctl",
        "#!/bin/sh\necho 'No journal files were opened due to insufficient permissions.' >&2\n"
        "exit 1\n",
        0o755,
    )
    host.journalctl = (str(program),)
    host.begin()
    told, read = host.go_on()
    assert "group systemd-journal" in str(told[LOAD].history_reason)
    assert (told[LOAD].last_start, read) == (None, None)


def test_at_first_it_looks_some_days_back(host: Any, journal: Callable[..., None]) -> None:
    old = (at("14:00:01") - timedelta(days=7)).timestamp()
    journal((old - 3 * DAY, "CRON", 5, b"(root) CMD ([6] load)"))
    assert host.go_on()[0][LOAD].last_start is None
    journal((old, "CRON", 5, b"(root) CMD ([6] load)"))
    assert host.go_on()[0][LOAD].last_start == at("14:00:01") - timedelta(days=7)
