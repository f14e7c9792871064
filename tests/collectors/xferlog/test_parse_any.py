"""Lines of transfer logs as nobody should write them: several in one, forged ones, any bytes."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from etlmon.collectors.xferlog import parse as module
from etlmon.collectors.xferlog.parse import Parsed, parse, read_time

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATE = "Tue Nov 24 09:03:06 2026"


def one(line: str) -> Parsed:
    (found,) = parse(line.encode())
    return found


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

    short, whole = (min(seconds(size) for _ in range(3)) for size in (16 << 10, 128 << 10))
    assert whole < 0.05 + 24 * short, (short, whole)
