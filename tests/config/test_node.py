"""What follows from a configuration."""

from __future__ import annotations

from typing import get_args

import pytest

from etlmon.config.addresses import TcpAddress, UnixAddress, parse_listen
from etlmon.config.loader import parse_node_config
from etlmon.config.node import RETENTION_DEFAULTS, NodeConfig, RetentionSection, Table


def node(text: str) -> NodeConfig:
    return parse_node_config(text.encode(), "node.yaml")


def test_every_table_has_a_default_retention():
    assert set(RETENTION_DEFAULTS) == set(get_args(Table))


def test_the_retention_that_the_requirements_name():
    week = 7 * 86400.0
    for table in ("log_lines", "xferlog_entries", "collector_run"):
        assert NodeConfig().retention_of(table) == RetentionSection(
            max_age=week, max_rows=100_000, max_bytes=500 << 20
        )
    assert NodeConfig().retention_of("filesystem_usage").max_rows == 1_000_000


def test_lines_of_any_length_have_a_bound_in_bytes():
    assert {one.max_bytes for one in RETENTION_DEFAULTS.values()} == {500 << 20}
    assert RETENTION_DEFAULTS["audit_log"].max_age is None, "a wrong clock takes no evidence"


def test_retention_is_overridden_field_by_field():
    config = node("retention: {log_lines: {max_age: 1d, max_bytes: 1GiB}}")
    assert config.retention_of("log_lines") == RetentionSection(
        max_age=86400.0, max_rows=100_000, max_bytes=1 << 30
    )
    assert config.retention_of("audit_log") == RETENTION_DEFAULTS["audit_log"]


def test_thresholds_of_a_mount_are_its_own_or_those_of_all():
    disk = node("disk: {warn_percent: 70, mounts: {/data: {critical_percent: 97.5}}}").disk
    assert disk.thresholds("/data") == (70.0, 97.5)
    assert disk.thresholds("/") == (70.0, 90.0)


def test_a_path_scans_by_its_own_rules_or_those_of_all():
    config = node(
        "refresh: {default_path_scan: 10m}\nrescan: full\n"
        "paths: [{path: /a}, {path: /b, scan_interval: 1m, rescan: incremental}]"
    )
    assert [config.scan_interval(path) for path in config.paths] == [600.0, 60.0]
    assert [config.rescan_of(path) for path in config.paths] == ["full", "incremental"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", TcpAddress("127.0.0.1", 8080)),
        ("[::1]:0", TcpAddress("::1", 0)),
        ("etl-01.example.org:80", TcpAddress("etl-01.example.org", 80)),
        ("unix:/run/etlmon.sock", UnixAddress("/run/etlmon.sock")),
    ],
)
def test_listen_is_taken_apart(text, address):
    assert parse_listen(text) == address
