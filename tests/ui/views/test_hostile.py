"""What a host says never drives the terminal (P20)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from urwid.display.raw import Screen as Terminal

from etlmon.records.base import Record
from etlmon.records.log import LogLine
from etlmon.ui.palette import PALETTE

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

EVIL = [
    "\x1b[2J\x1b]0;title\x07\x1bP1$r\x1b\\",
    "\x9b31m\x9d0;t\x9c\x90",
    "a\r\nb\tc\x08\x7f\x00",
    "\u202egnp.exe\u2066\u200b\u2028\ufeff\U000e0041",
    "\x1b(0qqq\x0e\x0f\x1b[?1049l",
]
# What the terminal is told by urwid itself, and nothing else.
OURS = re.compile(
    r"\x1b\)0|\x1b\[\?25[hl]|\x1b\[[0-9;]*[mHK]"
    # The last corner of the screen is filled from the left, lest the terminal scrolls.
    r"|\x08{1,2}(?=(?:\x1b\[[0-9;]*m)*\x1b\[4h)|\x1b\[4[hl]"
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0041]")


def poisoned(value: Any, evil: str) -> Any:
    """Give a record, or a list of them, with evil in every text of it."""
    if isinstance(value, list):
        return [poisoned(item, evil) for item in value]
    if isinstance(value, Record):
        hints = get_type_hints(type(value))
        changes = {}
        for name in value.__struct_fields__:
            now = getattr(value, name)
            is_text = hints[name] is str or str in get_args(hints[name])
            changes[name] = evil if is_text else poisoned(now, evil)
        return msgspec.structs.replace(value, **changes)
    return evil + value if isinstance(value, str) else value


class Capturing(Terminal):
    """A terminal of 80 by 24 that keeps its bytes."""

    def __init__(self) -> None:
        self.written = io.StringIO()
        super().__init__(input=None, output=self.written)
        self._started = True
        self.register_palette(PALETTE)

    def write(self, data: str) -> None:
        self.written.write(data)

    def flush(self) -> None:
        pass


def drawn(made: Any) -> str:
    """Give all that goes to the terminal for a screen."""
    terminal = Capturing()
    for size in ((80, 24), (200, 50)):
        terminal.draw_screen(size, made.screen.render(size, focus=True))
    return terminal.written.getvalue()


def test_the_check_sees_what_it_should() -> None:
    for evil in EVIL:
        assert CONTROL.search(OURS.sub("", f"\x1b[0;1m{evil}"))


KEYS = [[], ["enter"], ["down", "enter", "end"], ["/", *"zz"], ["s"], ["s", "y"], ["h"]]
KILLING = [["w", "d"], ["w", "d", "enter", "enter"], ["w", "t", "enter"]]


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize(
    "view", ["File systems", "Paths", "Logs", "Processes", "Events", "Audit", "Nodes"]
)
def test_hostile_answers(
    stage: Callable[..., Any],
    recorded: dict[str, Any],
    degraded: Any,
    refuse: Any,
    view: str,
    evil: str,
) -> None:
    answers = {name: poisoned(value, evil) for name, value in recorded.items()}
    answers["scan_paths"] = refuse(409, evil)
    for health in (degraded, poisoned(degraded, evil)):
        for keys in (*KEYS, *(KILLING if view == "Processes" else ())):
            made = stage(f"etl{evil}", view=view)
            made.client.answers = answers | {"get_health": health}
            made.start()
            made.press(*keys)
            text = drawn(made)
            assert len(text) > 1500
            assert not CONTROL.search(OURS.sub("", text))


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
def test_hostile_lines(stage: Callable[..., Any], recorded: dict[str, Any], evil: str) -> None:
    """Marked, shifted, wrapped and cut they drive nothing either."""
    line = LogLine(id=0, log_name="app", log_path=evil, line=evil, created_at=NOW)
    lines = [
        line,
        msgspec.structs.replace(line, id=1, line=f"ERROR {evil * 50}", flags=["cut", evil]),
        msgspec.structs.replace(line, id=2, line=None, flags=["gap", evil], detail=evil),
    ]
    for keys in ([], ["w"], ["l"], ["/", *".", "enter"], ["/", *".", "enter", "w"], ["/", *evil]):
        made = stage("etl", view="Logs")
        made.client.answers = recorded
        made.start()
        made.press("/", *"app", "enter", "enter")
        made.client.streams[0].send(*lines)
        made.press(*keys)
        assert "ERROR" in drawn(made) or "l" in keys or "." in keys
        assert not CONTROL.search(OURS.sub("", drawn(made)))


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize("status", [403, 503])
def test_hostile_problems(
    stage: Callable[..., Any], recorded: dict[str, Any], refuse: Any, status: int, evil: str
) -> None:
    for names in (["get_health"], ["list_filesystems"], list(recorded)):
        made = stage("etl")
        made.client.answers = recorded | dict.fromkeys(names, refuse(status, evil))
        made.start()
        assert not CONTROL.search(OURS.sub("", drawn(made)))
        made.press("tab", "tab")
        assert not CONTROL.search(OURS.sub("", drawn(made)))


def test_every_text_is_poisoned(recorded: dict[str, Any]) -> None:
    mount = poisoned(recorded["list_filesystems"], "\x1b")[0]
    assert (mount.mount_point, mount.fs_type, mount.level) == ("\x1b", "\x1b", "\x1b")
    assert isinstance(mount.collected_at, datetime)
    assert poisoned(recorded["list_paths"], "\x1b")[5].troubles[0].example == "\x1b"
