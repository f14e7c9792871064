"""Tokens are made, listed and removed; a node lets in who has one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ETLMON, invoke, run


def test_a_token_is_made_listed_and_removed(tmp_path: Path) -> None:
    file = str(tmp_path / "tokens")
    made = run("token", "add", "alice", "--role", "operator", "--file", file)
    secret = made.stdout.strip()
    assert secret.startswith("etlmon_")
    assert secret not in made.stderr
    assert f"chown USER {file}" in made.stderr
    assert "alice  operator  20" in invoke("token", "list", "--file", file).output
    assert secret not in Path(file).read_text()
    assert invoke("token", "remove", "alice", "--file", file).output == ""
    assert invoke("token", "list", "--file", file).output == "Nothing there yet.\n"
    refused = run("token", "remove", "alice", "--file", file, status=1)
    assert refused.stderr == f"etlmon: {file}: there is no token alice; there are none\n"


@pytest.mark.parametrize("role", ["admin", ""])
def test_a_role_is_one_of_two(role: str, tmp_path: Path) -> None:
    result = invoke("token", "add", "a", "--role", role, "--file", str(tmp_path / "tokens"))
    assert result.exit_code == 2
    assert "'viewer', 'operator'" in result.output


def test_a_node_with_tokens_answers_those_who_have_one(tmp_path: Path) -> None:
    file, mine = tmp_path / "tokens", tmp_path / "mine"
    config = tmp_path / "node.yaml"
    config.write_text(
        f"node: {{listen: 'unix:{tmp_path}/s', db_path: {tmp_path}/etlmon.db}}\n"
        f"auth: {{tokens_file: {file}}}\n"
    )
    refused = run("node", "-c", str(config), status=1)
    assert f"{file}: not there; make it by `etlmon token add" in refused.stderr
    secret = run("token", "add", "me", "--role", "viewer", "--file", str(file)).stdout
    mine.touch(0o600)
    mine.write_text(secret)
    ask = ("get", "health", "--node", f"unix:{tmp_path}/s")
    with subprocess.Popen(
        [ETLMON, "node", "-c", str(config)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        try:
            for line in process.stderr:
                lines.append(line)
                if "listening on" in line:
                    break
            assert "ask" not in run(*ask, "--token-file", str(mine)).stderr
            assert "asks for a token" in run(*ask, status=1).stderr
        finally:
            process.terminate()
            lines += process.stderr.readlines()
    assert secret.strip() not in "".join(lines)
