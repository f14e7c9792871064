"""Who may ask at all: the Host header, against pages in a browser that ask for somebody else.

Who is at the other end of the connection is told here, too; what he may do is ``control.callers``'.

DNS rebinding makes a browser send requests to this node under a name of the attacker's choice.
Every listener takes the loopback's names and addresses, the host's own names, ``node.node_name``
and ``node.allowed_hosts``; one on the network takes all IP literals too, which nobody can rebind.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from typing import TYPE_CHECKING, Any

from etlmon.errors import ApiError
from etlmon.records.audit import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from twisted.web.http import Request

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(:[0-9]{0,5})?")
_MOST_REMEMBERED = 1_000
_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid


class HostCheck:
    """Decides by the Host header whether a request is meant for this node."""

    def __init__(self, *, loopback: bool, names: Iterable[str]) -> None:
        self._loopback = loopback
        self._names = frozenset(name.lower().rstrip(".") for name in (*_LOOPBACK_NAMES, *names))
        self._passed: set[bytes] = set()

    def check(self, host: bytes) -> None:
        """Raise ApiError (421), naming the key that allows it, for a Host not of this node."""
        if host in self._passed:
            return
        found = _HOST.fullmatch(host)
        name = (found[1] if found else host).decode("latin-1").lower().rstrip(".")
        if found is None or not (name in self._names or self._is_own_address(name)):
            raise ApiError(
                421,
                "host-not-allowed",
                f"This node does not answer for the host {name[:100]!a}. If that is a name "
                "of it, add the name to node.allowed_hosts in node.yaml.",
            )
        if len(self._passed) < _MOST_REMEMBERED:
            self._passed.add(host)

    def _is_own_address(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self._loopback


def the_host(values: Sequence[bytes], version: bytes) -> bytes | None:
    """Give the one Host header of a request, None for the HTTP/1.0 request that has none.

    Raises ApiError (400) for any other number of them (RFC 9112, 3.2).
    """
    if len(values) > 1 or (not values and version == b"HTTP/1.1"):
        raise ApiError(400, "bad-host", "A request must have one Host header.")
    return values[0] if values else None


def who_connected(request: Request) -> tuple[str, str]:
    """Give where a request comes from, and who the kernel says it is.

    That is an IP address and nobody; or of a unix socket ``unix pid 4711`` and ``uid:1000``, the
    process that connected. The user's name is left to who reads it: to look it up may block.
    """
    host = getattr(request.getClientAddress(), "host", None)
    if host is not None:
        return str(host), NOBODY
    try:
        transport: Any = request.channel.transport  # a wrapper passes this on
        handle = transport.getHandle()
        raw = handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (AttributeError, OSError):
        return "unix", NOBODY
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return f"unix pid {pid}", f"uid:{uid}"
