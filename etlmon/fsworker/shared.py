"""One scan that several children share: who has which part, and what they have found together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from etlmon.fsworker.scan import (
    ChildCounts,
    OtherChildren,
    ScanOutcome,
    ScanProgress,
    partial_outcome,
    scan_request,
)
from etlmon.records.path import ScanTrouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred

    from etlmon.fsworker.child import Child
    from etlmon.fsworker.lanes import Request
    from etlmon.fsworker.scan import ScanOrder

_MAX_CHILDREN = 1000
# All parts are named in each request of the scan that goes on with them, which the reactor writes:
# their number, and their characters, of which each is at most 6 bytes there.
_MAX_PARTS, _MAX_CHARACTERS = 5_000, 200_000

Plan = dict["Child", list[str]]
"""Who has which parts of a scan; the first has ``""``."""


class SharedScan:
    """A scan from its order to its outcome.

    ``requests`` are its parts that are not done yet, ``told`` how far those are that have said so.
    """

    _log = Logger()

    def __init__(
        self,
        order: ScanOrder,
        scan_id: int,
        result: Deferred[ScanOutcome],
        on_progress: Callable[[ScanProgress], None] | None,
    ) -> None:
        self.order = order
        self.result = result
        self.requests: list[Request] = []
        self.told: dict[Request, ScanProgress] = {}
        self.plan: Plan = {}
        self.began_at: float | None = None
        self._on_progress = on_progress
        self._scan_id = scan_id
        self._apart: list[str] = []
        self._characters = 0
        self._outcomes: list[ScanOutcome] = []

    @property
    def may_be_shared(self) -> bool:
        """Whether more children may take part.

        Not where each of them could hang on its mount, nor once it lies in very many parts, or in
        parts with very long names.
        """
        order = self.order
        alone = order.one_at_a_time or order.parallelism > 1
        parts = sum(map(len, self.plan.values()))
        has_room = parts < _MAX_PARTS and self._characters < _MAX_CHARACTERS
        return not alone and order.max_ops_per_second is None and has_room

    @property
    def is_heard(self) -> bool:
        """Whether any child has told what it has counted."""
        return bool(self.told or self._outcomes)

    def follow(self, plan: Plan) -> None:
        """Begin with the parts that the children had before."""
        self._apart = [part for parts in plan.values() for part in parts if part]

    def begin(self, child: Child, parts: list[str], now: float) -> dict[str, Any]:
        """Take note of who has these parts, and give the request for them."""
        if self.began_at is None:
            self.began_at = now
        self.plan.setdefault(child, []).extend(parts)
        self._characters += sum(map(len, parts))
        seconds = max(0.0, self.order.timeout_seconds - (now - self.began_at))
        return scan_request(self.order, self._scan_id, seconds, parts, self._apart)

    def finish(self, request: Request, outcome: ScanOutcome) -> None:
        """Take what a child found in its parts."""
        self.requests.remove(request)
        self.told.pop(request, None)
        self._outcomes.append(outcome)

    @property
    def has_too_many_files(self) -> bool:
        """Whether the children together have passed the limit that each of them keeps."""
        limit = self.order.max_files
        return limit is not None and self.progress().files > limit

    def progress(self) -> ScanProgress:
        """Give how far all of its children are together."""
        told = list(self.told.values())
        return ScanProgress(
            files=_sum(self._outcomes, "files") + _sum(told, "files"),
            dirs=_sum(self._outcomes, "dirs") + _sum(told, "dirs"),
            others=_sum(self._outcomes, "others") + _sum(told, "others"),
            listed=_sum(self._outcomes, "listed_dirs") + _sum(told, "listed"),
            reused=_sum(self._outcomes, "reused_dirs") + _sum(told, "reused"),
            directory=told[0].directory if told else "",
        )

    def tell_progress(self) -> None:
        """Tell whoever wants to know how far it is."""
        if self._on_progress is not None:
            try:
                self._on_progress(self.progress())
            except Exception:
                self._log.failure("on_progress of a scan failed")

    def partial(self, now: float) -> ScanOutcome | None:
        """Give what is known of it if it goes on no further; None if it was never heard of."""
        if not self.is_heard:
            return None
        began_at = now if self.began_at is None else self.began_at
        return partial_outcome(self.progress(), now - began_at)

    def outcome(self, duration_seconds: float) -> ScanOutcome:
        """Give what its children have found together; one after the end of all of them."""
        changes = [one.newest_change_at for one in self._outcomes if one.newest_change_at]
        stops = [one.stopped for one in self._outcomes if one.stopped]
        if self.has_too_many_files and not stops:
            stops.append("max_files")
        found = self.progress()
        children, other_children = self._children()
        limit = self.order.max_files
        return ScanOutcome(
            files=found.files if limit is None else min(found.files, limit),
            dirs=found.dirs,
            others=found.others,
            listed_dirs=found.listed,
            reused_dirs=found.reused,
            skipped_mounts=sum(one.skipped_mounts or 0 for one in self._outcomes),
            newest_change_at=max(changes, default=None),
            stopped=stops[0] if stops else None,
            troubles=_together([trouble for one in self._outcomes for trouble in one.troubles]),
            duration_seconds=duration_seconds,
            children=children,
            other_children=other_children,
        )

    def _children(self) -> tuple[list[ChildCounts], OtherChildren]:
        """Add up what the children of the directory hold, and sum up those that are too many."""
        by_name: dict[str, ChildCounts] = {}
        for one in (child for outcome in self._outcomes for child in outcome.children):
            before = by_name.get(one.name)
            by_name[one.name] = one if before is None else _add(before, one)
        largest = sorted(by_name.values(), key=lambda child: (-child.entries, child.name))
        told, others = largest[:_MAX_CHILDREN], largest[_MAX_CHILDREN:]
        rests = [outcome.other_children for outcome in self._outcomes]
        return told, OtherChildren(
            children=_sum(rests, "children") + len(others),
            files=_sum(rests, "files") + _sum(others, "files"),
            dirs=_sum(rests, "dirs") + _sum(others, "dirs"),
            others=_sum(rests, "others") + _sum(others, "others"),
        )


def _add(one: ChildCounts, other: ChildCounts) -> ChildCounts:
    return ChildCounts(
        name=one.name,
        files=one.files + other.files,
        dirs=one.dirs + other.dirs,
        others=one.others + other.others,
    )


def _sum(counted: list[Any], name: str) -> int:
    return sum(getattr(one, name) for one in counted)


def _together(troubles: list[ScanTrouble]) -> list[ScanTrouble]:
    """Add up troubles of the same kind."""
    kinds: dict[str, ScanTrouble] = {}
    for one in troubles:
        before = kinds.get(one.kind)
        count = one.count + (before.count if before else 0)
        example = before.example if before else one.example
        kinds[one.kind] = ScanTrouble(kind=one.kind, count=count, example=example)
    return [kinds[kind] for kind in sorted(kinds)]
