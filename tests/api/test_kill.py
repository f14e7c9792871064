"""The kill command over HTTP: who may give it, what it answers, and its row in the audit."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread

from etlmon.api.resources import kill
from etlmon.config.loader import parse_node_config
from etlmon.control import signals
from etlmon.control.kill import Kills
from etlmon.host.processes import read_identity
from tests.waiting import wait_asleep

PROC = Path("/proc")
AUDIT = "/api/v1/audit"


class Two:
    trouble = None

    def find(self, token: str):
        return {"v": ("vera", "viewer"), "o": ("otto", "operator")}.get(token)


OTTO = {"Authorization": "Bearer o"}


class Killing:
    """An API that really kills, and the process that it may."""

    def __init__(self, api: Any, child: subprocess.Popen[bytes]) -> None:
        self.api = api
        self.child = child

    async def kill(self, body: dict[str, Any], pid: int | None = None, **headers: str) -> Any:
        fields = {"Content-Type": "application/json", **OTTO, **headers}
        target = f"/api/v1/processes/{self.child.pid if pid is None else pid}/kill"
        return await self.api.ask(target, "POST", fields, msgspec.json.encode(body))


@pytest.fixture
def make_killing(store, make_api, monkeypatch):
    made = []

    async def make(config: str = "") -> Killing:
        child = await deferToThread(subprocess.Popen, ["sleep", "60"])
        await deferToThread(wait_asleep, child.pid)
        whole = parse_node_config(
            f"process_watch: [{{name: etl, match: x}}]\n{config}".encode(), "node.yaml"
        )
        identity = str(read_identity(PROC, child.pid))

        async def samples(pid: int) -> Any:
            found = SimpleNamespace(watch="etl", status="RUNNING", identity=identity)
            return [found] if pid == child.pid else []

        api = make_api(store, tokens=Two(), **msgspec.structs.asdict(whole.control))
        kills = Kills(whole, api.policy, samples, reactor, deferToThread, PROC, samples)
        api.no_kills.kill = kills.kill
        await api.start()
        made.append(Killing(api, child))
        return made[-1]

    # The child plays a stranger: a node does not kill what it has started.
    monkeypatch.setattr(signals, "descends_from", lambda *_: False)
    yield make
    for killing in made:
        pytest_twisted.blockon(ensureDeferred(killing.api.stop()))
        killing.child.kill()
        killing.child.wait()


async def rows(killing: Killing) -> list[dict[str, Any]]:
    return (await killing.api.ask(AUDIT, headers=OTTO)).json


async def test_the_answer_and_the_audit_tell_the_same(make_killing) -> None:
    killing = await make_killing()
    answer = await killing.kill({"signal": "SIGTERM", "confirm": True, "reason": "it hangs"})
    assert answer.status == 200
    assert answer.json["outcome"] == "exited"
    assert answer.json["signals"] == ["SIGTERM"]
    assert killing.child.wait() == -signal.SIGTERM
    (row,) = await rows(killing)
    assert (row["who"], row["origin"], row["command"]) == ("otto", "127.0.0.1", "kill_process")
    assert row["target"] == f"/processes/{killing.child.pid}/kill"
    assert (row["outcome"], row["status"], row["reason"]) == ("done", 200, "it hangs")
    identity = answer.json["identity"]
    assert row["detail"].startswith(
        f"SIGTERM to pid {killing.child.pid} (sleep, {identity}): exited"
    )


async def test_each_refusal_has_its_row(make_killing) -> None:
    killing = await make_killing("control: {kills_per_minute: 1}")
    confirmed = {"confirm": True}
    own = str(read_identity(PROC, os.getpid()))
    cases: list[tuple[Any, int, str]] = [
        (await killing.kill({}), 400, "confirmation-required"),
        (await killing.kill({**confirmed, "signal": "SIGNOPE"}), 400, "bad-body"),
        (await killing.kill({**confirmed, "wait": 21}), 400, "bad-body"),
        (await killing.kill({**confirmed, "reason": "x" * 501}), 400, "bad-body"),
        (await killing.kill(confirmed, pid=0), 400, "bad-parameter"),
        (await killing.kill(confirmed, pid=1 << 31), 400, "bad-parameter"),
        (await killing.kill(confirmed, pid=(1 << 31) - 1), 409, "identity-needed"),
        (await killing.kill({**confirmed, "identity": own}, os.getpid()), 403, "process-protected"),
        (await killing.kill({**confirmed, "signal": "SIGHUP"}), 403, "signal-not-allowed"),
        (await killing.kill(confirmed, Authorization="Bearer v"), 403, "operator-needed"),
        (await killing.kill(confirmed, Authorization="Bearer x"), 401, "token-needed"),
        (await killing.kill(confirmed, Host="evil.example"), 421, "host-not-allowed"),
    ]
    assert killing.child.poll() is None
    assert (await killing.kill(confirmed)).status == 200
    cases.append((await killing.kill(confirmed), 429, "too-many-commands"))
    for answer, status, problem in cases:
        answer.problem(status, problem)
    found = await killing.api.audited(len(cases) + 1)
    told = [(row.status, row.problem) for row in found if row.outcome == "refused"]
    assert told == [(status, problem) for _, status, problem in cases]
    assert {row.command for row in found} == {"kill_process"}


@pytest.mark.parametrize("field", ["identiy", "esclate", "x" * 100_000])
async def test_a_misspelt_field_sends_nothing_and_is_named(make_killing, field: str) -> None:
    """What is ignored would change whom the signal hits, and how."""
    killing = await make_killing()
    answer = await killing.kill({"confirm": True, field: "6f4f1c1e:1:1"})
    assert field[:100] in answer.problem(400, "bad-body")
    assert len(answer.body) < 1_000
    assert killing.child.poll() is None


async def test_closed_commands_are_403_and_name_the_key(make_killing) -> None:
    killing = await make_killing("control: {enabled: false}")
    answer = await killing.kill({"confirm": True})
    assert "control.enabled is false" in answer.problem(403, "commands-disabled")
    (row,) = await killing.api.audited(1)
    assert (row.who, row.problem) == ("otto", "commands-disabled")


@pytest.mark.parametrize(
    ("more", "token", "problem"),
    [
        ("control: {enabled: false}", "o", "commands-disabled"),
        ("", "v", "operator-needed"),
        ("", "x", "token-needed"),
    ],
)
async def test_what_was_wanted_by_whom_it_was_refused_is_in_the_audit(
    make_killing, more: str, token: str, problem: str
) -> None:
    """But nothing of a stranger's words: they were not read."""
    killing = await make_killing(more)
    body = {"confirm": True, "signal": "SIGKILL", "reason": "in the way"}
    await killing.kill(body, Authorization=f"Bearer {token}")
    (row,) = await killing.api.audited(1)
    wanted = f'{{"pid":{killing.child.pid},"signal":"SIGKILL"}}'
    told = (None, None) if token == "x" else (wanted, "in the way")
    assert (row.problem, row.arguments, row.reason) == (problem, *told)


async def test_a_command_that_is_wrong_tells_those_who_may_give_none_just_that(
    make_killing,
) -> None:
    killing = await make_killing()
    answer = await killing.kill({"signal": 7}, Authorization="Bearer v")
    answer.problem(403, "operator-needed")
    (row,) = await killing.api.audited(1)
    assert (row.arguments, row.reason) == (None, None)


async def test_the_confirmation_token_is_in_the_problem_and_nowhere_else(
    make_killing, log_lines
) -> None:
    killing = await make_killing("control: {confirmation_token: true}")
    first = await killing.kill({"confirm": True})
    assert (first.status, first.json["type"].rpartition(":")[2]) == (
        409,
        "confirmation-token-required",
    )
    assert first.headers["cache-control"] == "no-store"
    token = first.json["token"]
    second = await killing.kill({"confirm": True, "token": token})
    assert second.json["outcome"] == "exited"
    assert [row["problem"] for row in await rows(killing)] == [None, "confirmation-token-required"]
    assert token not in "\n".join(log_lines)
    assert token not in str(await rows(killing))


async def test_a_client_that_leaves_does_not_keep_a_kill_out_of_the_audit(make_killing) -> None:
    killing = await make_killing()
    killing.child.send_signal(signal.SIGSTOP)  # it takes SIGTERM only when it goes on
    await deferToThread(os.waitid, os.P_PID, killing.child.pid, os.WSTOPPED | os.WNOWAIT)
    wire = await killing.api.connect()
    body = b'{"confirm": true, "wait": 20}'
    wire.transport.write(
        b"POST /api/v1/processes/%d/kill HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer o\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (killing.child.pid, len(body), body)
    )
    (row,) = await killing.api.audited(1)
    assert (row.outcome, row.detail.partition(" (")[0]) == (
        "begun",
        f"SIGTERM to pid {killing.child.pid}",
    )
    wire.transport.abortConnection()
    await wire.closed
    killing.child.send_signal(signal.SIGCONT)
    await killing.api.server.finish()
    (row,) = await killing.api.audited(1)
    assert row.outcome == "done"
    assert "exited" in row.detail


def test_routes_are_of_the_contract() -> None:
    (route,) = kill.routes(SimpleNamespace())  # type: ignore[arg-type]
    assert (route.endpoint.name, route.takes_attempt) == ("kill_process", True)
