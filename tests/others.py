"""What tests do as another user than the one who runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

_TOP = Path(__file__).parents[1]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
"""Begins a program as one who has no rights. The program may be where nobody may go: below root's
home, for instance; what it begins itself may not."""


def _is_open() -> bool:
    if os.geteuid() != 0:
        return True
    try:
        read = subprocess.run([*NOBODY, "cat", _TOP / "run"], check=False, capture_output=True)
    except FileNotFoundError:
        return False
    return read.returncode == 0


needs_open_checkout = pytest.mark.skipif(
    not _is_open(),
    reason=f"needs setpriv, and a checkout that other users can read: open the directories above "
    f"{_TOP} (chmod o+x), or clone it elsewhere",
)
