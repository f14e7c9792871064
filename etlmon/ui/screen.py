"""The whole screen as one widget: tabs, the view, a panel for a question, the keys of now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import urwid
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from etlmon.client.http import ClientError
from etlmon.contract.endpoint import Endpoint
from etlmon.ui.format import visible
from etlmon.ui.frame import Tab, key_line, node_tabs, notice, tab_at, tab_line, view_tabs
from etlmon.ui.keys import EVERYWHERE, FILTER, QUESTION, Place, command_of, rest_of
from etlmon.ui.session import Held, Session, Want
from etlmon.ui.views.base import TableView, View
from etlmon.ui.views.help import HelpView
from etlmon.ui.views.nodes import judged
from etlmon.ui.widgets.box import Box
from etlmon.ui.widgets.line import Piece, lines_canvas


class Screen(Box):
    """Sessions and views, one of each on the screen; keys become commands here."""

    log = Logger()

    def __init__(
        self,
        sessions: Sequence[Session],
        views: Sequence[View],
        *,
        node: int,
        view: int,
        quit: Callable[[], None],  # noqa: A002 - the word for it
    ) -> None:
        super().__init__()
        self.sessions = sessions
        self.views = views
        self.redraw_all: Callable[[], None] = lambda: None
        self.to_draw: Callable[[bool], None] = lambda _: None
        """Called when something but a key has changed the screen; True if it is not to wait."""
        self._node = node
        self._view = view
        self._stack: list[View] = []
        self._shown = self.view
        self._quit = quit
        self._message: Piece = ("message", "")
        self._question: tuple[str, Callable[[], None]] | None = None
        self._filtering = False
        self._awaited: dict[Want, Held] = {}
        self._asked: Piece | None = None
        self._status: object = None
        self._last_defect = ""
        self._body = (0, 0)
        for session in sessions:
            session.changed = self._session_changed
        self._enter()

    @property
    def session(self) -> Session:
        """The node on the screen."""
        return self.sessions[self._node]

    @property
    def view(self) -> View:
        """The view on the screen."""
        return self._stack[-1] if self._stack else self.views[self._view]

    # What views may ask for (views.base.Around)

    def open(self, view: View) -> None:
        """Show a view on top of the present one, until it is left."""
        self._stack.append(view)
        self._enter()

    def leave(self) -> None:
        """Leave the view that was opened last."""
        self._stack.pop()
        self._enter()

    def choose(self, session: Session) -> None:
        """Make a node the one on the screen."""
        self._show_node(self.sessions.index(session))

    def ask(self, question: str, on_yes: Callable[[], None]) -> None:
        """Ask for yes or no."""
        self._question = (question, on_yes)
        self.changed()

    def say(self, message: str, style: str = "message") -> None:
        """Show a message until the next key."""
        self._message = (style, visible(message))
        self.changed()
        self.to_draw(True)

    def command(
        self,
        endpoint: Endpoint[Any, Any, Any],
        told: Callable[[Any], str],
        *,
        body: Any = None,
        query: Any = None,
    ) -> None:
        """Give a command to the node on the screen and tell what came of it."""
        session = self.session
        self.send(
            session,
            endpoint,
            lambda answer: self.say(f"{session.name}: {told(answer)}"),
            lambda error: self.say(f"{session.name}: {error}", "critical"),
            body=body,
            query=query,
        )

    def send(
        self,
        session: Session,
        endpoint: Endpoint[Any, Any, Any],
        answered: Callable[[Any], None],
        failed: Callable[[ClientError], None],
        *,
        body: Any = None,
        query: Any = None,
    ) -> None:
        """Give a command to a node, and one of the two what came of it."""

        async def give() -> None:
            try:
                try:
                    answer = await session.command(endpoint, body, query)
                except ClientError as error:
                    failed(error)
                else:
                    answered(answer)
                if self.view.is_alone:
                    self.view.update(self.session)
                    self.changed()
                    self.to_draw(True)
            except Exception as error:
                self.trouble(error)

        Deferred.fromCoroutine(give())

    def trouble(self, error: BaseException) -> None:
        """Tell of a defect of this program; the log has the rest, once if it comes again."""
        defect = f"{type(error).__name__}: {error}"
        if defect != self._last_defect:
            self._last_defect = defect
            self.log.failure("A defect of the screen.", Failure(error))
        self._message = ("critical", visible(f"Defect: {defect}. The log has the rest."))
        self.changed()

    # Keys and mouse

    def keypress(self, size: Any, key: str) -> str | None:
        """Do what a key commands; whatever goes wrong with it is told and survived."""
        self._message = ("message", "")
        self.changed()
        try:
            handled = self._press(key)
        except Exception as error:
            self.trouble(error)
            return None
        return None if handled else key

    def _press(self, key: str) -> bool:
        if self._question is not None:
            return self._answer(command_of(key, QUESTION))
        if self._filtering:
            return self._write_filter(key)
        command = command_of(key, *self._places())
        if self.view.is_alone:
            view = self.view
            handled = view.write(key) if command is None else view.run(command, self)
            view.update(self.session)
            return handled
        if command is None:
            return False
        if command == "node by number":
            return self._show_node(int(key) - 1)
        return self._do(command) or self._run(command)

    def _answer(self, command: str | None) -> bool:
        question, self._question = self._question, None
        if command == "yes" and question is not None:
            question[1]()
        elif command is None:
            self._question = question
        return True

    def _do(self, command: str) -> bool:
        """Do what is the same everywhere."""
        if command == "quit":
            self._quit()
        elif command == "help":
            if not isinstance(self.view, HelpView):
                self.open(HelpView())
        elif command in ("next view", "previous view"):
            step = 1 if command == "next view" else -1
            self._show_view((self._view + step) % len(self.views))
        elif command in ("next node", "previous node"):
            step = 1 if command == "next node" else -1
            self._show_node((self._node + step) % len(self.sessions))
        elif command == "refresh":
            self._await_answers()
            self.session.refresh()
            self.say(f"Asking {self.session.name} ...")
            self._asked = self._message
        elif command == "redraw":
            self.redraw_all()
        elif command == "back" and self._stack:
            self.leave()
        elif command == "filter" and isinstance(self.view, TableView):
            self._filtering = True
        elif command == "back" and isinstance(self.view, TableView):
            self._set_filter("")
        else:
            return False
        return True

    def _run(self, command: str) -> bool:
        wants = self.view.wants
        handled = self.view.run(command, self)
        if self.view.wants != wants:
            self._enter()
        return handled

    def _write_filter(self, key: str) -> bool:
        table = self.view.table if isinstance(self.view, TableView) else None
        command = command_of(key, FILTER)
        if table is None or command == "done":
            self._filtering = False
        elif command == "back":
            self._filtering = False
            self._set_filter("")
        elif command == "shorten":
            self._set_filter(table.filter[:-1])
        elif command == "clear":
            self._set_filter("")
        elif command is not None:
            table.move(command)
        elif len(key) == 1 and key.isprintable():
            self._set_filter(table.filter + key)
        else:
            return False
        return True

    def _set_filter(self, text: str) -> None:
        if isinstance(self.view, TableView):
            self.view.table.filter = text
            self.view.table.arrange()

    def mouse_event(
        self, size: Any, event: str, button: int, col: int, row: int, focus: bool
    ) -> bool:
        """Give clicks and the wheel to the view under the pointer; tabs are chosen by click."""
        if not event.endswith("mouse press") or self._question is not None or self.view.is_alone:
            return False
        top, height = self._body
        if row < min(top, 2) and button == 1:
            self.changed()
            if row == 0:
                place = tab_at(self._node_tabs(), self._node, col, size[0])
                return place is not None and self._show_node(place)
            place = tab_at(self._view_tabs(), self._seen_tab, col, size[0])
            return place is not None and self._show_view(place)
        if top <= row < top + height:
            self.changed()
            return self.view.widget.pressed(button, row - top)
        return False

    # Moving between nodes and views

    def _show_node(self, place: int) -> bool:
        if not 0 <= place < len(self.sessions):
            self.say(f"There is no node {place + 1}.")
            return True
        if place != self._node:
            self.session.want(())
            self._node = place
            self._enter()
        return True

    def _show_view(self, place: int) -> bool:
        if place < len(self.views):  # what follows the tabs is the trail
            self._view = place
            self._stack.clear()
            self._enter()
        return True

    def _enter(self) -> None:
        """Show what is chosen now: say what is wanted, and what is there already."""
        self._filtering = False
        if self._shown is not self.view:
            self._shown.left()
            self._shown = self.view
        self._await_answers()
        self.session.want(self.view.wants)
        self.view.update(self.session)
        self.changed()

    def _await_answers(self) -> None:
        """Note what a key has asked for: the answer to it is drawn at once."""
        self._awaited = {want: self.session.held(want) for want in self.view.wants}

    def _is_answer(self) -> bool:
        return bool(self._awaited) and all(
            self.session.held(want) is not before for want, before in self._awaited.items()
        )

    def _session_changed(self, session: Session) -> None:
        try:
            self.view.update(self.session)
        except Exception as error:
            self.trouble(error)
        is_answer = self._is_answer()
        if is_answer:
            self._awaited = {}
            if self._message is self._asked:
                self._message = ("message", "")
        self.changed()
        self.to_draw(is_answer or self.status() != self._status)

    def look_at_clock(self) -> None:
        """Have it drawn if time alone has changed what is to be seen: answers have grown old."""
        if self.view.moves:
            self.view.update(self.session)
        if self.view.moves or self.status() != self._status:
            self.changed()
            self.to_draw(False)

    # Drawing

    def draw(self, width: int, height: int) -> urwid.Canvas:
        """Draw everything into a terminal of any size, even 1 by 1."""
        self._status = self.status()
        above = [
            tab_line(self._node_tabs(), self._node, width),
            tab_line(self._view_tabs(), self._seen_tab, width),
        ]
        wrong = self._notice()
        if wrong:
            above.append(wrong)
        below = [self._panel(), self._footer(width)]
        if height < len(above) + len(below) + 3:
            above, below = above[:1], below[:1]
        if height < 4:
            above, below = [], below[: max(0, height - 1)]
        rows = max(1, height - len(above) - len(below))
        self._body = (len(above), rows)
        parts: list[tuple[urwid.Canvas, None, bool]] = []
        if above:
            parts.append((lines_canvas(above, width), None, False))
        parts.append((self._draw_view(width, rows), None, True))
        if below:
            parts.append((lines_canvas(below, width), None, False))
        return urwid.CanvasCombine(parts)

    def _draw_view(self, width: int, rows: int) -> urwid.Canvas:
        try:
            return self.view.widget.render((width, rows), focus=True)
        except Exception as error:
            self.trouble(error)
            return lines_canvas([[]] * rows, width)

    def status(self) -> object:
        """Give how the nodes are, and what is said of the one on the screen."""
        return [judged(session) for session in self.sessions], self._notice()

    def _node_tabs(self) -> list[Tab]:
        return node_tabs(self.sessions, self._node)

    def _view_tabs(self) -> list[Tab]:
        return view_tabs(self.views, self._view, self._stack)

    @property
    def _seen_tab(self) -> int:
        """The tab that must have room: that of the view, or what stands for all opened over it."""
        return len(self.views) if self._stack else self._view

    def _notice(self) -> list[Piece]:
        return notice(self.session, self.view.wants)

    def _panel(self) -> list[Piece]:
        """The line above the keys: a question, the filter, or a message."""
        if self._question is not None:
            return [("message", f" {self._question[0]} "), ("key", "y"), ("text", "/n")]
        table = self.view.table if isinstance(self.view, TableView) else None
        if table is not None and (self._filtering or table.filter):
            cursor = "\u2588" if self._filtering else ""
            text = f"/{visible(table.filter)}{cursor}"
            rows = f"  {table.shown_rows} row{'' if table.shown_rows == 1 else 's'}"
            style, said = self._message
            return [("message", f" {text}"), ("dim", rows), (style, f"  {said}" if said else "")]
        style, text = self._message
        if not text and self.view.prompt():
            return list(self.view.prompt())
        if not text and isinstance(self.view, TableView) and self.view.table.chosen is not None:
            style, text = self.view.remark(self.view.table.chosen) or ("text", "")
        return [(style, f" {text}")]

    def _footer(self, width: int) -> list[Piece]:
        """The keys that hold now, as many as have room; help has all of them."""
        places = self._places()
        if self._question is not None:
            places = (QUESTION,)
        elif self._filtering:
            places = (FILTER,)
        return key_line(places, self._can, width)

    def _places(self) -> tuple[Place, ...]:
        """Give where the keys are that hold in the view."""
        own = self.view.places
        return own if self.view.is_alone else (*own, rest_of(EVERYWHERE, own))

    def _can(self, command: str) -> bool:
        """Say whether a command would do anything now."""
        if command == "next node":
            return len(self.sessions) > 1
        if self._question is not None or self._filtering or (command == "back" and self._stack):
            return True
        return self.view.can(command)
