"""The usage of a file system: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from etlmon.fsworker.messages import convert, wire_text
from etlmon.host.mounts import Usage


def statvfs_request(path: bytes) -> dict[str, Any]:
    """Give the request for the usage of the file system that holds ``path``."""
    return {"op": "statvfs", "path": wire_text(path)}


def to_usage(content: Any) -> Usage:
    """Read the answer to a statvfs request; raise Malformed."""
    answer = convert(content, _StatvfsAnswer)
    return Usage(
        device_number=answer.st_dev,
        block_bytes=answer.frsize,
        blocks=answer.blocks,
        blocks_free=answer.bfree,
        blocks_avail=answer.bavail,
        inodes=answer.files,
        inodes_free=answer.ffree,
    )


class _StatvfsAnswer(Struct):
    st_dev: int
    frsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
