"""Answers as nodes give them, and the texts of screens kept beside the tests."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.records.cron import CronRefreshAnswer
from etlmon.records.disk import Filesystem
from etlmon.records.health import Health
from etlmon.records.kill import KillAnswer
from etlmon.records.process import ProcessSample
from tests.ui.views.recorded.cron import CRON_FILES, CRON_JOBS
from tests.ui.views.recorded.disk import HIDDEN, HISTORY, MOUNTS
from tests.ui.views.recorded.health import DEGRADED, health
from tests.ui.views.recorded.logs import LOGS
from tests.ui.views.recorded.paths import CHILDREN, COUNTS, EXPECTED, PATHS, TOP
from tests.ui.views.recorded.processes import (
    AUDIT,
    EVENTS,
    EVERYTHING,
    KILLED,
    PROCESSES,
    SURVIVED,
    USAGE,
    WATCHES,
)
from tests.ui.views.recorded.xferlog import TRANSFERS, answer_sums

SNAPSHOTS = Path(__file__).parent / "snapshots"


ANSWERS = {
    "list_logs": LOGS,
    "list_path_children": CHILDREN,
    "list_path_expectations": EXPECTED,
    "get_top": TOP,
    "list_transfers": TRANSFERS,
    "summarize_transfers": answer_sums,
    "list_cron_jobs": CRON_JOBS,
    "list_cron_files": CRON_FILES,
    "refresh_cron": CronRefreshAnswer(started=True),
    "get_health": health(),
    "list_processes": PROCESSES,
    "list_process_watches": WATCHES,
    "list_process_events": EVENTS,
    "get_process_history": USAGE,
    "list_audit": AUDIT,
    "kill_process": KILLED,
    "list_filesystems": MOUNTS,
    "get_filesystem_history": HISTORY,
    "list_paths": PATHS,
    "get_path_history": COUNTS,
}


@pytest.fixture
def recorded() -> dict[str, Any]:
    """Give the answers of a node that has everything."""
    return dict(ANSWERS)


@pytest.fixture
def everything() -> list[ProcessSample]:
    return EVERYTHING


@pytest.fixture
def survived() -> KillAnswer:
    return SURVIVED


@pytest.fixture
def degraded() -> Health:
    return DEGRADED


@pytest.fixture
def with_hidden() -> list[Filesystem]:
    return MOUNTS + HIDDEN


@pytest.fixture
def is_as_kept() -> Callable[[str, str], None]:
    """Compare a screen with the one that is kept; ETLMON_SNAPSHOTS=write keeps this one."""

    def compare(name: str, text: str) -> None:
        file = SNAPSHOTS / f"{name}.txt"
        if os.environ.get("ETLMON_SNAPSHOTS") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        kept = file.read_text() if file.exists() else ""
        if text != kept:
            lines = (kept.splitlines(True), text.splitlines(True))
            sys.stdout.writelines(difflib.unified_diff(*lines, f"kept {file.name}", "now"))
            pytest.fail(f"{file.name} is not what is shown; ETLMON_SNAPSHOTS=write keeps it")

    return compare
