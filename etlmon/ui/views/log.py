"""One log: its newest lines as they come, older ones on demand, searched and marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from etlmon.client.http import ClientError
from etlmon.patterns import Pattern
from etlmon.records.log import LogFile, LogLine
from etlmon.ui.feed import LogFeed
from etlmon.ui.format import format_moment, visible
from etlmon.ui.keys import LOG, PROMPT, Place
from etlmon.ui.logtext import TIME_FORMATS, TIME_WORDS, LineStyle
from etlmon.ui.moments import EXAMPLES, read_moment
from etlmon.ui.session import Session, Want
from etlmon.ui.views.base import Around, View, when
from etlmon.ui.views.logfiles import short_names, standing_pieces, together
from etlmon.ui.widgets.line import Piece, cut
from etlmon.ui.widgets.scroll import Scroll

_MOST_LETTERS = 1_000
_MOST_TITLE_COLUMNS = 40
_SHIFT_COLUMNS = 20
_MOST_SHIFT_COLUMNS = 128 << 10
_BACK_AGAIN_SECONDS = 10.0
"""How long it is told that the stream goes on after a break."""


class LogView(View):
    """The lines of a log, or of one file of it.

    It follows the newest lines until it is moved upwards, frozen, or told to stay.
    """

    least_between_draws_seconds = 0.1

    def __init__(
        self,
        name: str,
        path: str | None,
        want: Want,
        switch: Callable[[Around, LogFile], None],
    ) -> None:
        self._name = name
        self._path = path
        self._is_all = path is None
        """Whether the lines of all files of the log are shown."""
        self._want = want
        self._switch = switch
        self._feed: LogFeed | None = None
        self._file: LogFile | None = None
        self._style = LineStyle()
        self._only = False
        self._seen_lines = 0
        self._prompt: str | None = None
        """What is being asked for: ``/`` a pattern, ``:`` a time; None while nothing is written."""
        self._written = ""
        self._note: Piece = ("text", "")
        self.widget = self.scroll = Scroll[LogLine](
            lambda: () if self._feed is None else self._feed.shown.lines,
            lambda line: line.id,
            self._style.rows,
        )
        self.scroll.drawn = self._drawn

    @property
    def title(self) -> str:  # type: ignore[override]
        """The log, and the file if it is shown alone."""
        return visible(self._name if self._is_all else f"{self._name}: {self._path}")

    @property
    def places(self) -> tuple[Place, ...]:  # type: ignore[override]
        """The keys of a log, or those of its prompt."""
        return (LOG,) if self._prompt is None else (PROMPT,)

    @property
    def is_alone(self) -> bool:  # type: ignore[override]
        """Whether something is being written."""
        return self._prompt is not None

    @property
    def moves(self) -> bool:
        """Ages grow, and what is told of the stream goes away."""
        return True

    @property
    def wants(self) -> tuple[Want, ...]:
        """How far the log is read."""
        return (self._want,)

    def update(self, session: Session) -> None:
        """Follow the log of this node; show how it stands."""
        feed = self._feed
        if feed is None or feed.session is not session:
            self.left()
            feed = self._begin(session)
        feed.open()
        self._style.now = session.now
        self._find_files(session)
        self.scroll.empty = [("text", self._why_nothing(session, feed))]
        self._look_ahead(feed)
        self.scroll.changed()

    def _begin(self, session: Session) -> LogFeed:
        """Follow the log, or the file, of a node from its newest lines on."""
        path = None if self._is_all else self._path
        feed = self._feed = LogFeed(session, self._name, path)
        feed.regex = self._regex if self._only else None
        feed.failed = self._failed
        self.scroll.follows = True
        self._style.current_id = None
        self._seen_lines = 0
        return feed

    def left(self) -> None:
        """Close the stream; what has come stays, and it goes on after that."""
        if self._feed is not None:
            self._feed.close()

    def can(self, command: str) -> bool:
        """Search on if something is searched for; shift back what is shifted."""
        if command in ("next match", "only matches"):
            return self._style.pattern is not None
        if command == "all files":
            return self._path is not None
        return command != "switch" or self._file is not None

    def run(self, command: str, around: Around) -> bool:
        """Do what a key asks for."""
        feed = self._feed
        if feed is None:
            return False
        self._note = ("text", "")
        feed.may_ask = True
        if self._prompt is not None:
            return self._run_prompt(command, feed)
        handled = self._do(command, feed, around)
        self._look_ahead(feed)
        self.scroll.changed()
        return handled

    def _do(self, command: str, feed: LogFeed, around: Around) -> bool:
        if self.scroll.move(command):
            if command == "last":
                feed.to_tail()
            return True
        if command == "follow":
            self._follow(feed, not (self.scroll.follows and feed.is_at_tail))
        elif command == "freeze":
            self._freeze(feed)
        elif command == "switch":
            if self._file is not None:
                self._switch(around, self._file)
        elif command in ("search", "jump"):
            self._prompt = "/" if command == "search" else ":"
            self._written = ""
        elif command in ("next match", "previous match"):
            self._search_on(feed, newer=command == "next match")
        elif command == "only matches":
            self._toggle_only(feed)
        elif command == "all files":
            if self._path is not None:
                self._toggle_files(feed)
        else:
            return self._change_style(command)
        return True

    def _toggle_files(self, feed: LogFeed) -> None:
        """Show all files of the log or one, at the place where it was."""
        place = self._place
        feed.close()
        self._is_all = not self._is_all
        other = self._begin(feed.session)
        other.open()
        self._find_files(feed.session)
        if place is not None:
            other.go_to(place, self._gone_to)

    def _change_style(self, command: str) -> bool:
        """Do what changes only how lines look; False for another command."""
        style = self._style
        if command == "time format":
            style.time = TIME_FORMATS[(TIME_FORMATS.index(style.time) + 1) % len(TIME_FORMATS)]
            self._note = ("message", f"Time: {TIME_WORDS[style.time]}.")
        elif command == "wrap":
            style.wraps = not style.wraps
            style.shift = 0
            self.scroll.one_row = not style.wraps
        elif command in ("shift right", "shift left"):
            step = _SHIFT_COLUMNS if command == "shift right" else -_SHIFT_COLUMNS
            style.wraps = False
            self.scroll.one_row = True
            style.shift = max(0, min(_MOST_SHIFT_COLUMNS, style.shift + step))
        elif command == "shift to start":
            style.shift = 0
        else:
            return False
        return True

    # Following

    def _follow(self, feed: LogFeed, follows: bool) -> None:
        if follows:
            feed.to_tail()
            self.scroll.move("last")
        else:
            self.scroll.stay()

    def _freeze(self, feed: LogFeed) -> None:
        if not feed.is_frozen:
            feed.freeze()
            self._seen_lines = feed.heard_lines
        elif self.scroll.follows:
            feed.to_tail()
        else:
            feed.is_frozen = False
            feed.newer()

    def _drawn(self) -> None:
        """Note that what has come is on the screen, if it is; say how things stand."""
        feed = self._feed
        if feed is not None:
            feed.seen()
            if self.scroll.is_at_end and feed.is_at_tail:
                self._seen_lines = feed.heard_lines
            self.scroll.heading = self._heading(feed)

    def _look_ahead(self, feed: LogFeed) -> None:
        """Tell the feed what is on the screen, and ask for what will be next."""
        scroll = self.scroll
        feed.keep_id = None if scroll.follows else scroll.top_number
        if not scroll.follows and scroll.is_near_start():
            feed.older()
        if not feed.is_at_tail and scroll.is_near_end():
            feed.newer()

    # What is searched for

    @property
    def _regex(self) -> str | None:
        pattern = self._style.pattern
        return None if pattern is None else pattern.text

    def write(self, key: str) -> bool:
        """Take a letter for the prompt."""
        if len(key) != 1 or not key.isprintable():
            return False
        self._note = ("text", "")
        if len(self._written) < _MOST_LETTERS:
            self._written += key
        return True

    def prompt(self) -> Sequence[Piece]:
        """Give what is written, or what is searched for, and what there is to say about it."""
        style, said = self._note
        note = (style, f"  {said}" if said else "")
        if self._prompt is not None:
            if self._prompt == ":" and not said:
                note = ("dim", f"  {EXAMPLES}")
            return [("message", f" {self._prompt}{visible(self._written)}\u2588"), note]
        if self._regex is not None:
            only = "  only matches" if self._only else ""
            return [("message", f" /{visible(self._regex)}"), ("dim", only), note]
        return [(style, f" {said}")] if said else ()

    def _run_prompt(self, command: str, feed: LogFeed) -> bool:
        if command == "back":
            self._prompt = None
        elif command == "shorten":
            self._written = self._written[:-1]
        elif command == "clear":
            self._written = ""
        elif command == "done":
            try:
                if self._prompt == "/":
                    self._search(feed)
                else:
                    self._jump(feed)
            except ValueError as error:
                self._note = ("critical", visible(str(error)))
            else:
                self._prompt = None
        return True

    def _search(self, feed: LogFeed) -> None:
        """Mark what matches and go to the newest of it; raise ValueError for no pattern."""
        was_only, self._only = self._only, self._only and bool(self._written)
        self._style.current_id = None
        if not self._written:
            self._style.pattern = None
            if was_only:
                self._filter(feed)
            return
        try:
            self._style.pattern = Pattern(self._written)
        except ValueError:
            self._only = was_only
            raise
        if self._only:
            self._filter(feed)
        elif not any(map(self._style.matches, self.scroll.visible_items())):
            self._search_on(feed, newer=False)

    def _search_on(self, feed: LogFeed, *, newer: bool) -> None:
        """Go to the next match after the one that was gone to last, or after the screen's first."""
        regex = self._regex
        if regex is None:
            self._note = ("message", "There is nothing searched for: / begins a search.")
            return
        begin = self._style.current_id
        shown = self.scroll.visible_items()
        if begin is None and shown:
            begin = shown[0].id - 1 if newer else shown[-1].id + 1

        def found(line_id: int | None) -> None:
            if line_id is None:
                self._note = ("message", f"No {'newer' if newer else 'older'} line matches.")
            else:
                self._note = ("text", "")
                self._style.current_id = line_id
                feed.go_to(line_id, self._gone_to)

        self._note = ("dim", "searching ...")
        feed.find(regex, begin, newer=newer, told=found)

    def _toggle_only(self, feed: LogFeed) -> None:
        if self._style.pattern is None:
            self._note = ("message", "There is nothing searched for: / begins a search.")
            return
        self._only = not self._only
        self._filter(feed)

    def _filter(self, feed: LogFeed) -> None:
        """Show only matches or all lines, at the place where it was."""
        place = self._place
        feed.filter(self._regex if self._only else None)
        self.scroll.follows = True
        self._seen_lines = feed.heard_lines
        if place is not None:
            feed.go_to(place, self._gone_to)

    @property
    def _place(self) -> int | None:
        """The line that is looked at; None where the newest are followed."""
        line_id = self._style.current_id or self.scroll.top_number
        return None if self.scroll.follows else line_id

    def _jump(self, feed: LogFeed) -> None:
        """Go to a time; raise ValueError for what is none."""
        moment = read_moment(self._written, feed.session.now)

        def found(line_id: int | None) -> None:
            if line_id is None:
                self._note = ("message", f"No line was read since {format_moment(moment)}.")
                self._follow(feed, follows=True)
            else:
                self._note = ("text", "")
                feed.go_to(line_id, self._gone_to)

        self._note = ("dim", f"going to {format_moment(moment)} ...")
        feed.find_time(moment, found)

    def _gone_to(self, line_id: int | None) -> None:
        if line_id is not None:
            self.scroll.show(line_id)

    def _failed(self, error: ClientError) -> None:
        self._note = ("critical", visible(str(error)))

    # What stands above the lines

    def _find_files(self, session: Session) -> None:
        """Find how what is shown stands, and what its files are called."""
        held: Sequence[LogFile] = session.held(self._want).value or ()
        files = [
            file
            for file in held
            if file.name == self._name and (self._is_all or file.path == self._path)
        ]
        self._file = together(files)
        self._style.names = short_names(files)

    def _heading(self, feed: LogFeed) -> list[Piece]:
        news = max(0, feed.heard_lines - self._seen_lines)
        title = cut(self.title, _MOST_TITLE_COLUMNS, keep_end=True)  # how things stand has its room
        line: list[Piece] = [("title", f"{title}  ")]
        if feed.is_frozen:
            line.append(("warning", f"\u2016 frozen, {news:,} new  "))
        elif self.scroll.follows and feed.is_at_tail:
            line.append(("ok", "\u25b8 follow  "))
        else:
            line.append(("message", f"\u2016 stays, {news:,} new  " if news else "\u2016 stays  "))
        line.extend(self._of_stream(feed))
        if self._file is not None:
            line += standing_pieces(self._file)
        if feed.is_asking:
            line.append(("dim", "\u2026 asking  "))
        if self._style.shift:
            line.append(("dim", f"from column {self._style.shift + 1}  "))
        return line

    def _of_stream(self, feed: LogFeed) -> list[Piece]:
        now = feed.session.now
        if feed.trouble is not None:
            again = when(feed.retry_at, now)[1]
            told = visible(str(feed.trouble))
            return [("critical", f"\u2717 stream lost, again at {again}: {told}  ")]
        if feed.found_again_at is not None:
            if (now - feed.found_again_at).total_seconds() < _BACK_AGAIN_SECONDS:
                return [("ok", "\u2713 stream is back, nothing left out  ")]
            feed.found_again_at = None
        return []

    def _why_nothing(self, session: Session, feed: LogFeed) -> str:
        if feed.trouble is not None:
            return visible(str(feed.trouble))
        if not feed.has_begun:
            return f"Asking {visible(session.address)} ..."
        return "No line matches." if self._only else "No lines yet: they are shown as they come."
