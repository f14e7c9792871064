"""Kills what a test does, in a process of its own, before any of the steps that the kernel sees."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def killed(step: int, act: Callable[[], object]) -> bool:
    """Act in a process that is killed before its ``step``-th call; give whether it was."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, _arguments: Any) -> None:
            nonlocal left
            if event == "open" or event.startswith(("os.", "sqlite3.", "fcntl.", "shutil.")):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            act()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0
