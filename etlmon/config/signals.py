"""Which signals the configuration lets a process be sent: one rule, for who sends and who tells."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from etlmon.config.node import NodeConfig


@dataclass(frozen=True)
class AllowedSignals:
    """What ``process_watch`` and ``control`` say of signals."""

    by_watch: Mapping[str, tuple[str, ...]]
    """By the watch's label."""
    unwatched: tuple[str, ...] = ()
    """For processes that no watch selects."""
    are_taken: bool = True
    """Whether kill commands are taken at all."""

    def of(self, watches: Collection[str]) -> list[str]:
        """Give the signals for a process of these watches, by label: what all of them allow."""
        if not self.are_taken:
            return []
        lists = [self.by_watch[label] for label in watches if label in self.by_watch]
        first, *others = lists or [self.unwatched]
        return [name for name in first if all(is_among(name, other) for other in others)]


def allowed_signals(config: NodeConfig) -> AllowedSignals:
    """Give the rule of a configuration."""
    control = config.control
    return AllowedSignals(
        {watch.label: watch.allow_signals for watch in config.process_watch},
        control.unwatched_signals,
        are_taken=control.enabled and control.kills_per_minute > 0,
    )


def is_among(name: str, allowed: Collection[str]) -> bool:
    """Whether a signal is among those allowed, by whichever of its names."""
    return any(signal.Signals[name] == signal.Signals[one] for one in allowed)
