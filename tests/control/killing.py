"""A host for the tests of kills: real processes, and what the store and the audit hear of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from etlmon.config.loader import parse_node_config
from etlmon.control.callers import Caller
from etlmon.control.kill import Kills
from etlmon.control.policy import Policy
from etlmon.errors import ApiError
from etlmon.host.processes import read_identity, read_stat
from etlmon.records.kill import KillAnswer, KillRequest
from tests.waiting import PATIENCE_SECONDS

PROC = Path("/proc")
PROGRAM = str(Path(__file__).with_name("processes.py"))
WATCHES = """
process_watch:
  - {name: etl, match: x}
  - {name: careful, match: x, allow_signals: [SIGTERM, SIGHUP]}
  - {name: untouched, match: x, allow_signals: []}
"""


@dataclass
class Sample:
    """What is used of a ProcessSample."""

    identity: str
    watch: str = "etl"
    status: str = "RUNNING"


@dataclass
class Told:
    """An Attempt that notes what it hears."""

    caller: Caller = field(default_factory=lambda: Caller("otto", "10.0.0.1"))
    acted: list[str] = field(default_factory=list)

    async def acts(self, detail: str) -> None:
        self.acted.append(detail)


class Host:
    """Processes that are watched, and the kills of them."""

    def __init__(self, config: str = "") -> None:
        self.config = parse_node_config((WATCHES + config).encode(), "node.yaml")
        self.policy = Policy(self.config.control, reactor.seconds)
        self.samples: dict[int, list[Sample]] = {}
        self.watched_now: dict[str, list[str]] = {}
        self.kills = Kills(
            self.config, self.policy, self.stored, reactor, deferToThread, PROC, self.watches_of
        )
        self.children: list[subprocess.Popen[str]] = []

    async def watches_of(self, identity: str) -> list[str] | None:
        return self.watched_now.get(identity)

    async def stored(self, pid: int) -> Any:
        return self.samples.get(pid, [])

    def start(
        self,
        *words: str,
        watch: str = "etl",
        program: Sequence[str] = (PROGRAM,),
        **options: Any,
    ) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, *program, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while read_stat(PROC, child.pid).state != "S":  # it has said so before it waits
            assert time.monotonic() < give_up_at
            time.sleep(0.001)
        self.watch(child.pid, watch)
        return child

    def watch(self, pid: int, *watches: str, status: str = "RUNNING") -> None:
        text = str(read_identity(PROC, pid))
        self.samples[pid] = [Sample(text, watch, status) for watch in watches]

    def kill(self, pid: int, told: Told | None = None, **asked: Any) -> Deferred[KillAnswer]:
        request = KillRequest(**{"confirm": True, **asked})
        return Deferred.fromCoroutine(self.kills.kill(pid, request, told or Told()))

    async def refusal(self, pid: int, told: Told | None = None, **asked: Any) -> ApiError:
        told = told or Told()
        with pytest.raises(ApiError) as caught:
            await self.kill(pid, told, **asked)
        assert told.acted == []
        return caught.value

    def end(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.close()
            child.stdout.close()
