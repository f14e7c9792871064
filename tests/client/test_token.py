"""The file with the token of a client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.client.token import read_token_file
from etlmon.errors import EtlmonError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(0o600)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(EtlmonError) as caught:
        read_token_file(str(path), "--token-file")
    return str(caught.value)


def test_it_is_the_word_in_the_file(path: Path) -> None:
    path.write_text("secret-word\n")
    assert read_token_file(str(path), "--token-file") == "secret-word"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    path.write_text("secret-word\n")
    path.chmod(mode)
    told = refusal(path)
    assert told.endswith(f"is open to others (mode {mode:04o}); chmod 600 {path}")
    assert "secret" not in told


@pytest.mark.parametrize("content", [b"", b"two words", b"a\x1bb", b"\xff", b"x" * 5_000])
def test_what_is_no_word_is_refused_and_not_shown(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert refusal(path) == f"{path}: no token is in it; it is one word"


def test_what_is_no_plain_file_is_refused_and_holds_up_nobody(path: Path) -> None:
    path.unlink()
    assert refusal(path).endswith("No such file or directory")
    os.mkfifo(path, 0o600)
    assert "not a plain file" in refusal(path)
