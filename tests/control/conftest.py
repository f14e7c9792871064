"""Hosts whose processes are sent signals, and whose processes count as strangers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from etlmon.control import signals
from tests.control.killing import Host


@pytest.fixture
def make_host() -> Iterator[Callable[..., Host]]:
    made: list[Host] = []

    def make(config: str = "") -> Host:
        # What the tests start is a child of this process, which plays the node.
        made.append(Host(config))
        return made[-1]

    yield make
    for host in made:
        host.end()


@pytest.fixture
def host(make_host, not_ours) -> Host:
    return make_host()


@pytest.fixture
def not_ours(monkeypatch) -> None:
    """The children of the test count as strangers: a node does not kill its workers."""
    real = signals.descends_from
    monkeypatch.setattr(
        signals,
        "descends_from",
        lambda proc, pid, ancestor: ancestor != os.getpid() and real(proc, pid, ancestor),
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest_twisted.async_yield_fixture
async def no_descriptor_is_left():
    await deferToThread(lambda: None)  # the pool's threads have what they need
    before = descriptors()
    yield
    assert descriptors() <= before + 1  # a pipe of the fixtures' children, at most
