"""Who has a file open for writing, as /proc tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etlmon.host.writers import find_writers


def asked(*files: Path) -> tuple[frozenset[tuple[int, int]], frozenset[bytes]]:
    status = [file.stat() for file in files]
    return (
        frozenset((one.st_dev, one.st_ino) for one in status),
        frozenset(os.fsencode(file.parent) for file in files),
    )


def test_who_writes_and_who_only_reads(tmp_path: Path) -> None:
    written, read, closed = (tmp_path / name for name in ("written", "read", "closed"))
    for file in (written, read, closed):
        file.touch()
    identities, directories = asked(written, read, closed)
    with written.open("a"), read.open():
        found = find_writers(b"/proc", identities, directories)
    assert found.identities == asked(written)[0]
    assert found.is_complete == (os.geteuid() == 0)


def test_deleted_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("w"):
        identities, directories = asked(file)
        file.unlink()
        assert find_writers(b"/proc", identities, directories).identities == identities


def test_what_lies_elsewhere_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("w"):
        identities, _ = asked(file)
        assert find_writers(b"/proc", identities, frozenset([b"/"])).identities == frozenset()


def test_without_privileges_it_is_not_complete(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    (proc / "1" / "fd").mkdir(parents=True)
    (proc / "1" / "fd").chmod(0)
    (proc / "2").mkdir()
    (proc / "self").mkdir()
    tmp_path.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        for parent in list(tmp_path.parents)[:-1]:
            parent.chmod(parent.stat().st_mode | 0o055)
        os.seteuid(65534)
    try:
        found = find_writers(os.fsencode(proc), frozenset(), frozenset())
    finally:
        os.seteuid(user)
    assert (found.identities, found.is_complete) == (frozenset(), False)


@pytest.mark.parametrize(("name", "is_one"), [("app.log", True), ("other.log", False)])
def test_container_that_has_the_directory_elsewhere(
    tmp_path: Path, name: str, is_one: bool
) -> None:
    directory, elsewhere = tmp_path / "directory", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.symlink_to(directory)
    file = directory / "app.log"
    file.touch()
    descriptors, facts = tmp_path / "proc/1/fd", tmp_path / "proc/1/fdinfo"
    descriptors.mkdir(parents=True)
    facts.mkdir()
    (descriptors / "3").symlink_to(elsewhere / file.name)
    (facts / "3").write_text(f"pos:\t0\nflags:\t0100001\nmnt_id:\t1\nino:\t{file.stat().st_ino}\n")
    names = frozenset([os.fsencode(f"{name} (deleted)")])
    found = find_writers(os.fsencode(tmp_path / "proc"), *asked(file), names)
    assert found.identities == (asked(file)[0] if is_one else frozenset())
