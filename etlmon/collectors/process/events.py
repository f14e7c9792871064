"""What is told of watched processes, and of the host's clock, as events. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from etlmon.records.process import NewProcessEvent
from etlmon.units import format_duration

if TYPE_CHECKING:
    from datetime import datetime

    from etlmon.collectors.process.sampling import Now
    from etlmon.host.pidfds import Exit
    from etlmon.records.process import EventKind, ProcessSample


def event(
    label: str,
    kind: EventKind,
    at: datetime,
    of: ProcessSample | None = None,
    *,
    replaces_pid: int | None = None,
    detail: str | None = None,
) -> NewProcessEvent:
    """Give an event of a watch, or of one of its processes; of the host if the label is empty."""
    return NewProcessEvent(
        watch=label,
        event=kind,
        occurred_at=at,
        pid=None if of is None else of.pid,
        process_name=None if of is None else of.process_name,
        identity=None if of is None else of.identity,
        replaces_pid=replaces_pid,
        detail=detail,
    )


def exit_event(last: ProcessSample, how: Exit | None) -> NewProcessEvent:
    """Give the event of the end of a process, from its last sample."""
    assert last.watch is not None
    assert last.ended_at is not None
    return replace(
        event(last.watch, "exited", last.ended_at, last),
        runtime_sec=last.runtime_sec,
        exit_reason=last.exit_reason,
        exit_status=None if how is None else how.status,
        exit_signal=None if how is None else how.signal,
    )


def clock_events(before: Now, now: Now) -> list[NewProcessEvent]:
    """Tell of a sleep of the host, and of a clock that has been set, between two looks."""
    events = []
    slept, step = now.slept_seconds(before), now.stepped_seconds(before)
    if slept:
        events.append(event("", "slept", now.at, detail=f"the host slept for {about(slept)}"))
    if step:
        way = "ahead" if step > 0 else "back"
        detail = f"the clock was set {way} by {about(abs(step))}"
        events.append(event("", "clock_step", now.at, detail=detail))
    return events


def about(seconds: float) -> str:
    """Give a time in words, to the minute where it is long."""
    return format_duration(round(seconds / 60) * 60 if seconds >= 600 else round(seconds))
