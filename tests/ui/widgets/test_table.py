"""The table: what is chosen stays chosen, and it fits any box."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urwid import calc_width

from etlmon.ui.widgets.table import Column, Table


class Item(NamedTuple):
    name: str
    size: int | None = None
    note: str = ""


COLUMNS = [
    Column[Item]("NAME", lambda item: [("text", item.name)], lambda item: item.name, least=6),
    Column[Item](
        "SIZE",
        lambda item: [("dim", "-") if item.size is None else ("text", str(item.size))],
        lambda item: item.size,
        largest_first=True,
        right=True,
    ),
    Column[Item]("NOTE", lambda item: [("ok", item.note[:2]), ("text", item.note[2:])], least=8),
]


def make(items: list[Item]) -> Table[Item]:
    table = Table(COLUMNS, lambda item: item.name, "Nothing.")
    table.set_items(items)
    return table


def names(table: Table[Item], height: int = 20, width: int = 60) -> list[str]:
    """Give the first word of each row on the screen."""
    lines = [line.decode() for line in table.render((width, height)).text[1:]]
    return [line.split()[0] for line in lines if line.strip()]


@pytest.fixture
def table() -> Table[Item]:
    return make([Item("b", 2), Item("a", None, "first"), Item("c", 10), Item("d", 1)])


def choose(table: Table[Item], name: str) -> None:
    table.move("first")
    while table.chosen and table.chosen.name != name:
        table.move("down")


def chosen(table: Table[Item]) -> str | None:
    return table.chosen and table.chosen.name


def test_rows_stand_as_given_below_their_heading(table: Table[Item]) -> None:
    assert [line.decode().rstrip() for line in table.render((30, 6)).text] == [
        "NAME     SIZE NOTE",
        "b           2",
        "a           - first",
        "c          10",
        "d           1",
        "",
    ]


def test_sorting_goes_through_the_columns_and_none_is_last(table: Table[Item]) -> None:
    assert table.sort_by_next() == "by NAME"
    assert names(table) == ["a", "b", "c", "d"]
    assert table.sort_by_next() == "by SIZE"
    assert names(table) == ["c", "b", "d", "a"]
    table.reverse = not table.reverse
    table.arrange()
    assert names(table) == ["d", "b", "c", "a"]
    assert table.sort_by_next() == "as the node gives them"
    assert names(table) == ["b", "a", "c", "d"]
    assert table.sort_by_next() == "by NAME"


def test_the_heading_says_what_is_sorted_by(table: Table[Item]) -> None:
    table.sort_by("SIZE")
    assert "SIZE ▾" in table.render((60, 3)).text[0].decode()
    table.reverse = False
    table.arrange()
    assert "SIZE ▴" in table.render((60, 3)).text[0].decode()


def test_the_choice_survives_sorting_and_new_data(table: Table[Item]) -> None:
    choose(table, "c")
    table.sort_by("NAME")
    assert chosen(table) == "c"
    table.set_items([Item("x"), Item("c", 3), Item("y")])
    assert chosen(table) == "c"
    assert table.chosen == Item("c", 3)
    table.sort_by(None)
    assert chosen(table) == "c"


def test_the_choice_survives_a_filter_that_lets_it_through(table: Table[Item]) -> None:
    choose(table, "a")
    table.filter = "FIRST"
    table.arrange()
    assert (names(table), table.shown_rows, chosen(table)) == (["a"], 1, "a")
    assert "No row" not in table.render((40, 5)).text[2].decode()
    table.filter = ""
    table.arrange()
    assert chosen(table) == "a"


def test_what_goes_leaves_the_choice_near(table: Table[Item]) -> None:
    choose(table, "d")
    table.set_items([Item("b"), Item("a")])
    assert chosen(table) == "a"
    table.set_items([])
    assert chosen(table) is None
    table.set_items([Item("z")])
    assert chosen(table) == "z"


def test_rows_of_one_key_can_all_be_chosen() -> None:
    table = make([Item("a", 1), Item("a", 2)])
    table.move("down")
    table.set_items([Item("a", 1), Item("a", 3)])
    assert table.chosen == Item("a", 3)


def test_new_rows_above_do_not_move_the_rows_on_the_screen() -> None:
    table = make([Item(f"m{number:02}") for number in range(40)])
    table.sort_by("NAME")
    choose(table, "m20")
    before = names(table, 6)
    table.set_items([Item(f"a{n}") for n in range(3)] + [Item(f"m{n:02}") for n in range(40)])
    assert names(table, 6) == before


def test_at_the_top_new_rows_above_are_seen() -> None:
    table = make([Item("m"), Item("n")])
    table.sort_by("NAME")
    table.set_items([Item("m"), Item("n"), Item("a")])
    assert names(table) == ["a", "m", "n"]
    assert chosen(table) == "m"


def test_moving_stays_within_the_rows_and_on_the_screen(table: Table[Item]) -> None:
    many = make([Item(f"r{number:02}") for number in range(30)])
    for command, expected in [
        ("up", "r00"), ("down", "r01"), ("page down", "r05"), ("last", "r29"), ("down", "r29"),
        ("page up", "r25"), ("first", "r00"),
    ]:  # fmt: skip
        many.render((40, 6))
        assert many.move(command)
        assert chosen(many) == expected
        assert expected in names(many, 6)
    assert not many.move("detail")


def test_a_click_chooses_and_the_wheel_moves(table: Table[Item]) -> None:
    table.render((40, 6))
    assert table.pressed(1, 3)
    assert chosen(table) == "c"
    assert not table.pressed(1, 0)
    assert not table.pressed(1, 5)
    assert table.pressed(4, 0)
    assert chosen(table) == "a"


def test_an_empty_table_says_why(table: Table[Item]) -> None:
    assert "Nothing." in make([]).render((40, 5)).text[2].decode()
    table.filter = "zzz"
    table.arrange()
    assert "No row holds zzz" in table.render((40, 5)).text[2].decode()


def test_columns_at_the_right_are_left_out_where_there_is_no_room() -> None:
    table = make([Item("a-long-name", 123, "a note that is long")])

    def line(width: int) -> str:
        return table.render((width, 2)).text[1].decode().rstrip()

    assert line(60) == "a-long-name    123 a note that is long"
    assert line(30) == "a-long-name    123 a note tha…"
    assert line(20) == "a-lon…  123 a note …"
    assert line(18) == "a-long-name    123"
    assert "123" not in line(9)
    assert line(5) == "a-lo…"


def test_the_chosen_row_is_marked_through_its_whole_width(table: Table[Item]) -> None:
    row = list(table.render((40, 4)).content())[1]
    assert all(style.startswith("chosen ") for style, _, _ in row)
    assert sum(len(text) for _, _, text in row) == 40


CELLS = st.text(max_size=8) | st.sampled_from(
    [
        "",
        "한국어",
        "👨\u200d👩\u200d👧",
        "☺\ufe0f",
        "🇰🇷",
        "👍🏽",
        "e\u0301",
        "\u0301",
        "\x1b[2J",
        "\x9b",
        "a\nb",
    ]
)
ITEMS = st.lists(
    st.builds(Item, CELLS, st.none() | st.integers(), st.lists(CELLS, max_size=20).map("".join)),
    max_size=8,
)


@settings(deadline=None)
@given(
    ITEMS,
    ITEMS,
    st.integers(1, 300),
    st.integers(1, 50),
    st.lists(st.sampled_from(["down", "up", "page down", "last", "first", "sort"]), max_size=6),
)
def test_any_box_is_filled_exactly(
    items: list[Item], more: list[Item], width: int, height: int, commands: list[str]
) -> None:
    table = make(items)
    for command in commands:
        if command == "sort":
            table.sort_by_next()
        else:
            table.move(command)
    for new in (items, more):
        table.set_items(new)
        canvas = table.render((width, height), focus=True)
        assert (canvas.cols(), canvas.rows()) == (width, height)
        for line in canvas.text:
            assert calc_width(line, 0, len(line)) == width
        assert (table.chosen is None) == (not new)


@pytest.mark.parametrize("height", [1, 2, 7])
@pytest.mark.parametrize("width", range(1, 301, 7))
def test_every_width_with_wide_text(width: int, height: int) -> None:
    table = make([Item("한국어 👍🏽" * 5, 5, "e\u0301☺\ufe0f" * 9), Item("", None, "")])
    canvas = table.render((width, height))
    assert (canvas.cols(), canvas.rows()) == (width, height)


def test_rows_are_arranged_by_who_knows_how(table: Table[Item]) -> None:
    table.arranging = lambda items, order: [Item("head"), *order(items)[:2]]
    table.sort_by("NAME")
    assert names(table) == ["head", "a", "b"]
    table.filter = "c"
    table.arrange()
    assert names(table) == ["head", "c"]


def test_a_row_that_took_the_place_of_the_chosen_one_is_known_until_it_is_seen(
    table: Table[Item],
) -> None:
    choose(table, "d")
    table.set_items([Item("d"), Item("a")])
    assert not table.has_slipped
    table.set_items([Item("a"), Item("b")])
    assert table.has_slipped
    table.move("down")
    assert table.has_slipped
    names(table)
    assert not table.has_slipped


def test_the_same_list_is_put_in_order_once() -> None:
    """A list of thousands is shown anew many times before another one comes."""
    asked: list[str] = []

    def name(item: Item) -> str:
        asked.append(item.name)
        return item.name

    table = Table(
        [Column[Item]("NAME", lambda item: [("text", item.name)], name)], name, "Nothing."
    )
    items = [Item("b"), Item("a")]
    table.set_items(items)
    table.sort_by("NAME")
    asked.clear()
    for _ in range(9):
        table.set_items(items)
    assert asked == []
    table.set_items([Item("d"), Item("b"), Item("c")])
    assert names(table) == ["b", "c", "d"]
