"""The files of cron: ignored ones first, each with its reason, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def files(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    made = stage("etl", view="Cron")
    made.client.answers = recorded
    made.start()
    made.press("f")
    return made


def test_ignored_files_come_first_with_the_reason(files: Any) -> None:
    rows = files.show(120, 24).splitlines()[3:8]
    assert ["✗ ignored" in row for row in rows] == [True, True, False, False, False]
    assert "its name has a dot" in rows[0]
    assert "line 3: no account has this name" in rows[1]
    assert "? unknown" in rows[2]
    assert "line 41: it can never run (and 1 more)" in files.show(120, 24)


def test_esc_leads_back_also_with_a_filter(files: Any) -> None:
    files.press("/", *"etl", "enter")
    assert files.screen.view.table.shown_rows == 1
    files.press("esc")
    assert files.screen.view.title == "Cron"


def test_a_file_in_full(files: Any) -> None:
    files.press("/", *"cron.d/etl", "enter", "enter")
    text = files.show(120, 24)
    assert "! line 12: the step wraps" in text
    files.client.answers["list_cron_files"] = []
    files.press("r")
    assert "It is not there any more." in files.show()
