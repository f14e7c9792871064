"""The child's side of the wire, whose format ``worker.py`` defines."""

from __future__ import annotations

import errno
import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

MAX_SHOWN = 1000


class RequestError(Exception):
    """The request cannot be served; its text goes into the error answer."""


class OutOfMemory(Exception):
    """A job had no room for what is in a directory, which the text names (empty: the top)."""


def cut(text: str) -> str:
    """Give a text as it is told to people: the end of a very long one, which tells most."""
    return text if len(text) <= MAX_SHOWN else "..." + text[-MAX_SHOWN:]


def errno_name(error: OSError) -> str | None:
    """Give the system's word for an error, if it has one."""
    return errno.errorcode.get(error.errno or 0)


def field(request: dict[str, object], name: str, kind: type[T]) -> T:
    """Give a field of the request; raise RequestError if it is missing or of another type."""
    value = request.get(name)
    if type(value) is not kind:
        raise RequestError(f"bad request: {name} is {cut(repr(value))}")
    return value


def optional(request: dict[str, object], name: str, kind: type[T]) -> T | None:
    """Give a field of the request that may be null or missing."""
    return None if request.get(name) is None else field(request, name, kind)


def to_order(line: bytes) -> dict[str, object]:
    """Give a line that speaks of the job under way; nothing for another one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    known = isinstance(message, dict) and message.get("op") in ("share", "stop")
    return {"id": message.get("id"), "op": message["op"]} if known else {}


def write(message: dict[str, object]) -> None:
    """Write one line to the parent; end the worker if the parent is gone."""
    line = memoryview(json.dumps(message).encode() + b"\n")
    try:
        while line:
            line = line[os.write(1, line) :]
    except BrokenPipeError:
        os._exit(0)


def write_error(number: object, kind: str | None, text: str) -> None:
    """Write the line that ends a request which could not be served."""
    write({"id": number, "error": {"errno": kind, "text": cut(text)}})
