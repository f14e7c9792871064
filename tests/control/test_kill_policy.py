"""Kills of real processes: which signals, how many, by whose right and with what token."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from etlmon.config.loader import parse_node_config
from etlmon.control import signals
from etlmon.control.callers import Caller
from etlmon.errors import ApiError
from etlmon.host.processes import read_identity
from tests.control.killing import PROC, Host, Told

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left")

# --- the policy -----------------------------------------------------------------------------------


async def test_only_what_a_watch_selects_unless_others_are_allowed(make_host, not_ours) -> None:
    host = make_host()
    child = host.start()
    identity = str(read_identity(PROC, child.pid))
    host.samples.clear()
    error = await host.refusal(child.pid, identity=identity)
    assert (error.status, error.problem) == (403, "process-not-watched")
    assert "control.unwatched_signals" in error.detail
    open_host = make_host("control: {unwatched_signals: [SIGTERM]}")
    refused = await open_host.refusal(child.pid, identity=identity, signal="SIGKILL")
    assert refused.problem == "process-not-found", "it has gone when it is looked at"
    open_host.watched_now[identity] = []
    refused = await open_host.refusal(child.pid, identity=identity, signal="SIGKILL")
    assert refused.problem == "process-not-watched"
    assert (await open_host.kill(child.pid, identity=identity)).outcome == "exited"


async def test_one_that_no_sample_knows_yet_is_protected_by_its_watch(make_host, not_ours) -> None:
    host = make_host("control: {unwatched_signals: [SIGTERM, SIGKILL]}")
    child = host.start()
    identity = str(read_identity(PROC, child.pid))
    host.samples.clear()
    host.watched_now[identity] = ["untouched"]
    refused = await host.refusal(child.pid, identity=identity)
    assert refused.problem == "signal-not-allowed"
    assert "untouched" in refused.detail
    assert child.poll() is None


@pytest.mark.parametrize(
    ("watches", "asked", "allowed"),
    [
        (("careful",), {}, "exited"),
        (("careful",), {"signal": "SIGHUP"}, "exited"),
        (("careful",), {"signal": "SIGKILL"}, "The watch careful allows SIGTERM, SIGHUP, not SIGK"),
        (("careful",), {"escalate": True}, "The watch careful allows SIGTERM, SIGHUP, not SIGKILL"),
        (("etl", "careful"), {}, "exited"),
        (("etl", "careful"), {"signal": "SIGKILL"}, "The watch careful allows"),
        (("etl", "careful"), {"signal": "SIGHUP"}, "The watch etl allows SIGTERM, SIGKILL, not SI"),
        (("etl", "untouched"), {}, "The watch untouched allows no signal, not SIGTERM"),
        (("etl",), {"signal": "SIGSTOP"}, "not SIGSTOP"),
        (("removed since",), {}, "No watch selects"),
    ],
)
async def test_each_watch_says_which_signals_may_be_sent(
    host: Host, watches: tuple[str, ...], asked: dict[str, Any], allowed: str
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and is inherited
    child = host.start()
    signal.signal(signal.SIGHUP, before)
    host.watch(child.pid, *watches)
    if allowed == "exited":
        assert (await host.kill(child.pid, **asked)).outcome == "exited"
        return
    error = await host.refusal(child.pid, **asked)
    assert error.status == 403
    assert allowed in error.detail
    assert child.poll() is None


@pytest.mark.parametrize("name", ["", "TERM", "15", "SIGNOPE", "sigterm", "SIG_IGN"])
async def test_what_is_no_signal_is_400(host: Host, name: str) -> None:
    error = await host.refusal(host.start().pid, signal=name)
    assert (error.status, error.problem) == (400, "bad-body")


async def test_a_kill_is_confirmed(host: Host) -> None:
    error = await host.refusal(host.start().pid, confirm=False)
    assert (error.status, error.problem) == (400, "confirmation-required")


async def test_kills_are_limited_and_refusals_do_not_count(make_host, not_ours) -> None:
    host = make_host("control: {kills_per_minute: 2}")
    child = host.start("ignore=SIGTERM")
    for _ in range(5):
        await host.refusal(child.pid, signal="SIGHUP")
    for _ in range(2):
        await host.kill(child.pid, wait=0.0)
    error = await host.refusal(child.pid)
    assert (error.status, error.problem) == (429, "too-many-commands")
    assert 0 < int(error.headers["Retry-After"]) <= 30
    closed = make_host("control: {kills_per_minute: 0}")
    assert "control.kills_per_minute is 0" in (await closed.refusal(child.pid)).detail


async def test_new_settings_hold_at_once(host: Host) -> None:
    child = host.start()
    host.kills.apply(parse_node_config(b"process_watch: [{name: other, match: x}]", "node.yaml"))
    assert (await host.refusal(child.pid)).problem == "process-not-watched"


# --- rights ---------------------------------------------------------------------------------------


async def test_without_the_right_the_answer_names_whose_it_is_and_the_remedy(
    host: Host, monkeypatch
) -> None:
    """Each thread of Linux has user ids of its own: the kernel really refuses."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    child = host.start("name=etl_worker")
    real = signals.Target.send

    def as_nobody(target: signals.Target, number: signal.Signals) -> None:
        os.seteuid(65534)
        os.setresuid(65534, 65534, 0)
        try:
            real(target, number)
        finally:
            os.setresuid(0, 0, 0)

    monkeypatch.setattr(signals.Target, "send", as_nobody)
    with pytest.raises(ApiError) as caught:
        await host.kill(child.pid)
    error = caught.value
    assert (error.status, error.problem) == (403, "signal-not-permitted")
    assert f"The process {child.pid} (etl_worker) belongs to root (uid 0)" in error.detail
    assert "runs as nobody (uid 65534)" in error.detail
    assert "AmbientCapabilities=CAP_KILL" in error.detail
    assert child.poll() is None


async def test_a_right_that_does_not_help_points_to_the_security_module(
    host: Host, monkeypatch
) -> None:
    child = host.start()

    def forbid(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", forbid)
    if os.geteuid() != 0:
        pytest.skip("needs the right")
    with pytest.raises(ApiError, match="AppArmor"):
        await host.kill(child.pid)
    assert child.poll() is None


# --- the confirmation token -----------------------------------------------------------------------


@pytest.fixture
def asking(make_host, not_ours) -> Host:
    return make_host("control: {confirmation_token: true}")


async def token_of(host: Host, pid: int, **asked: Any) -> str:
    error = await host.refusal(pid, **asked)
    assert (error.status, error.problem) == (409, "confirmation-token-required")
    assert error.token is not None
    assert error.token not in error.detail
    return error.token


async def test_the_first_call_gives_a_token_and_the_second_is_done(asking: Host) -> None:
    child = asking.start()
    token = await token_of(asking, child.pid)
    assert child.poll() is None
    assert (await asking.kill(child.pid, token=token, reason="another word")).outcome == "exited"


async def test_a_token_is_for_one_use(asking: Host) -> None:
    child = asking.start("ignore=SIGTERM")
    token = await token_of(asking, child.pid)
    await asking.kill(child.pid, token=token, wait=0.0)
    error = await asking.refusal(child.pid, token=token)
    assert (error.status, error.problem) == (409, "confirmation-token-wrong")


async def test_a_token_is_for_this_command_this_process_and_this_caller(asking: Host) -> None:
    child, other = asking.start(), asking.start()
    for pid, told, changes in (
        (other.pid, Told(), {}),
        (child.pid, Told(), {"signal": "SIGKILL"}),
        (child.pid, Told(), {"escalate": True}),
        (child.pid, Told(Caller("vera", "10.0.0.1")), {}),
        (child.pid, Told(Caller("-", "10.0.0.1")), {}),
    ):
        token = await token_of(asking, child.pid)
        error = await asking.refusal(pid, told, token=token, **changes)
        assert error.problem == "confirmation-token-wrong"
        # A token that was shown in the wrong place is void.
        assert (await asking.refusal(child.pid, token=token)).status == 409
    for garbage in ("", "x", "etlmon_" + "x" * 43):
        error = await asking.refusal(child.pid, token=garbage)
        assert error.problem == "confirmation-token-wrong"
    assert child.poll() is other.poll() is None


async def test_where_nobody_is_known_the_address_counts(asking: Host) -> None:
    child = asking.start()
    here, there = Told(Caller("-", "10.0.0.1")), Told(Caller("-", "10.0.0.2"))
    error = await asking.refusal(child.pid, here)
    assert (await asking.refusal(child.pid, there, token=error.token)).status == 409
    again = (await asking.refusal(child.pid, here)).token
    assert (await asking.kill(child.pid, here, token=again)).outcome == "exited"


async def test_no_token_for_what_would_be_refused(asking: Host) -> None:
    child = asking.start()
    error = await asking.refusal(child.pid, signal="SIGSTOP")
    assert (error.status, error.token) == (403, None)


async def test_getting_tokens_counts_as_no_kill(make_host, not_ours) -> None:
    host = make_host("control: {confirmation_token: true, kills_per_minute: 1}")
    child = host.start()
    for _ in range(3):
        token = await token_of(host, child.pid)
    assert (await host.kill(child.pid, token=token)).outcome == "exited"
