"""Transfers, and sums of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from etlmon.client.http import Reply
from etlmon.records.xferlog import XferlogEntry, XferlogSummary
from tests.ui.views.recorded.base import NOW


def transfer(number: int, name: str | None, **fields: Any) -> XferlogEntry:
    """Give an upload of 10 MiB in 5 s, read as many minutes before noon as 100 has more."""
    at = NOW - timedelta(minutes=100 - number)
    fields = {
        "log_time": at,
        "remote_host": "10.0.0.7",
        "username": "etl",
        "bytes": 10 << 20,
        "transfer_time_sec": 5,
        "direction": "upload",
        "status": "complete",
        "ts_quality": "exact",
        "log_path": "/var/log/xferlog",
        "created_at": at,
    } | fields
    return XferlogEntry(id=number, filename=name, **fields)


TRANSFERS = [
    transfer(99, "/in/orders.csv", landing="pending"),
    transfer(98, "/in/한국어.csv", landing="landed", landed_path="/srv/in/한국어.csv",
             landed_bytes=10 << 20),
    transfer(97, "/in/cut.csv", status="incomplete", landing="partial", bytes=1234,
             landing_reason="the file has 1,234 bytes"),
    transfer(96, "/in/gone.csv", landing="vanished", landing_reason="no such file"),
    transfer(95, "/out/report.pdf", direction="download", username="guest@example.org",
             remote_host="2001:db8::7", transfer_time_sec=1),
    transfer(94, "/in/old.csv", direction="delete", bytes=0, transfer_time_sec=0),
    transfer(93, None, direction=None, status="unparsed", username=None, remote_host=None,
             log_time=None, bytes=None, transfer_time_sec=None, line="\x1b[2Jno transfer",
             reason="no date at its beginning"),
    transfer(10, "/in/night.csv", ts_quality="ambiguous", log_time=NOW - timedelta(days=1),
             rate_bytes_per_second=12_345.6, transfer_time_sec=None),
]  # fmt: skip


def sums(count: int, **fields: Any) -> XferlogSummary:
    """Give transfers added up: each of 1 MiB in 2 s."""
    fields = {"failures": 0, "last_arrival_at": NOW - timedelta(minutes=count)} | fields
    return XferlogSummary(count=count, bytes=count << 20, transfer_time_sec=2 * count, **fields)


HOUR = {"hour": NOW - timedelta(hours=1), "username": "etl", "remote_host": "10.0.0.7"}
SUMS = {
    "hour,user,host,direction": [
        sums(12, **HOUR, direction="upload", failures=2),
        sums(3, **HOUR, direction="download"),
        sums(1, **(HOUR | {"hour": NOW - timedelta(hours=9), "username": "한국어"}),
             direction="delete"),
    ],
    "direction": [
        sums(12, direction="upload", failures=2),
        sums(3, direction="download"),
        sums(1, direction="delete"),
    ],
    "user": [sums(15, username="etl", failures=2), sums(1, username="한국어")],
}  # fmt: skip


def answer_sums(query: Any, _page: str | None) -> Reply:
    return Reply(SUMS.get(query.by, []), b"", None)
