"""Who is let in, and as what."""

from __future__ import annotations

import pytest

from etlmon.control.callers import Caller, Gate, Role
from etlmon.errors import ApiError


class Two:
    trouble: str | None = None

    def find(self, token: str) -> tuple[str, Role] | None:
        return {"v": ("vera", "viewer"), "o": ("otto", "operator")}.get(token)  # type: ignore


def refusal(gate: Gate, *authorization: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        gate.identify(authorization, "10.0.0.1")
    assert caught.value.status == 401
    assert caught.value.problem == "token-needed"
    return caught.value


@pytest.mark.parametrize("header", [b"Bearer o", b"bearer o", b"BEARER  o", b" Bearer o "])
def test_a_known_token_is_its_owner(header: bytes) -> None:
    assert Gate(Two()).identify([header], "10.0.0.1", "uid:5") == Caller(
        "otto", "10.0.0.1", "operator"
    )


def test_without_tokens_everybody_is_an_operator() -> None:
    caller = Gate().identify([b"Bearer nonsense"], "unix pid 5", "uid:1000")
    assert caller == Caller("uid:1000", "unix pid 5", "operator")
    caller.check_operator()


def test_no_token_is_asked_for_one() -> None:
    error = refusal(Gate(Two()))
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="etlmon"'}
    assert "Authorization: Bearer TOKEN" in error.detail


@pytest.mark.parametrize(
    "headers",
    [
        (b"Bearer x",),
        (b"Bearer",),
        (b"Bearer ",),
        (b"o",),
        (b"Basic bzpv",),
        (b"Bearer o", b"Bearer o"),
        (b"Bearer o, Bearer v",),
        (b"Bearer " + b"o" * 10_000,),
        (b"Bearer \xff",),
        (b"",),
    ],
)
def test_anything_else_is_not_known(headers: tuple[bytes, ...]) -> None:
    error = refusal(Gate(Two()), *headers)
    assert 'error="invalid_token"' in error.headers["WWW-Authenticate"]


def test_tokens_that_cannot_be_read_let_nobody_in() -> None:
    two = Two()
    two.trouble = "/etc/etlmon/tokens: is open to others"
    assert "/etc" not in refusal(Gate(two), b"Bearer o").detail


def test_a_viewer_may_give_no_command() -> None:
    caller = Gate(Two()).identify([b"Bearer v"], "10.0.0.1")
    with pytest.raises(ApiError, match="vera may read only") as caught:
        caller.check_operator()
    assert (caught.value.status, caught.value.problem) == (403, "operator-needed")
    assert "insufficient_scope" in caught.value.headers["WWW-Authenticate"]
