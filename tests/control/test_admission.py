"""The tokens of the running node follow the file."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from etlmon.control import tokens
from etlmon.control.admission import AdmissionService
from etlmon.control.tokens import TokensError

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def at_once(function: Callable[[], Any]) -> Awaitable[Any]:
    return maybeDeferred(function)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(path: Path, clock: Clock) -> AdmissionService:
    return AdmissionService(path, clock, at_once)


def test_a_token_comes_and_goes_within_two_seconds(
    service: AdmissionService, path: Path, clock: Clock
) -> None:
    first = tokens.add(path, "first", "viewer", NOW)
    service.startService()
    assert service.find(first) == ("first", "viewer")
    second = tokens.add(path, "second", "operator", NOW)
    assert service.find(second) is None
    clock.advance(2)
    assert service.find(second) == ("second", "operator")
    tokens.remove(path, "first")
    clock.advance(2)
    assert service.find(first) is None
    assert service.find(second) is not None
    service.stopService()
    assert not clock.getDelayedCalls()


def test_a_file_that_is_not_right_keeps_the_node_from_starting(
    service: AdmissionService, path: Path, clock: Clock
) -> None:
    with pytest.raises(TokensError, match="not there"):
        service.startService()
    tokens.add(path, "a", "viewer", NOW)
    path.chmod(0o644)
    with pytest.raises(TokensError, match="chmod 600"):
        service.startService()
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("wrong", ["mode", "gone", "garbage", "link", "directory"])
def test_a_file_that_becomes_wrong_lets_nobody_in_until_it_is_right(
    service: AdmissionService,
    path: Path,
    clock: Clock,
    wrong: str,
    flush_logged_errors: Callable[..., list[Any]],
) -> None:
    secret = tokens.add(path, "a", "operator", NOW)
    content = path.read_bytes()
    service.startService()
    match wrong:
        case "mode":
            path.chmod(0o604)
        case "gone":
            path.unlink()
        case "garbage":
            path.write_bytes(b"x" + content)
        case "link":
            path.rename(f"{path}.other")
            path.symlink_to(f"{path}.other")
        case "directory":
            path.parent.chmod(0o777)
    for _ in range(3):
        clock.advance(2)
        assert service.find(secret) is None
        assert service.trouble is not None
    assert len(flush_logged_errors("Nobody is let in until that is mended")) == 1
    path.parent.chmod(0o700)
    if os.path.lexists(path):
        path.unlink()
    path.write_bytes(content)
    path.chmod(0o600)
    clock.advance(2)
    assert service.trouble is None
    assert service.find(secret) == ("a", "operator")
    service.stopService()


def test_a_change_that_leaves_size_and_mtime_is_seen(
    service: AdmissionService, path: Path, clock: Clock
) -> None:
    """Who sets the times back changes ctime."""
    secret = tokens.add(path, "a", "viewer", NOW)
    service.startService()
    found = path.stat()
    content = path.read_bytes()
    digest = tokens.sha256(secret).encode()
    path.write_bytes(content.replace(digest, b"0" * 64))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    clock.advance(2)
    assert service.find(secret) is None
    service.stopService()
