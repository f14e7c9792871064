"""What the house rules ask of files, where no linter looks (import-linter has the rest)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent


def test_the_worker_imports_the_standard_library_and_its_jobs_only() -> None:
    """It runs as `python -I -S -E worker.py`, and must start in a few milliseconds."""
    room = TOP / "etlmon/fsworker"
    imported: set[str] = set()
    for file in [room / "worker.py", *(room / "jobs").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                imported.add(node.module or "")
    ours = {name for name in imported if name.startswith("etlmon.fsworker.jobs.")}
    assert ours
    assert {name.partition(".")[0] for name in imported - ours} <= sys.stdlib_module_names


def test_twisted_is_not_hidden() -> None:
    """An __init__.py beside the plugin would make this folder the whole of Twisted."""
    assert not list((TOP / "twisted").rglob("__init__.py"))


def test_twistd_knows_the_node() -> None:
    from twisted.application.service import IServiceMaker
    from twisted.plugin import getPlugins

    assert "etlmon-node" in {plugin.tapname for plugin in getPlugins(IServiceMaker)}
