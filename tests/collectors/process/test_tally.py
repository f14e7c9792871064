"""From looks to records: restarts, flapping, states, CPU, without a process or a clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from etlmon.collectors.process.facts import Sighting
from etlmon.collectors.process.observer import Look, Selected
from etlmon.collectors.process.sampling import CpuMeter, Now
from etlmon.collectors.process.tally import Ended, Tally
from etlmon.config.signals import AllowedSignals
from etlmon.config.watched import ProcessExpectation, ProcessWatch
from etlmon.host.pidfds import Exit
from etlmon.host.processes import Identity, ProcessStat
from etlmon.records.process import (
    NewProcessEvent,
    ProcessesFound,
    ProcessSample,
    ProcessUsage,
    ProcessWatchStatus,
)
from etlmon.units import utc

BOOT = "4dd80203-a77c-47d9-8ea3-510dd3e1d2ef"


def sighting(pid: int, start: int = 100, name: str = "load", **changes: Any) -> Sighting:
    stat = ProcessStat(
        pid=pid,
        comm=name.encode(),
        state="S",
        parent_pid=1,
        flags=0,
        cpu_ticks=0,
        threads=1,
        start_ticks=start,
        rss_pages=10,
        program_mark=(b"", b"", b""),
        exit_code=0,
    )
    return Sighting(
        identity=Identity(BOOT, pid, start),
        name=name,
        line=name,
        stat=stat._replace(**changes),
        uid=0,
        container_pid=None,
        exe="/bin/load",
        cgroup="/",
        open_files=3,
        disk_bytes=(0, 0),
        user="root",
    )


class Looks:
    """Feeds a tally with looks, one each 5 seconds."""

    def __init__(self, **watch: Any) -> None:
        self.tally = Tally(
            [ProcessWatch(name="etl", match="x", **watch)],
            cores=4,
            allowed=AllowedSignals({"etl": ("SIGTERM",)}),
        )
        self.seconds = 1000.0
        self.wall_step = 0.0
        self.slept = 0.0
        self.before: dict[int, Sighting] = {}
        self.noticed: dict[Identity, Ended] = {}
        self.records: list[Any] = []

    def look(
        self,
        *met: Sighting,
        children: Sequence[Sighting] = (),
        hides: bool = False,
        after: float = 5.0,
        how: Exit | None = None,
        left: bool = False,
    ) -> list[str]:
        """Give the events, as words."""
        self.seconds += after
        seen = {one.stat.pid: one for one in (*met, *children)}
        exits = {
            one.identity: how
            for pid, one in self.before.items()
            if pid not in seen or seen[pid].identity != one.identity or seen[pid].has_ended
        }
        hidden = frozenset(exits) if hides else frozenset()
        if left or hides:
            exits = {}
        self.before = {pid: one for pid, one in seen.items() if not one.has_ended}
        selected = Selected([one.stat.pid for one in met], [one.stat.pid for one in children])
        self.records = self.tally.update(
            Look(seen, {"etl": selected}, exits, hidden, not hides), self.now, self.noticed
        )
        return [one.event for one in self.of(NewProcessEvent)]

    @property
    def now(self) -> Now:
        boot = self.seconds + self.slept
        return Now(utc(1_800_000_000 + self.wall_step + boot), self.seconds, boot)

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.records if type(one) is kind]

    @property
    def samples(self) -> list[ProcessSample]:
        return self.of(ProcessSample)

    @property
    def status(self) -> ProcessWatchStatus:
        (one,) = self.of(ProcessWatchStatus)
        return one


def test_what_runs_already_is_no_event_and_is_told_once() -> None:
    looks = Looks()
    assert looks.look(sighting(7)) == []
    assert looks.of(ProcessesFound) == [ProcessesFound(identities=[f"{BOOT}:7:100"])]
    assert looks.look(sighting(7)) == []
    assert looks.of(ProcessesFound) == []


def test_a_start_and_an_end() -> None:
    looks = Looks()
    looks.look()
    assert looks.look(sighting(7, start=100_400)) == ["started"]
    (event,) = looks.of(NewProcessEvent)
    assert event.occurred_at == utc(1_800_000_000 + 1004)
    looks.noticed = {Identity(BOOT, 7, 100_400): Ended(utc(5), 1012.5)}
    assert looks.look(how=Exit(None, "SIGSEGV")) == ["exited"]
    (event,) = looks.of(NewProcessEvent)
    assert (event.occurred_at, event.runtime_sec) == (utc(5), 8.5)
    assert (event.exit_reason, event.exit_signal) == ("killed by SIGSEGV", "SIGSEGV")
    (sample,) = looks.samples
    assert (sample.status, sample.ended_at, sample.runtime_sec) == ("STOPPED", utc(5), 8.5)
    assert (sample.state, sample.cpu_percent) == (None, None)


def test_the_same_pid_anew_is_another_process() -> None:
    looks = Looks()
    looks.look(sighting(7))
    assert looks.look(sighting(7, start=999)) == ["exited", "restarted"]
    (sample,) = looks.samples
    assert (sample.restarts, looks.status.restarts) == (1, 1)


def test_another_name_takes_nobodys_place() -> None:
    looks = Looks()
    looks.look(sighting(7, name="load"))
    assert looks.look(sighting(8, name="dump")) == ["exited", "started"]
    assert [(one.pid, one.status) for one in looks.samples] == [(8, "RUNNING"), (7, "STOPPED")]
    assert looks.look(sighting(8, name="dump"), sighting(9, name="load")) == ["restarted"]
    assert [one.pid for one in looks.samples] == [8, 9]


def test_few_of_those_that_ended_are_listed() -> None:
    looks = Looks()
    for pid in range(2, 40):
        looks.look(sighting(pid, name=f"job{pid}"))
    assert [one.pid for one in looks.samples] == [39, *range(29, 39)]


def test_flapping_is_told_once_and_ends() -> None:
    looks = Looks()
    events = []
    for pid in range(2, 12):
        events += looks.look(sighting(pid))
    assert events.count("flapping") == 1
    assert events.count("restarted") == 9
    assert looks.status.flapping
    assert looks.look(sighting(11), after=119.0) == []
    assert looks.look(sighting(11), after=2.0) == ["steady"]
    assert not looks.status.flapping


def test_what_runs_each_minute_does_not_flap() -> None:
    looks = Looks()
    events = []
    for pid in range(2, 12):
        events += looks.look(sighting(pid), after=30.0) + looks.look(after=30.0)
    assert "flapping" not in events


def test_states_change_with_an_event() -> None:
    looks = Looks(expect=ProcessExpectation(min=1))
    assert looks.look() == ["state_changed"]
    (event,) = looks.of(NewProcessEvent)
    assert event.detail == "not looked at -> down: none runs, 1 or more expected"
    since = looks.status.since
    assert looks.look() == []
    assert looks.status.since == since
    assert looks.look(sighting(7)) == ["started", "state_changed"]
    assert looks.status.since == looks.now.at
    assert looks.of(NewProcessEvent)[1].detail == "down -> ok"


def test_what_goes_out_of_sight_is_not_taken_for_ended() -> None:
    looks = Looks(expect=ProcessExpectation(min=1))
    looks.look(sighting(7))
    assert looks.look(hides=True) == ["visibility_changed"]
    (sample,) = looks.samples
    assert (sample.status, sample.visibility) == ("RUNNING", "partial")
    assert looks.status.visibility == "partial"
    assert looks.look(sighting(7)) == ["visibility_changed"]
    assert looks.status.visibility == "full"


def test_what_ran_before_it_met_the_criteria_has_not_just_started() -> None:
    looks = Looks()
    looks.look()
    looks.look(sighting(7, start=100))
    (event,) = looks.of(NewProcessEvent)
    assert (event.event, event.occurred_at) == ("started", looks.now.at)
    assert event.detail == "runs for 17m, and meets the criteria only now"
    just = int(looks.seconds * 100) + 10
    looks.look(sighting(7, start=100), sighting(8, start=just))
    (event,) = looks.of(NewProcessEvent)
    assert (event.pid, event.detail) == (8, None)
    assert (looks.now.at - event.occurred_at).total_seconds() == pytest.approx(4.9)


def test_what_meets_the_criteria_no_more_has_left() -> None:
    looks = Looks()
    looks.look(sighting(7))
    assert looks.look(left=True) == ["left"]
    assert looks.samples == []


def test_a_zombie_is_no_process_and_ends_once() -> None:
    looks = Looks()
    looks.look(sighting(7))
    assert looks.look(sighting(7, state="Z"), how=Exit(1, None)) == ["exited"]
    (sample,) = looks.samples
    assert (sample.status, sample.state, sample.exit_reason) == ("STOPPED", "Z", "exit status 1")
    assert looks.look(sighting(7, state="Z")) == []
    assert looks.status.process_count == 0
    assert len(looks.samples) == 1


def test_a_zombie_is_none_any_more_when_its_parent_has_taken_note() -> None:
    looks = Looks()
    looks.look(sighting(7))
    for _ in range(2):
        looks.look(sighting(7, state="Z"))
        assert [sample.state for sample in looks.samples] == ["Z"]
    looks.look()
    assert [(sample.status, sample.state) for sample in looks.samples] == [("STOPPED", None)]


def test_a_zombie_from_before_is_shown() -> None:
    looks = Looks()
    assert looks.look(sighting(7, state="Z")) == []
    (sample,) = looks.samples
    assert (sample.status, sample.exit_reason) == ("STOPPED", "ended before the node began")


def test_a_dead_first_thread_is_no_zombie() -> None:
    looks = Looks()
    looks.look(sighting(7, state="Z", threads=3))
    assert [one.status for one in looks.samples] == ["RUNNING"]


def test_children_are_in_the_sums_and_make_no_events() -> None:
    looks = Looks(with_children=True, expect=ProcessExpectation(max=1))
    looks.look(sighting(7), children=[sighting(8), sighting(9, state="Z")])
    assert [(one.pid, one.is_child) for one in looks.samples] == [(7, False), (8, True)]
    assert (looks.status.process_count, looks.status.state) == (2, "ok")
    assert looks.status.threads == 2
    assert looks.look(sighting(7)) == []


def test_open_files_are_unknown_if_one_is() -> None:
    looks = Looks()
    looks.look(sighting(7), sighting(8)._replace(open_files=None))
    assert looks.status.open_files is None
    looks.look(sighting(7), sighting(8))
    assert looks.status.open_files == 6


def test_sums_of_cpu_and_a_history_of_few() -> None:
    looks = Looks()
    looks.look(*(sighting(pid) for pid in range(2, 32)))
    assert looks.status.cpu_percent is None
    looks.look(*(sighting(pid, cpu_ticks=250) for pid in range(2, 32)))
    assert looks.status.cpu_percent == pytest.approx(30 * 50)
    assert looks.status.cpu_share == pytest.approx(30 * 0.125)
    usages = looks.of(ProcessUsage)
    assert [one.pid for one in usages] == [None, *range(2, 22)]
    assert usages[0].process_count == 30
    looks.look()
    assert looks.status.cpu_percent == 0


def test_that_there_is_none_is_kept_once_a_minute() -> None:
    looks = Looks()
    kept = []
    for met in ([], [], [sighting(7)], [], *([[]] * 12)):
        looks.look(*met)
        kept.append([one.process_count for one in looks.of(ProcessUsage)])
    assert kept == [[0], [], [1, 1], [0], *([[]] * 11), [0]]


class TestCpu:
    def now(self, seconds: float) -> Now:
        return Now(utc(0), seconds, seconds)

    def test_several_threads_pass_a_hundred(self) -> None:
        meter = CpuMeter(cores=4)
        assert meter.measure([sighting(7)], self.now(10)) == {}
        (cpu,) = meter.measure([sighting(7, cpu_ticks=1500)], self.now(15)).values()
        assert (cpu.percent, cpu.share) == (300.0, 0.75)

    def test_a_look_soon_after_changes_nothing(self) -> None:
        meter = CpuMeter(cores=4)
        meter.measure([sighting(7)], self.now(10))
        assert meter.measure([sighting(7, cpu_ticks=9)], self.now(10.1)) == {}
        (first,) = meter.measure([sighting(7, cpu_ticks=100)], self.now(12)).values()
        (again,) = meter.measure([sighting(7, cpu_ticks=150)], self.now(12.5)).values()
        assert first.percent == again.percent == 50.0
        (later,) = meter.measure([sighting(7, cpu_ticks=300)], self.now(14)).values()
        assert later.percent == 100.0

    def test_another_process_of_the_same_pid_begins_anew(self) -> None:
        meter = CpuMeter(cores=4)
        meter.measure([sighting(7, cpu_ticks=5000)], self.now(10))
        assert meter.measure([sighting(7, start=999)], self.now(15)) == {}

    def test_a_counter_that_falls_is_not_negative(self) -> None:
        meter = CpuMeter(cores=4)
        meter.measure([sighting(7, cpu_ticks=50)], self.now(10))
        (cpu,) = meter.measure([sighting(7, cpu_ticks=49)], self.now(15)).values()
        assert cpu.percent == 0


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_is_an_event_and_falsifies_nothing(hours: int) -> None:
    looks = Looks()
    looks.look(sighting(7, cpu_ticks=100))
    (before,) = looks.samples
    looks.wall_step = 3600.0 * hours
    assert looks.look(sighting(7, cpu_ticks=350)) == ["clock_step"]
    (event,) = looks.of(NewProcessEvent)
    assert (event.watch, event.pid, event.occurred_at) == ("", None, looks.now.at)
    assert event.detail == f"the clock was set {'ahead' if hours > 0 else 'back'} by 1h"
    (sample,) = looks.samples
    assert (sample.cpu_percent, sample.runtime_sec) == (50.0, before.runtime_sec + 5)
    assert sample.start_time == before.start_time + timedelta(hours=hours)
    assert looks.look(sighting(7, cpu_ticks=350)) == []


def test_a_host_that_has_slept_is_an_event_and_makes_no_cpu() -> None:
    looks = Looks()
    looks.look(sighting(7, cpu_ticks=100))
    looks.slept = 7230.0
    assert looks.look(sighting(7, cpu_ticks=350)) == ["slept"]
    (event,) = looks.of(NewProcessEvent)
    assert event.detail == "the host slept for 2h"
    (sample,) = looks.samples
    assert sample.cpu_percent == 50.0
    assert sample.runtime_sec == 1010 + 7230 - 1


def test_a_clock_that_is_slewed_is_none() -> None:
    looks = Looks()
    looks.look(sighting(7))
    (before,) = looks.samples
    looks.wall_step = 0.5
    assert looks.look(sighting(7)) == []
    assert looks.samples[0].start_time == before.start_time
