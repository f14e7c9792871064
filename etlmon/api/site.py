"""Where Twisted hands requests over to the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.web.http import HTTPChannel, _GenericHTTPChannelProtocol
from twisted.web.resource import Resource
from twisted.web.server import Site

from etlmon.api.requests import BoundedRequest, answer_unread
from etlmon.errors import ApiError

if TYPE_CHECKING:
    from twisted.web.iweb import IRequest


class Channel(HTTPChannel):
    """A connection on which a request line, or a header, that is too long is refused in words."""

    site: Any
    _is_refused = False

    def lineReceived(self, line: bytes) -> None:
        """Take a line, unless one before it was refused."""
        if not self._is_refused:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer, and read no more."""
        if self.requests:  # its first line has been read
            self._refuse(431, "headers-too-large", "A header")
        else:
            self._refuse(414, "uri-too-long", "The first line of a request, with its address,")

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._refuse(431, "headers-too-large", "The first line of a request and its headers")
        else:
            super()._respondToBadRequestAndDisconnect()

    def _refuse(self, status: int, problem: str, what: str) -> None:
        if not self._is_refused:
            self._is_refused = True
            error = ApiError(status, problem, f"{what} may have at most {self.MAX_LENGTH:,} bytes.")
            self.site.unread(error)
            answer_unread(self, error, self._path if self.requests else b"")


class Entrance(Resource):
    """The root of the site: all requests go to one function."""

    isLeaf = True

    def __init__(self, enter: Callable[[Any], Any]) -> None:
        super().__init__()
        self._enter = enter

    def render(self, request: IRequest) -> Any:
        """Answer a request, now or later."""
        return self._enter(request)


class QuietSite(Site):
    """A site without an access log: reads are not logged, commands are, by ``Commands``."""

    noisy = False
    too_large: Callable[[BoundedRequest, ApiError], None]
    """Told of a request whose body is too large."""

    unread: Callable[[ApiError], None]
    """Told of what a request is refused for before all of it is read; its body apart."""

    answered: Callable[[BoundedRequest], None]
    """Told of a request whose answer is on its way."""

    def protocol(self) -> Any:
        """Give what speaks with a client; as Twisted's own, but for the channel."""
        return _GenericHTTPChannelProtocol(Channel())

    def log(self, request: Any) -> None:
        """Count it; there is no access log."""
        self.answered(request)

    def _updateLogDateTime(self) -> None:
        """Leave out what Twisted does every second for the lines of an access log."""
