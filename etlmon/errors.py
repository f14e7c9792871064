"""The one family of errors.

Raise low, with words that a person on call understands; turn into a log line, an exit code or an
HTTP answer in one place (``cli``, ``runner``, ``api.server``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class EtlmonError(Exception):
    """Anything that etlmon itself reports; its text is one clear line for a person."""


class ConfigError(EtlmonError):
    """A configuration file with mistakes, all of them.

    ``mistakes`` holds one line for each: file, line, path in the file, what is wrong, the remedy.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class CollectError(EtlmonError):
    """A collector could not do its work this time; the next run tries again."""


class CollectedInPart(CollectError):
    """Something of what a collector watches could not be looked at; all the rest was."""


class StoreError(EtlmonError):
    """The database cannot be opened, upgraded, read or written."""


NOT_STORED = "not stored: "


def why_not_stored(error: object) -> str:
    """Give why something was not stored, for a line that has said already that it was not."""
    return str(error).removeprefix(NOT_STORED)


class ApiError(EtlmonError):
    """A request is answered with an RFC 9457 problem.

    ``problem`` is the stable last part of the problem's type, for example ``not-found``;
    ``status`` the HTTP status; ``detail`` tells the client what to do; ``headers`` go out with it,
    and so does ``token``, by which the command can be given again.
    """

    def __init__(
        self,
        status: int,
        problem: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> None:
        self.status = status
        self.problem = problem
        self.detail = detail
        self.headers = dict(headers or {})
        self.token = token
        super().__init__(detail)
