"""Help: the key table as text."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.ui.keys import PLACES, shown
from etlmon.ui.session import Session
from etlmon.ui.views.base import DetailView
from etlmon.ui.widgets.line import Piece


class HelpView(DetailView):
    """Every key, by where it holds."""

    title = "Help"

    def lines(self, session: Session) -> Sequence[Sequence[Piece]]:
        """Give a line for each command."""
        lines: list[list[Piece]] = [[("title", "Keys")]]
        for place in PLACES:
            lines += [[], [("heading", place.name)]]
            for key in place.keys:
                names = [shown(name) for name in key.keys]
                text = f"{names[0]} to {names[-1]}" if len(names) > 4 else "  ".join(names)
                lines.append([("key", f"  {text.ljust(22)}"), ("text", f" {key.help}")])
        glyphs = "\u2713 well   ! look at it   \u2717 bad   ~ no fresh answer   \u2026 under way"
        return [*lines, [], [("heading", "Glyphs")], [("text", f"  {glyphs}")]]
