"""What is said of an upload, for all that can be seen of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from etlmon.collectors.xferlog.landing import (
    LOOK_AFTER_SECONDS,
    Upload,
    Verdict,
    Waiting,
    judge,
    root_of,
)
from etlmon.host.uploads import Found, FoundFile

ENDED_MS = 1_000_000
GONE = "there is no such file: renamed, moved on or deleted"
FILE = FoundFile(b"/srv/a.csv", 100, ENDED_MS)


def upload(**changes: Any) -> Upload:
    fields: dict[str, Any] = {
        "source_inode": 1,
        "offset": 0,
        "root": "/srv",
        "filename": "/a.csv",
        "bytes": 100,
        "is_ascii": False,
        "is_complete": True,
        "ended_ms": ENDED_MS,
        "read_at": 0.0,
    }
    return Upload(**(fields | changes))


def seen(*files: FoundFile) -> Found:
    return Found(files)


def file(size: int = 100, later_ms: int = 0, path: bytes = FILE.path) -> FoundFile:
    return FoundFile(path, size, ENDED_MS + later_ms)


@pytest.mark.parametrize(
    ("of", "found", "landing", "reason", "is_settled"),
    [
        (upload(), seen(file()), "landed", None, True),
        (upload(bytes=None), seen(file(7)), "landed", None, True),
        (upload(bytes=0), seen(file(0)), "landed", None, True),
        (upload(), seen(file(later_ms=900_000)), "landed", None, True),
        (upload(bytes=110, is_ascii=True), seen(file()), "landed", None, True),
        (
            upload(bytes=210, is_ascii=True),
            seen(file()),
            "partial",
            "100 bytes, 210 were sent",
            False,
        ),
        (
            upload(),
            seen(file(1_300)),
            "landed",
            "1,200 bytes more than were sent: resumed or appended to",
            True,
        ),
        (upload(), seen(file(40)), "partial", "40 bytes, 100 were sent", False),
        (
            upload(),
            seen(file(40, 5_000)),
            "overwritten",
            "changed after it had ended: 40 bytes, 100 were sent",
            True,
        ),
        (
            upload(),
            seen(file(400, 5_000)),
            "overwritten",
            "changed after it had ended: 400 bytes, 100 were sent",
            True,
        ),
        (upload(ended_ms=None), seen(file(40, 5_000)), "partial", "40 bytes, 100 were sent", False),
        (upload(is_complete=False), seen(file()), "partial", "the transfer broke off", True),
        (
            upload(is_complete=False),
            seen(),
            "vanished",
            "the transfer broke off and left no file",
            True,
        ),
        (upload(), seen(), "vanished", GONE, False),
        (upload(looks=3), seen(), "vanished", GONE, True),
        (
            upload(),
            seen(file(), file(path=b"/srv/a b.csv"), file(path=b"c"), file(path=b"d")),
            "ambiguous",
            "may be a.csv, a b.csv, c and more",
            False,
        ),
        (upload(), Found((), "EIO"), "unknown", "EIO", True),
    ],
)
def test_what_is_seen_at_once(
    of: Upload, found: Found, landing: str, reason: str | None, is_settled: bool
) -> None:
    verdict = judge(of, found, {}, sees_all_writers=True)
    assert (verdict.landing, verdict.reason) == (landing, reason)
    assert verdict.is_settled == is_settled


def test_what_is_open_for_writing_is_partial() -> None:
    verdict = judge(upload(), seen(file()), {FILE.path: 77}, sees_all_writers=True)
    assert verdict == Verdict("partial", "process 77 has it open for writing", file())


def test_where_writers_cannot_be_seen_being_quiet_decides() -> None:
    of = upload()
    waiting = Waiting([of])
    first = judge(of, seen(file()), {}, sees_all_writers=False)
    assert (first.landing, first.is_settled) == ("pending", False)
    assert waiting.looked(of, first)
    second = judge(of, seen(file()), {}, sees_all_writers=False)
    assert (second.landing, second.is_settled) == ("landed", True)


def test_what_grows_is_partial() -> None:
    of = upload(bytes=None)
    waiting = Waiting([of])
    waiting.looked(of, judge(of, seen(file(10)), {}, sees_all_writers=False))
    growing = judge(of, seen(file(20, 1_000)), {}, sees_all_writers=False)
    assert (growing.landing, growing.reason) == ("partial", "it is still growing")


def test_what_stays_too_small_stays_partial() -> None:
    of = upload()
    waiting = Waiting([of])
    told = 0
    for after in LOOK_AFTER_SECONDS:
        assert waiting.due(after, 10) == [of]
        told += waiting.looked(of, judge(of, seen(file(40)), {}, sees_all_writers=True))
    assert (waiting.uploads, told) == ([], 1)


def test_those_that_wait_longest_come_first() -> None:
    uploads = [upload(offset=place, read_at=float(-place)) for place in range(5)]
    waiting = Waiting(list(uploads))
    assert waiting.due(-3.0, 10) == [uploads[4], uploads[3]]
    assert waiting.due(0.0, 2) == [uploads[4], uploads[3]]


def test_too_many_are_not_waited_for() -> None:
    waiting = Waiting()
    assert all(waiting.add(upload()) for _ in range(10_000))
    assert not waiting.add(upload())


def test_one_among_thousands_is_found_at_once() -> None:
    def seconds() -> float:
        waiting = Waiting([upload(offset=place) for place in range(9_000)])
        new = [upload(offset=place) for place in range(9_000, 9_200)]
        waiting.uploads += new
        began = time.process_time()
        for one in new:
            waiting.looked(one, Verdict("landed", is_settled=True))
        took = time.process_time() - began
        assert len(waiting.uploads) == 9_000
        return took

    def yardstick_seconds() -> float:
        objects = [object() for _ in range(9_200)]
        began = time.process_time()
        for one in objects[9_000:]:
            objects.remove(one)
        return time.process_time() - began

    took, yardstick = (min(of() for _ in range(5)) for of in (seconds, yardstick_seconds))
    assert took < 0.01 + 8 * yardstick, "field by field it would be more than 20 times as much"


# --- the same name again --------------------------------------------------------------------------

AGAIN = "uploaded again under the same name"
NOT_KNOWN = f"{AGAIN}: whether that overwrote it or went on is not known"


@pytest.mark.parametrize(
    ("sizes", "size", "landings"),
    [
        ([100, 100], 100, ["overwritten", "landed"]),
        ([100, 40], 40, ["overwritten", "landed"]),
        ([100, 200], 200, ["overwritten", "landed"]),
        ([100, 40], 140, ["landed", "landed"]),  # appended to
        ([100, 40, 60], 200, ["landed", "landed", "landed"]),
        ([100, 40, 60], 100, ["landed", "landed", "landed"]),
        ([100, 40, 60], 60, ["overwritten", "overwritten", "landed"]),
        ([100, 40, 60], 160, ["ambiguous", "ambiguous", "landed"]),
        ([0, 40], 40, ["ambiguous", "landed"]),
        ([0, 0], 0, ["landed", "landed"]),
        ([None, 40], 40, ["ambiguous", "landed"]),
        ([100, 40], 7, ["ambiguous", "partial"]),
    ],
)
def test_an_upload_whose_name_was_uploaded_again(
    sizes: list[int | None], size: int, landings: list[str]
) -> None:
    waiting = Waiting()
    uploads = [upload(offset=place, bytes=sent) for place, sent in enumerate(sizes)]
    assert all(map(waiting.add, uploads))
    verdicts = [judge(one, seen(file(size)), {}, sees_all_writers=True) for one in uploads]
    assert [verdict.landing for verdict in verdicts] == landings
    for verdict in verdicts:
        if verdict.landing in ("overwritten", "ambiguous"):
            assert verdict.reason == (AGAIN if verdict.landing == "overwritten" else NOT_KNOWN)
            assert verdict.is_settled


def test_what_was_added_to_a_while_later_has_landed() -> None:
    waiting = Waiting()
    first, second = upload(), upload(offset=1, bytes=40, ended_ms=ENDED_MS + 9_000)
    waiting.add(first)
    waiting.add(second)
    verdict = judge(first, seen(file(140, 9_000)), {}, sees_all_writers=True)
    assert (verdict.landing, verdict.reason) == (
        "landed",
        "40 bytes more than were sent: resumed or appended to",
    )
    assert judge(first, seen(file(140, 19_000)), {}, sees_all_writers=True).landing == "overwritten"


def test_what_had_landed_is_looked_at_again_when_its_name_comes_again_at_once() -> None:
    waiting = Waiting()
    first = upload()
    waiting.add(first)
    assert waiting.looked(first, judge(first, seen(file()), {}, sees_all_writers=True))
    assert waiting.uploads == []
    second = upload(offset=1, read_at=4.0)
    waiting.add(second)
    assert waiting.due(4.0, 10) == [first, second]
    assert waiting.looked(first, judge(first, seen(file()), {}, sees_all_writers=True))
    assert first.told == ("overwritten", AGAIN)
    waiting.looked(second, judge(second, seen(file()), {}, sees_all_writers=True))
    # Later it stays what it was: somebody may have taken it in the meantime.
    third = upload(offset=2, read_at=10.0)
    waiting.add(third)
    assert (waiting.uploads, second.told) == ([third], ("landed", None))


def test_what_is_waited_for_is_looked_at_at_once_when_its_name_comes_again() -> None:
    waiting = Waiting()
    first = upload(looks=3)
    waiting.add(first)
    assert waiting.due(5.0, 10) == []
    waiting.add(upload(offset=1, read_at=5.0))
    assert first in waiting.due(5.0, 10)


@pytest.mark.parametrize(
    "other",
    [
        upload(filename="/b.csv"),
        upload(root="/srv/other"),
        upload(bytes=0, is_complete=False),  # refused
        upload(ended_ms=ENDED_MS - 1_000),  # read from a rotated file
    ],
)
def test_what_did_not_come_after_it_overwrites_nothing(other: Upload) -> None:
    waiting = Waiting()
    first = upload()
    waiting.add(first)
    waiting.add(other)
    assert first.later is None
    assert judge(first, seen(file()), {}, sees_all_writers=True).landing == "landed"


def test_names_of_one_file_are_one() -> None:
    waiting = Waiting()
    first = upload(root="/srv", filename="/in//x/../a.csv")
    second = upload(root="/", filename="srv/in/a.csv")
    waiting.add(first)
    waiting.add(second)
    assert first.later is second
    assert waiting.knows("/srv/in", "a.csv")


def test_a_file_that_was_renamed_has_landed_under_another_name() -> None:
    found = Found((file(path=b"/srv/a.csv"),), is_renamed=True)
    verdict = judge(upload(filename="/a.csv.tmp"), found, {}, sees_all_writers=True)
    assert (verdict.landing, verdict.reason) == ("landed", "renamed to a.csv")
    verdict = judge(upload(filename="/a.csv.tmp"), found, {FILE.path: 7}, sees_all_writers=True)
    assert verdict.landing == "partial"


def test_only_so_many_names_are_remembered() -> None:
    waiting = Waiting()
    for number in range(10_050):
        one = upload(offset=number, filename=f"/{number}")
        waiting.add(one)
        waiting.looked(one, judge(one, seen(file()), {}, sees_all_writers=True))
    assert not waiting.knows("/srv", "/49")
    assert waiting.knows("/srv", "/50")


ROOTS = {"etl": "/srv/etl", "anonymous": "/srv/ftp", "*": "/srv/others"}


@pytest.mark.parametrize(
    ("username", "access_mode", "root"),
    [
        ("etl", "real", "/srv/etl"),
        ("me@x", "anonymous", "/srv/ftp"),
        ("etl", "anonymous", "/srv/ftp"),
        ("bob", "guest", "/srv/others"),
        (None, None, "/srv/others"),
    ],
)
def test_which_directory_is_whose(username: str | None, access_mode: str | None, root: str) -> None:
    assert root_of(ROOTS, username, access_mode) == root
    assert root_of({}, username, access_mode) is None
