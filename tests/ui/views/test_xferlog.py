"""Transfers on the screen: their states, parts of them, and those that come as they come."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest

from etlmon.contract.xferlog import XferlogQuery
from etlmon.ui.views.xferlog import rate

SIZES = [(80, 24), (200, 50)]
SCREENS: dict[str, list[str]] = {
    "xferlog": [],
    "xferlog-detail": ["down", "down", "enter"],
    "xferlog-part": ["u"],
}


@pytest.fixture
def xferlog(stage: Callable[..., Any], recorded: dict[str, Any]) -> Any:
    made = stage("etl", view="Xferlog")
    made.client.answers = recorded
    made.start()
    return made


def asked(xferlog: Any) -> XferlogQuery:
    """Give what was asked of the list the last time."""
    return next(q for name, q, _ in reversed(xferlog.client.asked) if name == "list_transfers")


def rows(xferlog: Any) -> list[str]:
    """Give the names of the files in the table."""
    return [line.split()[5] for line in xferlog.show(160, 24).splitlines()[3:11]]


def coming(xferlog: Any, number: int, **fields: Any) -> Any:
    entry = xferlog.client.answers["list_transfers"][0]
    return msgspec.structs.replace(entry, id=number, filename=f"/in/{number}.csv", **fields)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "{}x{}".format(*size))
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen(
    xferlog: Any, is_as_kept: Callable[[str, str], None], name: str, size: tuple[int, int]
) -> None:
    if name == "xferlog-detail":
        made = xferlog.client.answers
        made["list_transfers"] = made["list_transfers"][:3]
        xferlog.press(*SCREENS[name])
        made["list_transfers"] = made["list_transfers"][2:]
        xferlog.press("r")
    else:
        xferlog.press(*SCREENS[name])
    is_as_kept("{}-{}x{}".format(name, *size), xferlog.show(*size))


def test_each_state_has_its_word_and_glyph(xferlog: Any) -> None:
    text = xferlog.show(160, 24)
    for words in (
        "↑ up", "↓ down", "- del", "… pending", "✓ landed", "✗ incomplete", "✗ vanished",
        "? unparsed", "✓ complete", "2.00 MiB/s", "12.1 KiB/s",
    ):  # fmt: skip
        assert words in text, words
    assert "\u241b[2Jno transfer" in text


def test_a_time_of_another_day_is_whole_however_long_the_names(xferlog: Any) -> None:
    entry = coming(xferlog, 8, username="x" * 40, remote_host="y" * 40, landing="overwritten")
    xferlog.client.answers["list_transfers"] = [
        msgspec.structs.replace(entry, filename="/z" * 60, log_time=datetime.fromisoformat(at))
        for at in ("2026-11-24T11:58:00Z", "2026-11-23T11:58:00Z", "2025-11-24T11:58:00Z")
    ]
    xferlog.press("r")
    lines = xferlog.show(80, 24).splitlines()
    assert [line[:12] for line in lines[3:6]] == ["11:58:00    ", "11-23 11:58 ", "2025-11-24  "]


def test_a_rate_of_whole_seconds_is_none_for_a_short_transfer(recorded: dict[str, Any]) -> None:
    found = {entry.id: rate(entry) for entry in recorded["list_transfers"]}
    assert found[99] == (2 << 20, True)
    assert found[95] == (10 << 20, False)
    assert found[94] == (None, False)
    assert found[10] == (12_345.6, True)


@pytest.mark.parametrize(
    ("keys", "title", "field", "value"),
    [
        (["u"], "user etl", "user", "etl"),
        (["h"], "host 10.0.0.7", "host", "10.0.0.7"),
        (["/", *"한국", "enter", "F"], "file *한국*", "filename", "*한국*"),
        (["/", *"/in/?.c", "enter", "F"], "file /in/?.c", "filename", "/in/?.c"),
    ],
)
def test_a_part_is_asked_of_the_node(
    xferlog: Any, keys: list[str], title: str, field: str, value: str
) -> None:
    xferlog.press(*keys)
    assert xferlog.screen.view.title == title
    assert getattr(asked(xferlog), field) == value
    assert f" {title} " in xferlog.show(80, 24).splitlines()[1] + " "


def test_parts_narrow_further_and_esc_leads_back(xferlog: Any) -> None:
    xferlog.press("u", "h")
    assert (asked(xferlog).user, asked(xferlog).host) == ("etl", "10.0.0.7")
    xferlog.press("esc")
    assert xferlog.screen.view.title == "user etl"
    xferlog.press("esc")
    assert xferlog.screen.view.title == "Xferlog"


def test_what_a_row_does_not_name_is_told(xferlog: Any) -> None:
    xferlog.press("end", "up", "u")
    assert "The chosen row names no user." in xferlog.show()
    xferlog.press("F")
    assert "Write a part of a name after /" in xferlog.show()
    assert xferlog.screen.view.title == "Xferlog"


def test_what_comes_is_shown_at_once_and_stays_chosen(xferlog: Any) -> None:
    xferlog.press("f")
    (stream,) = xferlog.client.streams
    assert stream.target == "/xferlog?limit=500&after=99&follow=true"
    stream.send(coming(xferlog, 100), coming(xferlog, 101))
    assert rows(xferlog)[:3] == ["/in/101.csv", "/in/100.csv", "/in/orders.csv"]
    assert xferlog.screen.view.table.chosen.id == 101
    assert "… following  /in/101.csv" in xferlog.show()
    xferlog.press("down")
    stream.send(coming(xferlog, 102))
    assert xferlog.screen.view.table.chosen.id == 100
    xferlog.press("g")
    stream.send(coming(xferlog, 103))
    assert xferlog.screen.view.table.chosen.id == 103


def test_the_list_takes_over_what_came(xferlog: Any) -> None:
    xferlog.press("f")
    xferlog.client.streams[0].send(coming(xferlog, 100), coming(xferlog, 101))
    listed = xferlog.client.answers["list_transfers"]
    landed = coming(xferlog, 100, landing="landed")
    xferlog.client.answers["list_transfers"] = [landed, *listed]
    xferlog.advance(2)
    ids = [entry.id for entry in xferlog.screen.view.items(xferlog.screen.session)]
    assert ids[:3] == [101, 100, 99]
    assert len(ids) == len(set(ids))
    assert "✓ landed" in xferlog.show().splitlines()[4]


def test_a_stream_that_is_lost_is_told_and_goes_on(xferlog: Any) -> None:
    xferlog.press("f")
    xferlog.client.streams[0].send(coming(xferlog, 100))
    xferlog.client.streams[0].end()
    assert "~ not followed: the stream ended; again in" in xferlog.show()
    xferlog.advance(2)
    again = xferlog.client.streams[1]
    assert again.last_event_id == "100"
    again.begin()
    assert "… following" in xferlog.show()


def test_a_new_database_drops_what_came_from_the_old_one(xferlog: Any) -> None:
    xferlog.press("f")
    stream = xferlog.client.streams[0]
    stream.send(coming(xferlog, 100))
    stream.send({"reason": "the node has a new database"}, kind="resync")
    xferlog.client.answers["list_transfers"] = []
    xferlog.advance(2)
    assert xferlog.screen.view.items(xferlog.screen.session) == []


def test_the_stream_ends_with_the_view(xferlog: Any) -> None:
    xferlog.press("f", "tab")
    assert xferlog.client.streams[0].is_closed
    xferlog.press("shift tab")
    assert len(xferlog.client.streams) == 2
    xferlog.press("f")
    assert xferlog.client.streams[1].is_closed
    assert "not followed any more" in xferlog.show()


def test_another_node_is_followed_instead(
    stage: Callable[..., Any], recorded: dict[str, Any]
) -> None:
    made = stage("one", "two", view="Xferlog")
    for client in made.clients:
        client.answers = recorded
    made.start()
    made.press("f", "n")
    made.advance(2)
    one, two = made.clients
    assert one.streams[0].is_closed
    assert not two.streams[0].is_closed


def test_a_transfer_in_full_shows_what_became_of_it(xferlog: Any) -> None:
    entry = xferlog.client.answers["list_transfers"][0]
    xferlog.client.answers["list_transfers"] = [entry]
    xferlog.press("enter")
    query = asked(xferlog)
    assert (query.after, query.before, query.limit) == (98, 100, 1)
    assert "etl from 10.0.0.7: 10.0 MiB in 5 s, 2.00 MiB/s" in xferlog.show(120, 24)
    landed = msgspec.structs.replace(
        entry, landing="landed", landed_path="/srv/in/orders.csv", landed_bytes=10 << 20
    )
    xferlog.client.answers["list_transfers"] = [landed]
    xferlog.press("r")
    assert "On the disk: /srv/in/orders.csv, 10.0 MiB" in xferlog.show(120, 24)
    xferlog.client.answers["list_transfers"] = []
    xferlog.press("r")
    assert "It is not stored any more." in xferlog.show()


def test_the_logs_are_a_key_away(xferlog: Any) -> None:
    xferlog.press("L")
    assert "No transfer log is read on this node" in xferlog.show()
    xferlog.press("esc")
    assert xferlog.screen.view.title == "Xferlog"
