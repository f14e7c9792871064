"""The audit's table: ids without holes that are never given twice, rows that end once."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from etlmon.contract.audit import AuditQuery
from etlmon.records.audit import AuditEvent
from etlmon.store.tables import audit_log

AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
EVENT = AuditEvent(
    requested_at=AT,
    who="-",
    origin="127.0.0.1",
    command="scan_paths",
    target="/paths/scan",
    outcome="begun",
)


def ids(cursor: sqlite3.Cursor) -> list[int]:
    return [one.id for one in audit_log.find(cursor, AuditQuery(after=0), 100).entries]


def test_an_id_is_never_given_twice(cursor: sqlite3.Cursor) -> None:
    for _ in range(3):
        audit_log.begin(cursor, EVENT)
    cursor.execute("DELETE FROM audit_log")
    assert audit_log.begin(cursor, EVENT) == 4


def test_what_is_rolled_back_leaves_no_hole(cursor: sqlite3.Cursor) -> None:
    audit_log.begin(cursor, EVENT)
    cursor.execute("BEGIN")
    audit_log.begin(cursor, EVENT)
    cursor.execute("ROLLBACK")
    audit_log.begin(cursor, EVENT)
    assert ids(cursor) == [1, 2]


def test_a_row_that_has_ended_is_never_written_again(cursor: sqlite3.Cursor) -> None:
    row_id = audit_log.begin(cursor, EVENT)
    audit_log.finish(cursor, row_id, replace(EVENT, outcome="done", detail="first"))
    audit_log.finish(cursor, row_id, replace(EVENT, outcome="refused", detail="second"))
    ((entry,), total, more) = audit_log.find(cursor, AuditQuery(), 10)
    assert (entry.outcome, entry.detail, total, more) == ("done", "first", 1, False)


def test_a_page_of_many_rows_reads_no_more_than_it_gives(cursor: sqlite3.Cursor, plans) -> None:
    told = plans(lambda: audit_log.find(cursor, AuditQuery(before=5), 10))
    (page,) = (plan for text, plan in told.items() if "LIMIT" in text)
    assert page == ["SEARCH audit_log USING INTEGER PRIMARY KEY (rowid<?)"]


def test_a_stretch_of_time_is_found_by_its_index(cursor: sqlite3.Cursor, plans) -> None:
    query = AuditQuery(since=AT, until=AT + timedelta(hours=1))
    told = plans(lambda: audit_log.find(cursor, query, 10))
    (count,) = (plan for text, plan in told.items() if "count(" in text)
    assert "audit_log_by_time" in count[0]
