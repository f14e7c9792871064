"""What a scan found by direct subdirectory, as rows that add up to the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.records.path import ChildrenCounted, PathChild, path_id

if TYPE_CHECKING:
    from datetime import datetime

    from etlmon.fsworker.scan import ScanOutcome


def counted_children(path: str, outcome: ScanOutcome, collected_at: datetime) -> ChildrenCounted:
    """Give a row for each direct subdirectory, one for those that are too many, one for the rest.

    What is in none of them is in the path itself: its own entries, its subdirectories among them.
    """
    of = path_id(path)
    rest = outcome.other_children
    parts: list[tuple[str, str | None, int, int, int, int]] = [
        ("directory", child.name, 1, child.files, child.dirs, child.others)
        for child in outcome.children
    ]
    if rest.children:
        parts.append(("rest", None, rest.children, rest.files, rest.dirs, rest.others))
    files = outcome.files - sum(part[3] for part in parts)
    dirs = outcome.dirs - sum(part[4] for part in parts)
    others = outcome.others - sum(part[5] for part in parts)
    parts.append(("itself", None, 0, files, dirs, others))
    return ChildrenCounted(
        path=path,
        children=[
            PathChild(
                path_id=of,
                place=place,
                kind=kind,
                name=name,
                directory_count=count,
                file_count=files,
                dir_count=dirs,
                other_count=others,
                collected_at=collected_at,
            )
            for place, (kind, name, count, files, dirs, others) in enumerate(parts)
        ],
    )
