"""Lines have exactly the width they are given, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urwid import calc_width

from etlmon.ui.format import text_width, visible
from etlmon.ui.widgets.line import cut, fit, lines_canvas, pieces_width, wrapped

ODD = st.sampled_from(
    [
        "한국",
        "👨\u200d👩\u200d👧",
        "☺\ufe0f",
        "❤\ufe0f",
        "🇰🇷",
        "👍🏽",
        "e\u0301",
        "\u0301",
        "\ufe0f",
        "\u0e33",
        "\u0928\u093f",
        "\u1100\u1161\u11a8",
        "#\ufe0f\u20e3",
        "\u202e",
        "\x1b[2J",
        "\x9b",
        "\n",
        "\t",
        "",
        " ",
        "\ud800",
        "\U000e0041",
        "\xad",
    ]
)
TEXT = st.lists(ODD | st.text(max_size=5), max_size=8).map("".join)
SHOWN = TEXT.map(visible)


@given(SHOWN, st.integers(0, 40), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool) -> None:
    assert text_width(fit(text, width, right=right)) == width


@given(SHOWN, st.integers(0, 40))
def test_cut_at_the_beginning_is_never_wider(text: str, width: int) -> None:
    assert text_width(cut(text, width, keep_end=True)) <= width


@given(SHOWN, st.integers(-1, 40))
def test_cut_is_never_wider_and_keeps_what_fits(text: str, width: int) -> None:
    found = cut(text, width)
    assert text_width(found) <= max(0, width)
    if text_width(text) <= width:
        assert found == text
    elif width > 0:
        assert found.endswith("…")
        assert text.startswith(found[:-1])
        if "\u0e33" not in text:  # it joins what is before it to one character of any width
            assert text_width(found) >= width - 1


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abcd", 1, "…"),
        ("abcd", 0, ""),
        ("한국어", 5, "한국…"),
        ("한국어", 4, "한… "),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("👍🏽👍🏽", 3, "👍🏽…"),
        ("", 2, "  "),
    ],
)
def test_fit_by_example(text: str, width: int, expected: str) -> None:
    assert fit(text, width) == expected.ljust(len(expected))


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("/data/in", 8, "/data/in"),
        ("/data/in", 4, "…/in"),
        ("/한국어", 5, "…국어"),
        ("/한국어", 4, "…어"),
        ("/abc", 1, "…"),
        ("/abc", 0, ""),
    ],
)
def test_a_path_is_cut_at_its_beginning(text: str, width: int, expected: str) -> None:
    assert cut(text, width, keep_end=True) == expected


def test_fit_to_the_right() -> None:
    assert fit("ab", 4, right=True) == "  ab"


LINES = st.lists(
    st.lists(st.tuples(st.sampled_from(["text", "ok", "unknown"]), TEXT), max_size=5), max_size=4
)


@given(LINES, st.integers(1, 60))
def test_a_canvas_is_as_wide_as_it_should_be_and_has_no_controls(
    lines: list[list[tuple[str, str]]], width: int
) -> None:
    canvas = lines_canvas(lines, width)
    if not lines:
        return
    assert (canvas.cols(), canvas.rows()) == (width, len(lines))
    for line in canvas.text:
        assert calc_width(line, 0, len(line)) == width
        assert visible(line.decode()) == line.decode()


def test_styles_go_with_their_text() -> None:
    canvas = lines_canvas([[("ok", "한"), ("text", "b")]], 5)
    assert list(canvas.content()) == [[("ok", None, "한".encode()), ("text", None, b"b  ")]]


def test_what_is_cut_between_two_pieces_says_so() -> None:
    """A line that is full of matches has such a place at each."""
    canvas = lines_canvas([[("match", "a"), ("text", "b")] * 9, [("ok", "abcd"), ("ok", "")]], 4)
    assert [text.decode() for text in canvas.text] == ["aba\u2026", "abcd"]


def test_pieces_that_grow_together_are_not_wider_than_the_line() -> None:
    for width in range(1, 6):
        canvas = lines_canvas([[("ok", "a0"), ("text", "\ufe0f"), ("ok", "bc")]], width)
        assert calc_width(canvas.text[0], 0, len(canvas.text[0])) == width


@given(st.lists(st.tuples(st.just("text"), SHOWN), max_size=5), st.integers(8, 40))
def test_wrapping_loses_nothing(pieces: list[tuple[str, str]], width: int) -> None:
    lines = wrapped(pieces, width)
    first, *rest = ["".join(text for _, text in line) for line in lines]
    assert first + "".join(line.removeprefix("    ") for line in rest) == "".join(
        text for _, text in pieces
    )
    assert all(pieces_width(line) <= width for line in lines)


def test_the_width_of_pieces() -> None:
    assert pieces_width([("ok", "한"), ("text", "ab")]) == 4
