"""systemctl is run as a child, and never waited for longer than allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlmon.errors import CollectError
from etlmon.host.systemctl import ask, runs_systemd
from tests.waiting import PATIENCE_SECONDS


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_it_prints_is_given(tmp_path: Path) -> None:
    command = script(tmp_path / "systemctl", 'echo "$@"; echo "$LC_ALL"')
    assert ask(command, ["list-timers"], PATIENCE_SECONDS) == (
        b"--no-pager --no-ask-password list-timers\nC.UTF-8\n"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo 'no bus' >&2; exit 1", "systemctl show failed: no bus"),
        ("exit 3", "systemctl show failed: 3"),
        ("exec sleep 60", "systemctl show did not answer within 0.2 s"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path: Path, text: str, says: str) -> None:
    command = script(tmp_path / "systemctl", text)
    with pytest.raises(CollectError, match=says):
        ask(command, ["show"], 0.2 if "sleep" in text else PATIENCE_SECONDS)


def test_without_a_systemctl(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="cannot be run: No such file"):
        ask(str(tmp_path / "nothing"), ["show"], PATIENCE_SECONDS)


def test_whether_systemd_runs_at_all(tmp_path: Path) -> None:
    assert not runs_systemd(tmp_path)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert runs_systemd(tmp_path)
