"""Times of a log as moments: zones, the hours that clocks change in, sessions of another offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etlmon.collectors.xferlog.times import LogTimes
from etlmon.collectors.xferlog.zones import OtherZones, Written
from etlmon.units import from_millis, to_millis

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return to_millis(datetime.fromisoformat(text))


def read(times: LogTimes, text: str, now: str = "2027-01-01T00:00:00Z") -> tuple[str, str]:
    moment, quality, reason = times.read(text, ms(now))
    assert moment is not None
    assert reason is None
    return from_millis(moment).isoformat(), quality


class Told(NamedTuple):
    moment_ms: int | None
    quality: str
    reason: str | None


def tell(times: LogTimes, text: str, at: int, when: Written | None = None) -> Told:
    return Told(*times.read(text, at, when))


def written(text: str) -> Written:
    return Written(ms(text) - 2_000, ms(text))


@pytest.mark.parametrize(
    ("zone", "text", "moment"),
    [
        ("UTC", "Tue Nov 24 09:03:06 2026", "2026-11-24T09:03:06+00:00"),
        ("Asia/Seoul", "Tue Nov 24 09:03:06 2026", "2026-11-24T00:03:06+00:00"),
        ("Europe/Berlin", "Tue Nov 24 09:03:06 2026", "2026-11-24T08:03:06+00:00"),
        ("Europe/Berlin", "Wed Jul  1 09:03:06 2026", "2026-07-01T07:03:06+00:00"),
        ("Europe/Berlin", "Wed Jul 1 09:03:06 2026", "2026-07-01T07:03:06+00:00"),
        ("Australia/Lord_Howe", "Sun Apr  5 02:45:00 2026", "2026-04-04T16:15:00+00:00"),
        ("Europe/Berlin", "2026-11-24T09:03:06+09:00", "2026-11-24T00:03:06+00:00"),
    ],
)
def test_the_zone_counts(zone: str, text: str, moment: str) -> None:
    times = LogTimes(ZoneInfo(zone))
    assert read(times, text) == (moment, "exact")
    assert read(times, text) == (moment, "exact")


def test_minutes_and_seconds_of_an_hour_that_is_known() -> None:
    times = LogTimes(BERLIN)
    assert read(times, "Tue Nov 24 09:00:00 2026")[0] == "2026-11-24T08:00:00+00:00"
    assert read(times, "Tue Nov 24 09:59:59 2026")[0] == "2026-11-24T08:59:59+00:00"
    assert times.read("Tue Nov 24 09:61:00 2026", 0) == (None, "unknown", None)


@pytest.mark.parametrize("text", ["Tue Feb 30 09:03:06 2026", "mar. févr. 24 09:03:06 2026"])
def test_what_is_no_time_is_unknown(text: str) -> None:
    assert LogTimes(BERLIN).read(text, 0) == (None, "unknown", None)


def test_the_hour_that_comes_twice_is_ambiguous() -> None:
    times = LogTimes(BERLIN)
    assert read(times, "Sun Oct 25 02:30:00 2026") == ("2026-10-25T00:30:00+00:00", "ambiguous")


def test_the_order_of_the_lines_tells_the_second_hour() -> None:
    times = LogTimes(BERLIN)
    read(times, "Sun Oct 25 02:55:00 2026")
    assert read(times, "Sun Oct 25 02:56:00 2026")[0] == "2026-10-25T00:56:00+00:00"
    assert read(times, "Sun Oct 25 02:05:00 2026") == ("2026-10-25T01:05:00+00:00", "ambiguous")


def test_the_clock_tells_the_second_hour() -> None:
    times = LogTimes(BERLIN)
    assert times.read("Sun Oct 25 02:30:00 2026", 0, written("2026-10-25T01:30:01Z")) == (
        ms("2026-10-25T01:30:00Z"),
        "ambiguous",
        None,
    )


def test_the_hour_left_out_has_the_offset_before_it() -> None:
    times = LogTimes(BERLIN)
    assert read(times, "Sun Mar 29 02:30:00 2026") == ("2026-03-29T01:30:00+00:00", "skewed")


@pytest.mark.parametrize(
    ("text", "at", "quality"),
    [
        # A session that began in summer time goes on in it.
        ("Sun Oct 25 10:05:55 2026", "2026-10-25T08:05:55Z", "skewed"),
        # One that began after the clocks had changed.
        ("Sun Oct 25 09:05:55 2026", "2026-10-25T08:05:55Z", "exact"),
        # And the other way in spring.
        ("Sun Mar 29 09:05:55 2026", "2026-03-29T08:05:55Z", "skewed"),
        ("Sun Mar 29 10:05:55 2026", "2026-03-29T08:05:55Z", "exact"),
    ],
)
def test_a_session_keeps_the_offset_that_it_began_with(text: str, at: str, quality: str) -> None:
    times = LogTimes(BERLIN)
    found = tell(times, text, ms(at), written(at))
    assert (found.moment_ms, found.quality) == (ms(at), quality)
    assert (found.reason is None) == (quality == "exact")
    assert times.trouble is None


SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("zone", "likely", "text", "at", "fits", "apart"),
    [
        ("UTC", (), "Tue Nov 24 18:03:06 2026", "09:03:06", "Asia/Seoul", "9 h ahead of"),
        ("UTC", ("Asia/Tokyo",), "Tue Nov 24 18:03:06 2026", "09:03:06", "Asia/Tokyo", "9 h ahead"),
        ("Asia/Seoul", (), "Tue Nov 24 09:03:06 2026", "09:03:06", "UTC", "9 h behind the clock"),
        (
            "Asia/Seoul",
            (),
            "Wed Nov 25 03:33:06 2026",
            "22:03:06",
            "Asia/Kolkata",
            "3 h 30 min beh",
        ),
        # A zone whose clocks were changed a month ago is none in which they are not.
        ("Europe/Berlin", (), "Tue Nov 24 09:03:06 2026", "09:03:06", "UTC", "1 h behind"),
        ("Europe/Berlin", (), "Tue Nov 24 11:03:06 2026", "09:03:06", "Europe/Athens", "1 h ahead"),
        ("UTC", (), "Tue Nov 24 14:48:06 2026", "09:03:06", "Asia/Kathmandu", "5 h 45 min ahead"),
        ("UTC", (), "Mon Nov 23 22:03:06 2026", "09:03:06", "Pacific/Pago_Pago", "11 h behind"),
    ],
)
def test_a_log_that_is_in_another_zone_shows_while_it_is_followed(
    zone: str, likely: tuple[str, ...], text: str, at: str, fits: str, apart: str
) -> None:
    times = LogTimes(ZoneInfo(zone), likely)
    moment = ms(f"2026-11-24T{at}Z")
    found = tell(times, text, moment, written(f"2026-11-24T{at}Z"))
    assert (found.moment_ms, found.quality) == (moment, "skewed")
    assert found.reason is not None
    assert found.reason.startswith(f"its time is {apart}")
    assert times.trouble is not None
    assert f"not of {zone}; set timezone: {fits} for it" in times.trouble
    # Nobody knows it of a line that was there before.
    before = tell(times, text, moment)
    assert (before.quality, before.reason) == ("exact", None)


def test_a_clock_that_is_wrong_shows_while_the_log_is_followed() -> None:
    times = LogTimes(SEOUL)
    text, at = "Sun Oct 25 09:13:10 2026", "2026-10-25T00:05:55Z"
    assert times.read(text, 0, written(at)) == (
        ms("2026-10-25T00:13:10Z"),
        "unknown",
        "its time is 7 min ahead of the clock",
    )
    assert times.trouble == (
        "times in it are 7 min ahead of the clock, and no time zone explains that: are its lines "
        "written late, or is the clock of the FTP server wrong?"
    )
    # A few minutes are nothing.
    assert tell(times, "Sun Oct 25 09:10:40 2026", 0, written(at)).quality == "exact"
    # In a quarter of an hour any difference would look like a zone.
    long = Written(ms(at) - 900_000, ms(at))
    assert tell(times, "Sun Oct 25 05:00:00 2026", 0, long).quality == "unknown"
    assert tell(times, "Sun Oct 25 09:00:00 2026", 0, long).quality == "exact"


def test_a_time_that_names_its_zone_is_believed() -> None:
    times = LogTimes(SEOUL)
    found = tell(times, "2026-11-24T09:03:06+09:00", 0, written("2026-11-24T09:03:06Z"))
    assert found == (ms("2026-11-24T00:03:06Z"), "exact", None)


def test_what_was_wrong_is_told_until_lines_have_fitted_for_an_hour() -> None:
    times = LogTimes(UTC)

    def came(hours: int, at: str) -> None:
        times.read(f"Tue Nov 24 {hours:02}:03:06 2026", 0, written(f"2026-11-24T{at}:06Z"))

    came(18, "09:03")
    came(10, "10:03")
    assert times.trouble is not None
    came(11, "11:03")
    assert times.trouble is None


def test_every_offset_that_is_in_force_somewhere_is_known() -> None:
    for at in (datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 7, 15, 12, tzinfo=UTC)):
        moment = to_millis(at)
        zones, when = OtherZones(), Written(moment, moment)
        for name in {one for one in available_timezones() if not one.startswith("Etc/")}:
            local = at.astimezone(ZoneInfo(name)).replace(tzinfo=UTC)
            found = zones.find(to_millis(local), when)
            assert found is not None, name
            assert found.moment_ms == moment


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
@pytest.mark.parametrize("text", ["Mon Jan  1 00:00:00 0001", "Fri Dec 31 23:59:59 9999"])
def test_a_line_just_written_may_name_either_end_of_the_calendar(zone: str, text: str) -> None:
    at = "2026-11-24T08:05:55Z"
    found = tell(LogTimes(ZoneInfo(zone)), text, ms(at), written(at))
    assert (found.moment_ms is not None, found.quality) == (True, "unknown")


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("Nov 24 09:03:06", "2026-11-24T10:00:00Z", "2026-11-24T08:03:06+00:00"),
        ("Dec 31 23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T22:59:59+00:00"),
        ("Jan  1 00:00:05", "2026-12-31T23:00:01Z", "2026-12-31T23:00:05+00:00"),
        ("Feb 29 09:03:06", "2026-11-24T10:00:00Z", "2024-02-29T08:03:06+00:00"),
    ],
)
def test_a_time_without_a_year_is_the_newest_that_is_past(text: str, now: str, moment: str) -> None:
    assert read(LogTimes(BERLIN), text, now) == (moment, "exact")


@unhurried
@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2400, 1, 1)),  # noqa: DTZ001 - made aware below
    st.sampled_from(["Europe/Berlin", "Asia/Seoul", "America/St_Johns", "Australia/Lord_Howe"]),
)
def test_every_moment_is_among_what_its_local_time_can_mean(moment: datetime, zone: str) -> None:
    aware = moment.replace(microsecond=0, tzinfo=UTC)
    local = aware.astimezone(ZoneInfo(zone))
    text = local.strftime("%a %b %e %H:%M:%S %Y")
    found, quality, _ = LogTimes(ZoneInfo(zone)).read(text, 0)
    assert found is not None
    if quality == "exact":
        assert from_millis(found) == aware
    else:
        assert quality == "ambiguous"
        assert abs(from_millis(found) - aware) <= timedelta(hours=1)


@unhurried
@given(st.text(max_size=30), st.integers(0, 1 << 42))
def test_whatever_stands_there_is_a_time_or_unknown(text: str, now: int) -> None:
    moment, quality, _ = LogTimes(BERLIN).read(f"{text} 09:03:06 2026", now)
    assert (moment is None) == (quality == "unknown")
