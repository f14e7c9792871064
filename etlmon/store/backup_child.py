"""The child that makes the copies: a directory that hangs holds up nobody else.

It is run as a program, with its order as an argument, an object in JSON. Now and then it writes a
dot to standard output, and at the end one line: what it has made, or why it has not, in JSON.
SIGTERM, or the end of its parent, lets it give up and leave nothing behind.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_HEARD_EVERY_SECONDS = 0.5
_SPARE_BYTES = 64 << 20
"""Left free on the database's own disk: a copy that fills it would stop the storing for good."""


def keep_copies(order: dict[str, Any], cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Give the newest copy, made now if it was due. Raises StoreError, and OSError."""
    from etlmon.errors import StoreError
    from etlmon.store.backup import back_up, make_place
    from etlmon.store.rotation import COPIED_FROM, KeptCopies, backup_name, made_at, place_of

    directory, database = Path(order["directory"]), Path(order["database"])
    wall_seconds = order["wall_seconds"]
    place = place_of(database, order["node"])
    copies = KeptCopies(directory, order["node"], database, place)
    try:
        make_place(directory)
    except StoreError as error:
        raise StoreError(f"cannot keep copies in {directory}: {error}") from error
    newest = copies.newest(wall_seconds)
    if newest is not None and wall_seconds - made_at(newest.name) < order["every"]:
        return {"path": str(newest), "size_bytes": newest.stat().st_size, "is_new": False}
    target = directory / backup_name(order["node"], wall_seconds)
    made = back_up(
        database,
        target,
        cancelled,
        is_alone=True,
        spare_bytes=_SPARE_BYTES,
        notes={COPIED_FROM: place},
    )
    copies.rotate(order["keep"], wall_seconds)
    return {
        "path": str(target),
        "size_bytes": made.size_bytes,
        "is_new": True,
        "is_mended": made.is_mended,
    }


def _outcome(order: dict[str, Any], given_up: Event, cancelled: Callable[[], bool]) -> object:
    from etlmon.errors import StoreError
    from etlmon.store.damage import is_damage

    try:
        return keep_copies(order, cancelled)
    except OSError as error:
        return {"error": f"cannot keep copies in {order['directory']}: {error.strerror or error}"}
    except StoreError as error:
        if given_up.is_set():
            return {"is_given_up": True}
        return {"error": str(error), "is_damage": is_damage(error)}


def main() -> None:
    """Carry out the order."""
    # The folder that holds etlmon, as the last place to look, where it is not installed.
    sys.path.append(__file__.rsplit("/", 3)[0])
    given_up = Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is the parent's business
    signal.signal(signal.SIGTERM, lambda *_: given_up.set())
    parent = os.getppid()
    told_at = 0.0

    def cancelled() -> bool:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= _HEARD_EVERY_SECONDS:
            told_at = now
            os.write(1, b".\n")
        if os.getppid() != parent:
            given_up.set()
        return given_up.is_set()

    outcome = _outcome(json.loads(sys.argv[1]), given_up, cancelled)
    os.write(1, json.dumps(outcome).encode() + b"\n")


if __name__ == "__main__":
    main()
