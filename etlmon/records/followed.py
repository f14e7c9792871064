"""What the records of logs and of transfer logs say alike of a file that is followed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from etlmon.records.base import about

WatchMode = Annotated[
    str | None, about("How changes are noticed: inotify, or poll and why only that.")
]
ReadBytes = Annotated[int | None, about("Bytes of the file that have been read and stored.")]
FileBytes = Annotated[int | None, about("Bytes in the file, when it was last looked at.")]
LagBytes = Annotated[int | None, about("Bytes that wait to be read, those of rotated files too.")]
Gaps = Annotated[int, about("How often something could not be read.")]
LastLineAt = Annotated[datetime | None, about("When the newest line was read, UTC.")]
LookedAt = Annotated[datetime, about("When it was last looked at, UTC.")]
