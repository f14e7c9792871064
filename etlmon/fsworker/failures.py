"""How what is asked of a worker can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.errors import CollectError

if TYPE_CHECKING:
    from datetime import datetime

    from etlmon.fsworker.scan import ScanOutcome


class WorkerFailed(CollectError):
    """The operation failed by itself; ``errno_name`` is the system's word for it, if it has one."""

    def __init__(self, errno_name: str | None, text: str) -> None:
        self.errno_name = errno_name
        self.text = text
        super().__init__(text)


class WorkerTimeout(CollectError):
    """The deadline passed without an answer; the child was killed.

    ``partial`` is what a scan had counted when it was last heard of, None if it never was.
    """

    def __init__(
        self, mount_point: str, seconds: float, partial: ScanOutcome | None = None
    ) -> None:
        self.mount_point = mount_point
        self.seconds = seconds
        self.partial = partial
        super().__init__(f"no answer within {seconds:g} s from {mount_point}")


class WorkerSilent(WorkerTimeout):
    """A walk made no progress for so long that its mount must hang; the child was killed."""


class MountStuck(CollectError):
    """A child hangs on this mount and cannot be killed: nobody else is sent there until it can."""

    def __init__(self, mount_point: str, since: datetime) -> None:
        self.mount_point = mount_point
        self.since = since
        super().__init__(
            f"{mount_point} has not answered since {since:%Y-%m-%dT%H:%M:%SZ}; "
            "it is left alone until it does"
        )


class WorkerDied(CollectError):
    """The child ended, was stopped by a signal, or spoke nonsense, before it had answered.

    ``partial`` is what a scan had counted when it was last heard of, None if it never was.
    """

    partial: ScanOutcome | None = None


class WorkerStopped(CollectError):
    """The pool has been stopped."""

    def __init__(self) -> None:
        super().__init__("the node is stopping")
