"""Where a node listens, and where clients find it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from etlmon.config.kinds import Kind, of_kind, read_absolute_path

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")
_URL = re.compile(r"(https?)://(\[[^\]/]*\]|[^:/?#@\[\]]*)(:[0-9]+)?(/[^\s?#]*)?")


@dataclass(frozen=True)
class TcpAddress:
    """A host (a name, or an IP address without brackets) and a port."""

    host: str
    port: int


@dataclass(frozen=True)
class UnixAddress:
    """A socket in the file system."""

    path: str


def parse_listen(text: str) -> TcpAddress | UnixAddress:
    """Read ``host:port``, ``[::1]:port`` or ``unix:/path``; raise ValueError on anything else."""
    if text.startswith("unix:"):
        path = read_absolute_path(text.removeprefix("unix:"))
        if path.endswith("/"):
            raise ValueError(f'"{text}" names a directory, not a socket')
        return UnixAddress(path)
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f'"{text}" has no port from 0 to 65535')
    if host.startswith("[") and host.endswith("]"):
        return TcpAddress(str(IPv6Address(host[1:-1])), int(port))
    if re.fullmatch("[0-9.]+", host):
        return TcpAddress(str(IPv4Address(host)), int(port))
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f'"{text}" has no host')
    return TcpAddress(host, int(port))


def is_loopback(listen: str) -> bool:
    """Whether a listening address takes connections from this host alone."""
    where = parse_listen(listen)
    if isinstance(where, UnixAddress) or where.host == "localhost":
        return True
    try:
        return ip_address(where.host).is_loopback
    except ValueError:
        return False


def _read_listen(text: str) -> str:
    parse_listen(text)
    return text


def read_node_url(text: str) -> str:
    """Read the address of a node, and give it whole; raise ValueError on anything else."""
    if "://" not in text:
        where = parse_listen(text)
        if isinstance(where, UnixAddress):
            return text
        if where.port == 0:
            raise ValueError
        return f"http://{text}"
    found = _URL.fullmatch(text)
    if found is None or found[3] == ":0":
        raise ValueError
    parse_listen(found[2] + (found[3] or ":80"))
    return text.rstrip("/")


_LISTEN = Kind(
    "an address to listen on", "127.0.0.1:8080, [::1]:8080, unix:/run/etlmon.sock", _read_listen
)
_NODE_ADDRESS = Kind(
    "the address of a node",
    "http://10.0.0.11:8080, etl-01:8080, unix:/run/etlmon.sock",
    read_node_url,
)

ListenAddress = Annotated[str, of_kind(_LISTEN)]
"""Where to listen, as written; ``parse_listen`` takes it apart."""
NodeUrl = Annotated[str, of_kind(_NODE_ADDRESS)]
"""Where a node answers: ``http://...`` or ``https://...`` without a last slash, or ``unix:/...``"""
