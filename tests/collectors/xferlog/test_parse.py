"""Lines of transfer logs: real ones, every writer's form, glued and hostile ones."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from etlmon.collectors.xferlog import parse as module
from etlmon.collectors.xferlog.parse import Parsed, parse, read_time

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATE = "Tue Nov 24 09:03:06 2026"


def one(line: str | bytes) -> Parsed:
    (found,) = parse(line if isinstance(line, bytes) else line.encode())
    return found


def told(found: Parsed) -> dict[str, Any]:
    """Give what a line says, without what it does not."""
    return {
        name: value
        for name in Parsed.__struct_fields__
        if (value := getattr(found, name)) is not None and value is not False
    }


def expected(**differing: Any) -> dict[str, Any]:
    """Give what a line of vsftpd says that differs from the usual one in these fields."""
    fields = {
        "kind": "transfer",
        "format": "xferlog",
        "time_text": DATE,
        "transfer_time_sec": 1,
        "remote_host": "127.0.0.1",
        "transfer_type": "binary",
        "action_flags": "_",
        "direction": "upload",
        "access_mode": "anonymous",
        "username": "me@x",
        "service": "ftp",
        "auth_method": "none",
        "status": "complete",
        "start": 0,
        **differing,
    }
    return {name: value for name, value in fields.items() if value is not None}


# Written by vsftpd 3.0.3.
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "1 127.0.0.1 11 /up/my_file__two.txt b _ i a me@x ftp 0 * c",
            expected(bytes=11, filename="/up/my_file__two.txt"),
        ),
        (
            "1 127.0.0.1 12 /up/f?????.txt b _ i a me@x ftp 0 * c",
            expected(bytes=12, filename="/up/f?????.txt"),
        ),
        (
            "1 127.0.0.1 7 /up/ b _ i a me@x ftp 0 * c",
            expected(bytes=7, filename="/up/"),
        ),
        (
            "1 127.0.0.1 0 /missing.txt b _ o a me@x ftp 0 * i",
            expected(bytes=0, filename="/missing.txt", direction="download", status="incomplete"),
        ),
        (
            "1 127.0.0.1 1 /up/pwi.txt b _ i a fake_ftp_0_*_i ftp 0 * c",
            expected(bytes=1, filename="/up/pwi.txt", username="fake_ftp_0_*_i"),
        ),
        (
            "1 127.0.0.1 1000 /up/abort.bin a _ i a me@x ftp 0 * i",
            expected(
                bytes=1000, filename="/up/abort.bin", transfer_type="ascii", status="incomplete"
            ),
        ),
        (
            "1 ::ffff:127.0.0.1 1 /up/v6.txt b _ i a me@x ftp 0 * c",
            expected(bytes=1, filename="/up/v6.txt", remote_host="::ffff:127.0.0.1"),
        ),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_lines_of_vsftpd(line: str, fields: dict[str, Any], end: str) -> None:
    assert told(one(f"{DATE} {line}{end}")) == fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        # ProFTPD: no seconds, UTF-8, deletions, a user of any form or of none.
        (
            f"{DATE} 0 host.example 5 /srv/한글.csv b _ d r etl ftps 1 ident c",
            expected(
                transfer_time_sec=0,
                remote_host="host.example",
                bytes=5,
                filename="/srv/한글.csv",
                direction="delete",
                access_mode="real",
                username="etl",
                service="ftps",
                auth_method="rfc931",
                auth_user="ident",
            ),
        ),
        (
            f"{DATE} 1 127.0.0.1 5 /f b _ i a  sftp 0 * c",
            expected(bytes=5, filename="/f", username="", service="sftp"),
        ),
        (
            f"{DATE} 1 127.0.0.1 5 /f b _ i a x ftp 0 * c ftp 0 * i",
            expected(bytes=5, filename="/f", username="x ftp 0 * c", status="incomplete"),
        ),
        # Pure-FTPd: a day of two digits, no host.
        (
            "Wed Nov 04 09:03:06 2026 0 - 5 /f a _ o r etl ftp 1 * c",
            expected(
                time_text="Wed Nov 04 09:03:06 2026",
                transfer_time_sec=0,
                remote_host="-",
                bytes=5,
                filename="/f",
                transfer_type="ascii",
                direction="download",
                access_mode="real",
                username="etl",
                auth_method="rfc931",
            ),
        ),
        # wu-ftpd: flags, and a guest.
        (
            "Wed Nov  4 09:03:06 2026 12 h 5 /f.tar.Z b CT o g etl ftp 0 * c",
            expected(
                time_text="Wed Nov  4 09:03:06 2026",
                transfer_time_sec=12,
                remote_host="h",
                bytes=5,
                filename="/f.tar.Z",
                action_flags="CT",
                direction="download",
                access_mode="guest",
                username="etl",
            ),
        ),
        # DrFTPD: the group as service, and no status.
        (
            f"{DATE} 1 127.0.0.1 5 /f b _ i r etl group 0 *",
            expected(
                bytes=5,
                filename="/f",
                access_mode="real",
                username="etl",
                service="group",
                status=None,
            ),
        ),
        # A prefix of syslog, as the BSDs' ftpd has it.
        (
            "<101>Nov 24 09:03:07 ftp1 ftpd[812]: xferlog (recv): "
            f"{DATE} 1 127.0.0.1 5 /f b _ i r etl FTP 0 * c",
            expected(bytes=5, filename="/f", access_mode="real", username="etl", service="FTP"),
        ),
        (
            "2026-11-24T09:03:07.120395+09:00 ftp1 proftpd: "
            f"{DATE} 1 127.0.0.1 5 /f b _ i r etl ftp 0 * c",
            expected(bytes=5, filename="/f", access_mode="real", username="etl"),
        ),
        # The hole that emptying a log under its writer leaves.
        (
            f"\0\0\0{DATE} 1 127.0.0.1 5 /f b _ i a me@x ftp 0 * c",
            expected(bytes=5, filename="/f", start=3),
        ),
        # An auth method that no writer has, and the largest number of bytes.
        (
            f"{DATE} 1 127.0.0.1 9223372036854775807 /f b _ i a me@x ftp 2 * c",
            expected(bytes=(1 << 63) - 1, filename="/f", auth_method="other"),
        ),
    ],
)
def test_lines_of_other_writers(line: str, fields: dict[str, Any]) -> None:
    assert told(one(line)) == fields


NATIVE = {"kind": "transfer", "format": "vsftpd", "time_text": DATE, "start": 0}


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            f'{DATE} [pid 2512] [etl] OK UPLOAD: Client "127.0.0.1", "/up/a b.txt", '
            "2048 bytes, 2.00Kbyte/sec",
            {
                **NATIVE,
                "pid": 2512,
                "username": "etl",
                "remote_host": "127.0.0.1",
                "filename": "/up/a b.txt",
                "bytes": 2048,
                "transfer_time_sec": 1,
                "rate_bytes_per_second": 2048.0,
                "direction": "upload",
                "status": "complete",
                "action": "UPLOAD",
            },
        ),
        # Quotes within the text are not escaped; a size of 0 is left out.
        (
            f'{DATE} [pid 7] [ftp] FAIL DOWNLOAD: Client "::1", anon password "me@x", '
            '"/up/q"uote.txt", 0.00Kbyte/sec',
            {
                **NATIVE,
                "pid": 7,
                "username": "me@x",
                "access_mode": "anonymous",
                "remote_host": "::1",
                "filename": '/up/q"uote.txt',
                "bytes": 0,
                "rate_bytes_per_second": 0.0,
                "direction": "download",
                "status": "incomplete",
                "action": "DOWNLOAD",
            },
        ),
        (
            f'{DATE} [pid 7] [ftp] OK DELETE: Client "::1", "/up/x, 5 bytes"',
            {
                **NATIVE,
                "pid": 7,
                "username": "ftp",
                "access_mode": "anonymous",
                "remote_host": "::1",
                "filename": "/up/x, 5 bytes",
                "bytes": 0,
                "direction": "delete",
                "status": "complete",
                "action": "DELETE",
            },
        ),
        (
            f'{DATE} [pid 7] CONNECT: Client "::1"',
            {
                **NATIVE,
                "kind": "event",
                "pid": 7,
                "remote_host": "::1",
                "bytes": 0,
                "action": "CONNECT",
                "reason": "no transfer: CONNECT",
            },
        ),
        # To syslog it goes without its own date and pid.
        (
            'Nov 24 09:03:06 ftp1 vsftpd[99]: [etl] OK UPLOAD: Client "::1", "/a", 3 bytes, '
            "1.50Kbyte/sec",
            {
                **NATIVE,
                "time_text": "Nov 24 09:03:06",
                "pid": 99,
                "username": "etl",
                "remote_host": "::1",
                "filename": "/a",
                "bytes": 3,
                "transfer_time_sec": 1,
                "rate_bytes_per_second": 1536.0,
                "direction": "upload",
                "status": "complete",
                "action": "UPLOAD",
            },
        ),
    ],
)
def test_native_lines(line: str, fields: dict[str, Any]) -> None:
    assert told(one(line)) == fields


@pytest.mark.parametrize("kbytes", ["0.000001", "0.000000"])
def test_a_native_line_takes_no_longer_than_can_be_stored(kbytes: str) -> None:
    most = (1 << 63) - 1
    found = one(
        f'{DATE} [pid 7] [etl] OK UPLOAD: Client "::1", "/a", {most} bytes, {kbytes}Kbyte/sec'
    )
    assert (found.transfer_time_sec or 0) <= most


def test_who_forges_a_native_line_by_the_name_of_a_user_makes_it_ambiguous() -> None:
    user = 'x] OK UPLOAD: Client "6.6.6.6", "/forged", 5 bytes'
    found = one(f'{DATE} [pid 7] [{user}] FAIL LOGIN: Client "::1"')
    assert found.ambiguous


def test_blanks_in_the_name_of_a_file_are_ambiguous() -> None:
    found = one(f"{DATE} 1 h 5 /my file b _ o a.txt b _ i r etl two ftp 0 * c")
    assert (found.filename, found.username) == ("/my file b _ o a.txt", "etl two")
    assert found.ambiguous
    assert found.reason == "the name of the file has blanks: its end is a guess"


def test_bytes_that_are_not_utf_8_can_be_had_again() -> None:
    found = one(DATE.encode() + b" 1 h 5 /\xff\xed\xa0\x80 b _ i r \xfe ftp 0 * c")
    assert found.filename is not None
    assert found.username is not None
    assert os.fsencode(found.filename) == b"/\xff\xed\xa0\x80"
    assert os.fsencode(found.username) == b"\xfe"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hello", "no date at the beginning"),
        ("/f b _ i a me@x ftp 0 * c", "no date at the beginning"),
        (DATE, "no date at the beginning"),
        (f"{DATE} 1 h x /f b _ i a me@x ftp 0 * c", "no seconds, host and bytes after the date"),
        (
            f"{DATE} 1 h 99999999999999999999 /f b _ i a me@x ftp 0 * c",
            "a number that is too large",
        ),
        (
            f"{DATE} 1 h 5 /f b _ z a me@x ftp 0 * c",
            "no type, flags, direction and access mode after the name of the file",
        ),
        (f"{DATE} 1 h 5 /f b _ i a", "no service, authentication and status at the end"),
        (
            f"{DATE} 1 h 5 /f b _ i a me@x ftp 0 * x",
            "no service, authentication and status at the end",
        ),
        ("Nov 24 09:03:07 ftp1 ftpd[8]: hello", "no transfer after the prefix of syslog"),
    ],
)
def test_what_is_no_transfer_says_why(line: str, reason: str) -> None:
    found = one(line)
    assert (found.kind, found.reason) == ("unparsed", reason)


@pytest.mark.parametrize("line", ["", "\n", "\r\n", "  \n", "\0\0\0\n"])
def test_an_empty_line_says_nothing(line: str) -> None:
    assert parse(line.encode()) == ()


# --- several lines in one -------------------------------------------------------------------------

LINE = f"{DATE} 1 127.0.0.1 11 /up/first.txt b _ i a me@x ftp 0 * c"


@pytest.mark.parametrize("cut", range(1, len(LINE)))
def test_a_line_cut_short_leaves_the_next_one_whole(cut: int) -> None:
    broken, whole = parse((LINE[:cut] + LINE).encode())
    assert broken.kind == "broken"
    assert broken.time_text == (DATE if cut > len(DATE) else None)
    assert broken.reason == "cut short: another line follows within it"
    assert (whole.kind, whole.filename, whole.start) == ("transfer", "/up/first.txt", cut)


def test_a_line_cut_short_tells_what_is_left_of_it() -> None:
    broken, _ = parse((LINE[: LINE.index("rst.txt")] + LINE).encode())
    assert (broken.remote_host, broken.bytes, broken.filename) == ("127.0.0.1", 11, "/up/fi")


def test_a_line_without_its_newline_is_whole() -> None:
    pieces = parse((LINE + LINE + LINE + "\n").encode())
    assert [piece.kind for piece in pieces] == ["transfer"] * 3
    assert [piece.start for piece in pieces] == [0, len(LINE), 2 * len(LINE)]


def test_a_line_within_the_name_of_a_user_is_told_but_not_trusted() -> None:
    forged = f"{DATE} 1 6.6.6.6 5 /etc/shadow b _ o r root"
    pieces = parse(f"{DATE} 1 127.0.0.1 11 /f b _ i a {forged} ftp 0 * c".encode())
    assert [piece.kind for piece in pieces] == ["broken", "transfer"]
    assert all(piece.ambiguous for piece in pieces)


def test_a_native_line_within_another_is_told_but_not_trusted() -> None:
    forged = f'{DATE} [pid 1] [root] OK UPLOAD: Client "6.6.6.6", "/etc/x'
    pieces = parse(f'{DATE} [pid 7] [etl] OK UPLOAD: Client "::1", "/a{forged}", 5 bytes'.encode())
    assert [piece.kind for piece in pieces] == ["broken", "transfer"]
    assert all(piece.ambiguous for piece in pieces)


def test_positions_count_bytes() -> None:
    first = f"{DATE} 1 h 5 /한글"
    pieces = parse((first + LINE).encode())
    assert [piece.start for piece in pieces] == [0, len(first.encode())]


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (DATE, (2026, 11, 24, 9, 3, 6)),
        ("Wed Nov  4 09:03:06 2026", (2026, 11, 4, 9, 3, 6)),
        ("Wed Nov 4 09:03:06 2026", (2026, 11, 4, 9, 3, 6)),
        ("Di NOV 24 09:03:06 2026", (2026, 11, 24, 9, 3, 6)),
        ("화 11월 24 09:03:06 2026", (2026, 11, 24, 9, 3, 6)),
        ("월  1월  4 09:03:06 2026", (2026, 1, 4, 9, 3, 6)),
        ("Sat Dec 31 23:59:60 2016", (2016, 12, 31, 23, 59, 59)),
        ("Nov 24 09:03:06", (1904, 11, 24, 9, 3, 6)),
        ("Feb 29 09:03:06", (1904, 2, 29, 9, 3, 6)),
    ],
)
def test_times(text: str, moment: tuple[int, int, int, int, int, int]) -> None:
    assert read_time(text) == datetime(*moment)  # noqa: DTZ001 - it names no zone


def test_a_time_that_names_its_zone() -> None:
    assert read_time("2026-11-24T09:03:06.5+09:00") == datetime(
        2026, 11, 24, 0, 3, 6, 500_000, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "text",
    [
        "Tue Feb 30 09:03:06 2026",
        "Tue Nov 24 25:03:06 2026",
        "Tue Xyz 24 09:03:06 2026",
        "Tue Nov 24 09:03:06 0000",
        "화 13월 24 09:03:06 2026",
        "2026-11-24T",
        "2026-13-24T09:03:06Z",
        "Tue",
        "",
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert read_time(text) is None


def test_a_line_with_an_unknown_month_keeps_its_time_as_text() -> None:
    found = one("mar. janv. 24 09:03:06 2026 1 h 5 /f b _ i r etl ftp 0 * c")
    assert (found.kind, found.filename) == ("transfer", "/f")
    assert found.time_text == "mar. janv. 24 09:03:06 2026"


# --- properties -----------------------------------------------------------------------------------

token = st.text(st.characters(codec="utf-8", exclude_characters=" \n\r\0"), min_size=1, max_size=12)
user = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=12)
number = st.integers(0, (1 << 63) - 1)
date = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1))  # noqa: DTZ001 - as a log has it


def written(moment: datetime, padding: str) -> str:
    return moment.strftime(f"%a %b {moment.day:{padding}2} %H:%M:%S {moment.year:04}")


@unhurried
@given(
    moment=date,
    padding=st.sampled_from([" ", "0", ""]),
    seconds=number,
    host=token,
    moved=number,
    name=token,
    letters=st.tuples(*(st.sampled_from(s) for s in ("ab", "iod", "arg", "01", "ci"))),
    flags=st.text("CUT_", min_size=1, max_size=3),
    user=user,
    service=token,
    auth_user=token,
)
@example(
    moment=datetime(2026, 11, 24),  # noqa: DTZ001
    padding=" ",
    seconds=1,
    host="h",
    moved=1,
    name="/f",
    letters=("b", "i", "a", "0", "c"),
    flags="_",
    user=" b _ i r x ftp 0 * c",
    service="ftp",
    auth_user="*",
)
def test_whatever_a_writer_writes_is_read(
    moment: datetime,
    padding: str,
    seconds: int,
    host: str,
    moved: int,
    name: str,
    letters: tuple[str, ...],
    flags: str,
    user: str,
    service: str,
    auth_user: str,
) -> None:
    kind, direction, mode, method, status = letters
    line = (
        f"{written(moment, padding)} {seconds} {host} {moved} {name} {kind} {flags} {direction} "
        f"{mode} {user} {service} {method} {auth_user} {status}\n"
    )
    found = one(line)
    assert found.kind == "transfer"
    assert not found.ambiguous
    assert found.time_text is not None
    assert read_time(found.time_text) == moment.replace(microsecond=0)
    assert (found.transfer_time_sec, found.remote_host) == (seconds, host)
    assert (found.bytes, found.filename, found.action_flags) == (moved, name, flags)
    assert (found.username, found.service) == (user, service)
    assert found.auth_user == (None if auth_user == "*" else auth_user)
    words = (found.transfer_type, found.direction, found.access_mode)
    assert words == (
        {"a": "ascii", "b": "binary"}[kind],
        {"i": "upload", "o": "download", "d": "delete"}[direction],
        {"a": "anonymous", "g": "guest", "r": "real"}[mode],
    )
    assert found.auth_method == {"0": "none", "1": "rfc931"}[method]
    assert found.status == {"c": "complete", "i": "incomplete"}[status]


@unhurried
@given(user=token, name=token, moved=st.integers(0, 1 << 62))
def test_the_quick_way_reads_as_the_thorough_one(user: str, name: str, moved: int) -> None:
    line = f"{DATE} 1 h {moved} {name} b _ i r {user} ftp 0 * c"
    assert parse(line.encode()) == module._parse_other(line)


@unhurried
@given(
    user=st.text(
        st.characters(codec="utf-8", exclude_characters='\n\r\0[]"'), min_size=1, max_size=9
    ),
    name=st.text(
        st.characters(codec="utf-8", exclude_characters="\n\r\0"), min_size=1, max_size=20
    ),
    action=st.sampled_from(["UPLOAD", "DOWNLOAD", "DELETE"]),
    ok=st.booleans(),
    moved=st.integers(0, 1 << 62),
)
def test_whatever_vsftpd_writes_in_its_own_format_is_read(
    user: str, name: str, action: str, ok: bool, moved: int
) -> None:
    assume(not user[0].isspace())
    size = f", {moved} bytes" if moved else ""
    outcome = "OK" if ok else "FAIL"
    found = one(
        f'{DATE} [pid 5] [{user}] {outcome} {action}: Client "::1", "{name}"{size}, 1.00Kbyte/sec'
    )
    assert (found.kind, found.format, found.pid) == ("transfer", "vsftpd", 5)
    assert (found.username, found.filename, found.bytes) == (user, name, moved)
    assert found.status == ("complete" if ok else "incomplete")
    assert found.direction == action.lower()


@unhurried
@given(st.binary(max_size=300))
def test_nothing_is_raised_and_nothing_is_dropped(line: bytes) -> None:
    hold(line)


pieces = st.sampled_from(
    [
        DATE.encode() + b" ",
        b"Nov 24 09:03:06 host ftpd[1]: ",
        b"1 h 5 /f ",
        b"b _ i a ",
        b"me ftp 0 * c",
        b'[pid 3] [x] OK UPLOAD: Client "::1", "/f", 5 bytes',
        b'"',
        b" ",
        b"\xff",
        "한".encode(),
        b"\0",
        b"[",
        b"] ",
    ]
)


@unhurried
@given(st.lists(pieces, max_size=12).map(b"".join))
def test_nothing_is_dropped_of_what_almost_is_a_line(line: bytes) -> None:
    hold(line)


def hold(line: bytes) -> None:
    """Check what must be true of every line."""
    found = parse(line)
    is_blank = not line.decode("utf-8", "surrogateescape").rstrip().lstrip("\0").strip()
    assert (found == ()) == is_blank
    starts = [piece.start for piece in found]
    assert starts == sorted(set(starts))
    assert all(0 <= start < len(line) for start in starts)
    for piece in found:
        assert piece.kind == "transfer" or piece.reason
        if piece.time_text is not None:
            read_time(piece.time_text)


@pytest.mark.parametrize(
    "part",
    [
        " ",
        "b _ i a ",
        "A",
        "[",
        "] ",
        '", "',
        '] OK UPLOAD: Client "',
        ' "',
        f"{DATE} ",
        f"{DATE} 1 h 5 ",
        f"{DATE} [pid 1] ",
        "Nov 24 09:03:06 h f: ",
        "\udcff",
    ],
)
@pytest.mark.parametrize("beginning", ["", f"{DATE} ", f"{DATE} 1 h 5 /f ", f"{DATE} [pid 1] ["])
def test_the_effort_is_linear(part: str, beginning: str) -> None:
    def seconds(size: int) -> float:
        line = (beginning + part * (size // len(part))).encode("utf-8", "surrogateescape")
        began = time.process_time()
        parse(line)
        return time.process_time() - began

    # A quadratic one takes seconds for 128 KiB.
    assert min(seconds(128 << 10) for _ in range(2)) < 0.5
