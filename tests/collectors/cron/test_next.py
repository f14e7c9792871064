"""When entries run: a real cron judges, croniter, cronsim and systemd give second opinions."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterError, croniter
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from etlmon.collectors.cron import next as next_module
from etlmon.collectors.cron.days import days_of
from etlmon.collectors.cron.next import Runs, Window, possible, why_never
from etlmon.collectors.cron.offsets import Offsets
from etlmon.collectors.cron.schedule import (
    ALIASES,
    BadEntryError,
    Dialect,
    Schedule,
    schedule,
)

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SEOUL = ZoneInfo("Asia/Seoul")


def read(text: str, dialect: Dialect = "debian") -> Schedule:
    if text.startswith("@"):
        return ALIASES[text[1:].encode()]
    return schedule(tuple(text.encode().split()), dialect)[0]


def minute(moment: datetime) -> int:
    return int(moment.timestamp() // 60)


def coming(
    text: str, zone: ZoneInfo, after: datetime, count: int, dialect: Dialect = "debian"
) -> list[str]:
    """Give the runs after a moment as local times with their offset from UTC."""
    runs = Runs(Offsets(zone), dialect)
    found = islice(runs.after(read(text, dialect), minute(after)), count)
    return [_shown(at, zone) for at in found]


def _shown(at: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at * 60, zone).strftime("%m-%d %H:%M%z")[:-2]


# Days on which the clock changes, and what the entries do then (the DST table).
SPRING = datetime(2027, 3, 27, 23, 0, tzinfo=BERLIN)  # 02:00 becomes 03:00
AUTUMN = datetime(2026, 10, 24, 23, 0, tzinfo=BERLIN)  # 03:00 becomes 02:00


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        # A fixed entry within the hour that is left out runs right after it.
        ("30 2 * * *", BERLIN, SPRING, ["03-28 03:00+02", "03-29 02:30+02"]),
        ("0 3 * * *", BERLIN, SPRING, ["03-28 03:00+02", "03-29 03:00+02"]),
        ("0,30 2 * * *", BERLIN, SPRING, ["03-28 03:00+02", "03-29 02:00+02"]),
        # Wildcards follow the wall clock: what it leaves out is left out.
        ("*/30 2 * * *", BERLIN, SPRING, ["03-29 02:00+02", "03-29 02:30+02"]),
        ("0 */2 * * *", BERLIN, SPRING, ["03-28 00:00+01", "03-28 04:00+02"]),
        ("30 * * * *", BERLIN, SPRING, ["03-27 23:30+01", "03-28 00:30+01", "03-28 01:30+01",
                                        "03-28 03:30+02"]),
        ("30 0-23 * * *", BERLIN, SPRING, ["03-27 23:30+01", "03-28 00:30+01", "03-28 01:30+01",
                                           "03-28 03:00+02", "03-28 03:30+02"]),
        ("@hourly", BERLIN, SPRING, ["03-28 00:00+01", "03-28 01:00+01", "03-28 03:00+02"]),
        # A fixed entry within the hour that comes twice runs once; wildcards run twice.
        ("30 2 * * *", BERLIN, AUTUMN, ["10-25 02:30+02", "10-26 02:30+01"]),
        ("*/30 2 * * *", BERLIN, AUTUMN, ["10-25 02:00+02", "10-25 02:30+02", "10-25 02:00+01",
                                          "10-25 02:30+01", "10-26 02:00+01"]),
        ("0 3 * * *", BERLIN, AUTUMN, ["10-25 03:00+01", "10-26 03:00+01"]),
        ("30 1-3 * * *", BERLIN, AUTUMN, ["10-25 01:30+02", "10-25 02:30+02", "10-25 03:30+01"]),
        # Elsewhere, and where only half an hour is left out or comes twice.
        ("30 2 * * *", NEW_YORK, datetime(2027, 3, 13, 23, tzinfo=NEW_YORK),
         ["03-14 03:00-04", "03-15 02:30-04"]),
        ("30 1 * * *", NEW_YORK, datetime(2026, 10, 31, 23, tzinfo=NEW_YORK),
         ["11-01 01:30-04", "11-02 01:30-05"]),
        ("15 2 * * *", LORD_HOWE, datetime(2026, 10, 3, 23, tzinfo=LORD_HOWE),
         ["10-04 02:30+11", "10-05 02:15+11"]),
        ("*/15 2 * * *", LORD_HOWE, datetime(2026, 10, 3, 23, tzinfo=LORD_HOWE),
         ["10-04 02:30+11", "10-04 02:45+11", "10-05 02:00+11"]),
        ("45 1 * * *", LORD_HOWE, datetime(2027, 4, 3, 23, tzinfo=LORD_HOWE),
         ["04-04 01:45+11", "04-05 01:45+10"]),
        ("*/15 1 * * *", LORD_HOWE, datetime(2027, 4, 3, 23, tzinfo=LORD_HOWE),
         ["04-04 01:00+11", "04-04 01:15+11", "04-04 01:30+11", "04-04 01:45+11",
          "04-04 01:30+10", "04-04 01:45+10", "04-05 01:00+10"]),
        ("30 2 * * *", SEOUL, datetime(2027, 3, 27, 23, tzinfo=SEOUL),
         ["03-28 02:30+09", "03-29 02:30+09"]),
        # The clock may change at midnight, into the day before or out of it.
        ("30 0 * * *", ZoneInfo("Africa/Cairo"),
         datetime(2026, 4, 23, 12, tzinfo=ZoneInfo("Africa/Cairo")),
         ["04-24 01:00+03", "04-25 00:30+03"]),
        ("30 23 * * *", ZoneInfo("Africa/Cairo"),
         datetime(2026, 10, 29, 12, tzinfo=ZoneInfo("Africa/Cairo")),
         ["10-29 23:30+03", "10-30 23:30+02"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["debian", "cronie"])
def test_when_the_clock_changes(
    text: str, zone: ZoneInfo, after: datetime, expected: list[str], dialect: Dialect
) -> None:
    assert coming(text, zone, after, len(expected), dialect) == expected


def test_from_within_the_hour_that_comes_twice() -> None:
    first, second = (datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    assert coming("30 2 * * *", BERLIN, first, 1) == ["10-25 02:30+02"]
    assert coming("30 2 * * *", BERLIN, second, 1) == ["10-26 02:30+01"]
    assert coming("*/20 * * * *", BERLIN, second, 2) == ["10-25 02:20+01", "10-25 02:40+01"]


ENTRIES = (
    "30 2 * * *|*/30 2 * * *|15 1-3 * * *|*/10 * * * *|0 */2 * * *|45 1 * * *|0 3 * * *|5 2 * * 0|"
    "*/15 1,2 * * *|30 * * * *|30 0-23 * * *|59 1 * * *|0 2 * * *|29 2 * * *|31 1 * * *"
).split("|")


@pytest.mark.parametrize(
    ("zone", "start", "minutes"),
    [
        (BERLIN, datetime(2027, 3, 28, 1, 50, tzinfo=BERLIN), 50),
        (NEW_YORK, datetime(2027, 3, 14, 1, 50, tzinfo=NEW_YORK), 20),
        (LORD_HOWE, datetime(2026, 10, 4, 1, 55, tzinfo=LORD_HOWE), 20),
        (LORD_HOWE, datetime(2027, 4, 4, 1, 25, tzinfo=LORD_HOWE), 80),
        (BERLIN, datetime(2026, 10, 25, 2, 50, tzinfo=BERLIN), 85),
    ],
    ids=["Berlin spring", "New York spring", "Lord Howe spring", "Lord Howe autumn",
         "Berlin autumn"],
)  # fmt: skip
def test_a_real_cron_does_so_when_the_clock_changes(
    real_cron: Any, zone: ZoneInfo, start: datetime, minutes: int
) -> None:
    begin = minute(start)
    cron = real_cron(zone.key, begin * 60)
    cron.write("cron.d/all", "".join(f"{text} root : {n}\n" for n, text in enumerate(ENTRIES)))
    with cron:
        did = {at // 60 + 1: started for at, started in cron.minutes(minutes)}
    runs = Runs(Offsets(zone), "debian")
    for n, text in enumerate(ENTRIES):
        told = [at for at in islice(runs.after(read(text), begin), 400) if at <= begin + minutes]
        real = [int(at) for at, started in did.items() if f": {n}" in started]
        shown = [[_shown(at, zone) for at in ats] for ats in (told, real)]
        assert told == real, f"{text}: {shown}"


DAYS = (
    "0 0 */2 * 1|0 0 1-31 * 1|0 0 1,* * 1|0 0 3,* * 1|0 0 13 * 5|0 0 * * 7-7|0 0 * * 1#2|"
    "0 0 31 * *|0 0 29 2 *|0 0 */5 */3 *|0 0 1.5 * *|0 0 * jan,Jun *|0 0 2-6 2 mon-wed|0 0 *2 * 2|"
    "0 0 * * */3|0 0 28-31 * 0|"
    "0 0 1,15 * *|@monthly|@weekly|@yearly|@daily|0 0 10 * *|0 0 * * 5-7|0 0 9 * 0,7"
).split("|")


def test_a_real_cron_takes_the_same_days(real_cron: Any) -> None:
    """Midnight after midnight for 14 months: each leap of a day runs just what it matches."""
    start = datetime(2027, 12, 31, tzinfo=UTC)
    cron = real_cron("UTC", start.timestamp() - 60)
    cron.write("cron.d/all", "".join(f"{text} root : {n}\n" for n, text in enumerate(DAYS)))
    number, step = 130, 3  # days: no multiple of a week
    did: dict[int, list[str]] = {}
    with cron:
        for n in range(number):
            at = (start + timedelta(days=n * step)).timestamp()
            did[int(at // 60)] = cron.go_to(at)
    runs = Runs(Offsets(UTC), "debian")
    end = max(did)
    for n, text in enumerate(DAYS):
        told = set()
        for at in runs.after(read(text), minute(start) - 1):
            if at > end:
                break
            told.add(at)
        real = {at for at, started in did.items() if f": {n}" in started}
        assert told & did.keys() == real, text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 22-2 * * *", "the hour runs backwards"),
        ("50-10 0 * * *", "the minute runs backwards"),
        ("0 0 30 2 *", "none of the months has such a day"),
        ("0 0 31 4,6,9,11 *", "none of the months has such a day"),
        ("0 0 * 6-5 *", "the month runs backwards"),
        ("0 0 * * 7-1", "the day-of-week runs backwards"),
    ],
)
def test_what_never_runs(text: str, why: str) -> None:
    made = read(text)
    assert not possible(made)
    assert why in why_never(made)
    assert coming(text, BERLIN, SPRING, 1) == []


def test_leap_days() -> None:
    after = datetime(2026, 1, 1, tzinfo=UTC)
    runs = Runs(Offsets(UTC), "debian")
    on_any = [
        datetime.fromtimestamp(at * 60, UTC)
        for at in islice(runs.after(read("0 0 29 2 *"), minute(after)), 2)
    ]
    assert [at.year for at in on_any] == [2028, 2032]
    on_monday = next(runs.after(read("0 0 */28 2 1"), minute(after)))  # 1 and 29, if a Monday
    assert datetime.fromtimestamp(on_monday * 60, UTC).year == 2027
    rare = [
        datetime.fromtimestamp(at * 60, UTC)
        for at in runs.after(read("0 0 29 2 *"), minute(datetime(2096, 3, 1, tzinfo=UTC)))
    ]
    assert rare[0].year == 2104  # 2100 is no leap year


def _picked(text: str) -> Iterator[str]:
    """Give an entry with each value that cron may pick for its ``~``."""
    fields = text.split()
    choices = []
    for field, (low, high) in zip(
        fields, ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)), strict=True
    ):
        found = re.search("([0-9]*)~([0-9]*)", field)
        if found is None:
            choices.append([field])
            continue
        values = range(int(found[1] or low), int(found[2] or high) + 1)
        choices.append([field.replace(found[0], str(value)) for value in values])
    return map(" ".join, product(*choices))


class TestWindows:
    @pytest.mark.parametrize(
        ("text", "at", "begin", "end"),
        [
            ("10~20 5 * * *", (0, 0), (5, 10), (5, 20)),
            ("10~20 5 * * *", (5, 15), (5, 16), (29, 15)),  # today, or it was picked before
            ("~ 5 * * *", (0, 0), (5, 0), (5, 59)),
            ("0 1~3 * * *", (0, 0), (1, 0), (3, 0)),
        ],
    )
    def test_of_a_value_that_cron_picks(
        self, text: str, at: tuple[int, int], begin: tuple[int, int], end: tuple[int, int]
    ) -> None:
        day = minute(datetime(2026, 11, 26, tzinfo=UTC))
        runs = Runs(Offsets(UTC), "cronie")
        found = runs.window(read(text, "cronie"), day + at[0] * 60 + at[1], 0)
        assert found == Window(day + begin[0] * 60 + begin[1], day + end[0] * 60 + end[1])

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(
            ["20~40 * * * *", "10~15 2~5 * * *", "7 ~ 1-15 * *", "~ 3 * * 1", "0 4 1~31 * *",
             "0 4 20~30 2,3 *", "0 4 * 2~5 *", "0 4 */2 * 2~5", "~,59 1-3 * * *"]
        ),
        st.integers(29_000_000, 30_000_000),
    )  # fmt: skip
    def test_no_value_that_cron_may_pick_comes_later(self, text: str, at: int) -> None:
        runs, made = Runs(Offsets(BERLIN), "cronie"), read(text, "cronie")
        found = runs.window(made, at, 0)
        firsts = [next(runs.after(read(picked, "cronie"), at)) for picked in _picked(text)]
        assert found == Window(min(firsts), max(firsts))

    def test_of_too_many_values_has_no_known_end(self) -> None:
        runs = Runs(Offsets(UTC), "cronie")
        found = runs.window(read("~ ~ ~ ~ *", "cronie"), 0, 0)
        assert found == Window(1, None)

    def test_of_a_random_delay(self) -> None:
        day = minute(datetime(2026, 11, 26, tzinfo=UTC))
        runs = Runs(Offsets(UTC), "cronie")
        made = read("0 5 * * *", "cronie")
        assert runs.window(made, day, 45) == Window(day + 300, day + 345)
        assert runs.window(made, day + 320, 45) == Window(day + 321, day + 345)  # it may still come
        assert runs.window(made, day + 346, 45) == Window(day + 1740, day + 1785)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["*", "*/2", "29", "31", "1,15,30", "13", "*/31"]),
    st.sampled_from(["*", "2", "4,6", "1-12/5", "12"]),
    st.sampled_from(["*", "*/7", "1", "*/3", "5,6", "0-7"]),
    st.integers(0, 90 * 365),
)
def test_days_are_those_of_a_calendar_that_is_gone_through(
    day: str, month: str, weekday: str, since: int
) -> None:
    made = read(f"7 5 {day} {month} {weekday}")
    runs = Runs(Offsets(UTC), "debian")
    found = list(islice(runs.after(made, since * 1440 - 1), 12))

    def is_one(one: date) -> bool:
        by_day, by_week = made.day >> one.day & 1, made.weekday >> one.isoweekday() % 7 & 1
        either = by_day and by_week if made.both_days else by_day or by_week
        return bool(made.month >> one.month & 1 and either)

    first = date(1970, 1, 1) + timedelta(days=since)
    days = [since + n for n in range(50 * 366) if is_one(first + timedelta(days=n))][:12]
    assert found == [day * 1440 + 307 for day in days]


@pytest.mark.parametrize(
    "text", ["0 0 29 2 */7", "0 0 29 2 */7,3", "0 0 31 12 */6", "0 0 13 5 */5"]
)
def test_a_far_date_costs_a_few_look_ups_a_year(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = 0

    def counted(*arguments: Any) -> int:
        nonlocal looked_up
        looked_up += 1
        return days_of(*arguments)

    monkeypatch.setattr(next_module, "days_of", counted)
    runs = Runs(Offsets(BERLIN), "debian")
    found = list(islice(runs.after(read(text), minute(SPRING)), 10))
    assert found
    assert looked_up < 6 * 51
    years = {datetime.fromtimestamp(at * 60, BERLIN).year for at in found}
    assert max(years) <= SPRING.year + 50


@pytest.mark.parametrize(
    ("text", "delay", "hours"),
    [
        # From 14:07 on; a number for each hour from 14 on, the rest is 0.
        ("20~40 15 * * *", 0, [0, 1]),
        ("10,20~40 * * * *", 0, [2] * 24),
        ("0 15~17 * * *", 0, [0, 1, 1, 1]),
        ("0 15 * * *", 45, [0, 1]),
        ("30 15 * * *", 45, [0, 1, 1]),
        ("30 15 * * *", 150, [0, 1, 1, 1, 1]),
        ("0 13 * * *", 90, [1] + [0] * 22 + [1]),
        ("*/30 * * * *", 30, [3] * 24),
    ],
)
def test_runs_that_may_begin_in_an_hour_are_counted(
    text: str, delay: int, hours: list[int]
) -> None:
    runs = Runs(Offsets(UTC), "cronie")
    found = runs.may_by_hour(read(text, "cronie"), 20_783 * 1440 + 14 * 60 + 7, delay)
    assert list(found) == [*hours, *[0] * (24 - len(hours))]


def test_a_zone_of_its_own_is_followed_without_making_up() -> None:
    runs = Runs(Offsets(BERLIN), "cronie", follows_jumps=False)
    made = read("30 2 * * *", "cronie")
    spring = [_shown(at, BERLIN) for at in islice(runs.after(made, minute(SPRING)), 1)]
    autumn = [_shown(at, BERLIN) for at in islice(runs.after(made, minute(AUTUMN)), 2)]
    assert (spring, autumn) == (["03-29 02:30+02"], ["10-25 02:30+02", "10-25 02:30+01"])
    assert runs.meets_jump(made, minute(SPRING))


@pytest.mark.parametrize(
    ("text", "zone", "is_met"),
    [
        ("30 2 * * *", BERLIN, True),
        ("30 2 * * *", SEOUL, False),
        ("30 4 * * *", BERLIN, False),
        ("*/30 2 * * *", BERLIN, True),
        ("*/5 * * * *", BERLIN, False),
        ("0 */2 * * *", BERLIN, True),
        ("30 2 * * 1", BERLIN, False),  # clocks change on Sundays
        ("30 2 1 1 *", BERLIN, False),
    ],
)
def test_whether_a_change_of_the_clock_meets_a_run(text: str, zone: ZoneInfo, is_met: bool) -> None:
    runs = Runs(Offsets(zone), "debian")
    assert runs.meets_jump(read(text), minute(datetime(2026, 11, 26, tzinfo=UTC))) is is_met


@pytest.mark.parametrize("zone", [BERLIN, SEOUL, LORD_HOWE, ZoneInfo("Asia/Kolkata")])
@pytest.mark.parametrize("text", ["*/7 * * * *", "30 2 * * *", "5,50 */3 */2 * *", "0 0 * * 5"])
@pytest.mark.parametrize(
    "moment", ["2026-11-26 14:07", "2027-03-27 20:59", "2027-04-04 01:40", "2026-10-25 00:05"]
)
def test_runs_by_hour_are_counted(zone: ZoneInfo, text: str, moment: str) -> None:
    runs = Runs(Offsets(zone), "debian")
    at = minute(datetime.fromisoformat(moment).replace(tzinfo=zone))
    counts = runs.by_hour(read(text), at)
    begin = at - (at + runs._offsets.offset(at)) % 60
    listed = [one for one in islice(runs.after(read(text), begin - 1), 1500) if one < begin + 1440]
    assert list(counts) == [sum(begin + h * 60 <= one < begin + h * 60 + 60 for one in listed)
                      for h in range(24)]  # fmt: skip


# --- second opinions ------------------------------------------------------------------------------

plain = st.builds(
    " ".join,
    st.tuples(
        st.sampled_from(["*", "0", "5,35", "*/15", "10-20/5", "59"]),
        st.sampled_from(["*", "0", "2", "*/6", "8-18", "1,23"]),
        st.sampled_from(["*", "1", "15,31", "28-31"]),
        st.sampled_from(["*", "2", "1,7", "*/4", "11-12"]),
        st.sampled_from(["*", "0", "1-5", "6"]),
    ),
)
moments = st.integers(1_704_067_200 // 60, 1_956_528_000 // 60)


@settings(max_examples=60)
@given(plain, moments)
def test_croniter_and_cronsim_agree_about_plain_entries(text: str, moment: int) -> None:
    after = datetime.fromtimestamp(moment * 60, UTC)
    runs = Runs(Offsets(UTC), "debian")
    told = [
        datetime.fromtimestamp(at * 60, UTC)
        for at in islice(runs.after(read(text), minute(after)), 3)
    ]
    assert told == [*islice(CronSim(text, after), 3)]
    other = croniter(text, after, ret_type=datetime, implement_cron_bug=True)
    assert told == [other.get_next() for _ in told]


CORRECTIONS: tuple[tuple[str, ZoneInfo, datetime, str, str], ...] = (
    # entry, zone, after, what cron does, what croniter says
    ("0 0 1,* * 1", BERLIN, SPRING, "03-28 00:00+01", "03-29 00:00+02"),
    ("0 0 * * 7-7", SEOUL, datetime(2026, 11, 26, tzinfo=SEOUL), "11-29 00:00+09",
     "11-27 00:00+09"),
    ("0 */2 * * *", BERLIN, SPRING.replace(day=28, hour=0), "03-28 04:00+02", "03-28 03:00+02"),
    ("*/30 2 * * *", BERLIN, SPRING, "03-29 02:00+02", "03-28 03:00+02"),
    ("30 2 * * *", BERLIN, AUTUMN.replace(day=25, hour=2, minute=31), "10-26 02:30+01",
     "10-25 02:30+01"),
    ("30 0-23 * * *", BERLIN, SPRING.replace(day=28, hour=1, minute=30), "03-28 03:00+02",
     "03-28 03:30+02"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "zone", "after", "cron", "theirs"), CORRECTIONS)
def test_where_croniter_is_wrong(
    text: str, zone: ZoneInfo, after: datetime, cron: str, theirs: str
) -> None:
    assert coming(text, zone, after, 1) == [cron]
    found = croniter(text, after, ret_type=datetime, implement_cron_bug=True).get_next()
    assert found.strftime("%m-%d %H:%M%z")[:-2] == theirs


WRITTEN: dict[str, tuple[str, str]] = {
    # entry: what cron makes of it, what croniter does; the first run after midnight of 26 November
    "5/15 * * * *": ("refused", "11-26 00:05"),
    "0 0 L * *": ("refused", "11-30 00:00"),
    "0 0 ? * *": ("refused", "11-27 00:00"),
    "0 22-2 * * *": ("never", "11-26 01:00"),
    "50-10 * * * *": ("never", "11-26 00:01"),
    "0 0 * * 7-1": ("never", "11-29 00:00"),
    "0 0 * * sat-sun": ("never", "11-28 00:00"),
    "1.5 * * * *": ("11-26 00:01", "refused"),
    "1#2 * * * *": ("11-26 00:01", "refused"),
    "*5 * * * *": ("11-26 00:01", "refused"),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_where_croniter_reads_something_else(text: str) -> None:
    midnight = datetime(2026, 11, 26, tzinfo=UTC)
    try:
        ours = coming(text, ZoneInfo("UTC"), midnight, 1) or ["never"]
    except BadEntryError:
        ours = ["refused"]
    try:
        found = croniter(text, midnight, ret_type=datetime, implement_cron_bug=True).get_next()
        theirs = f"{found:%m-%d %H:%M}"
    except CroniterError:
        theirs = "refused"
    assert (ours[0].removesuffix("+00"), theirs) == WRITTEN[text]


CALENDARS = {
    "30 2 * * *": "*-*-* 02:30",
    "*/20 4-6 * * *": "*-*-* 04..06:00/20",
    "0 0 1 */3 *": "*-01/3-01 00:00",
    "15 12 * * 1-5": "Mon..Fri *-*-* 12:15",
    "0 0 29 2 *": "*-02-29 00:00",
    "5 5 */10 * 0": "Sun *-*-01,11,21,31 05:05",
}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("text", CALENDARS)
def test_systemd_agrees_where_it_has_words_for_it(text: str) -> None:
    after = datetime(2026, 11, 26, 14, 0, tzinfo=UTC)
    said = subprocess.run(
        ["systemd-analyze", "calendar", "--iterations=3", f"--base-time={after:%F %T} UTC",
         f"{CALENDARS[text]} UTC"],
        capture_output=True, text=True, check=True,
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
    ).stdout  # fmt: skip
    runs = Runs(Offsets(UTC), "debian")
    ours = [
        datetime.fromtimestamp(at * 60, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
        for at in islice(runs.after(read(text), minute(after)), 3)
    ]
    theirs = re.findall(r"(?:Next elapse|Iteration #\d|Iter\. #\d): (.*)", said)
    assert theirs == ours, said


def test_a_week_ahead_of_a_change_it_is_not_forgotten() -> None:
    offsets = Offsets(BERLIN)
    change = minute(datetime(2027, 3, 28, 1, 0, tzinfo=UTC))
    for before in (1, 60, 10_000, 200_000):
        found = Offsets(BERLIN).at(change - before)
        assert found.end == change
        assert (offsets.at(change).before, offsets.at(change).offset) == (60, 120)
