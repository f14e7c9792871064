"""Pages that are no JSON, at the root, where programs that supervise expect them."""

from __future__ import annotations

from dataclasses import dataclass

from etlmon.contract.endpoint import PREFIX


@dataclass(frozen=True)
class PlainPage:
    """A page that is no JSON, for programs that supervise; ``etlmon get`` does not know it."""

    name: str
    """Stable name: operationId in OpenAPI, with ``_api`` for the one below ``/api/v1``."""
    paths: tuple[str, ...]
    """Whole paths, most of them at the root, where others expect them."""
    summary: str
    content_types: tuple[str, ...] = ("text/plain",)
    statuses: tuple[int, ...] = (200,)
    needs_token: bool = False
    """Whether it needs a token where ``auth`` asks for them."""


LIVE = PlainPage(
    name="get_liveness",
    paths=("/livez",),
    summary="200 as long as the node's reactor does its work; needs no token.",
)
READY = PlainPage(
    name="get_readiness",
    paths=("/readyz",),
    summary="200 while database and collectors do their work, else 503; needs no token.",
    statuses=(200, 503),
)
METRICS = PlainPage(
    name="get_metrics",
    paths=("/metrics", f"{PREFIX}/metrics"),
    summary="The node and what it sees, for Prometheus; OpenMetrics if Accept prefers it.",
    content_types=("text/plain", "application/openmetrics-text"),
    needs_token=True,
)
PLAIN_PAGES: tuple[PlainPage, ...] = (LIVE, READY, METRICS)
