"""Processes and what became of them, in words."""

from __future__ import annotations

from collections.abc import Sequence

from etlmon.records.process import ProcessEvent, ProcessSample
from etlmon.ui.format import format_seconds, visible
from etlmon.ui.session import Session, Want
from etlmon.ui.widgets.line import Piece

_LETTERS: dict[str, Piece] = {
    "R": ("ok", "\u2713 running"),
    "S": ("ok", "\u2713 sleeping"),
    "I": ("ok", "\u2713 idle"),
    "D": ("text", "\u2026 on disk"),
    "T": ("warning", "! stopped"),
    "t": ("warning", "! traced"),
    "Z": ("ok", "\u2713 running"),  # its first thread has ended, and others work on
}

_UNUSUAL = ("flapping", "clock_step")


def process_state(item: ProcessSample) -> Piece:
    """Give how a process is, as glyph and word."""
    if item.status != "RUNNING":
        return ("warning", "! zombie") if item.state == "Z" else ("dim", "- ended")
    return _LETTERS.get(item.state or "", ("text", f"? {visible(item.state or 'unknown')}"))


def cpu_text(percent: float | None) -> str:
    """Give CPU in percent of one core."""
    if percent is None:
        return "-"
    return f"{percent:.1f}%" if percent < 9.95 else f"{percent:,.0f}%"


def find_process(
    session: Session, want: Want, identity: str, watch: str | None
) -> ProcessSample | None:
    """Give what a session knows of a process."""
    samples: Sequence[ProcessSample] = session.held(want).value or ()
    mine = [one for one in samples if one.identity == identity]
    return next((one for one in mine if one.watch == watch), mine[0] if mine else None)


def event_piece(event: ProcessEvent) -> Piece:
    """Put an event into words."""
    texts = [event.event.replace("_", " ")]
    if event.replaces_pid is not None:
        texts[0] += f" in place of {event.replaces_pid}"
    if event.runtime_sec is not None:
        texts[0] += f" after {format_seconds(event.runtime_sec)}"
    texts += [visible(text) for text in (event.exit_reason, event.detail) if text]
    return event_style(event), ": ".join(texts)


def event_style(event: ProcessEvent) -> str:
    """Give the style of an event: a failure is to be seen."""
    is_failure = event.exit_signal is not None or bool(event.exit_status)
    return "warning" if is_failure or event.event in _UNUSUAL else "text"
