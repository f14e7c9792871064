"""Where crontabs are, which cron is there, and what decides whether a file is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.host import crontabs
from etlmon.host.crontabs import Stamp, find_files, read_stamp, spool


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in ("etc/cron.d", "etc/cron.daily", "usr/sbin", "usr/bin", "run", "var/spool/cron"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "there", "expected"),
    [
        ("debian", [], "crontabs"),
        ("cronie", [], ""),
        ("cronie", ["tabs"], "tabs"),
        ("cronie", ["crontabs"], "crontabs"),
    ],
)
def test_where_users_crontabs_are(root: Path, kind: str, there: list[str], expected: str) -> None:
    for name in there:
        (root / "var/spool/cron" / name).mkdir()
    found = spool(root, kind)  # type: ignore[arg-type]
    assert found == b"/var/spool/cron" + (b"/" + expected.encode() if expected else b"")


def test_files_are_found_in_the_order_of_their_names(root: Path) -> None:
    for name in ("b", "a", "\udcff"):
        (root / "etc/cron.d" / name).write_text("x\n")
    (root / "etc/crontab").write_text("y\n")
    (root / "etc/cron.daily/run").write_text("z\n")
    (root / "etc/cron.d/directory").mkdir()
    found = find_files(root, "debian").files
    assert [(file.path, file.place, file.content) for file in found if file.content] == [
        (b"/etc/crontab", "crontab", b"y\n"),
        (b"/etc/cron.d/a", "cron.d", b"x\n"),
        (b"/etc/cron.d/b", "cron.d", b"x\n"),
        (b"/etc/cron.d/\xff", "cron.d", b"x\n"),
    ]
    (script,) = (file for file in found if file.place == "run-parts")
    assert script.content is None  # what a script holds is not looked at


def test_a_file_that_is_too_large_is_not_held(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontabs, "MOST_BYTES", 10)
    (root / "etc/crontab").write_bytes(b"x" * 11)
    (file,) = find_files(root, "debian").files
    assert (file.content, file.error) == (None, "TOOBIG")


def test_files_that_are_too_large_together_are_not_held(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = crontabs._Room(25)
    monkeypatch.setattr(crontabs, "_Room", lambda: room)
    for name in "abc":
        (root / "etc/cron.d" / name).write_bytes(b"x" * 10)
    found = [(file.content, file.error) for file in find_files(root, "debian").files]
    assert found == [(b"x" * 10, None)] * 2 + [(None, "NOROOM")]


def test_too_many_files_are_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontabs, "MOST_FILES", 2)
    for name in "abc":
        (root / "etc/cron.d" / name).touch()
    found = find_files(root, "debian")
    assert len(found.files) == 2
    assert found.unreadable == [(b"/etc/cron.d", "more than 2 names in it")]


def test_a_pipe_holds_nobody_up(root: Path) -> None:
    os.mkfifo(root / "etc/crontab")
    (file,) = find_files(root, "debian").files
    assert (file.content, file.error) == (None, None)


@pytest.mark.parametrize(
    ("name", "text", "stamp"),
    [
        (b"daily", "20261126\n", "20261126"),
        (b"daily", "soon", None),
        (b"other", "20261126", None),
        (b"../../../x", "20261126", None),
        (b"..", "20261126", None),
    ],
)
def test_when_anacron_last_ran_a_job(root: Path, name: bytes, text: str, stamp: str | None) -> None:
    (root / "var/spool/anacron").mkdir()
    (root / "var/spool/anacron/daily").write_text(text)
    os.utime(root / "var/spool/anacron/daily", (7.0, 7.5))
    assert read_stamp(root, name) == (None if stamp is None else Stamp(stamp, 7.5))


def test_placeholders_of_packages_are_no_crontabs(root: Path) -> None:
    for place in ("etc/cron.d/.placeholder", "etc/cron.d/.hidden"):
        (root / place).touch()
    assert [file.name for file in find_files(root, "debian").files] == [b".hidden"]
