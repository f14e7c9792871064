"""Cron on the screen: what runs next, how it went, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from etlmon.collectors.cron.assembly import MOST_JOBS
from etlmon.records.cron import CronRefreshAnswer, CronRefreshRequest

SIZES = [(80, 24), (200, 50)]
SCREENS: dict[str, list[str]] = {
    "cron": [],
    "cron-detail": ["enter"],
    "cron-detail-poor": ["end", "up", "enter"],
    "cron-question": ["c"],
    "cron-files": ["f"],
    "cron-file": ["f", "down", "enter"],
    "cron-timeline": ["t"],
}


@pytest.fixture
def cron(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    """Give a screen on the jobs; those of a node by their id, too."""
    made = stage("prod-etl-01", view="Cron")
    made.client.answers = recorded
    made.start()
    return made


def choose(cron: Any, job: Any) -> None:
    """Have the node answer with a job, and open it."""
    cron.client.answers = cron.client.answers | {"get_cron_job": job, "list_cron_jobs": [job]}
    cron.press("r", "enter")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen(
    cron: Any, is_as_kept: Callable[[str, str], None], name: str, size: tuple[int, int]
) -> None:
    jobs = cron.client.answers["list_cron_jobs"]
    poor = next(job for job in jobs if job.next_run_kind == "never")
    cron.client.answers["get_cron_job"] = poor if name.endswith("poor") else jobs[0]
    cron.press(*SCREENS[name])
    is_as_kept("{}-{}x{}".format(name, *size), cron.show(*size))


@pytest.mark.parametrize(
    ("status", "words"),
    [(255, "exit 255"), (203, "exit 203"), (137, "signal 9"), (192, "signal 64")],
)
def test_a_status_that_no_signal_gives_is_no_signal(cron: Any, status: int, words: str) -> None:
    job = msgspec.structs.replace(cron.client.answers["list_cron_jobs"][0], last_exit=status)
    cron.client.answers["list_cron_jobs"] = [job]
    cron.press("r")
    assert f"\u2717 {words} " in cron.show(120, 24)


def test_the_next_to_run_is_first_and_those_without_a_time_are_last(cron: Any) -> None:
    cron.client.answers["list_cron_jobs"] = cron.client.answers["list_cron_jobs"][::-1]
    cron.press("r")
    rows = cron.show(120, 24).splitlines()[3:15]
    assert rows[0].startswith("12:03")
    assert "in 3 min" in rows[0]
    assert sorted(row.split()[0] for row in rows[-2:]) == ["at", "never"]
    cron.advance(61)
    cron.press("r")
    assert "in 1 min" in cron.show(120, 24).splitlines()[3]


def test_each_state_has_its_word_and_glyph(cron: Any) -> None:
    text = cron.show(120, 24)
    for words in ("! overlap", "… running", "✗ missed", "! never", "✗ ignored", "! blocked"):
        assert words in text, words
    for words in ("✓ exit 0", "✗ exit 1", "✗ signal 9", "- not told"):
        assert words in text, words


def test_a_run_that_has_not_begun_is_late_until_it_is_missed(cron: Any) -> None:
    job = next(job for job in cron.client.answers["list_cron_jobs"] if job.missed_at)
    late = msgspec.structs.replace(job, late_since=job.missed_at, missed_at=None)
    choose(cron, late)
    text = cron.show(120, 24)
    assert "✗ late" in text
    assert "The run due 2026-11-24 09:00:00 has not begun yet." in text


def test_the_end_of_a_run_is_told_where_its_beginning_is_not_known(cron: Any) -> None:
    job = cron.client.answers["list_cron_jobs"][0]
    fields = {"last_start": None, "last_exit": None, "last_end": job.last_start}
    choose(cron, msgspec.structs.replace(job, **fields))
    text = cron.show(120, 24)
    assert "- not told" in text
    assert "Last: ended 2026-11-23 12:03:00." in text


def test_a_run_that_began_after_a_missed_one_ends_it(cron: Any) -> None:
    job = next(job for job in cron.client.answers["list_cron_jobs"] if job.missed_at)
    job = msgspec.structs.replace(job, last_start=job.missed_at.replace(minute=1))
    choose(cron, job)
    text = cron.show(120, 24)
    assert "✗ missed" not in text
    assert "The run due 2026-11-24 09:00:00 did not begin." in text


def test_control_characters_of_a_command_are_pictures(cron: Any) -> None:
    text = cron.show(120, 24)
    assert "\u241b[2J/tmp/evil" in text
    assert "\x1b" not in text


def test_a_look_is_asked_for_and_told(cron: Any) -> None:
    cron.press("c", "n")
    assert not [name for name, _, _ in cron.client.asked if name == "refresh_cron"]
    cron.press("c", "y")
    asked = [body for name, _, body in cron.client.asked if name == "refresh_cron"]
    assert asked == [CronRefreshRequest(confirm=True)]
    assert "prod-etl-01: It looks at the crontabs now." in cron.show()
    answer = CronRefreshAnswer(started=False, reason="one is under way")
    cron.client.answers["refresh_cron"] = answer
    cron.press("enter", "c", "y")
    assert "prod-etl-01: Not now: one is under way." in cron.show()


def test_what_is_not_known_of_a_job_is_told(cron: Any) -> None:
    boot = next(j for j in cron.client.answers["list_cron_jobs"] if j.next_run_kind == "on_boot")
    choose(cron, boot)
    text = cron.show(120, 24)
    assert "It runs when the host has booted." in text
    assert "How it went is not known." in text
    assert "add -L 15 to EXTRA_OPTS" in text


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"next_run": None, "next_run_kind": "unknown"}, ["When it runs next is not known."]),
        ({"next_run": None, "next_run_kind": "never"}, ["It never runs."]),
        ({"next_run_kind": "window"}, ["Next: from 2026-11-24 12:03:00 to later, in 3 min."]),
        (
            {},
            [
                "Next: 2026-11-24 12:03:00, in 3 min.",
                "On its host's clock that is 2026-11-24T21:03:00+09:00.",
            ],
        ),
        ({"next_run_local": None}, ["Next: 2026-11-24 12:03:00, in 3 min.\n    2026-11-25"]),
    ],
)
def test_when_it_comes(cron: Any, changes: dict[str, Any], sentences: list[str]) -> None:
    choose(cron, msgspec.structs.replace(cron.client.answers["list_cron_jobs"][0], **changes))
    for sentence in sentences:
        assert sentence in cron.show(120, 24)


def test_a_job_that_is_gone_says_so(cron: Any, refuse: Callable[..., Exception]) -> None:
    cron.client.answers["get_cron_job"] = refuse(404, "No job has the id 000000000003")
    cron.press("enter")
    assert "No job has the id 000000000003" in cron.show()


def test_all_jobs_of_a_node_are_asked_for(cron: Any) -> None:
    want = cron.screen.view.want
    assert want.pages * want.query.limit >= MOST_JOBS


def test_files_and_timeline_do_not_open_over_a_job(cron: Any) -> None:
    choose(cron, cron.client.answers["list_cron_jobs"][0])
    cron.press("f", "t")
    assert cron.screen.view.title == "/srv/etl/load orders"
    assert "f files" not in cron.show()


def test_help_lists_the_keys(cron: Any) -> None:
    cron.press("?")
    text = cron.show(80, 100)
    assert "the runs of the next 24 hours" in text
    assert "have the node look at the crontabs now, after y" in text
