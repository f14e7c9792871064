"""What a view is, and what it may ask of the screen around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from etlmon.client.http import ClientError
from etlmon.contract.endpoint import Endpoint
from etlmon.ui.format import format_moment, visible
from etlmon.ui.keys import DETAIL, TABLE, Place
from etlmon.ui.session import Held, Session, Want
from etlmon.ui.widgets.box import Box
from etlmon.ui.widgets.line import Piece
from etlmon.ui.widgets.lines import Lines
from etlmon.ui.widgets.table import Table


class Around(Protocol):
    """The screen around a view: the only way by which a view brings something about."""

    @property
    def session(self) -> Session:
        """The node on the screen."""

    def open(self, view: View) -> None:
        """Show a view in place of this one, until it is left."""

    def leave(self) -> None:
        """Leave the view that was opened last."""

    def choose(self, session: Session) -> None:
        """Make a node the one on the screen."""

    def ask(self, question: str, on_yes: Callable[[], None]) -> None:
        """Ask for yes or no; ``on_yes`` is called at yes."""

    def say(self, message: str) -> None:
        """Show a message until the next key."""

    def command(
        self,
        endpoint: Endpoint[Any, Any, Any],
        told: Callable[[Any], str],
        *,
        body: Any = None,
        query: Any = None,
    ) -> None:
        """Give a command to the node on the screen; ``told`` puts the answer into words."""

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


class View:
    """A screen. ``update`` brings its widgets up to date; ``run`` does a command of its keys."""

    title = ""
    places: tuple[Place, ...] = ()
    """Where its keys are, beside those that hold everywhere; the first that knows a key has it."""
    widget: Box
    is_alone = False
    """Whether it has keys and mouse to itself: those that hold everywhere do not hold in it."""
    least_between_draws_seconds = 0.5
    """How often it is drawn at most for new data; what answers a key is drawn at once."""

    @property
    def moves(self) -> bool:
        """Whether time alone changes what it shows."""
        return False

    @property
    def wants(self) -> tuple[Want, ...]:
        """The answers that it shows."""
        return ()

    def update(self, session: Session) -> None:
        """Show what the session holds now."""

    def can(self, command: str) -> bool:
        """Say whether a command of its keys would do anything now; the footer leaves out others."""
        return True

    def run(self, command: str, around: Around) -> bool:
        """Do a command; False if it is not one of this view."""
        return False

    def write(self, key: str) -> bool:
        """Take a key that is no command of a view that ``is_alone``; False if it is no letter."""
        return False

    def prompt(self) -> Sequence[Piece]:
        """Give what stands in the line above the keys as long as there is no message."""
        return ()

    def left(self) -> None:
        """End what was begun for it: it is not on the screen any more. ``update`` begins anew."""


class TableView(View):
    """A view that is a table of one list."""

    places: tuple[Place, ...] = (TABLE,)
    table: Table[Any]

    _now: datetime | None = None

    @property
    def want(self) -> Want:
        """The list that it shows."""
        raise AttributeError(f"{type(self).__name__} shows no list")

    @property
    def wants(self) -> tuple[Want, ...]:
        """The one list."""
        return (self.want,)

    def items(self, session: Session) -> Sequence[Any]:
        """Give the rows of the table."""
        return session.held(self.want).value or ()

    def update(self, session: Session) -> None:
        """Show the rows that the session holds."""
        self._now = session.now
        self.table.empty = self.nothing(session)
        self.table.set_items(self.items(session))

    def _when(self, moment: datetime | None) -> Piece:
        return when(moment, self._now)

    def nothing(self, session: Session) -> str:
        """Say why there are no rows."""
        return why_nothing(session, session.held(self.want), self.empty)

    empty = "Nothing there."

    def remark(self, item: Any) -> Piece | None:
        """Say in a line what is to be known of the chosen row; None if there is nothing."""
        return None

    def detail(self, item: Any) -> View | None:
        """Give the view of one row; None if there is none."""
        return None

    def can(self, command: str) -> bool:
        """Open a row if there is one, end a filter if there is one."""
        if command == "detail":
            return self.table.chosen is not None
        return command != "back" or bool(self.table.filter)

    def run(self, command: str, around: Around) -> bool:
        """Move, sort and open rows."""
        if command == "detail":
            chosen = self.table.chosen
            view = None if chosen is None else self.detail(chosen)
            if view is not None:
                around.open(view)
            return True
        if command == "sort":
            around.say(f"Sorted {self.table.sort_by_next()}.")
            return True
        if command == "reverse":
            self.table.reverse = not self.table.reverse
            self.table.arrange()
            return True
        return self.table.move(command)


class DetailView(View):
    """A view that is text: lines made anew from what the session holds."""

    places: tuple[Place, ...] = (DETAIL,)

    def __init__(self) -> None:
        self.widget = self.text = Lines()

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give the lines to show."""
        raise AttributeError(f"{type(self).__name__} has no lines")

    def update(self, session: Session) -> None:
        """Show the lines of now."""
        self.text.set_lines(self.lines(session))

    def run(self, command: str, around: Around) -> bool:
        """Scroll."""
        return self.text.scroll(command)


def when(moment: datetime | None, now: datetime | None) -> Piece:
    """Give a moment in short: the time if it is of today, else month, day, hour and minute.

    Of another year its day stands for it: without the year it would be taken for one of this.
    """
    if moment is None:
        return "dim", "-"
    text = format_moment(moment)
    today = None if now is None else format_moment(now)[:10]
    if today is None or text[:4] == today[:4]:
        return "text", text[11:] if text[:10] == today else text[5:16]
    return "text", text[:10]


def why_nothing(session: Session, held: Held, empty: str) -> str:
    """Say why there is nothing to show: really nothing, an error, or still asking."""
    if held.received_at is not None:
        return empty
    error = held.error or session.trouble
    return f"Asking {session.address} ..." if error is None else visible(str(error))
