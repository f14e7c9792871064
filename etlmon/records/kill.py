"""Signals to processes: what is asked for, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from etlmon.records.base import Record, RequestBody, about

KillOutcome = Literal["exited", "running"]

LONGEST_WAIT_SECONDS = 20.0


class KillRequest(RequestBody, frozen=True, kw_only=True):
    """A signal to a process, and to no other one that may have its pid by now."""

    signal: Annotated[
        str, about("SIGTERM, SIGKILL, or another that the watch's allow_signals names.")
    ] = "SIGTERM"
    confirm: Annotated[bool, about("Must be true.")] = False
    identity: Annotated[
        str | None,
        about(
            "Which process is meant, as GET /processes gave it; absent: the one that was sampled "
            "last under this pid. The signal goes to no other one."
        ),
    ] = None
    wait: Annotated[
        Annotated[float, Meta(ge=0, le=LONGEST_WAIT_SECONDS)],
        about("How long to wait for its end, seconds."),
    ] = 5.0
    escalate: Annotated[
        bool, about("Send SIGKILL if it is still running after that, and wait once more.")
    ] = False
    reason: Annotated[
        Annotated[str, Meta(max_length=500)] | None, about("Why, in words, for the audit.")
    ] = None
    token: Annotated[
        Annotated[str, Meta(max_length=200)] | None,
        about("The confirmation token, where the node asks for one: see the problem of that name."),
    ] = None


class KillAnswer(Record, frozen=True, kw_only=True):
    """What became of a process that was sent a signal."""

    pid: Annotated[int, about("Its number.")]
    process_name: Annotated[str, about("The kernel's name of it.")]
    identity: Annotated[str, about("What tells it from every other process.")]
    signals: Annotated[list[str], about("What was sent, in this order.")]
    outcome: Annotated[str, about("exited; running: it has not ended so far.")]
    waited_seconds: Annotated[
        float, about("Time from the first signal to its end, or to the end of the waiting.")
    ]
    state: Annotated[
        str | None, about("The kernel's letter if it runs: D hangs in the kernel, T is stopped.")
    ] = None
    exit_reason: Annotated[
        str | None, about("How it ended, for example killed by SIGTERM; null if that is not known.")
    ] = None
    by_pidfd: Annotated[
        bool,
        about(
            "Whether the kernel vouched that no other process could be hit; false on a kernel "
            "without pidfd, where the identity was compared an instant before."
        ),
    ] = True
    message: Annotated[str, about("The same in words.")]
