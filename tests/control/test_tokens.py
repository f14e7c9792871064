"""The tokens file: what is written, what is trusted, and what is refused with its remedy."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.control import tokens
from etlmon.control.tokens import TokensError
from etlmon.host.owners import acting_as
from etlmon.text import without_tokens

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
HASH = "0" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def written(path: Path, content: bytes = b"", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(TokensError) as caught:
        tokens.read(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_token_that_was_made_is_found_and_no_other(path: Path) -> None:
    alice = tokens.add(path, "alice", "operator", NOW)
    bob = tokens.add(path, "bob", "viewer", NOW)
    known = tokens.read(path)
    assert [(one.name, one.role, one.made_at) for one in known] == [
        ("alice", "operator", NOW),
        ("bob", "viewer", NOW),
    ]
    assert tokens.find(known, alice) == known[0]
    assert tokens.find(known, bob) == known[1]
    for other in ("", alice[:-1], alice + "x", alice.upper(), known[0].sha256, "alice"):
        assert tokens.find(known, other) is None


def test_the_file_holds_no_token_and_is_its_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        secret = tokens.add(path, "alice", "operator", NOW)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert secret.encode() not in path.read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_token_is_256_bits_and_is_known_by_its_beginning(path: Path) -> None:
    secret = tokens.add(path, "alice", "operator", NOW)
    assert re.fullmatch("etlmon_[A-Za-z0-9_-]{43}", secret)
    assert without_tokens(f"x {secret} y") == "x etlmon_... y"


def test_one_that_is_removed_is_gone_and_the_others_stay(path: Path) -> None:
    for name in ("a", "b", "c"):
        tokens.add(path, name, "viewer", NOW)
    tokens.remove(path, "b")
    assert [one.name for one in tokens.read(path)] == ["a", "c"]
    with pytest.raises(TokensError, match=r"there is no token b; there are a, c$"):
        tokens.remove(path, "b")


def test_a_name_is_given_once(path: Path) -> None:
    tokens.add(path, "a", "viewer", NOW)
    with pytest.raises(TokensError, match="a token a already; remove it first"):
        tokens.add(path, "a", "operator", NOW)
    assert len(tokens.read(path)) == 1


@pytest.mark.parametrize("name", ["", "-", "a b", "a\n", "é", "x" * 65, "#a", "a\x1b[2J", "uid:1"])
def test_what_is_no_name_is_refused_before_anything_is_written(path: Path, name: str) -> None:
    with pytest.raises(TokensError, match="is no name; write letters"):
        tokens.add(path, name, "viewer", NOW)
    assert not os.path.lexists(path)


def test_tokens_that_are_made_at_the_same_time_are_all_there(path: Path) -> None:
    begin = threading.Barrier(8)

    def make(number: int) -> None:
        begin.wait()
        for turn in range(3):
            tokens.add(path, f"t{number}.{turn}", "viewer", NOW)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens.read(path)) == 24


def test_a_change_keeps_the_owner_of_the_file(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    tokens.add(path, "a", "viewer", NOW)
    os.chown(path, 0, 12345)
    tokens.add(path, "b", "viewer", NOW)
    assert path.stat().st_gid == 12345


# --- what is not trusted --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601, 0o4777])
def test_a_file_that_is_open_to_others_is_refused(path: Path, mode: int) -> None:
    assert refusal(written(path, mode=mode)).endswith(f"(mode {mode:04o}); chmod 600 {path}")
    with pytest.raises(TokensError, match="chmod 600"):
        tokens.add(path, "a", "viewer", NOW)
    with pytest.raises(TokensError, match="chmod 600"):
        tokens.remove(path, "a")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_the_owner_alone_is_taken(path: Path, mode: int) -> None:
    assert tokens.read(written(path, mode=mode)) == ()


def test_a_symbolic_link_is_refused_and_what_it_points_to_is_left_alone(
    path: Path, tmp_path: Path
) -> None:
    target = written(tmp_path / "target", b"precious")
    path.symlink_to(target)
    assert "a symbolic link" in refusal(path)
    with pytest.raises(TokensError, match="a symbolic link"):
        tokens.add(path, "a", "viewer", NOW)
    assert target.read_bytes() == b"precious"
    target.unlink()
    assert "a symbolic link" in refusal(path)


def test_what_is_no_plain_file_is_refused_and_holds_up_nobody(path: Path) -> None:
    os.mkfifo(path, 0o600)
    assert "not a plain file" in refusal(path)
    path.unlink()
    path.mkdir(0o700)
    assert "not a plain file" in refusal(path)
    assert "not a plain file" in refusal(Path("/dev/null"))
    assert "Not a directory" in refusal(Path("/dev/null/tokens"))


def test_a_file_of_another_user_is_refused(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    os.chown(written(path), 12345, 0)
    assert "belongs to uid 12345" in refusal(path)


def test_root_changes_that_of_the_user_whom_the_node_runs_as(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    tokens.add(path, "a", "viewer", NOW)
    os.chown(path, 12345, 12345)
    tokens.add(path, "b", "viewer", NOW)
    tokens.remove(path, "a")
    assert [token.name for token in tokens.read(path, administers=True)] == ["b"]
    assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (12345, 0o600)


def test_a_file_that_may_not_be_read_names_the_remedy(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    written(path)
    path.parent.chmod(0o755)
    parents = list(path.parents)[1:-1]
    modes = [parent.stat().st_mode & 0o7777 for parent in parents]
    for parent, mode in zip(parents, modes, strict=True):
        parent.chmod(mode | 0o011)
    os.seteuid(65534)
    try:
        told = refusal(path)
        assert "may not be read by uid 65534; it must belong to the user that the node runs" in told
        assert f"chown USER {path}; root may" in told, "never to who asks"
    finally:
        os.seteuid(0)
        for parent, mode in zip(parents, modes, strict=True):
            parent.chmod(mode)


@pytest.mark.parametrize(
    ("mode", "who"), [(0o777, "everybody"), (0o775, "its group"), (0o2770, "its group")]
)
@pytest.mark.parametrize("above", [0, 1])
def test_directories_in_which_others_write_are_refused(
    tmp_path: Path, mode: int, who: str, above: int
) -> None:
    """The file's own, and those above: whoever writes there could put another in its place."""
    path = written_below(tmp_path)
    directory = path.parents[above]
    directory.chmod(mode)
    told = f"{directory}: {who} may exchange the files in it; chmod go-w {directory}"
    assert refusal(path) == told
    with pytest.raises(TokensError, match="chmod go-w"):
        tokens.add(path, "a", "viewer", NOW)
    directory.chmod(0o1777)  # as /tmp: nobody may exchange the file of another
    assert tokens.read(path) == ()


def test_a_link_on_the_way_is_no_better_than_where_it_stands(tmp_path: Path) -> None:
    path = written_below(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "link").symlink_to(path.parent)
    led = tmp_path / "open" / "link" / path.name
    assert tokens.read(led) == ()
    (tmp_path / "open").chmod(0o777)
    assert refusal(led) == (
        f"{tmp_path}/open: everybody may exchange the files in it; chmod go-w {tmp_path}/open"
    )


def written_below(directory: Path) -> Path:
    """Make a tokens file in a directory of its own."""
    (directory / "etlmon").mkdir(mode=0o755)
    return written(directory / "etlmon" / "tokens")


def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a directory away")
    path = written_below(tmp_path)
    os.chown(path.parent, 12345, 0)
    assert refusal(path).startswith(f"{path.parent}: belongs to uid 12345, who could exchange")


def test_root_follows_no_link_of_the_user_whose_directory_it_is(tmp_path: Path) -> None:
    """Root changes the file with his rights: where he may not write, root does not for him."""
    if os.geteuid() != 0:
        pytest.skip("needs root to act as somebody else")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        place = Path(made)
        place.chmod(0o755)
        (place / "root").mkdir(mode=0o755)
        (place / "lib").mkdir()
        os.chown(place / "lib", 65534, 65534)
        path = place / "lib" / "tokens"
        tokens.add(path, "a", "viewer", NOW)
        tokens.add(path, "b", "viewer", NOW)
        assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (65534, 0o600)
        assert len(tokens.read(path, administers=True)) == 2
        with acting_as(65534):
            (place / "lib" / "below").symlink_to(place / "root")
        with pytest.raises(TokensError, match="Permission denied"):
            tokens.add(place / "lib" / "below" / "tokens", "a", "operator", NOW)
        assert list((place / "root").iterdir()) == []
        with acting_as(65534):
            (place / "lib" / "round").symlink_to("round")
        with pytest.raises(TokensError, match="ymbolic links"):
            tokens.add(place / "lib" / "round" / "tokens", "a", "operator", NOW)


def test_a_missing_file_says_how_to_make_it(path: Path) -> None:
    assert f"etlmon token add NAME --role ROLE --file {path}" in refusal(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe", "not plain text"),
        (b"\x00" * 10, ":1: not a line of name"),
        (b"alice operator\n", ":1: not a line of name"),
        (
            b"# fine\n\nalice operator etlmon_secret 2026-01-01T00:00:00Z\n",
            ":3: not a line of name",
        ),
        (b"a operator sha256:" + b"0" * 63 + b" 2026-01-01T00:00:00Z", ":1: not a line of name"),
        (b"a operator sha256:" + b"0" * 64 + b" 2026-01-01T00:00:00Z x", ":1: not a line"),
        (b"a admin sha256:" + b"0" * 64 + b" 2026-01-01T00:00:00Z", "write viewer or operator"),
        (b"- viewer sha256:" + b"0" * 64 + b" 2026-01-01T00:00:00Z", "is no name"),
        (b"a viewer sha256:" + b"0" * 64 + b" today", "the time is none"),
        (b"a viewer sha256:" + b"0" * 64 + b" 2026-01-01", "the time has no zone"),
        ((b"a viewer sha256:" + b"0" * 64 + b" 2026-01-01T00:00:00Z\n") * 2, ":2: a is there twi"),
        (b"#" * (256 << 10) + b"\n", "larger than 256 KiB"),
        (b"x" * (64 << 20), "larger than 256 KiB"),
    ],
)
def test_garbage_is_refused_with_its_line_and_not_shown(
    path: Path, content: bytes, says: str
) -> None:
    told = refusal(written(path, content))
    assert says in told
    assert "etlmon_secret" not in told
    assert len(told) < 400


@given(st.binary(max_size=300))
def test_no_content_is_worse_than_refused(content: bytes) -> None:
    with suppress(TokensError):
        found = tokens.parse(content, "tokens")
        assert tokens.parse("".join(one.line() for one in found).encode(), "tokens") == found
