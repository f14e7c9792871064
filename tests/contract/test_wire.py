"""Queries go into a URL and come back; whatever else is asked gets a sentence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.contract.endpoint import PREFIX, Endpoint
from etlmon.contract.fs import (
    FILESYSTEM_HISTORY,
    FILESYSTEMS,
    FilesystemHistoryQuery,
    FilesystemsQuery,
)
from etlmon.contract.wire import read_query
from etlmon.errors import ApiError
from tests.contract.conftest import LINES, LinesQuery


def arrived(endpoint: Endpoint[Any, Any, Any], query: Any) -> Any:
    path, _, text = endpoint.target(query).partition("?")
    segments = endpoint.segments(path.removeprefix(PREFIX))
    assert segments is not None
    return read_query(parse_qsl(text, keep_blank_values=True), endpoint.query, segments)


@given(st.integers(1, (1 << 53) - 1), st.integers(0, (1 << 53) - 1), st.booleans())
def test_queries_of_lists_round_trip(limit: int, offset: int, hidden: bool) -> None:
    query = FilesystemsQuery(limit=limit, offset=offset, all=hidden)
    assert arrived(FILESYSTEMS, query) == query


MOMENTS = st.none() | st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(9999, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(st.text(st.characters(codec="utf-8")), MOMENTS, MOMENTS, st.integers(1, 1000))
def test_queries_of_the_history_round_trip(
    mount_point: str, since: datetime | None, until: datetime | None, points: int
) -> None:
    query = FilesystemHistoryQuery(mount_point=mount_point, since=since, until=until, points=points)
    assert arrived(FILESYSTEM_HISTORY, query) == query


@given(
    st.text(st.characters(codec="utf-8"), min_size=1), st.integers(0, 1 << 53), st.integers(1, 9)
)
def test_fields_in_the_path_round_trip(name: str, pid: int, limit: int) -> None:
    query = LinesQuery(name=name, pid=pid, limit=limit)
    assert arrived(LINES, query) == query


@pytest.mark.parametrize(
    ("segments", "pairs", "says"),
    [
        ({"name": "a", "pid": "x"}, [], "pid: must be a whole number."),
        ({"name": "a", "pid": "7"}, [("pid", "7")], "The parameter pid is given twice."),
        ({"name": "\udcff", "pid": "7"}, [], "name: must be UTF-8."),
    ],
)
def test_a_bad_field_in_the_path_is_named(
    segments: dict[str, str], pairs: list[tuple[str, str]], says: str
) -> None:
    with pytest.raises(ApiError) as caught:
        read_query(pairs, LinesQuery, segments)
    assert caught.value.detail == says


@given(st.lists(st.tuples(st.text(), st.text())))
def test_whatever_is_asked_gets_a_query_or_a_sentence(pairs: list[tuple[str, str]]) -> None:
    try:
        read_query(pairs, FilesystemHistoryQuery)
    except ApiError as error:
        assert error.status == 400  # noqa: PT017 - both ways are right
        assert error.detail.endswith((".", "?"))  # noqa: PT017
        assert error.detail.isprintable()  # noqa: PT017
