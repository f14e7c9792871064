"""States as people see them: a glyph, a word and a style, always together."""

from __future__ import annotations

from etlmon.ui.widgets.line import Piece

_STATES: dict[str, tuple[str, str, str]] = {
    # state: glyph, word, style
    "ok": ("\u2713", "ok", "ok"),
    "OK": ("\u2713", "ok", "ok"),
    "online": ("\u2713", "online", "ok"),
    "warning": ("!", "warning", "warning"),
    "PARTIAL": ("!", "partial", "warning"),
    "degraded": ("!", "degraded", "warning"),
    "refused": ("!", "refused", "warning"),
    "stale": ("~", "stale", "warning"),
    "critical": ("\u2717", "critical", "critical"),
    "ERROR": ("\u2717", "error", "critical"),
    "error": ("\u2717", "error", "critical"),
    "offline": ("\u2717", "offline", "critical"),
    "SCANNING": ("\u2026", "scanning", "text"),
    "running": ("\u2026", "running", "text"),
    "waiting": ("\u2026", "waiting", "dim"),
    "connecting": ("\u2026", "connecting", "dim"),
    "hidden": ("-", "hidden", "dim"),
}


def state_piece(state: str) -> Piece:
    """Give a state's glyph and word; one that is not known is shown as it is."""
    glyph, word, style = _STATES.get(state, ("?", state, "text"))
    return style, f"{glyph} {word}"
