"""A list of the contract that has no view of its own is shown all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etlmon.contract.all import ENDPOINTS
from etlmon.contract.endpoint import Endpoint
from etlmon.contract.query import Page
from etlmon.records.health import CollectorRun
from etlmon.ui import app
from etlmon.ui.session import Held, Want
from etlmon.ui.views.generic import GenericTable, RecordView

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RUNS = Endpoint(
    name="list_runs",
    method="GET",
    path="/collector/runs",
    summary="Runs of collectors.",
    query=Page,
    body=type(None),
    answer=list[CollectorRun],
)
ROWS = [
    CollectorRun(
        collector=name,
        instance="/data\x1b[2J",
        started_at=NOW + timedelta(minutes=number),
        duration_ms=1500 * number,
        state=state,
        error_message=None if state == "ok" else "gone",
        records=1000 * number,
    )
    for number, (name, state) in enumerate([("disk", "ok"), ("path", "error"), ("log", "ok")])
]


class FakeSession:
    """Holds one answer."""

    address = "http://etl:8080"
    trouble = None
    now = NOW

    def __init__(self, held: Held) -> None:
        self._held = held

    def held(self, want: Want) -> Held:
        assert want == Want(RUNS, Page(limit=1000))
        return self._held


def shown(widget: Any, width: int = 120, height: int = 12) -> list[str]:
    return [line.decode().rstrip() for line in widget.render((width, height)).text]


@pytest.fixture
def view() -> GenericTable:
    table = GenericTable(RUNS, "Collector Runs")
    table.update(FakeSession(Held(ROWS, NOW)))  # type: ignore[arg-type]
    return table


def test_columns_come_from_the_record(view: GenericTable) -> None:
    heading, *rows = shown(view.widget)
    assert heading.split()[:4] == ["COLLECTOR", "INSTANCE", "STARTED", "AT"]
    assert [row.split()[0] for row in rows[:3]] == ["disk", "path", "log"]
    assert "\u2717 error" in rows[1]
    assert "1.5 s" in rows[1]
    assert "2,000" in rows[2]
    assert "/data\u241b[2J" in rows[0]


def test_the_columns_of_the_contract_come_first() -> None:
    some = replace(RUNS, columns=("state", "collector"))
    table = GenericTable(some, "Runs")
    assert [column.title for column in table.table.columns] == ["STATE", "COLLECTOR"]


def test_it_is_filtered_and_sorted_as_any_table(view: GenericTable) -> None:
    view.table.filter = "path"
    view.table.arrange()
    assert view.table.shown_rows == 1
    view.table.filter = ""
    view.table.arrange()
    view.table.sort_by("COLLECTOR")
    assert [row.split()[0] for row in shown(view.widget)[1:4]] == ["disk", "log", "path"]


def test_its_detail_has_every_field(view: GenericTable) -> None:
    detail = view.detail(ROWS[1])
    assert isinstance(detail, RecordView)
    detail.update(FakeSession(Held(ROWS, NOW)))  # type: ignore[arg-type]
    lines = shown(detail.widget)
    assert [line.split()[0] for line in lines[:7]] == list(CollectorRun.__struct_fields__)
    detail.update(FakeSession(Held([], NOW)))  # type: ignore[arg-type]
    assert shown(detail.widget)[0] == "It is not there any more."


@pytest.mark.parametrize(
    ("held", "told"),
    [(Held(), "Asking http://etl:8080 ..."), (Held([], NOW), "Nothing there.")],
)
def test_why_there_is_nothing(held: Held, told: str) -> None:
    table = GenericTable(RUNS, "Runs")
    table.update(FakeSession(held))  # type: ignore[arg-type]
    assert told in "\n".join(shown(table.widget))


def test_a_new_list_of_the_contract_has_its_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ENDPOINTS", (*ENDPOINTS, RUNS))
    added = app.make_views([])[-1]
    assert isinstance(added, GenericTable)
    assert added.title == "Collector Runs"
