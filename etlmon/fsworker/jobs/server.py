"""The child's main loop: one request after the other, within the limits that it was given."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import select
import signal
import sys

from etlmon.fsworker.jobs.find import Find
from etlmon.fsworker.jobs.memory import Memory
from etlmon.fsworker.jobs.scan import Scan
from etlmon.fsworker.jobs.top import Top
from etlmon.fsworker.jobs.wire import (
    OutOfMemory,
    RequestError,
    cut,
    errno_name,
    field,
    optional,
    to_order,
    write,
    write_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BOUNDS = (("memory_bytes", resource.RLIMIT_AS), ("descriptors", resource.RLIMIT_NOFILE))
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}
# What a job may list at the most: a line has its bounds.
_MAX_LISTED = 100


class Server:
    """Answers the requests on standard input, one after the other."""

    def __init__(self) -> None:
        self._memory = Memory()
        self._lines: list[bytes] = []
        self._begun = b""
        self._operations = {
            "statvfs": _statvfs,
            "scan": self._scan,
            "top": self._top,
            "find": self._find,
        }

    def run(self) -> None:
        """Serve standard input to its end."""
        while True:
            while not self._lines:
                self._read()
            self.serve(self._lines.pop(0))

    def _read(self) -> None:
        """Read what there is of standard input; wait if there is nothing; at its end, end."""
        data = os.read(0, 1 << 16)
        if not data:
            os._exit(0)
        *lines, self._begun = (self._begun + data).split(b"\n")
        self._lines.extend(lines)

    def _orders(self, number: object) -> list[object]:
        """Give what the parent has said about the request under way."""
        while select.select([0], [], [], 0)[0]:
            self._read()
        orders = [order for order in map(to_order, self._lines) if order]
        self._lines = [line for line in self._lines if not to_order(line)]
        return [order["op"] for order in orders if order["id"] == number]

    def serve(self, line: bytes) -> None:
        """Answer one line of a request, whatever it holds."""
        number: object = None
        path: object = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise RequestError("bad request: not an object")
            number, path = request.get("id"), request.get("path")
            name = request.get("op")
            if to_order(line):
                return  # The job that it was for has ended.
            operation = self._operations.get(name) if isinstance(name, str) else None
            if operation is None:
                raise RequestError(f"bad request: no operation {cut(repr(name))}")
            write({"id": number, "answer": operation(request)})
        except RequestError as error:
            write_error(number, None, str(error))
        except OSError as error:
            write_error(number, errno_name(error), f"{path}: {error.strerror or error}")
        except OutOfMemory as error:
            self._memory.clear()
            write_error(number, None, f"{path}: {_no_memory(str(error) or '.')}")
        except Exception as error:
            # A mistake of the parent or of this program: told, since the next request may be good.
            self._memory.clear()
            write_error(number, None, f"{type(error).__name__}: {error}")

    def _limits(self, request: dict[str, object]) -> dict[str, Any]:
        """Give what a request says of how to walk."""
        number = request.get("id")
        exclude = optional(request, "exclude", str)
        try:
            re.compile(exclude or "")
        except re.error as error:
            raise RequestError(f"bad request: exclude: {error}") from error
        return {
            "exclude": exclude,
            "timeout_seconds": optional(request, "timeout_seconds", float),
            "skip": optional(request, "skip", list) or (),
            "max_ops_per_second": optional(request, "max_ops_per_second", float),
            "tell": lambda content: write({"id": number, **content}),
            "orders": lambda: self._orders(number),
        }

    def _scan(self, request: dict[str, object]) -> dict[str, object]:
        remember_as = optional(request, "remember_as", str)
        parallelism = optional(request, "parallelism", int) or 1
        options = {
            "max_depth": optional(request, "max_depth", int),
            "max_files": optional(request, "max_files", int),
            "memory": None if remember_as is None else self._memory,
            "remember_as": remember_as or "",
            "scan_id": request.get("scan_id"),
            "generation": optional(request, "generation", int) or 0,
            "settle_seconds": field({"settle_seconds": 2.0, **request}, "settle_seconds", float),
            "parts": optional(request, "parts", list) or [""],
            "apart": optional(request, "apart", list) or (),
            **self._limits(request),
        }
        path = field(request, "path", str)
        if parallelism == 1:
            return Scan(path, **options).run()
        from etlmon.fsworker.jobs.scan_ahead import ScanAhead

        return ScanAhead(path, parallelism=parallelism, **options).run()

    def _top(self, request: dict[str, object]) -> dict[str, object]:
        count = field(request, "count", int)
        if not 0 < count <= _MAX_LISTED:
            raise RequestError(f"bad request: count is {count}, not 1 to {_MAX_LISTED}")
        return Top(field(request, "path", str), count=count, **self._limits(request)).run()

    def _find(self, request: dict[str, object]) -> dict[str, object]:
        patterns = field(request, "patterns", list)
        return Find(
            field(request, "path", str),
            patterns=patterns,
            # So that all that are listed go into one line.
            max_listed=max(1, min(_MAX_LISTED, 4 * _MAX_LISTED // max(1, len(patterns)))),
            **self._limits(request),
        ).run()


def _statvfs(request: dict[str, object]) -> dict[str, object]:
    path = field(request, "path", str)
    status = os.statvfs(path)
    return {
        "blocks": status.f_blocks,
        "bfree": status.f_bfree,
        "bavail": status.f_bavail,
        "frsize": status.f_frsize,
        "files": status.f_files,
        "ffree": status.f_ffree,
        "read_only": bool(status.f_flag & os.ST_RDONLY),
        "st_dev": os.stat(path).st_dev,
    }


def _no_memory(directory: str) -> str:
    """Say what kept this process from having more memory, and the remedy."""
    limit_bytes, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit_bytes == resource.RLIM_INFINITY:
        return f"the system had no more memory for the worker at {directory}"
    limit = f"workers.memory_limit ({limit_bytes >> 20}MiB)"
    return f"the worker reached {limit} at {directory}: raise it, or exclude what is there"


def _limit(limits: dict[str, int]) -> None:
    """Bound what this process may take; never beyond what it may have anyway."""
    os.nice(limits.get("nice", 0))
    if limits.get("idle_io"):
        _set_idle_io()
    for name, kind in _BOUNDS:
        if name in limits:
            _, most = resource.getrlimit(kind)
            bound = limits[name] if most == resource.RLIM_INFINITY else min(limits[name], most)
            resource.setrlimit(kind, (bound, bound))


def _set_idle_io() -> None:
    """Enter the idle class of ioprio_set(2), for which Python has no function; or let it be."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        import ctypes

        ctypes.CDLL(None).syscall(number, 1, 0, 3 << 13)


def main() -> None:
    """Serve standard input to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing here makes cycles; looking for them among a million directories takes long.
    gc.disable()
    os.chdir("/")
    if len(sys.argv) > 1:
        _limit(json.loads(sys.argv[1]))
    Server().run()
