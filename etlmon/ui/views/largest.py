"""The largest files and directories below a path: a search on command, its progress, its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from etlmon.contract.paths import CANCEL_TOP, START_TOP, PathQuery, TopCancelQuery
from etlmon.records.top import LargeDirectory, LargeFile, TopJob, TopRequest
from etlmon.ui.format import format_bytes, format_moment, format_seconds, visible
from etlmon.ui.views.base import Around
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece

Lines = list[list[Piece]]


def start_after_yes(around: Around, path: str, of: str) -> None:
    """Ask, and begin a search of the path with the id ``of``."""

    def begin() -> None:
        body = TopRequest(confirm=True)
        around.command(START_TOP, _begun, body=body, query=PathQuery(id=of))

    around.ask(f"Look for the largest files of {visible(path)}? It takes a call for each.", begin)


def end_after_yes(around: Around, path: str, of: str) -> None:
    """Ask, and end the search that runs."""

    def end() -> None:
        around.command(CANCEL_TOP, _ended, query=TopCancelQuery(id=of, confirm=True))

    around.ask(f"End the search for the largest files of {visible(path)}?", end)


def _begun(job: TopJob) -> str:
    return f"Looking for the largest of {visible(job.path)}."


def _ended(job: TopJob) -> str:
    return f"The search of {visible(job.path)} has ended."


def largest_lines(job: TopJob | None, key: str) -> Lines:
    """Give what is known of a path's newest search; ``key`` begins one."""
    if job is None or job.state == "none":
        return [[("dim", f"  The largest files and directories: {key} looks for them.")]]
    took = format_seconds(job.duration_ms / 1000)
    measured = f"{job.entries:,} entries, {format_bytes(job.allocated_bytes)} on the disk"
    head: list[Piece] = [("text", "  The largest  "), state_piece(job.state)]
    if job.state == "running":
        where = f", in {visible(job.directory) or '.'}" if job.directory is not None else ""
        return [[*head, ("text", f"  {took}, {measured} so far{where}")]]
    if job.ended_at is not None:
        head.append(("text", f"  {format_moment(job.ended_at)}, after {took}"))
    lines = [head]
    if job.error_message is not None:
        lines.append([("text", "  "), ("warning", visible(job.error_message))])
    if job.apparent_bytes is None:
        return lines
    lines.append([("text", f"  {measured}, {format_bytes(job.apparent_bytes)} long.")])
    if not job.links_exact:
        lines.append([("warning", "  Files with several names may have been counted twice.")])
    lines += _table("DIRECTORY", "FILES", job.directories_by_allocated, _files_in)
    lines += _table("FILE", "CHANGED", job.files_by_allocated, _changed)
    taken = {file.path for file in job.files_by_allocated}
    longer = [file for file in job.files_by_apparent if file.path not in taken]
    if longer:
        lines += _table("LONG FILE THAT TAKES LITTLE", "CHANGED", longer, _changed)
    return lines


def _files_in(directory: LargeDirectory) -> str:
    return f"{directory.files:,}"


def _changed(file: LargeFile) -> str:
    return _day(file.modified_at)


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else format_moment(moment)[:16]


def _table(
    what: str, besides: str, rows: Sequence[LargeFile | LargeDirectory], more: Callable[..., str]
) -> Lines:
    """Give rows with their bytes on the disk, their length, and one thing more."""
    texts = [more(row) for row in rows]
    width = max(map(len, (besides, *texts)))
    head = f"    {'ON DISK':>9}  {'LENGTH':>9}  {besides:>{width}}  {what}"
    lines: Lines = [[], [("heading", head)]]
    for row, text in zip(rows, texts, strict=True):
        sizes = f"{format_bytes(row.allocated_bytes):>9}  {format_bytes(row.apparent_bytes):>9}"
        lines.append([("text", f"    {sizes}  {text:>{width}}  {visible(row.path) or '.'}")])
    return lines
