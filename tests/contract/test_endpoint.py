"""An endpoint: where it is, what it takes, and what it answers."""

from __future__ import annotations

import pytest

from etlmon.contract.endpoint import PREFIX
from etlmon.contract.fs import FILESYSTEM_HISTORY, FILESYSTEMS, FilesystemsQuery
from etlmon.contract.health import HEALTH
from etlmon.contract.openapi import OPENAPI
from etlmon.contract.paths import PATH_HISTORY
from etlmon.records.base import Record
from tests.contract.conftest import LINES, LinesQuery


def test_fields_in_the_path_are_one_segment_each() -> None:
    query = LinesQuery(name="a/b c?%&/ü", pid=7, offset=3)
    assert LINES.target(query) == f"{PREFIX}/logs/a%2Fb%20c%3F%25%26%2F%C3%BC/of/7?offset=3"
    assert LINES.in_path == ("name", "pid")
    assert LINES.needs_parameters


@pytest.mark.parametrize(
    "resource",
    ["", "logs", "logs/a/of", "logs//of/7", "logs/a/of/7/8", "logs/a/or/7", "log/a/of/7"],
)
def test_another_path_has_no_segments(resource: str) -> None:
    assert LINES.segments(resource) is None


def test_parameters_at_their_default_are_not_sent() -> None:
    assert FILESYSTEMS.target() == FILESYSTEMS.target(FilesystemsQuery()) == f"{PREFIX}/fs"
    assert FILESYSTEMS.target(FilesystemsQuery(limit=5)) == f"{PREFIX}/fs?limit=5"


def test_which_answers_are_lists() -> None:
    assert issubclass(FILESYSTEMS.item, Record)
    assert issubclass(FILESYSTEM_HISTORY.item, Record)
    assert issubclass(PATH_HISTORY.item, Record)
    assert HEALTH.item is None
    assert OPENAPI.item is None
