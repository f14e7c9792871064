"""The lines around the view: the tabs, what is wrong with the node, the keys of now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etlmon.ui.format import visible
from etlmon.ui.keys import Place, shown
from etlmon.ui.views.base import when
from etlmon.ui.views.nodes import causes, judged, storage_trouble
from etlmon.ui.views.states import state_piece
from etlmon.ui.widgets.line import Piece, pieces_width

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from etlmon.ui.session import Session, Want
    from etlmon.ui.views.base import View

Tab = list[Piece]


def node_tabs(sessions: Sequence[Session], chosen: int) -> list[Tab]:
    """Give a tab for each node, with how it is; the chosen one says it in words."""
    tabs: list[Tab] = []
    for place, session in enumerate(sessions):
        is_chosen = place == chosen
        state_style, state = state_piece(judged(session))
        glyph, _, word = state.partition(" ")
        style = "tab chosen" if is_chosen else state_style
        number = f"{place + 1} " if len(sessions) > 1 else ""
        name = f" {number}{glyph} {visible(session.name)} "
        tabs.append([(style, f"{name}{word} " if is_chosen else name)])
    return tabs


def view_tabs(views: Sequence[View], chosen: int, opened: Sequence[View]) -> list[Tab]:
    """Give a tab for each view, and one more for the trail of those opened over the chosen one."""
    tabs: list[Tab] = [
        [("tab chosen" if place == chosen else "tab", f" {view.title} ")]
        for place, view in enumerate(views)
    ]
    if opened:
        trail = " \u203a ".join(view.title for view in opened)
        tabs.append([("title", f" \u203a {trail} ")])
    return tabs


def tab_line(tabs: list[Tab], chosen: int, width: int) -> list[Piece]:
    """Give the line of the tabs, of which the chosen one has room."""
    return _side_by_side(_fitting(tabs, chosen, width))


def tab_at(tabs: list[Tab], chosen: int, column: int, width: int) -> int | None:
    """Give the place of the tab under a column of that line, if there is one."""
    right = 0
    fitting = _fitting(tabs, chosen, width)
    for place, tab in enumerate(fitting, len(tabs) - len(fitting)):
        right += pieces_width(tab)
        if column < right:
            return place
    return None


def notice(session: Session, wants: Iterable[Want]) -> list[Piece]:
    """Say what is wrong with a node, or with an answer of it that is wanted, if anything is."""
    age = ""
    if session.last_seen_at is not None:
        age = f"As of {when(session.last_seen_at, session.now)[1]}: "
    if session.state == "offline":
        again = ""
        if session.retry_at is not None:
            again = f" Next try at {when(session.retry_at, session.now)[1]}."
        return [("critical", f" \u2717 {age}{visible(str(session.trouble))}.{again}")]
    if session.is_stale:
        return [("warning", f" ~ {age}no fresh answer.")]
    health = None if session.health.error is not None else session.health.value
    found = [] if health is None else causes(health)
    more = f" (and {len(found) - 1} more: see Nodes)" if len(found) > 1 else ""
    if health is not None and storage_trouble(health) is not None:
        return [("critical", f" ! {found[0]}{more}")]
    for held in (session.health, *(session.held(want) for want in wants)):
        if held.error is not None:
            seen = held.received_at
            age = f"As of {when(seen, session.now)[1]}: " if seen is not None else ""
            return [("critical", f" ! {age}{visible(str(held.error))}")]
    if not found:
        return []
    return [("warning", f" ! {found[0]}{more}")]


def key_line(places: tuple[Place, ...], can: Callable[[str], bool], width: int) -> list[Piece]:
    """Give the keys of these places whose commands can be done, as many as have room."""
    line: list[Piece] = [("text", " ")]
    for key in (key for place in _leaving_first(places) for key in place.keys):
        if key.short and can(key.command):
            item = [("key", shown(key.keys[0])), ("text", f" {key.short}  ")]
            if pieces_width([*line, *item]) > width + 1:  # the spaces may go
                break
            line += item
    return line


def _fitting(tabs: list[Tab], chosen: int, width: int) -> list[Tab]:
    """Leave out tabs at the left until the chosen one has room."""
    first = 0
    while first < chosen and pieces_width(_side_by_side(tabs[first : chosen + 1])) > width:
        first += 1
    return tabs[first:]


def _side_by_side(tabs: Sequence[Tab]) -> list[Piece]:
    return [piece for tab in tabs for piece in tab]


def _leaving_first(places: tuple[Place, ...]) -> tuple[Place, ...]:
    """Put first how to leave, then what the view alone has."""
    return (places[-1], *places[:-1]) if len(places) > 1 else places
