"""Files get a name that nobody else has, on every kind of file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlmon.store import files
from etlmon.store.files import rename_anew


@pytest.fixture(params=["renameat2", "link", "neither"])
def made(request: pytest.FixtureRequest, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a file, on a file system that knows this way to give it another name."""
    if request.param != "renameat2":
        monkeypatch.setattr(files, "_renamed_by_kernel", lambda *_: False)
    if request.param == "neither":
        monkeypatch.setattr(files, "link", lambda *_: False)
    path.write_text("made")
    return path


def test_it_has_the_new_name_alone(made: Path) -> None:
    target = made.with_name("target")
    rename_anew(made, target)
    assert target.read_text() == "made"
    assert not made.exists()


def test_what_has_the_name_stays(made: Path) -> None:
    target = made.with_name("target")
    target.write_text("somebody's")
    with pytest.raises(FileExistsError):
        rename_anew(made, target)
    assert (made.read_text(), target.read_text()) == ("made", "somebody's")


def test_a_link_to_nowhere_has_the_name_too(made: Path) -> None:
    target = made.with_name("target")
    target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        rename_anew(made, target)
    assert target.is_symlink()


def test_what_cannot_be_renamed_leaves_nothing(made: Path) -> None:
    made.unlink()
    with pytest.raises(FileNotFoundError):
        rename_anew(made, made.with_name("target"))
    assert not made.with_name("target").exists()
