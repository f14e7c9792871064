"""Regular expressions that others have written, on an engine whose time is linear.

Python's own ``re`` can be held for minutes by a few characters, and holds the whole process with
it. RE2 cannot; it knows neither look-around nor back-references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_BYTES = 2 << 20
"""Memory that one pattern may take, compiled and at work."""


class Pattern:
    """A regular expression; equal to any other of the same text."""

    def __init__(self, text: str) -> None:
        """Compile it. Raises ValueError, in words for whoever wrote it, if it is none."""
        # Its import takes 20 ms: only who has patterns pays for it.
        import re2

        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MOST_BYTES
        try:
            # What is looked through is handed over as bytes: no positions need to be counted.
            self._compiled: Any = re2.compile(text, options)
        except re2.error as error:
            why = error.args[0] if error.args else b""
            shown = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
            raise ValueError(shown) from None
        self.text = text

    def finds(self, text: bytes) -> bool:
        """Whether it is found anywhere in ``text``, which is UTF-8."""
        return self._compiled.search(text) is not None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Give where it is found in ``text``: begin and end of each, which do not overlap."""
        return [found.span() for found in self._compiled.finditer(text)]

    def replace(self, text: str, by: Callable[[Any], str]) -> str:
        """Give ``text`` with what ``by`` makes of each match in its place."""
        if not self.finds(text.encode("utf-8", "surrogateescape")):
            return text  # to find nothing by itself takes sub() ten times as long
        replaced: str = self._compiled.sub(by, text)
        return replaced

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)
