"""Figures by df's rule, judged by df itself, and the level that they make."""

from __future__ import annotations

import math
import time
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.disk.usage import figures, judge
from etlmon.config.watched import DiskSection, MountThresholds
from etlmon.host.mounts import Usage
from tests.waiting import PATIENCE_SECONDS

ALL_ONES = 2**64 - 1


def usage(**changes: int) -> Usage:
    """Give 1000 blocks of 4 KiB: 400 used, 50 for root, 550 to be had; and 200 inodes, 20 used."""
    whole = {
        "device_number": 1,
        "block_bytes": 4096,
        "blocks": 1000,
        "blocks_free": 600,
        "blocks_avail": 550,
        "inodes": 200,
        "inodes_free": 180,
    }
    return Usage(**{**whole, **changes})


def as_df(record: Any) -> dict[str, str]:
    """Write a record as df would."""

    def text(number: float | None, unit: str = "") -> str:
        return "-" if number is None else f"{math.ceil(number)}{unit}"

    return {
        "source": record.device,
        "fstype": record.fs_type,
        "size": text(record.total_bytes),
        "used": text(record.used_bytes),
        "avail": text(record.avail_bytes),
        "pcent": text(record.used_percent, "%"),
        "itotal": text(record.inodes_total or 0),
        "iused": text(record.inodes_used or 0),
        "target": record.mount_point,
    }


class TestFigures:
    def test_this_host_as_df_shows_it(self, judge: ModuleType) -> None:
        """What stands still is exact at once; what moves, as soon as nobody writes meanwhile."""
        seen: set[str] = set()
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            before = {row["target"]: row for row in judge.df()}
            records = {
                record.mount_point: record for record in judge.collect() if record.state == "ok"
            }
            after = {row["target"]: row for row in judge.df()}
            assert records.keys() <= before.keys() & after.keys()
            for target, record in records.items():
                own = as_df(record)
                for still in ("source", "fstype", "size", "itotal", "target"):
                    assert own[still] == before[target][still] == after[target][still]
                if own == before[target] == after[target]:
                    seen.add(target)
            if seen >= records.keys():
                break
            assert time.monotonic() < give_up_at, records.keys() - seen
        assert "/" in seen

    def test_reserve_of_root_is_neither_used_nor_to_be_had(self) -> None:
        assert figures(usage()) == {
            "total_bytes": 1000 * 4096,
            "used_bytes": 400 * 4096,
            "avail_bytes": 550 * 4096,
            "reserved_bytes": 50 * 4096,
            "used_percent": 100 * 400 / 950,
            "inodes_total": 200,
            "inodes_used": 20,
            "inodes_used_percent": 10.0,
        }

    def test_only_the_reserve_is_left(self) -> None:
        found = figures(usage(blocks_free=50, blocks_avail=0))
        assert (found["used_percent"], found["reserved_bytes"]) == (100.0, 50 * 4096)

    def test_more_is_used_than_users_may(self) -> None:
        """On FreeBSD root writes into the reserve and a server says a negative number."""
        found = figures(usage(blocks_free=20, blocks_avail=2**64 - 30))
        assert (found["used_percent"], found["avail_bytes"]) == (100.0, 0)

    def test_no_space_at_all_has_no_percentage(self) -> None:
        found = figures(usage(blocks=0, blocks_free=0, blocks_avail=0))
        assert (found["total_bytes"], found["used_percent"]) == (0, None)

    @pytest.mark.parametrize(
        ("inodes", "free"),
        [(0, 0), (12_345, ALL_ONES), (5, 6)],
        ids=["btrfs makes them at need", "cephfs knows no free ones", "more free than there are"],
    )
    def test_inodes_that_say_nothing_are_null(self, inodes: int, free: int) -> None:
        found = figures(usage(inodes=inodes, inodes_free=free))
        assert found["inodes_total"] is None
        assert found["inodes_used"] is None
        assert found["inodes_used_percent"] is None

    def test_size_of_all_64_bits(self) -> None:
        """s3fs says so; a number beyond the database's would keep every mount out of it."""
        found = figures(
            usage(blocks=ALL_ONES, blocks_free=ALL_ONES, blocks_avail=ALL_ONES, block_bytes=1 << 24)
        )
        assert found["total_bytes"] == found["avail_bytes"] == 2**63 - 1
        assert (found["used_bytes"], found["used_percent"]) == (0, 0.0)

    @given(st.builds(Usage, **dict.fromkeys(Usage.__dataclass_fields__, st.integers(0, ALL_ONES))))
    def test_whatever_a_server_says_can_be_stored(self, said: Usage) -> None:
        for name, value in figures(said).items():
            if name.endswith("_percent"):
                assert value is None or 0 <= value <= 100
            else:
                assert value is None or 0 <= value < 2**63


SETTINGS = DiskSection(
    warn_percent=80.0,
    critical_percent=90.0,
    mounts={
        "/data": MountThresholds(warn_percent=50.0),
        "/big": MountThresholds(critical_percent=99.5),
        "/never": MountThresholds(warn_percent=100.0, critical_percent=100.0),
    },
)


class TestJudge:
    @pytest.mark.parametrize(
        ("space", "inodes", "level", "by"),
        [
            (79.999, 0.0, "ok", None),
            (80.0, 0.0, "warning", "space"),
            (89.999, None, "warning", "space"),
            (90.0, None, "critical", "space"),
            (100.0, 100.0, "critical", "space"),
            (0.0, 80.0, "warning", "inodes"),
            (85.0, 90.0, "critical", "inodes"),
            (None, 95.0, "critical", "inodes"),
            (None, None, "ok", None),
        ],
    )
    def test_worse_of_space_and_inodes_from_the_threshold_on(
        self, space: float | None, inodes: float | None, level: str, by: str | None
    ) -> None:
        assert judge("/x", space, inodes, SETTINGS) == (level, by)

    @pytest.mark.parametrize(
        ("point", "percent", "level"),
        [
            ("/data", 49.9, "ok"),
            ("/data", 50.0, "warning"),
            ("/data", 90.0, "critical"),
            ("/data/sub", 50.0, "ok"),
            ("/data2", 50.0, "ok"),
            ("/big", 80.0, "warning"),
            ("/big", 99.4, "warning"),
            ("/big", 99.5, "critical"),
            ("/never", 99.9, "ok"),
            ("/never", 100.0, "critical"),
        ],
    )
    def test_a_mount_may_have_its_own(self, point: str, percent: float, level: str) -> None:
        """What it does not say is as for the others; it means that very mount point."""
        assert judge(point, percent, None, SETTINGS)[0] == level
