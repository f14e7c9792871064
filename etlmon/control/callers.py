"""Who asks, and what he may do: reading is for viewers, commands are for operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from etlmon.errors import ApiError
from etlmon.records.audit import NOBODY

if TYPE_CHECKING:
    from collections.abc import Sequence

Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = ("viewer", "operator")

_SCHEME = "bearer"
_CHALLENGE = 'Bearer realm="etlmon"'
_MOST_TOKEN_CHARACTERS = 200


@dataclass(frozen=True)
class Caller:
    """Who gave a request, as far as it is known."""

    who: str = NOBODY
    """The name of a token, ``uid:N`` of the peer of a unix socket, or ``-``."""
    origin: str = NOBODY
    """An IP address, or ``unix`` and a pid."""
    role: Role = "operator"

    def check_operator(self) -> None:
        """Raise ApiError (403) for one who may only read."""
        if self.role != "operator":
            raise ApiError(
                403,
                "operator-needed",
                f"The token {self.who} may read only: commands need one of the role operator, made "
                "by `etlmon token add NAME --role operator`.",
                headers={"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope"'},
            )


class Known(Protocol):
    """The tokens that are let in."""

    def find(self, token: str) -> tuple[str, Role] | None:
        """Give the name and the role of a token, None for one that is not known."""

    @property
    def trouble(self) -> str | None:
        """Why nobody is let in, if the tokens cannot be read."""


class Gate:
    """Decides who a caller is. Without ``tokens`` everybody is let in, as an operator."""

    def __init__(self, tokens: Known | None = None) -> None:
        self._tokens = tokens

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return self._tokens is not None

    def identify(self, authorization: Sequence[bytes], origin: str, peer: str = NOBODY) -> Caller:
        """Give who asks, by the Authorization headers of a request.

        Raises ApiError (401) where a token is needed and none, or none that is known, is sent.
        """
        if self._tokens is None:
            return Caller(peer, origin)
        if self._tokens.trouble is not None:
            raise _unknown(
                "This node cannot read its tokens, and lets nobody in until it can; its log has "
                "the reason, and `etlmon token list` shows it on that host.",
            )
        if not authorization:
            raise _unknown(
                "This node asks for a token: send Authorization: Bearer TOKEN. `etlmon token add "
                "NAME --role viewer` makes one on its host; the terminal program takes it from "
                "auth.token_file in ui.yaml, `etlmon get` from --token-file."
            )
        token = _bearer(authorization)
        found = self._tokens.find(token) if token is not None else None
        if found is None:
            raise _unknown(
                "The token is not one that this node knows: it may be of another node, or have "
                "been removed.",
                'error="invalid_token"',
            )
        return Caller(found[0], origin, found[1])


def _bearer(authorization: Sequence[bytes]) -> str | None:
    """Give the token of the one header that there may be, None if that is not of our kind."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].decode("latin-1").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != _SCHEME or len(token) > _MOST_TOKEN_CHARACTERS or not token.isascii():
        return None
    return token


def _unknown(detail: str, error: str = "") -> ApiError:
    challenge = f"{_CHALLENGE}, {error}" if error else _CHALLENGE
    return ApiError(401, "token-needed", detail, headers={"WWW-Authenticate": challenge})
