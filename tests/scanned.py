"""What a complete scan leaves, for tests of what becomes of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from etlmon.records.path import PathScanned


def scanned(at: datetime, path: str = "/데이터", **changes: Any) -> PathScanned:
    """Give the record of a scan that ended at a moment; the next one is due a minute later."""
    whole = PathScanned(
        path=path,
        file_count=10,
        dir_count=2,
        other_count=1,
        scan_duration_ms=5,
        status="OK",
        error_message=None,
        collected_at=at,
        complete=True,
        newest_change_at=at,
        scanned_dirs=3,
        reused_dirs=0,
        skipped_mounts=0,
        troubles=[],
        next_scan_at=at + timedelta(minutes=1),
    )
    return replace(whole, **changes)
