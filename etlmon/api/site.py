"""Where Twisted hands requests over to the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import Site

from etlmon.api.requests import BoundedRequest
from etlmon.errors import ApiError

if TYPE_CHECKING:
    from twisted.web.iweb import IRequest


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

    answered: Callable[[BoundedRequest], None]
    """Told of a request whose answer is on its way."""

    def log(self, request: Any) -> None:
        """Count it; there is no access log."""
        self.answered(request)

    def _updateLogDateTime(self) -> None:
        """Leave out what Twisted does every second for the lines of an access log."""
