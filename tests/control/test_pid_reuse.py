"""A pid that is given out again between dialog, check and signal: really, in a pid namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a pid namespace")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, of util-linux")
def test_the_process_that_got_the_pid_is_never_hit() -> None:
    done = subprocess.run(
        [
            *("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
            *(sys.executable, str(Path(__file__).with_name("pid_reuse.py"))),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "after the dialog: 409 identity-changed True",
        "after the sample: 409 identity-changed True",
        "sampled anew, old dialog: 409 identity-changed True",
        "between check and signal: 404 process-not-found True",
        "between pidfd and check: 409 identity-changed True",
        "the right one: exited False",
    ], done.stderr
