"""When it is, on the screens that are kept."""

from __future__ import annotations

from datetime import UTC, datetime

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
GIB = 1 << 30
