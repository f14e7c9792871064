"""A node that cannot start is a line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import run


def test_a_node_without_its_configuration_is_a_line(tmp_path: Path) -> None:
    done = run("node", "-c", str(tmp_path / "none.yaml"), status=78)
    assert "none.yaml" in done.stderr
    assert len(done.stderr.splitlines()) == 1
