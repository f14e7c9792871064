"""Lines as they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlmon.collectors.xferlog import entries as module
from etlmon.collectors.xferlog.entries import Gathered, LineReader
from etlmon.collectors.xferlog.times import LogTimes
from etlmon.records.xferlog import XferlogLine, XferlogRun

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATE = b"Tue Nov 24 09:03:06 2026"
AT_MS = 1_795_510_986_000
LINE = DATE + b" 1 ::ffff:10.0.0.1 5 /f b _ i r etl ftp 0 * c"


def lines_of(entries: list[XferlogLine | XferlogRun]) -> Iterator[XferlogLine]:
    for one in entries:
        if isinstance(one, XferlogRun):
            yield from one.lines()
        else:
            yield one


def read(
    *lines: bytes, parse_start_ms: int | None = None, flags: tuple[str, ...] = ()
) -> tuple[list[XferlogLine], Gathered]:
    reader = LineReader(LogTimes(UTC), parse_start_ms=parse_start_ms)
    gathered = Gathered()
    offset = 100
    for line in lines:
        reader.read(line, offset, gathered, AT_MS, None, flags)  # type: ignore[arg-type]
        offset += len(line)
    return [*lines_of(gathered.entries)], gathered


def test_a_transfer() -> None:
    (entry,), counted = read(LINE)
    assert entry == XferlogLine(
        log_time_ms=AT_MS,
        remote_host="10.0.0.1",
        username="etl",
        filename="/f",
        bytes=5,
        transfer_time_sec=1,
        direction="upload",
        status="complete",
        landing=None,
        transfer_type="binary",
        action_flags="_",
        access_mode="real",
        service="ftp",
        auth_method="none",
        auth_user=None,
        pid=None,
        rate_bytes_per_second=None,
        log_format="xferlog",
        time_text=DATE.decode(),
        ts_quality="exact",
        flags="[]",
        reason=None,
        line=None,
        offset=100,
    )
    assert (counted.lines, counted.transfers, counted.unparsed) == (1, 1, 0)


def test_a_line_that_is_none_is_kept_with_the_reason() -> None:
    (entry,), counted = read(b"\x1b[2J \xff\n")
    assert (entry.status, entry.line) == ("unparsed", "\x1b[2J \\xff")
    assert entry.reason == "no date at the beginning"
    assert (entry.direction, entry.log_time_ms, entry.ts_quality) == (None, None, "unknown")
    assert (counted.lines, counted.transfers, counted.unparsed) == (1, 0, 1)


def test_a_piece_of_a_line_is_kept_by_itself() -> None:
    (broken, whole), counted = read("한글".encode(), DATE + b" 1 h 5 /f" + LINE)[0][1:], None
    assert (broken.status, broken.line) == ("broken", f"{DATE.decode()} 1 h 5 /f")
    assert (whole.status, whole.line) == ("complete", None)
    assert (broken.offset, whole.offset) == (106, 106 + len(DATE) + 9)
    assert counted is None


def test_what_is_ambiguous_or_cut_is_kept_as_it_was() -> None:
    line = DATE + b" 1 h 5 /a b b _ i r etl ftp 0 * c\n"
    (entry,), _ = read(line)
    assert (entry.flags, entry.line) == ('["ambiguous"]', line.decode()[:-1])
    (entry,), _ = read(line, flags=("cut",))
    assert entry.flags == '["ambiguous","cut"]'


def test_events_are_counted_and_not_kept() -> None:
    entries, counted = read(DATE + b' [pid 7] CONNECT: Client "::1"\n')
    assert entries == []
    assert (counted.lines, counted.events) == (1, 1)


def test_what_is_older_than_parse_start_is_counted_and_not_kept() -> None:
    entries, counted = read(LINE, b"no time\n", parse_start_ms=AT_MS + 1)
    assert [entry.status for entry in entries] == ["unparsed"]
    assert (counted.lines, counted.skipped, counted.transfers) == (2, 1, 0)
    entries, counted = read(LINE, parse_start_ms=AT_MS)
    assert len(entries) == counted.transfers == 1


def test_a_host_that_the_server_does_not_know() -> None:
    (entry,), _ = read(DATE + b" 0 - 5 /f b _ i r etl ftp 1 * c\n")
    assert entry.remote_host is None


def test_a_status_that_the_server_does_not_write() -> None:
    (entry,), _ = read(DATE + b" 0 h 5 /f b _ i r etl group 0 *\n")
    assert entry.status == "unknown"


@unhurried
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_whatever_is_read_can_be_stored_and_sent(lines: list[bytes]) -> None:
    entries, _ = read(
        *lines, *(DATE + b" 1 h 5 /" + line + b" b _ i r x ftp 0 * c" for line in lines)
    )
    for entry in entries:
        msgspec.json.encode(entry)
        assert isinstance(msgspec.json.decode(entry.flags), list)
        for value in entry:
            assert not isinstance(value, int) or abs(value) < 1 << 63


ODD = [
    b"",
    b"\0",
    b"no transfer",
    "Tue Nov 24 09:03:06 2026 0 h 5 /하루.csv b _ i r etl ftp 0 * c".encode(),
    DATE + b" 0 h 5 /\xff b _ i r etl ftp 0 * c",
    DATE + b" 0 h 5 /a b b _ i r etl ftp 0 * c",
    DATE + b" 0 h 5 /f b _ i r etl ftp 0 * c\r",
    DATE + b" 1 h 5 /f" + LINE,
    DATE + b' [pid 7] [etl] OK UPLOAD: Client "::1", "/a b", 5 bytes, 1.00Kbyte/sec',
]
PLAIN = [
    LINE,
    DATE + b" 0 - 0 /f a C o g etl ftps 1 ident i",
    DATE + b" 0 h 5 /f b _ d a me@x ftp 0 * c",
    b"Tue Feb 31 09:03:06 2026 0 h 5 /f b _ i r etl ftp 0 * c",
]


@unhurried
@given(st.lists(st.sampled_from(PLAIN + ODD) | st.binary(max_size=40), min_size=1, max_size=12))
def test_a_block_is_read_as_its_lines_are_one_by_one(lines: list[bytes]) -> None:
    lines = b"\n".join(lines).split(b"\n")
    one_by_one, several = Gathered(), Gathered()
    reader, offset = LineReader(LogTimes(UTC)), 7
    for line in lines:
        reader.read(line, offset, one_by_one, AT_MS)
        offset += len(line) + 1
    reader.read_block(b"\n".join(lines) + b"\n", 7, several, AT_MS)
    assert [*lines_of(several.entries)] == [*lines_of(one_by_one.entries)]
    counts = ("lines", "transfers", "unparsed", "events", "skipped")
    assert [getattr(several, one) for one in counts] == [getattr(one_by_one, one) for one in counts]


@unhurried
@given(st.lists(st.sampled_from(PLAIN + ODD), min_size=1, max_size=12))
def test_the_quick_way_stores_as_the_thorough_one(lines: list[bytes]) -> None:
    quick = read(*lines)[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "match_plain", lambda _line: None)
        assert read(*lines)[0] == quick


def test_ordinary_lines_stand_in_runs() -> None:
    gathered = Gathered()
    LineReader(LogTimes(UTC)).read_block(
        b"\n".join([LINE, LINE, b"x", LINE, b""]), 0, gathered, AT_MS
    )
    assert [one.count if isinstance(one, XferlogRun) else 1 for one in gathered.entries] == [
        2,
        1,
        1,
    ]


def test_what_a_user_may_have_made_up_is_not_looked_for_on_the_disk() -> None:
    gathered = Gathered()
    reader = LineReader(LogTimes(UTC), roots={"*": "/"})
    forged = DATE + b" 1 6.6.6.6 5 /etc/shadow b _ i r root"
    native = b'x] OK UPLOAD: Client "6.6.6.6", "/etc/shadow", 5 bytes'
    for line in (
        DATE + b" 1 127.0.0.1 11 /f b _ i a " + forged + b" ftp 0 * c",
        DATE + b" [pid 7] [" + native + b'] OK UPLOAD: Client "::1", "/b", 5 bytes',
    ):
        reader.read(line, 0, gathered, AT_MS)
    assert gathered.uploads == []
    uploads = [one for one in lines_of(gathered.entries) if one.direction == "upload"]
    assert [(one.landing, one.flags) for one in uploads] == [(None, '["ambiguous"]')] * 2
    assert {one.reason for one in uploads} == {
        "more than one line in one: a user may have made it up, by his name or that of a file"
    }


def test_what_is_to_be_looked_for_on_the_disk_stands_alone() -> None:
    gathered = Gathered()
    reader = LineReader(LogTimes(UTC), roots={"etl": "/srv"})
    reader.read_block(LINE + b"\n" + LINE.replace(b" i ", b" o ") + b"\n", 0, gathered, AT_MS)
    upload, others = gathered.entries
    assert isinstance(upload, XferlogLine)
    assert (upload.landing, gathered.uploads) == ("pending", [(upload, "/srv")])
    assert isinstance(others, XferlogRun)
    assert others.column("direction") == ["download"]
