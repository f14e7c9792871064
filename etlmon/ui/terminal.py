"""The terminal as the program uses it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from urwid.display.common import InputClosedError
from urwid.display.escape import PrivateMode
from urwid.display.raw import Screen


class Terminal(Screen):
    """A terminal that tells when it is gone: its window was closed, or its line was cut.

    Otherwise its end would be read again and again, for ever. It wraps no row: one in which it
    takes a character for wider than it is known to be ends at the margin, and spoils no other row.
    """

    lost: Callable[[], None] = staticmethod(lambda: None)

    def _start(self, *args: Any, **kwargs: Any) -> None:
        super()._start(*args, **kwargs)
        self.write(PrivateMode.AUTO_WRAP.disable_seq)
        self.flush()

    def _stop(self) -> None:
        with suppress(OSError):  # it is gone
            self.write(PrivateMode.AUTO_WRAP.enable_seq)
        super()._stop()

    def get_available_raw_input(self) -> list[int]:
        """Give the codes that have been typed; none from a terminal that is gone."""
        try:
            return list(super().get_available_raw_input())
        except (InputClosedError, OSError):
            self.lost()
            return []
