"""Reading what the kernel tells, on its own inotify."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from twisted.internet import inotify, reactor

from etlmon.host.inotify import INotify


class TestReading:
    """The wire format of inotify(7), in pieces as a read may cut it."""

    @pytest.fixture
    def kernel(self) -> Iterator[INotify]:
        self.overflows = 0
        self.events: list[tuple[bytes, int]] = []

        def overflowed() -> None:
            self.overflows += 1

        one = INotify(reactor, overflowed)
        one.hear(1, b"/d", lambda name, mask: self.events.append((name, mask)))
        yield one
        one.connectionLost(None)

    def test_events_in_any_pieces(self, kernel: INotify) -> None:
        data = (
            struct.pack("=iIII", 1, inotify.IN_MODIFY, 0, 16)
            + b"app.log".ljust(16, b"\0")
            + struct.pack("=iIII", -1, inotify.IN_Q_OVERFLOW, 0, 0)
            + struct.pack("=iIII", 7, inotify.IN_MODIFY, 0, 0)
            + struct.pack("=iIII", 1, inotify.IN_IGNORED, 0, 0)
            + struct.pack("=iIII", 1, inotify.IN_MODIFY, 0, 0)
        )
        for at in range(len(data)):
            kernel._doRead(data[at : at + 1])
        assert self.overflows == 1
        assert self.events == [(b"app.log", inotify.IN_MODIFY), (b"", inotify.IN_IGNORED)]
        kernel.drop(1)
