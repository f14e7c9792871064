"""systemd's timers, as ``systemctl`` tells of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from etlmon.collectors.cron.calendars import read_event
from etlmon.errors import CollectError
from etlmon.records.cron import CronEntry, CronHistory, job_id
from etlmon.units import utc

if TYPE_CHECKING:
    from datetime import datetime

    from etlmon.collectors.cron.times import Times
    from etlmon.records.cron import NextRunKind

LIST = ("list-timers", "--all", "--output=json")
SHOW = (
    "show",
    "--timestamp=unix",
    "--property=Id,LoadState,ActiveState,FragmentPath,TimersCalendar,TimersMonotonic,"
    "RandomizedDelayUSec,"
    "User,MainPID,ExecMainStartTimestamp,ExecMainExitTimestamp,ExecMainCode,ExecMainStatus",
    "--",
)
"""Takes the names of units after it; those of timers and those of services."""

MOST_TIMERS = 1_000
_MOST_EVENTS = 50
_HOURS = 24
_SETTING = re.compile(r"\{ (On\w+?)(?:USec)?=(.*?) ; next_elapse=")
_EXITED, _KILLED, _DUMPED = "1", "2", "3"  # CLD_EXITED and so on, as ExecMainCode gives them


class _Listed(msgspec.Struct):
    unit: str
    next: int | None = None
    last: int | None = None
    activates: str | None = None


@dataclass
class Timer:
    """A timer, what it starts, and how that went. Moments are seconds since the epoch."""

    unit: str
    activates: str
    next_at: float | None
    last_at: float | None
    schedule: str = ""
    events: list[str] | None = None
    """Its calendar events; None where other things move it too, or a delay at random does."""
    file: str = ""
    user: str = "root"
    is_active: bool = True
    started_at: float | None = None
    ended_at: float | None = None
    exit_status: int | None = None
    """128 and more where a signal ended it, as a shell tells it."""
    pids: list[int] = field(default_factory=list)


def parse_list(text: bytes) -> list[Timer]:
    """Give the timers of ``systemctl list-timers --output=json``; raise CollectError."""
    try:
        listed = msgspec.json.decode(text, type=list[_Listed])
    except msgspec.MsgspecError as error:
        raise CollectError(f"systemctl list-timers: not what was expected: {error}") from error
    return [
        Timer(one.unit, one.activates or "", _seconds(one.next), _seconds(one.last))
        for one in listed[:MOST_TIMERS]
    ]


def add_details(timers: list[Timer], shown: str) -> None:
    """Fill in what ``systemctl show`` tells of the timers and of what they start."""
    units = {properties["Id"][0]: properties for properties in _blocks(shown)}
    for timer in timers:
        own = units.get(timer.unit, {})
        timer.schedule = _schedule(own)
        timer.events = _events(own)
        timer.file = _first(own, "FragmentPath")
        timer.is_active = _first(own, "ActiveState") in ("active", "")
        _add_service(timer, units.get(timer.activates, {}))


def records_of(timer: Timer, times: Times, now: datetime) -> tuple[CronEntry, CronHistory]:
    """Give a timer as a job that was looked at ``now``, and how it went."""
    zone = times.zone
    job = job_id("timer", timer.unit, None, timer.activates, 1)
    moment = None if timer.next_at is None else utc(timer.next_at)
    kind: NextRunKind = "exact"
    reason = None
    if moment is None:
        kind, reason = "unknown", "systemd tells no next run: it waits for another event"
        if not timer.is_active:
            kind, reason = "never", "the timer is not active"
    entry = CronEntry(
        job_id=job,
        schedule=timer.schedule,
        command=timer.activates,
        user=timer.user,
        source="timer",
        file=timer.file or timer.unit,
        next_run=moment,
        next_run_local=moment.astimezone(zone.rules).isoformat() if moment else None,
        next_run_kind=kind,
        reason=reason,
        next_runs=[moment] if moment else [],
        runs_by_hour=[] if moment is None else _by_hour(timer, moment, times, now),
        timezone=zone.name,
        file_status="active" if timer.is_active else "ignored",
        last_checked=now,
    )
    last = timer.started_at or timer.last_at
    history = CronHistory(
        job_id=job,
        last_start=None if last is None else utc(last),
        last_end=None if timer.ended_at is None else utc(timer.ended_at),
        last_exit=timer.exit_status,
        running_pids=timer.pids,
        overlap=False,  # systemd does not start a unit that is running
    )
    return entry, history


def _by_hour(timer: Timer, moment: datetime, times: Times, now: datetime) -> list[int]:
    """Give the runs in each of 24 hours, as far as they are known: by its events, or up to one."""
    minute = int(now.timestamp() // 60)
    events = [read_event(text) for text in timer.events or ()]
    if events and None not in events:
        counts = [
            [count * event.times_a_minute for count in times.by_hour(event.schedule, minute)]
            for event in events
            if event is not None
        ]
        return [sum(hour) for hour in zip(*counts, strict=True)]
    before = max(0, times.hours_until(moment, minute))
    return [0] * _HOURS if before >= _HOURS else [*([0] * before), 1]


def _add_service(timer: Timer, service: dict[str, list[str]]) -> None:
    timer.user = _first(service, "User") or "root"
    timer.started_at = _moment(_first(service, "ExecMainStartTimestamp"))
    timer.ended_at = _moment(_first(service, "ExecMainExitTimestamp"))
    pid = _first(service, "MainPID")
    timer.pids = [int(pid)] if pid.isdigit() and pid != "0" else []
    if timer.pids:
        timer.ended_at = None
    code, status = _first(service, "ExecMainCode"), _first(service, "ExecMainStatus")
    if timer.ended_at is not None and status.isdigit():
        if code == _EXITED:
            timer.exit_status = int(status)
        elif code in (_KILLED, _DUMPED):
            timer.exit_status = 128 + int(status)


def _blocks(shown: str) -> list[dict[str, list[str]]]:
    """Take the output of ``show`` apart: units between empty lines, properties more than once."""
    found = []
    for block in shown.split("\n\n"):
        properties: dict[str, list[str]] = {}
        for line in block.splitlines():
            name, mark, value = line.partition("=")
            if mark:
                properties.setdefault(name, []).append(value)
        if "Id" in properties:
            found.append(properties)
    return found


def _events(properties: dict[str, list[str]]) -> list[str] | None:
    """Give the calendar events of a timer, None where they alone do not tell when it elapses."""
    if _first(properties, "RandomizedDelayUSec") not in ("", "0"):
        return None
    if any(map(_SETTING.search, properties.get("TimersMonotonic", ()))):
        return None
    found = map(_SETTING.search, properties.get("TimersCalendar", ())[:_MOST_EVENTS])
    return [one[2] for one in found if one is not None]


def _schedule(properties: dict[str, list[str]]) -> str:
    settings = [
        f"{found[1]}={found[2]}" if found[1] == "OnCalendar" else f"{found[1]}Sec={found[2]}"
        for name in ("TimersCalendar", "TimersMonotonic")
        for value in properties.get(name, ())
        for found in [_SETTING.search(value)]
        if found is not None
    ]
    return ", ".join(settings)


def _first(properties: dict[str, list[str]], name: str) -> str:
    return properties.get(name, [""])[0]


def _seconds(microseconds: int | None) -> float | None:
    # 0 and the largest number are systemd's words for never.
    if not microseconds or microseconds >= 1 << 62:
        return None
    return microseconds / 1_000_000


def _moment(text: str) -> float | None:
    """Read @SECONDS, as ``--timestamp=unix`` writes it."""
    found = re.fullmatch(r"@([0-9]{1,12})", text)
    seconds: Any = int(found[1]) if found else 0
    return float(seconds) if seconds else None
