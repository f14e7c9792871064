"""Requests that wait: which of them begins next, and what holds the others back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.fsworker.failures import MountStuck, WorkerDied, WorkerStopped, WorkerTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.crew import Crew, SpawnsAndWaits
    from etlmon.fsworker.lanes import Lane, Request


class Waiting:
    """Lets requests of all lanes begin, each lane in order, as soon as nothing holds them back.

    ``begin`` starts one; it raises OSError if no child can be started.
    """

    def __init__(
        self,
        reactor: SpawnsAndWaits,
        crew: Crew,
        lanes: Sequence[Lane],
        begin: Callable[[Request], None],
    ) -> None:
        self._reactor = reactor
        self._crew = crew
        self._lanes = lanes
        self._begin = begin
        self._stopping = False

    def ask(self, request: Request) -> None:
        """Let a request begin after those that wait; fail it where none may begin."""
        since = self._crew.stuck_since(request.mount_point)
        if self._stopping:
            request.result.errback(WorkerStopped())
        elif since is not None:
            request.result.errback(MountStuck(request.mount_point, since))
        else:
            request.lane.waiting.append(request)
            self._fill(request.lane)

    def ask_first(self, request: Request) -> None:
        """Let a request begin before all others of its lane."""
        request.lane.waiting.prepend(request)
        self._fill(request.lane)

    def go_on(self) -> None:
        """Begin what may begin now."""
        for lane in self._lanes:
            self._fill(lane)

    def holder(self, request: Request) -> Child | None:
        """Give a child whose work forbids to begin this one, None if none does."""
        now = self._reactor.seconds()
        for child in self._crew.children:
            at_work = child.request
            same_mount = child.mount_point == request.mount_point
            if same_mount and at_work is None:
                return child
            if same_mount and child.is_quiet(now) and not child.is_stopped:
                return child
            if at_work is not None and request.exclusive & at_work.exclusive:
                return child
        return None

    def take_back(self, request: Request) -> None:
        """Let a request wait no more."""
        request.lane.waiting.remove(request)
        if request.held_timer is not None and request.held_timer.active():
            request.held_timer.cancel()

    def fail_on_mount(self, mount_point: str, error: MountStuck) -> None:
        """Fail all that wait for a mount on which a child hangs."""
        for lane in self._lanes:
            self._fail(lane, lane.waiting.on_mount(mount_point), error)

    def stop(self) -> None:
        """Fail all that wait, and all that will be asked."""
        self._stopping = True
        for lane in self._lanes:
            self._fail(lane, lane.waiting, WorkerStopped())

    def watch(self, request: Request, deadline_seconds: float) -> None:
        """Fail a probe, if it waits, that its mount's silence holds back for its whole deadline."""
        if request in request.lane.waiting:
            request.held_timer = self._reactor.callLater(
                deadline_seconds, self._held_too_long, request, deadline_seconds
            )

    def _held_too_long(self, request: Request, deadline_seconds: float) -> None:
        # What has come is read first: see deadlines.py.
        request.held_timer = self._reactor.callLater(0, self._held_still, request, deadline_seconds)

    def _held_still(self, request: Request, deadline_seconds: float) -> None:
        if self.holder(request) is not None:
            self.take_back(request)
            request.result.errback(WorkerTimeout(request.mount_point, request.told_seconds))
        else:
            self.watch(request, deadline_seconds)

    def _fill(self, lane: Lane) -> None:
        """Begin what may begin in a lane, in order, as long as there are children for it."""
        while self._crew.has_room(lane) or self._crew.idle(lane):
            firsts = lane.waiting.first_of_each()
            request = next((first for first in firsts if self.holder(first) is None), None)
            if request is None:
                return
            self.take_back(request)
            try:
                self._begin(request)
            except OSError as error:
                request.result.errback(WorkerDied(f"cannot start a worker: {error}"))

    def _fail(self, lane: Lane, requests: Iterable[Request], error: Exception) -> None:
        for request in requests:
            if request in lane.waiting:  # Else gone, by what a failing one's callbacks did.
                self.take_back(request)
                request.result.errback(error)
