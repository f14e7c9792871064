"""What this version accepts and does not do is told."""

from __future__ import annotations

import pytest

from etlmon.config.loader import parse_node_config
from etlmon.node.unused import without_effect


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", []),
        ("paths: [{path: /a, exclude: [x], max_depth: 2}]", []),
        ("logs: [{name: a, path: /a}]", []),
        ("process_watch: [{match: a}]\nxferlog: {path: /a}", []),
        ("node: {db_max_bytes: 1GiB}", []),
        ("retention: {collector_run: {max_bytes: 1MiB}}", []),
        ("paths: [{path: /a, expect: [{pattern: x, by: '06:00'}]}]", []),
    ],
)
def test_settings_without_effect_are_named(text: str, told: list[str]) -> None:
    assert without_effect(parse_node_config(text.encode(), "node.yaml")) == told
