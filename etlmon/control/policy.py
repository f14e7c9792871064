"""The checks that every command passes in the server, whatever the client has asked already."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from etlmon.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etlmon.config.node import ControlSection

Command = Literal["scan", "kill", "other"]
"""``other``: pausing a log and the like. Each command that is done fills a row of the audit."""

_OTHERS_PER_MINUTE = 30

_ROUNDING = 1e-6
"""A token that lacks only this has grown: who has waited as told must not be refused."""


class Policy:
    """Whether commands are open at all, confirmed, and not too many."""

    def __init__(self, settings: ControlSection, monotonic_clock: Callable[[], float]) -> None:
        self._clock = monotonic_clock
        self.apply(settings)

    def apply(self, settings: ControlSection) -> None:
        """Take new settings; the counting of commands begins anew."""
        self._enabled = settings.enabled
        self._rates: dict[Command, RateLimit] = {
            "scan": RateLimit(settings.scans_per_minute, self._clock),
            "kill": RateLimit(settings.kills_per_minute, self._clock),
            "other": RateLimit(_OTHERS_PER_MINUTE, self._clock),
        }

    @property
    def is_open(self) -> bool:
        """Whether commands are taken at all."""
        return self._enabled

    def check_open(self) -> None:
        """Raise ApiError (403), naming the key, where commands are closed."""
        if not self._enabled:
            raise ApiError(
                403,
                "commands-disabled",
                "Commands are closed on this node: control.enabled is false in its node.yaml.",
            )

    def check(self, *, confirmed: bool) -> None:
        """Raise ApiError where commands are closed (403), or this one is not confirmed (400)."""
        self.check_open()
        if not confirmed:
            raise ApiError(
                400,
                "confirmation-required",
                'A command must be confirmed: send {"confirm": true} in its body, or '
                "confirm=true in the query of a DELETE.",
            )

    @contextmanager
    def counted(self, command: Command, *, confirmed: bool) -> Iterator[None]:
        """Raise ApiError unless the command may be done now, or count it and let it be done.

        400 without confirmation; 429, with the seconds to wait, over the rate; 403 if that is 0.
        One that is found to be wrong while it is done (ApiError) does not count.
        """
        self.check(confirmed=confirmed)
        rate = self._rates[command]
        wait_seconds = rate.take()
        if wait_seconds is None:
            raise ApiError(
                403,
                "commands-disabled",
                f"This node takes no {command} commands: control.{command}s_per_minute is 0 in "
                "its node.yaml.",
            )
        if wait_seconds > 0:
            many = f"More {command} commands than control.{command}s_per_minute allows"
            if command == "other":
                many = f"More than {_OTHERS_PER_MINUTE} such commands a minute"
            raise ApiError(
                429,
                "too-many-commands",
                f"{many}; try again in {wait_seconds} s.",
                headers={"Retry-After": str(wait_seconds)},
            )
        try:
            yield
        except ApiError:
            rate.give_back()
            raise


class RateLimit:
    """A token bucket: ``burst`` at once, then one each time a new one has grown.

    A burst is what grows in a minute, if nothing else is said.
    """

    def __init__(
        self, per_minute: int, monotonic_clock: Callable[[], float], *, burst: int | None = None
    ) -> None:
        self._per_second = per_minute / 60
        self._most = float(per_minute if burst is None else burst)
        self._tokens = self._most
        self._clock = monotonic_clock
        self._counted_at = monotonic_clock()

    def take(self) -> int | None:
        """Take a token and give 0, or give the whole seconds to wait for the next one.

        None where there is never one.
        """
        if not self._per_second:
            return None
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        if self._tokens >= 1 - _ROUNDING:
            self._tokens -= 1
            return 0
        return max(1, math.ceil((1 - self._tokens) / self._per_second))

    def give_back(self) -> None:
        """Put a token back that was taken for nothing."""
        self._tokens = min(self._most, self._tokens + 1)
