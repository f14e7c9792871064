"""Lines that scroll."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlmon.ui.widgets.lines import Lines

COMMANDS = ["down", "up", "page down", "page up", "first", "last"]


def show(lines: Lines, height: int = 3) -> str:
    canvas = lines.render((4, height))
    return " ".join(line.decode().strip() for line in canvas.text).strip()


@pytest.fixture
def ten() -> Lines:
    lines = Lines()
    lines.set_lines([[("text", str(number))] for number in range(10)])
    assert show(lines) == "0 1 2"
    return lines


@pytest.mark.parametrize(
    ("commands", "shown"),
    [(["down"], "1 2 3"), (["down", "up"], "0 1 2"), (["up"], "0 1 2"), (["page down"], "2 3 4"),
     (["last"], "7 8 9"), (["last", "down"], "7 8 9"), (["last", "page up"], "5 6 7"),
     (["last", "first"], "0 1 2"), (["page down"] * 9, "7 8 9")],
)  # fmt: skip
def test_commands_scroll(ten: Lines, commands: list[str], shown: str) -> None:
    for command in commands:
        assert ten.scroll(command)
    assert show(ten) == shown


def test_another_command_is_not_taken(ten: Lines) -> None:
    assert not ten.scroll("detail")


def test_the_wheel_scrolls_and_a_click_does_not(ten: Lines) -> None:
    assert ten.pressed(5, 0)
    assert show(ten) == "1 2 3"
    assert ten.pressed(4, 0)
    assert show(ten) == "0 1 2"
    assert not ten.pressed(1, 0)


def test_new_lines_keep_the_place_as_far_as_they_go(ten: Lines) -> None:
    ten.scroll("last")
    ten.set_lines([[("text", chr(97 + number))] for number in range(9)])
    assert show(ten) == "g h i"
    ten.set_lines([[("text", "x")]])
    assert show(ten) == "x"


def test_what_is_wider_is_wrapped_and_can_be_scrolled_to() -> None:
    lines = Lines()
    lines.set_lines([[("dim", "name "), ("text", "abcdefghijklm")], [("text", "next")]])
    canvas = lines.render((10, 3))
    assert [line.decode().rstrip() for line in canvas.text] == [
        "name abcde", "    fghijk", "    lm"
    ]  # fmt: skip
    lines.scroll("last")
    assert lines.render((10, 3)).text[2].decode().rstrip() == "next"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(COMMANDS), max_size=10),
    st.integers(0, 60),
    st.integers(1, 300),
    st.integers(1, 50),
)
def test_any_size_and_any_scrolling(
    commands: list[str], count: int, width: int, height: int
) -> None:
    lines = Lines()
    lines.set_lines([[("text", f"{number} 한국")] for number in range(count)])
    for command in commands:
        lines.scroll(command)
        canvas = lines.render((width, height))
        assert (canvas.cols(), canvas.rows()) == (width, height)
        assert count == 0 or b"".join(canvas.text).strip()


def test_lines_from_the_end_and_whether_they_have_been_seen() -> None:
    lines = Lines(from_end=True)
    lines.set_lines([[("text", str(number))] for number in range(10)])
    assert not lines.is_seen
    assert show(lines) == "7 8 9"
    assert lines.is_seen
    lines.set_lines([[("text", str(number))] for number in range(10)])
    assert lines.is_seen
    lines.set_lines([[("text", "other")]])
    assert not lines.is_seen
