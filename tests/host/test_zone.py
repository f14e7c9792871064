"""The host's zone: by name, by the link, by the rules alone, and when they change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import TZPATH

import pytest

from etlmon.host.zone import find_zone, read_zone

SUMMER = datetime(2026, 7, 1, 12)  # noqa: DTZ001 - its zone is what is tested


def hours(root: Path, name: str | None = None) -> tuple[str, float]:
    zone = read_zone(root, name)
    offset = SUMMER.replace(tzinfo=zone.rules).utcoffset()
    assert offset is not None
    return zone.name, offset.total_seconds() / 3600


@pytest.fixture
def localtime(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc/localtime"


def test_the_link_gives_the_name(tmp_path: Path, localtime: Path) -> None:
    localtime.symlink_to(f"{TZPATH[0]}/Asia/Seoul")
    assert hours(tmp_path) == ("Asia/Seoul", 9)


def test_rules_without_a_name_do_as_well(tmp_path: Path, localtime: Path) -> None:
    localtime.write_bytes((Path(TZPATH[0]) / "Asia/Seoul").read_bytes())
    assert hours(tmp_path) == ("local", 9)
    before = read_zone(tmp_path)
    assert before == read_zone(tmp_path)
    localtime.write_bytes((Path(TZPATH[0]) / "Europe/Berlin").read_bytes())
    assert hours(tmp_path) == ("local", 2)
    assert before != read_zone(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_without_rules_it_is_utc(tmp_path: Path, localtime: Path, content: bytes | None) -> None:
    if content is not None:
        localtime.write_bytes(content)
    assert hours(tmp_path) == ("UTC", 0)


def test_a_name_counts_before_the_host(tmp_path: Path, localtime: Path) -> None:
    localtime.symlink_to(f"{TZPATH[0]}/Asia/Seoul")
    assert hours(tmp_path, "Europe/Berlin") == ("Europe/Berlin", 2)
    assert hours(tmp_path, ":Europe/Berlin")[1] == 2
    assert hours(tmp_path, "No/Where")[1] == 0  # as the C library takes it


@pytest.mark.parametrize(
    "name", ["No/Where", "", "../etc/passwd", "/etc/passwd", "a\0b", "x" * 999]
)
def test_names_that_are_none(name: str) -> None:
    assert find_zone(name) is None
