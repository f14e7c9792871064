"""States as people see them: a glyph, a word and a style, always together."""

from __future__ import annotations

from etlmon.ui.format import visible
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
    "following": ("\u2713", "following", "ok"),
    "paused": ("\u2016", "paused", "warning"),
    "down": ("\u2717", "down", "critical"),
    "low": ("!", "low", "warning"),
    "high": ("!", "high", "warning"),
    "young": ("!", "young", "warning"),
    "interrupted": ("\u2717", "interrupted", "critical"),
    "begun": ("\u2026", "begun", "text"),
    "SCANNING": ("\u2026", "scanning", "text"),
    "running": ("\u2026", "running", "text"),
    "arrived": ("\u2713", "arrived", "ok"),
    "late": ("\u2717", "late", "critical"),
    "empty": ("\u2717", "empty", "critical"),
    "small": ("\u2717", "too small", "critical"),
    "unknown": ("?", "unknown", "warning"),
    "done": ("\u2713", "done", "ok"),
    "partial": ("!", "partial", "warning"),
    "failed": ("\u2717", "failed", "critical"),
    "cancelled": ("-", "cancelled", "dim"),
    "waiting": ("\u2026", "waiting", "dim"),
    "connecting": ("\u2026", "connecting", "dim"),
    "hidden": ("-", "hidden", "dim"),
    # of transfers
    "complete": ("\u2713", "complete", "ok"),
    "incomplete": ("\u2717", "incomplete", "critical"),
    "unparsed": ("?", "unparsed", "warning"),
    "broken": ("?", "broken", "warning"),
    "gap": ("!", "gap", "warning"),
    "truncated": ("!", "cut off", "warning"),
    "nul_run": ("!", "NUL bytes", "warning"),
    "landed": ("\u2713", "landed", "ok"),
    "pending": ("\u2026", "pending", "text"),
    "overwritten": ("!", "overwritten", "warning"),
    "vanished": ("\u2717", "vanished", "critical"),
    "ambiguous": ("?", "ambiguous", "warning"),
    # of crontabs and jobs
    "active": ("\u2713", "active", "ok"),
    "planned": ("\u2713", "planned", "ok"),
    "ignored": ("\u2717", "ignored", "critical"),
    "missed": ("\u2717", "missed", "critical"),
    "overlap": ("!", "overlap", "warning"),
    "never": ("!", "never", "warning"),
    "blocked": ("!", "blocked", "warning"),
}

_ORDER = ("critical", "warning", "text", "ok", "dim")


def state_piece(state: str) -> Piece:
    """Give a state's glyph and word; one that is not known is shown as it is."""
    glyph, word, style = _STATES.get(state, ("?", visible(state), "text"))
    return style, f"{glyph} {word}"


def state_style(state: str) -> str:
    """Give the style of a state: ``ok``, ``warning``, ``critical``, or ``text`` if not known."""
    return _STATES.get(state, ("", "", "text"))[2]


def severity(state: str) -> int:
    """Give how soon a state should be seen: 0 is the worst, and one that is not known is next."""
    return _ORDER.index(state_style(state))
