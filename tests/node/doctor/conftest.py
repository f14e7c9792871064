"""Hosts that lack something, and what a check finds on them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.config.loader import parse_node_config
from etlmon.config.node import NodeConfig
from etlmon.node.doctor.base import Check, Host

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def config(text: str) -> NodeConfig:
    return parse_node_config(text.encode(), "node.yaml")


def found(check: Check, host: Host, text: str) -> list[tuple[str, str]]:
    return [(one.level, one.what) for one in check(host, config(text))]


def make(root: Path, path: str, text: str = "") -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place
