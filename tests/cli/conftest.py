"""The command line: in this process where no reactor runs, else as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from etlmon.cli.main import main
from tests.waiting import PATIENCE_SECONDS

ETLMON = str(Path(sys.executable).with_name("etlmon"))


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [ETLMON, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done
