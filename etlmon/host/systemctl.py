"""Asks systemd by its own program, where systemd runs. Calls block, at most until a deadline."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from etlmon.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}


def runs_systemd(root: Path) -> bool:
    """Tell whether the host was started by systemd."""
    return os.path.isdir(root / "run/systemd/system")


def ask(systemctl: str, arguments: Sequence[str], deadline_seconds: float) -> bytes:
    """Give what systemctl prints; raise CollectError if it fails or takes too long."""
    command = [systemctl, "--no-pager", "--no-ask-password", *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=deadline_seconds,
            check=False,
            env=_ENVIRONMENT,
        )
    except subprocess.TimeoutExpired as error:
        raise CollectError(
            f"systemctl {arguments[0]} did not answer within {deadline_seconds:g} s"
        ) from error
    except OSError as error:
        raise CollectError(f"systemctl cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        raise CollectError(f"systemctl {arguments[0]} failed: {said or done.returncode}")
    return done.stdout
