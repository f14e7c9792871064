"""A log on the screen: history and what comes, searched, frozen, moved through, reconnected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from etlmon.client.http import Reply
from etlmon.collectors.log.search import MOST_FILES
from etlmon.patterns import Pattern
from etlmon.records.log import LogLine, LogSwitchAnswer
from etlmon.ui import stretch

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOME = [
    "2026-11-24 11:59:50 INFO  loader: started, 4 workers",
    "2026-11-24 11:59:51 WARN  loader: /data/in/한국어.csv has no header",
    "2026-11-24 11:59:52 ERROR loader: cannot open /data/in/b.csv: Permission denied",
    "\tat loader.open(loader.py:42)\x1b[31m",
    "2026-11-24 11:59:53 DEBUG loader: " + "0123456789" * 12,
]


def line(number: int, text: str | None = None, **fields: Any) -> LogLine:
    at = NOW - timedelta(seconds=10) + timedelta(milliseconds=number)
    fields = {"created_at": at, "log_path": "/var/log/app.log"} | fields
    return LogLine(id=number, log_name="app", line=text, **fields)


def numbered(first: int, last: int) -> list[LogLine]:
    return [line(number, f"line {number}") for number in range(first, last + 1)]


class Stored:
    """The lines that a node has, and how it gives them."""

    def __init__(self, lines: list[LogLine]) -> None:
        self.lines = lines

    def __call__(self, query: Any, page: str | None) -> Reply[Any]:
        assert page is None
        found = [
            one
            for one in self.lines
            if (query.before is None or one.id < query.before)
            and (query.after is None or one.id > query.after)
            and (query.since is None or one.created_at >= query.since)
            and (query.regex is None or Pattern(query.regex).finds((one.line or "").encode()))
        ]
        newest = query.after is None
        given = found[-query.lines :] if newest else found[: query.lines]
        rest = "/more" if len(given) < len(found) else None
        return Reply(given, b"", None if newest else rest, rest if newest else None)


@pytest.fixture
def opened(stage: Callable[..., Any], recorded: dict[str, Any]) -> Callable[..., Any]:
    """Open the log ``app``, its stream having given some lines."""

    def open_log(lines: list[LogLine], stored: list[LogLine] | None = None) -> Any:
        made = stage("prod-etl-01", view="Logs")
        made.client.answers = recorded
        made.client.answers["get_log_lines"] = Stored(lines if stored is None else stored)
        made.start()
        made.press("/", *"app", "enter", "enter")
        made.stream = made.client.streams[-1]
        made.stream.send(*lines)
        made.show()
        return made

    return open_log


def some() -> list[LogLine]:
    lines = [line(number, text) for number, text in enumerate(SOME, 1)]
    lines.append(line(6, None, flags=["truncated"], detail="the file was cut off"))
    lines.append(line(7, None, flags=["gap"], length_bytes=1_234, detail="rotated twice"))
    lines.append(line(8, "a long line", flags=["cut"], length_bytes=1_048_576))
    lines.append(line(9, "told later", logged_at=NOW - timedelta(days=1)))
    return lines


SCREENS = {
    "log": [],
    "log-wrap": ["w"],
    "log-search": ["/", *"load[a-z]+", "enter"],
    "log-prompt": ["/", *"(a", "enter"],
    "log-jump": ["g"],
    "log-utc": ["t"],
    "log-ago": ["t", "t"],
    "log-own": ["t", "t", "t"],
    "log-no-time": ["t", "t", "t", "t"],
    "log-shifted": ["right", "right"],
    "log-pause": ["P"],
}


@pytest.mark.parametrize("name", SCREENS)
def test_a_log(opened: Callable[..., Any], is_as_kept: Any, name: str) -> None:
    made = opened(some())
    made.press(*SCREENS[name])
    is_as_kept(name, made.show())


def test_a_log_on_a_wide_screen(opened: Callable[..., Any], is_as_kept: Any) -> None:
    is_as_kept("log-200x50", opened(some()).show(200, 50))


def rows(made: Any) -> list[str]:
    """Give the lines of the log that are on the screen, without what stands before them."""
    shown = made.show().splitlines()[3:-2]
    return [text[18:] for text in shown if text]


def heading(made: Any) -> str:
    return str(made.show().splitlines()[2])


def test_it_opens_at_the_newest_lines_and_follows(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 500))
    assert "follow=true" in made.stream.target
    assert "lines=500" in made.stream.target
    assert rows(made)[-1] == "line 500"
    made.stream.send(*numbered(501, 510))
    assert rows(made)[-1] == "line 510"
    assert len(rows(made)) == 19
    assert "▸ follow" in heading(made)


def test_news_is_drawn_soon_and_asked_for_once(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 100))
    assert made.screen.view.least_between_draws_seconds == 0.1
    made.draws.clear()
    made.stream.send(*numbered(101, 5_000))
    assert made.draws == [False]
    made.show()
    made.stream.send(*numbered(5_001, 5_002))
    assert made.draws == [False, False]


def test_up_stops_following_and_counts_what_is_new(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 500))
    made.press("k")
    assert rows(made)[-1] == "line 499"
    made.stream.send(*numbered(501, 1_734))
    assert rows(made)[-1] == "line 499"
    assert "stays, 1,235 new" in heading(made) or "stays, 1,234 new" in heading(made)
    made.press("f")
    assert rows(made)[-1] == "line 1734"
    made.press("f")
    made.stream.send(line(1_735, "x"))
    assert rows(made)[-1] == "line 1734"


def test_older_pages_come_as_one_moves_up(opened: Callable[..., Any]) -> None:
    stored = numbered(1, 3_000)
    made = opened(stored[-500:], stored)
    made.press("home")
    made.show()
    made.press("home")
    assert rows(made)[0] == "line 1501"
    for _ in range(4):
        made.press("home")
        made.show()
    assert rows(made)[0] == "line 1"
    asked = len(made.client.asked)
    made.press("k", "home")
    assert len(made.client.asked) == asked
    made.press("end")
    assert rows(made)[-1] == "line 3000"


def test_frozen_it_shows_nothing_new(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 5))
    made.press("p")
    made.stream.send(*numbered(6, 17))
    assert rows(made) == [f"line {n}" for n in range(1, 6)]
    assert "frozen, 12 new" in heading(made)
    made.press("p")
    assert rows(made)[-1] == "line 17"
    assert "▸ follow" in heading(made)


def test_memory_is_bounded_whatever_comes(
    opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretch, "MOST_LINES", 1_000)
    stored = numbered(1, 5_000)
    made = opened(stored[:500], stored)
    view = made.screen.view
    feed = view._feed
    made.press("k", "k")
    top = rows(made)[0]
    for first in range(501, 5_001, 500):
        made.stream.send(*stored[first - 1 : first + 499])
        made.show()
    assert rows(made)[0] == top
    assert len(feed.tail.lines) <= 1_500
    assert len(feed.shown.lines) <= 1_500
    assert not feed.is_at_tail
    seen = [int(text.split()[1]) for text in rows(made)]
    for _ in range(500):  # down through all that has come, not a line left out
        made.press("page down")
        shown = [int(text.split()[1]) for text in rows(made)]
        assert shown[0] <= seen[-1] + 1
        assert shown == list(range(shown[0], shown[-1] + 1))
        assert len(feed.shown.lines) <= 1_500
        if shown == seen:
            break
        seen = shown
    assert seen[-1] == 5_000
    assert feed.is_at_tail


def test_what_matches_is_marked(opened: Callable[..., Any]) -> None:
    made = opened([line(1, "an error and an Error"), line(2, "none")])
    made.press("/", *"(?i)error", "enter")
    canvas = made.screen.render((80, 24), focus=True)
    row = list(canvas.content())[3]
    assert [text.decode() for style, _, text in row if style == "match"] == ["error", "Error"]


def test_matches_are_gone_to_as_far_as_the_node_has_lines(opened: Callable[..., Any]) -> None:
    stored = numbered(1, 20_000)
    for number in (700, 9_000):
        stored[number - 1] = line(number, f"found {number}")
    made = opened(stored[-500:], stored)
    made.press("/", *"found", "enter")
    assert "found 9000" in rows(made)
    assert "stays" in heading(made)
    made.press("N")
    assert "found 700" in rows(made)
    made.press("N")
    assert "No older line matches." in made.show()
    assert "found 700" in rows(made)
    made.press("n")
    assert "found 9000" in rows(made)
    made.press("n")
    assert "No newer line matches." in made.show()
    made.press("G")
    assert rows(made)[-1] == "line 20000"


def test_only_matches_come_from_the_node(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 50))
    made.press("&")
    assert "nothing searched for" in made.show()
    made.press("/", *"line .?7$", "enter", "&")
    assert made.stream.is_closed
    stream = made.client.streams[-1]
    assert "regex=line" in stream.target
    stream.send(line(7, "line 7"), line(17, "line 17"))
    assert rows(made) == ["line 7", "line 17"]
    assert "only matches" in made.show()
    made.press("&")
    assert stream.is_closed
    assert "regex" not in made.client.streams[-1].target


def test_a_bad_pattern_is_told_where_it_is_written(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 5))
    made.press("/", *"a[", "enter")
    assert "/a[█  missing ]: [" in made.show()
    made.press("backspace", "enter")
    assert " /a  No older line matches." in made.show()
    made.press("/", "enter")
    assert "/a" not in made.show()


def test_letters_are_written_where_they_are_commands_elsewhere(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 5))
    made.press("/", *"qn1 ?")
    assert "/qn1 ?█" in made.show()
    assert not made.quits
    made.press("esc")
    assert "/qn1" not in made.show()
    assert made.screen.view.title == "app"


@pytest.mark.parametrize(("written", "first"), [("11:59:55", 5_000), ("-8s", 2_000)])
def test_a_time_is_gone_to(opened: Callable[..., Any], written: str, first: int) -> None:
    stored = numbered(1, 9_000)
    made = opened(stored[-500:], stored)
    made.press("g", *written, "enter")
    assert f"line {first}" in rows(made)
    assert "stays" in heading(made)


def test_a_time_without_lines_leads_to_the_end(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 100))
    made.press(":", *"11:59:59", "enter")
    assert "No line was read since 2026-11-24 11:59:59." in made.show()
    made.press(":", *"25:00", "enter")
    assert "that is no time" in made.show()


def test_the_node_pauses_only_after_yes(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 5))
    made.client.answers["pause_log"] = LogSwitchAnswer(name="app", paused=True)
    made.press("P", "n")
    assert "pause_log" not in [name for name, _, _ in made.client.asked]
    made.press("P", "y")
    given = next(each for each in made.client.asked if each[0] == "pause_log")
    assert (given[1].name, given[2].confirm) == ("app", True)
    assert "app is paused." in made.show()


def test_a_stream_that_leaves_something_out_does_not_say_that_it_does_not(
    opened: Callable[..., Any],
) -> None:
    made = opened(numbered(1, 50))
    made.stream.end()
    made.advance(1)
    again = made.client.streams[-1]
    again.send({"reason": "lines in between are not stored any more"}, kind="resync")
    again.send(*numbered(71, 72))
    assert "nothing left out" not in heading(made)
    assert "lines in between" in rows(made)[-3]


def test_a_lost_stream_goes_on_where_it_was_and_says_so(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 50))
    made.stream.end()
    assert "✗ stream lost, again at 12:00:01: the stream ended" in heading(made)
    made.advance(1)
    again = made.client.streams[-1]
    assert again is not made.stream
    assert again.last_event_id == "50"
    again.send(*numbered(51, 52))
    assert "stream is back, nothing left out" in heading(made)
    assert rows(made)[-2:] == ["line 51", "line 52"]
    for _ in range(11):
        made.advance(1)
        made.screen.look_at_clock()
    assert "stream is back" not in heading(made)


def test_what_is_not_stored_any_more_is_a_row(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 3))
    made.stream.send({"reason": "lines in between are not stored any more"}, kind="resync")
    made.stream.send(*numbered(90, 91))
    assert rows(made)[2:] == [
        "line 3",
        "── gap: lines in between are not stored any more ──",
        "line 90",
        "line 91",
    ]


def test_a_new_database_begins_anew(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1_000, 1_003))
    made.stream.send({"reason": "the node has a new database"}, kind="resync")
    made.stream.send(*numbered(5, 6))
    assert rows(made) == ["── gap: the node has a new database ──", "line 5", "line 6"]


def test_the_stream_is_closed_when_the_log_is_left(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 50))
    made.press("?")
    assert made.stream.is_closed
    made.press("esc")
    stream = made.client.streams[-1]
    assert "after=50" in stream.target
    stream.send(*numbered(51, 60))
    assert rows(made)[-1] == "line 60"
    made.press("esc")
    assert stream.is_closed
    assert len(made.client.streams) == 2
    assert not made.sessions[0]._followers


def test_the_stream_is_closed_with_the_session(opened: Callable[..., Any]) -> None:
    made = opened(numbered(1, 50))
    made.stop()
    assert made.stream.is_closed


def test_another_node_has_a_log_of_that_name(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("one", "two", view="Logs")
    for client in made.clients:
        client.answers = recorded
    made.start()
    made.press("/", *"app", "enter", "enter")
    made.clients[0].streams[0].send(*numbered(1, 5))
    made.press("]")
    assert made.clients[0].streams[0].is_closed
    made.clients[1].streams[0].send(line(1, "of two"))
    assert rows(made) == ["of two"]


def test_a_node_that_does_not_answer_is_told(opened: Callable[..., Any], fail: Any) -> None:
    stored = numbered(1, 3_000)
    made = opened(stored[-500:], stored)
    made.client.answers["get_log_lines"] = fail("refused")
    made.press("home")
    assert "nothing listens there" in made.show()
    made.press("/", *"zz", "enter")
    assert "nothing listens there" in made.show()


def test_an_answer_that_is_not_wanted_any_more_is_not_waited_for(
    opened: Callable[..., Any],
) -> None:
    stored = numbered(1, 3_000)
    made = opened(stored[-500:], stored)
    made.client.waits = True
    made.press("/", *"line 7$", "enter")
    assert "searching ..." in made.show()
    assert "asking" in heading(made)
    made.press("g", *"-5s", "enter")
    assert "get_log_lines" in made.client.cancelled
    made.client.waits = False
    made.client.answer()
    assert "line 5000" not in rows(made)
    assert "stays" in heading(made) or "No line was read" in made.show()


def test_long_lines_are_read_to_their_end(opened: Callable[..., Any]) -> None:
    text = "".join(f"{n:05}|" for n in range(10_000))
    made = opened([line(1, "short"), line(2, text)])
    made.press("w")
    assert "60,000 characters in all" in made.show()
    made.press("w")
    made.screen.view._style.shift = 59_960
    assert made.show().count("09999|") == 1
    made.press("0")
    assert "00000|00001|" in made.show()


def test_the_list_has_rates(stage: Callable[..., Any], recorded: dict[str, Any]) -> None:
    from msgspec.structs import replace

    made = stage("etl", view="Logs")
    made.client.answers = recorded
    made.start()
    assert "/s" not in made.show()
    for seconds in range(1, 4):
        files = [
            replace(file, lines_total=file.lines_total + seconds * 2 * 1_500)
            for file in recorded["list_logs"]
        ]
        made.client.answers = recorded | {"list_logs": files}
        made.advance(2)
    assert "1,500/s" in made.show()
    made.press("i")
    assert "source_inode" in made.show()


def test_a_log_of_several_files_is_opened_by_file(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl", view="Logs")
    made.client.answers = recorded
    made.start()
    made.press("/", *"merge", "enter", "enter")
    assert "path=%2Fdata%2Fjobs%2Fmerge.log" in made.client.streams[-1].target


def test_a_long_path_leaves_room_for_how_things_stand(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl", view="Logs")
    path = "/data/" + "customers/" * 6 + "merge.log"
    long, other = (
        msgspec.structs.replace(recorded["list_logs"][0], path=one)
        for one in (path, "/data/other.log")
    )
    made.client.answers = recorded | {"list_logs": [long, other]}
    made.start()
    made.press("/", *"merge", "enter", "enter", "p")
    assert "merge.log  ‖ frozen" in heading(made)


def test_more_files_than_a_pattern_may_match_are_asked_for(opened: Callable[..., Any]) -> None:
    """Or the logs whose names come after it would not be seen."""
    (want,) = opened([]).screen.view.wants
    assert want.pages * want.query.limit > MOST_FILES


def test_all_files_of_a_log_are_shown_together(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("etl", view="Logs")
    made.client.answers = recorded
    made.start()
    made.press("/", *"merge", "enter", "enter")
    one = made.client.streams[-1]
    one.send(line(1, "alone", log_path="/data/jobs/merge.log"))
    assert "jobs: /data/jobs/merge.log" in heading(made)
    made.press("a")
    assert one.is_closed
    every = made.client.streams[-1]
    assert "path=" not in every.target
    every.send(
        line(1, "alone", log_path="/data/jobs/merge.log"),
        line(2, "another", log_path="/data/jobs/load-한국.log"),
    )
    shown = made.show()
    assert "merge.log     alone" in shown
    assert "load-한국.log another" in shown
    assert "/data/jobs" not in heading(made)
    made.press("a")
    assert "path=%2Fdata%2Fjobs%2Fmerge.log" in made.client.streams[-1].target
    assert "merge.log     alone" not in made.show()


def test_a_log_of_one_file_has_no_other_files(opened: Callable[..., Any]) -> None:
    made = opened(some())
    before = len(made.client.streams)
    made.press("a")
    assert len(made.client.streams) == before
