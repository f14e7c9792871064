"""The program as a whole: its help, and how quick it is to start."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from etlmon import __version__
from tests.cli.conftest import invoke


def test_help_leads_a_newcomer_to_the_first_look() -> None:
    text = invoke("--help").output
    for word in ("etlmon demo", "etlmon node -c node.yaml", "etlmon get fs", "check-config"):
        assert word in text
    assert invoke("-h").output == text


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node", ("127.0.0.1:8080", "SIGHUP", "SIGTERM", "/var/lib/etlmon")),
        ("demo", ("--path", "nothing stays behind")),
        ("get", ("etlmon get paths", "all=true", "--json", "http://localhost:8080")),
        ("check-config", ("--ui", "--schema")),
        ("version", ("version",)),
    ],
)
def test_each_command_has_help(command: str, words: tuple[str, ...]) -> None:
    text = invoke(command, "--help").output
    for word in words:
        assert word in text


def test_version() -> None:
    assert invoke("version").output == f"etlmon {__version__}\n"


def test_no_command_is_slow_to_start() -> None:
    """What a command does not need it does not import."""
    code = (
        "import sys, etlmon.cli.main; print(sorted({'twisted', 'yaml', 'treq'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "[]\n"
