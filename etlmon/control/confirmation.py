"""Confirmation tokens: the first call gets one, the second carries it and is done."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING

from etlmon.text import TOKEN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

LIFE_SECONDS = 60.0
_MOST = 256


class Confirmations:
    """Tokens that are out: each for one command of one caller, for a minute, for one use.

    At most 256 are out at a time; the oldest is void if another one is asked for.
    """

    def __init__(self, monotonic_clock: Callable[[], float]) -> None:
        self._clock = monotonic_clock
        # By their hash: how long a look-up takes tells nothing about a token.
        self._out: OrderedDict[bytes, tuple[float, Hashable]] = OrderedDict()

    def give(self, command: Hashable) -> str:
        """Give a token for just this command."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self._out[_key(token)] = (self._clock() + LIFE_SECONDS, command)
        if len(self._out) > _MOST:
            self._out.popitem(last=False)
        return token

    def take(self, token: str, command: Hashable) -> bool:
        """Whether this token was given for just this command; it is void from now on."""
        found = self._out.pop(_key(token), None)
        return found is not None and found[1] == command and self._clock() <= found[0]


def _key(token: str) -> bytes:
    return sha256(token.encode()).digest()
