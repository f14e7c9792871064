"""What stands in the rows of the processes' table: watches with theirs below them, and trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from etlmon.records.process import ProcessSample, ProcessWatchStatus
from etlmon.ui.views.states import severity

_MOST_LEVELS = 8
"""A tree is set in no further: the names are to be seen."""

Sort = Callable[[Sequence["Row"]], list["Row"]]


@dataclass(frozen=True)
class Row:
    """A watch or a process."""

    of: ProcessWatchStatus | ProcessSample
    watch: str
    """The watch or watches that select it; empty if none does."""
    branch: str = ""
    """What stands before its name."""

    @property
    def process(self) -> ProcessSample | None:
        """The process, None for a watch."""
        return self.of if isinstance(self.of, ProcessSample) else None

    @property
    def head(self) -> ProcessWatchStatus | None:
        """The watch, None for a process."""
        return self.of if isinstance(self.of, ProcessWatchStatus) else None

    @property
    def key(self) -> tuple[str, str]:
        """What it is, whatever becomes of its figures: a process that ends is the same."""
        if isinstance(self.of, ProcessSample):
            return self.watch, self.of.identity
        return self.of.watch, ""


def one_row_each(samples: Iterable[ProcessSample]) -> list[Row]:
    """Give a row for each process, with all the watches that select it."""
    rows: dict[str, Row] = {}
    for sample in samples:
        known = rows.get(sample.identity)
        if known is None:
            rows[sample.identity] = Row(sample, sample.watch or "")
        elif sample.watch and sample.watch != known.watch:
            rows[sample.identity] = replace(known, watch=f"{known.watch}, {sample.watch}")
    return list(rows.values())


def by_watch(rows: Iterable[Row], heads: Sequence[Row], order: Sort, *, as_tree: bool) -> list[Row]:
    """Give each watch, the worst first, and its processes below it."""
    theirs: dict[str, list[Row]] = {}
    kept: set[str] = set()
    for row in rows:
        if row.process is None:
            kept.add(row.watch)
        else:
            theirs.setdefault(row.watch, []).append(row)
    known = {head.watch: head for head in heads}
    names = sorted(
        [name for name in known if name in kept or name in theirs],
        key=lambda name: severity(getattr(known[name].of, "state", "")),
    )
    arranged: list[Row] = []
    for name in [*names, *(name for name in theirs if name not in known)]:
        if name in known:
            arranged.append(known[name])
        below = theirs.get(name, [])
        below = tree(below, order) if as_tree else order(below)
        arranged += [replace(row, branch=f"  {row.branch}") for row in below]
    return arranged


def tree(rows: Sequence[Row], order: Sort) -> list[Row]:
    """Give processes with their children below them; each once, whatever they say of parents."""
    running = {row.process.pid for row in rows if row.process and row.process.status == "RUNNING"}
    children: dict[int | None, list[Row]] = {}
    for row in rows:
        process = row.process
        parent = None
        if process is not None and process.status == "RUNNING" and process.parent_pid in running:
            parent = process.parent_pid
        children.setdefault(parent, []).append(row)
    arranged: list[Row] = []

    def grow(roots: list[Row]) -> None:
        # No recursion: who makes processes decides how deep it goes.
        stack = [(root, "", "") for root in reversed(roots)]
        while stack:
            row, before, branch = stack.pop()
            arranged.append(replace(row, branch=before + branch))
            process = row.process
            is_parent = process is not None and process.status == "RUNNING"
            below = order(children.pop(process.pid, [])) if process and is_parent else []
            if branch:
                before += "  " if branch.startswith("\u2514") else "\u2502 "
            before = before[: 2 * _MOST_LEVELS]
            last = len(below) - 1
            stack += [
                (child, before, "\u2514\u2500" if place == last else "\u251c\u2500")
                for place, child in reversed([*enumerate(below)])
            ]

    grow(order(children.pop(None, [])))
    while children:  # each other's parents: read at different moments
        grow(order(children.pop(next(iter(children)))))
    return arranged
