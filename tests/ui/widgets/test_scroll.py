"""Lines without end: what one reads stays where it is, whatever comes and goes around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.scroll import Scroll

HEIGHT = 5
ROOM = HEIGHT - 1
"""Rows below the heading."""
COMMANDS = ["down", "up", "page down", "page up", "first", "last"]


class Items:
    """Numbers as items; each takes as many rows as ``tall`` says, else one."""

    def __init__(self, first: int, last: int) -> None:
        self.numbers = list(range(first, last + 1))
        self.tall: dict[int, int] = {}
        self.looked_at = 0
        self.scroll = Scroll[int](lambda: self.numbers, lambda number: number, self.rows)

    def rows(self, number: int, width: int) -> list[list[Piece]]:
        self.looked_at += 1
        count = self.tall.get(number, 1)
        return [[("text", f"{number}{'' if row == 0 else '.' * row}")] for row in range(count)]

    def show(self, height: int = HEIGHT) -> str:
        canvas = self.scroll.render((12, height))
        return " ".join(line.decode().strip() for line in canvas.text[1:]).strip()


@pytest.fixture
def twenty() -> Items:
    items = Items(1, 20)
    assert items.show() == "17 18 19 20"
    return items


@pytest.mark.parametrize(
    ("commands", "shown"),
    [(["up"], "16 17 18 19"), (["up", "down"], "17 18 19 20"), (["page up"], "14 15 16 17"),
     (["first"], "1 2 3 4"), (["first", "up"], "1 2 3 4"), (["first", "page down"], "4 5 6 7"),
     (["first", "last"], "17 18 19 20"), (["down"], "17 18 19 20")],
)  # fmt: skip
def test_commands_move(twenty: Items, commands: list[str], shown: str) -> None:
    for command in commands:
        assert twenty.scroll.move(command)
    assert twenty.show() == shown


def test_another_command_is_not_taken(twenty: Items) -> None:
    assert not twenty.scroll.move("detail")


def test_it_follows_until_it_is_moved(twenty: Items) -> None:
    twenty.numbers.append(21)
    assert twenty.show() == "18 19 20 21"
    assert twenty.scroll.is_at_end
    twenty.scroll.move("up")
    twenty.numbers += [22, 23]
    assert twenty.show() == "17 18 19 20"
    assert not twenty.scroll.is_at_end
    twenty.scroll.move("last")
    assert twenty.show() == "20 21 22 23"


def test_what_is_read_stays_when_the_oldest_go(twenty: Items) -> None:
    twenty.scroll.move("page up")
    assert twenty.show() == "14 15 16 17"
    del twenty.numbers[:10]
    twenty.numbers += range(21, 200)
    assert twenty.show() == "14 15 16 17"
    del twenty.numbers[:5]
    assert twenty.show() == "16 17 18 19", "what was at the top is gone"


def test_what_is_read_stays_when_older_ones_come(twenty: Items) -> None:
    twenty.scroll.move("first")
    twenty.show()
    twenty.numbers[:0] = range(-50, 1)
    assert twenty.show() == "1 2 3 4"


def test_to_stay_is_to_follow_no_more(twenty: Items) -> None:
    twenty.scroll.stay()
    twenty.numbers.append(21)
    assert twenty.show() == "17 18 19 20"


def test_an_item_is_shown_where_it_is_or_a_third_from_the_top(twenty: Items) -> None:
    twenty.scroll.show(18)
    assert twenty.show() == "17 18 19 20"
    twenty.scroll.show(9)
    assert twenty.show() == "8 9 10 11"
    twenty.scroll.show(1)
    assert twenty.show() == "1 2 3 4"


def test_an_item_of_many_rows_is_scrolled_through() -> None:
    items = Items(1, 3)
    items.scroll.one_row = False
    items.tall = {2: 6}
    assert items.show() == "2... 2.... 2..... 3"
    items.scroll.move("up")
    assert items.show() == "2.. 2... 2.... 2....."
    items.scroll.move("page up")
    assert items.show() == "1 2 2. 2.."


def test_nothing_says_why() -> None:
    items = Items(1, 0)
    items.scroll.empty = [("text", "no lines")]
    assert items.show() == "no lines"
    for command in COMMANDS:
        items.scroll.move(command)
    assert items.show() == "no lines"


def test_only_what_is_seen_is_looked_at() -> None:
    items = Items(1, 100_000)
    items.show()
    items.scroll.move("first")
    items.show()
    assert items.looked_at <= 2 * HEIGHT


def test_the_wheel_scrolls_and_a_click_does_not(twenty: Items) -> None:
    assert twenty.scroll.pressed(4, 0)
    assert twenty.show() == "14 15 16 17"
    assert twenty.scroll.pressed(5, 0)
    assert twenty.show() == "17 18 19 20"
    assert not twenty.scroll.pressed(1, 0)


@given(
    st.lists(
        st.sampled_from([*COMMANDS, "add", "drop", "older", "stay", "small", "tall"]), max_size=40
    )
)
def test_whatever_happens_the_screen_is_full_and_in_order(steps: list[str]) -> None:
    items = Items(100, 120)
    items.scroll.one_row = False
    height = HEIGHT
    for step in steps:
        before = items.show(height).split()
        last = items.numbers[-1]
        if step == "add":
            items.numbers.append(last + 1)
        elif step == "drop":
            del items.numbers[: max(0, min(3, len(items.numbers) - 10))]
        elif step == "older":
            items.numbers.insert(0, items.numbers[0] - 1)
        elif step == "stay":
            items.scroll.stay()
        elif step == "tall":
            items.tall[last] = 3
        elif step == "small":
            height = 3 if height == HEIGHT else HEIGHT
        else:
            items.scroll.move(step)
        shown = items.show(height).split()
        numbers = [int(one.rstrip(".")) for one in shown]
        assert len(shown) == height - 1
        assert numbers == sorted(numbers)
        assert len(set(shown)) == len(shown)
        if step in ("add", "older") and not items.scroll.follows:
            assert shown == before
        if items.scroll.follows:
            assert numbers[-1] == items.numbers[-1]
