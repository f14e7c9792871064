"""The files of one log, shown together: what they are called, and how they stand."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

import msgspec

from etlmon.records.log import LogFile
from etlmon.ui.format import format_bytes, text_width, visible
from etlmon.ui.views.states import severity, state_piece
from etlmon.ui.widgets.line import Piece, cut, fit

_MOST_COLUMNS = 20


def short_names(files: Sequence[LogFile]) -> dict[str, str]:
    """Give a name for each path, all equally wide: what tells the files of one log apart.

    Empty for one file alone.
    """
    if len(files) < 2:
        return {}
    common = posixpath.commonpath([posixpath.dirname(file.path) for file in files])
    names = {file.path: visible(posixpath.relpath(file.path, common)) for file in files}
    width = min(_MOST_COLUMNS, max(map(text_width, names.values())))
    return {path: fit(cut(name, width, keep_end=True), width) for path, name in names.items()}


def together(files: Sequence[LogFile]) -> LogFile | None:
    """Give the files as one: the worst state, the sums; None for none."""
    if not files:
        return None
    worst = min(files, key=lambda file: severity(file.state))
    lags = [file.lag_bytes for file in files if file.lag_bytes is not None]
    return msgspec.structs.replace(
        worst,
        lag_bytes=sum(lags) if lags else None,
        gaps=sum(file.gaps for file in files),
    )


def standing_pieces(file: LogFile) -> list[Piece]:
    """Give how a file stands: its state, why, what waits to be read, and gaps."""
    pieces: list[Piece] = [state_piece(file.state), ("text", "  ")]
    if file.error_message is not None:
        pieces.append(("warning", f"{visible(file.error_message)}  "))
    if file.lag_bytes is not None:
        pieces.append(("text", f"lag {format_bytes(file.lag_bytes)}  "))
    pieces.append(("warning" if file.gaps else "dim", f"gaps {file.gaps:,}  "))
    return pieces
