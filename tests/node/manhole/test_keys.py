"""The files with keys: whose they must be, and which lines count."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from etlmon.node.manhole.keys import KeyTrouble, authorized_keys, host_key

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/ssh-keygen").exists(), reason="there is no ssh-keygen"
)


@pytest.fixture
def line(tmp_path: Path) -> str:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice@laptop", "-f"]
    subprocess.run([*command, str(tmp_path / "key")], check=True)
    return (tmp_path / "key.pub").read_text()


def write(path: Path, text: str, mode: int = 0o644) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


class TestAuthorizedKeys:
    def test_each_key_has_its_comment_for_a_name(self, tmp_path: Path, line: str) -> None:
        path = write(tmp_path / "keys", f"# who may come\n\n{line}")
        assert [name for _, name in authorized_keys(path)] == ["alice@laptop"]

    def test_one_without_a_comment_is_called_by_its_fingerprint(
        self, tmp_path: Path, line: str
    ) -> None:
        path = write(tmp_path / "keys", " ".join(line.split()[:2]))
        ((_, name),) = authorized_keys(path)
        command = ["ssh-keygen", "-E", "md5", "-lf", str(tmp_path / "key.pub")]
        assert name in subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def test_lines_that_are_no_keys_let_nobody_in(self, tmp_path: Path, line: str) -> None:
        text = f"ssh-ed25519 garbage\nhello\n\x00\xff\n{line}"
        assert len(authorized_keys(write(tmp_path / "keys", text))) == 1

    def test_options_are_not_passed_over(self, tmp_path: Path, line: str) -> None:
        """A key that is good from one host only must not be good from all."""
        path = write(tmp_path / "keys", f'from="10.0.0.1",no-pty {line}')
        assert authorized_keys(path) == []

    @pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
    def test_a_file_that_others_write_lets_nobody_in(
        self, tmp_path: Path, line: str, mode: int
    ) -> None:
        with pytest.raises(KeyTrouble, match=r"others can write .*: chmod go-w"):
            authorized_keys(write(tmp_path / "keys", line, mode))

    def test_what_is_missing_or_no_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(KeyTrouble, match="No such file"):
            authorized_keys(str(tmp_path / "none"))
        with pytest.raises(KeyTrouble, match="Is a directory"):
            authorized_keys(str(tmp_path))


class TestHostKey:
    def test_it_is_made_once_and_is_openssh_s(self, tmp_path: Path) -> None:
        path = tmp_path / "host_key"
        first = host_key(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert host_key(path) == first
        told = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(path)], check=True, capture_output=True, text=True
        ).stdout
        assert told.split()[:2] == first.public().toString("openssh").decode().split()[:2]
        assert [one.name for one in tmp_path.iterdir()] == ["host_key"]

    def test_one_that_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        path = tmp_path / "host_key"
        host_key(path)
        path.chmod(0o640)
        with pytest.raises(KeyTrouble, match=r"others can read .*: chmod 600"):
            host_key(path)

    def test_a_link_and_garbage_are_not_used(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(KeyTrouble, match="cannot use the console's key"):
            host_key(link)
        with pytest.raises(KeyTrouble, match="holds no key: remove it"):
            host_key(Path(write(tmp_path / "bad", "hello", 0o600)))
