"""Lines of transfer logs: real ones, every writer's form, and their times."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest

from etlmon.collectors.xferlog.parse import Parsed, parse, read_time

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
