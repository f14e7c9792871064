"""Debian's Prometheus and Alertmanager: unpacked beside the virtualenv, or installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
RULES = TOP / "conf" / "prometheus" / "etlmon.rules.yml"
_PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
}


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Give the path of one of their programs; skip where it cannot be had."""

    def find(name: str) -> str:
        servers = Path(os.environ.get("ETLMON_TEST_SERVERS", "/nonexistent"))
        unpacked = servers / _PACKAGES[name] / "usr" / "bin" / name
        found = str(unpacked) if unpacked.exists() else shutil.which(name)
        if found is None:
            pytest.skip(f"{_PACKAGES[name]} is not here; ./run test fetches it where apt-get can")
        return found

    return find


@pytest.fixture(scope="session")
def alertmanager(program: Callable[[str], str]) -> list[str]:
    """Give the command of Alertmanager; skip where it cannot be had.

    Debian's looks for its templates below /usr/share only: where it is unpacked elsewhere it sees
    its own there.
    """
    found = program("prometheus-alertmanager")
    share = Path(found).parents[1] / "share"
    if share == Path("/usr/share"):
        return [found]
    apart = ["--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        apart.insert(0, "--map-root-user")
    script = 'mount --bind "$0" /usr/share && exec "$@"'
    within = ["unshare", *apart, "sh", "-c", script, str(share)]
    if shutil.which("unshare") is None or subprocess.run([*within, "true"], check=False).returncode:
        pytest.skip("needs a mount namespace, or prometheus-alertmanager installed")
    return [*within, found]
