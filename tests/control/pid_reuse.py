"""What runs as process 1 of a pid namespace: gives a pid out again as often as it is asked to.

Its first child plays the node and asks for that at the worst moments. Prints what happened.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

PROC = Path("/proc")
PID = 20_000
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def start() -> None:
    """Start a process with just this pid."""
    (PROC / "sys/kernel/ns_last_pid").write_text(str(PID - 1))
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    assert pid == PID, pid


def be_init(asked: socket.socket) -> None:
    start()
    while word := asked.recv(1):
        if word == b"r":  # replace it
            os.kill(PID, signal.SIGKILL)
            os.waitpid(PID, 0)
            # Not within one tick of the clock: there the kernel's own names are the same.
            began = time.clock_gettime(time.CLOCK_BOOTTIME)
            while time.clock_gettime(time.CLOCK_BOOTTIME) < began + 2 * TICK_SECONDS:
                os.sched_yield()
            start()
        asked.send(b"y" if os.waitpid(PID, os.WNOHANG) == (0, 0) else b"n")


class Node:
    def __init__(self, init: socket.socket) -> None:
        self.init = init

    def replace(self) -> None:
        """Have the process end, and another one take its pid."""
        self.init.send(b"r")
        assert self.init.recv(1) == b"y"

    def still_runs(self) -> bool:
        self.init.send(b"?")
        return self.init.recv(1) == b"y"


async def play(reactor: Any, node: Node) -> None:
    from twisted.internet.defer import maybeDeferred

    from etlmon.config.loader import parse_node_config
    from etlmon.control import signals
    from etlmon.control.kill import Kills
    from etlmon.control.policy import Policy
    from etlmon.errors import ApiError
    from etlmon.host.processes import read_identity
    from etlmon.records.kill import KillRequest

    config = parse_node_config(b"process_watch: [{name: etl, pid: 20000}]", "node.yaml")
    samples: list[Any] = []

    class Sample:
        watch, status = "etl", "RUNNING"

        def __init__(self) -> None:
            self.identity = str(read_identity(PROC, PID))

    class Attempt:
        async def acts(self, _detail: str) -> None:
            if during_audit:
                node.replace()

    async def stored(_pid: int) -> Any:
        return samples

    async def watches_of(_identity: str) -> Any:
        return []

    policy = Policy(config.control, reactor.seconds)
    kills = Kills(config, policy, stored, reactor, maybeDeferred, PROC, watches_of)

    async def outcome(**asked: Any) -> str:
        try:
            answer = await kills.kill(PID, KillRequest(confirm=True, **asked), Attempt())  # type: ignore
        except ApiError as error:
            return f"{error.status} {error.problem}"
        return answer.outcome

    def tell(case: str, told: str) -> None:
        print(case, told, node.still_runs(), flush=True)  # noqa: T201

    during_audit = False
    samples[:] = [Sample()]
    dialog = samples[0].identity
    node.replace()
    tell("after the dialog:", await outcome(identity=dialog))
    tell("after the sample:", await outcome())
    samples[:] = [Sample()]
    tell("sampled anew, old dialog:", await outcome(identity=dialog))

    samples[:] = [Sample()]
    during_audit = True
    tell("between check and signal:", await outcome(signal="SIGKILL"))
    during_audit = False

    samples[:] = [Sample()]
    read = signals.read_stat

    def replace_and_read(proc: Path, pid: int) -> Any:
        signals.read_stat = read
        node.replace()
        return read(proc, pid)

    signals.read_stat = replace_and_read
    tell("between pidfd and check:", await outcome(signal="SIGKILL"))

    samples[:] = [Sample()]
    tell("the right one:", await outcome(signal="SIGKILL"))


def be_node(init: socket.socket) -> None:
    from twisted.internet.task import react

    async def main(reactor: Any) -> None:
        await play(reactor, Node(init))

    react(main)


if __name__ == "__main__":
    assert os.getpid() == 1, "run it by unshare -pf --mount-proc"
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        here.close()
        be_node(there)
        sys.exit()
    there.close()
    be_init(here)
