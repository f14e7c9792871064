"""Processes: those that are watched, what became of them, and how they went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from etlmon.records.base import Record, about

WatchState = Literal["ok", "down", "low", "high", "young", "unknown"]
EventKind = Literal[
    "started",
    "exited",
    "restarted",
    "left",
    "flapping",
    "steady",
    "state_changed",
    "visibility_changed",
    "clock_step",
    "slept",
]


class ProcessSample(Record, frozen=True, kw_only=True):
    """A process as it was seen last.

    One that two watches select is there twice. One that has ended stays, with its last figures,
    until another one takes its place.
    """

    watch: Annotated[
        str | None, about("The watch that selects it; null if none does (all=true).")
    ] = None
    pid: Annotated[int, about("Its number. The kernel gives it out again: see identity.")]
    process_name: Annotated[
        str,
        about("The kernel's name of it, made whole where that is cut; [name]: a kernel thread."),
    ]
    cmdline: Annotated[
        str | None,
        about(
            "Its arguments, secrets redacted, a long one cut in the middle; empty if it has none; "
            "null if this node may not read them."
        ),
    ]
    start_time: Annotated[datetime, about("When it started, UTC.")]
    runtime_sec: Annotated[
        float, about("How long it has run, or had run when it ended, seconds; no clock bends it.")
    ]
    cpu_percent: Annotated[
        float | None,
        about("CPU since the sample before, 100 is one core; null in a process's first sample."),
    ] = None
    cpu_share: Annotated[
        float | None, about("The same as a part of all the host's cores, 0 to 1.")
    ] = None
    cpu_seconds: Annotated[float, about("CPU that it has used since it started, seconds.")]
    mem_rss_bytes: Annotated[int, about("Memory that it occupies (resident set), bytes.")]
    status: Annotated[str, about("RUNNING; STOPPED: it has ended, the figures are its last.")]
    state: Annotated[
        str | None,
        about("The kernel's letter: R, S, D, T, Z (ended, not reaped) ...; null once it is gone."),
    ]
    threads: Annotated[int, about("How many threads it has.")]
    user: Annotated[str | None, about("The user that it runs as; a number if that has no name.")]
    parent_pid: Annotated[int, about("The process that it is a child of.")]
    container_pid: Annotated[
        int | None, about("Its number within its own container; null if it is in none.")
    ] = None
    exe: Annotated[str | None, about("Its program's file; null if this node may not see it.")] = (
        None
    )
    cgroup: Annotated[str | None, about("Its control group, which names its systemd unit.")] = None
    open_files: Annotated[
        int | None, about("Files that it has open; null if this node may not see them.")
    ] = None
    io_read_bytes: Annotated[
        int | None, about("Bytes that it made disks read; null if this node may not see that.")
    ] = None
    io_written_bytes: Annotated[
        int | None, about("Bytes that it made disks write; null if this node may not see that.")
    ] = None
    visibility: Annotated[
        str, about("full; partial: what is null is so since this node lacks the right to read it.")
    ]
    is_kernel_thread: Annotated[bool, about("A part of the kernel: it cannot be killed.")] = False
    is_child: Annotated[
        bool, about("It meets no criterion itself; it is below a process that does.")
    ] = False
    restarts: Annotated[
        int, about("How often it took the place of one that had ended, since the node began.")
    ] = 0
    ended_at: Annotated[datetime | None, about("When it ended, UTC; null while it runs.")] = None
    exit_reason: Annotated[
        str | None,
        about("How it ended, for example exit status 3; null where only its parent knows."),
    ] = None
    identity: Annotated[
        str, about("What tells it from every other process that ever had its pid.", min_length=1)
    ]
    collected_at: Annotated[datetime, about("When this was collected, UTC, to the millisecond.")]
    signals: Annotated[
        list[str] | None,
        about(
            "Signals that it may be sent by this node's configuration, none if empty; null: this "
            "node does not say (an older one)."
        ),
    ] = None


class ProcessWatchStatus(Record, frozen=True, kw_only=True):
    """How a watch is: its processes together, and whether they are as expected."""

    watch: Annotated[str, about("The watch's name, or its first criterion.")]
    state: Annotated[
        str,
        about(
            "ok; down: none of those expected runs; low, high: fewer, more than expected; young: "
            "enough, but not up for long enough; unknown: this node cannot see them all."
        ),
    ]
    reason: Annotated[str | None, about("Why it is not ok.")] = None
    since: Annotated[datetime, about("Since when it has been in this state, UTC.")]
    process_count: Annotated[int, about("Processes that run, children included if asked for.")]
    cpu_percent: Annotated[
        float | None, about("Their CPU together, 100 is one core; null if it is not known yet.")
    ] = None
    cpu_share: Annotated[
        float | None, about("The same as a part of all the host's cores, 0 to 1.")
    ] = None
    mem_rss_bytes: Annotated[
        int, about("Their resident memory together, bytes; shared pages count for each.")
    ]
    threads: Annotated[int, about("Their threads together.")]
    open_files: Annotated[
        int | None, about("Their open files together; null if not all can be seen.")
    ] = None
    restarts: Annotated[int, about("Ended ones that were replaced, since the node began.")] = 0
    flapping: Annotated[bool, about("They end and are replaced again and again.")] = False
    visibility: Annotated[
        str, about("full; partial: some processes of this host are hidden from this node.")
    ]
    collected_at: Annotated[datetime, about("When this was collected, UTC.")]


class NewProcessEvent(Record, frozen=True, kw_only=True):
    """Something that became of a watched process or of a watch."""

    watch: Annotated[str, about("The watch; empty where it is about the whole host.")]
    event: Annotated[
        str,
        about(
            "started, exited, restarted (it took the place of one that had ended), left (it "
            "runs on, but meets the criteria no more), flapping, steady (no more flapping), "
            "state_changed, visibility_changed; of the host: clock_step (its clock was set), slept."
        ),
    ]
    occurred_at: Annotated[datetime, about("When it happened, as near as is known, UTC.")]
    pid: Annotated[int | None, about("The process; null where it is about the whole watch.")] = None
    process_name: Annotated[str | None, about("Its name.")] = None
    identity: Annotated[str | None, about("Its identity.")] = None
    runtime_sec: Annotated[float | None, about("How long it had run, if it ended, seconds.")] = None
    exit_reason: Annotated[
        str | None,
        about("How it ended, for example exit status 3; null where only its parent knows."),
    ] = None
    exit_status: Annotated[
        int | None, about("Its exit status; null if a signal ended it, or it is not known.")
    ] = None
    exit_signal: Annotated[str | None, about("The signal that ended it, for example SIGKILL.")] = (
        None
    )
    replaces_pid: Annotated[int | None, about("The ended process whose place it took.")] = None
    detail: Annotated[str | None, about("What else there is to say, for a person.")] = None


class ProcessEvent(NewProcessEvent, frozen=True, kw_only=True):
    """Something that became of a watched process or of a watch, as it is kept."""

    id: Annotated[int, about("Its number: events that were stored later have higher ones.")]


class ProcessUsage(Record, frozen=True, kw_only=True):
    """What the history keeps of a sample: of one process, or of a whole watch."""

    watch: Annotated[str, about("The watch.")]
    pid: Annotated[int | None, about("The process; null: all of the watch together.")] = None
    identity: Annotated[str | None, about("The process's identity.")] = None
    collected_at: Annotated[datetime, about("When the sample was taken, UTC.")]
    process_count: Annotated[int, about("Processes behind these figures.")]
    cpu_percent: Annotated[
        float | None, about("CPU since the sample before, 100 is one core; null at first.")
    ]
    cpu_share: Annotated[float | None, about("The same as a part of all cores, 0 to 1.")]
    mem_rss_bytes: Annotated[int, about("Resident memory, bytes.")]
    threads: Annotated[int, about("Threads.")]
    open_files: Annotated[int | None, about("Open files; null if not all can be seen.")] = None


class ProcessDetail(ProcessSample, frozen=True, kw_only=True):
    """A watched process, and what has become of the ones with its pid."""

    watches: Annotated[list[str], about("All watches that select it.")]
    events: Annotated[list[ProcessEvent], about("Its newest events, the newest first.")]


class ProcessesFound(Record, frozen=True, kw_only=True):
    """The processes that run when a node begins: others ended while it did not look."""

    identities: list[str]


class ProcessesSeen(Record, frozen=True, kw_only=True):
    """Stands before the samples of a look: those of the look before make room for them."""

    collected_at: datetime


class WatchesConfigured(Record, frozen=True, kw_only=True):
    """The watches that the configuration names now: what is known of others is forgotten."""

    watches: tuple[str, ...]
