"""Which files are taken: a real cron judges, and cronie's rules by its documentation."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.cron.judge import judge_file
from etlmon.collectors.cron.look import Observer, uid_of
from etlmon.host.crontabs import TabFile, find_files

GOOD = "* * * * * root : {}\n"
USERS = "* * * * * : {}\n"

CASES: dict[str, tuple[str, int, bool]] = {
    # place: content, mode, whether a real cron runs it
    "cron.d/good": (GOOD, 0o644, True),
    "cron.d/Under_score-dash0": (GOOD, 0o644, True),
    "cron.d/dot.sh": (GOOD, 0o644, False),
    "cron.d/tilde~": (GOOD, 0o644, False),
    "cron.d/with blank": (GOOD, 0o644, False),
    "cron.d/.hidden": (GOOD, 0o644, False),
    "cron.d/unreadable": (GOOD, 0o000, True),
    "cron.d/executable": (GOOD, 0o755, True),
    "cron.d/groupwritable": (GOOD, 0o664, False),
    "cron.d/otherwritable": (GOOD, 0o646, False),
    "cron.d/badline": (GOOD + "x\n", 0o644, False),
    "cron.d/nonewline": (GOOD + "# x\n* * * * * root true", 0o644, False),
    "cron.d/unknownuser": (GOOD + "* * * * * nobodyhere true\n", 0o644, False),
    "cron.d/novalue": ("A=\n" + GOOD, 0o644, False),
    "cron.d/quotes": ('A=""\n' + GOOD, 0o644, True),
    "cron.d/zone": ("CRON_TZ=Asia/Seoul\n" + GOOD, 0o644, True),
    "cron.d/backwards": ("0-59 23-0 * * * root : {}\n", 0o644, False),
    "cron.d/text": ("*x *.5 *5 *#2 *? root : {}\n", 0o644, True),
    "cron.d/nul": (GOOD + "* * * * * root a\0b\n", 0o644, False),
    "crontabs/root": (USERS, 0o600, True),
    "crontabs/daemon": (USERS, 0o640, False),
    "crontabs/bin": (USERS, 0o400, False),
    "crontabs/sys": (USERS, 0o600, True),  # its owner is root
    "crontabs/nobodyhere": (USERS, 0o600, False),
    "crontabs/.games": (USERS, 0o600, False),
}


def test_a_real_cron_takes_what_is_said_to_be_taken(real_cron: Any, tmp_path: Path) -> None:
    cron = real_cron("UTC", 1_800_000_000.0)
    for place, (content, mode, _runs) in CASES.items():
        cron.write(place, content.replace("{}", place.replace(" ", "_")), mode)
    expected = {place.replace(" ", "_") for place, case in CASES.items() if case[2]}
    for name in ("linked", "wronglink", "hard", "owned"):
        cron.write(f"cron.d/{name}", GOOD.format(f"cron.d/{name}"))
    target = cron.root / "cron.d" / "target.x"
    (cron.root / "cron.d" / "linked").rename(target)
    (cron.root / "cron.d" / "linked").symlink_to("target.x")
    (cron.root / "cron.d" / "wronglink").rename(cron.root / "cron.d" / "target.y")
    (cron.root / "cron.d" / "wronglink").symlink_to("target.y")
    os.chown(cron.root / "cron.d" / "wronglink", 1, -1, follow_symlinks=False)
    (cron.root / "cron.d" / "hard.x").hardlink_to(cron.root / "cron.d" / "hard")
    os.chown(cron.root / "cron.d" / "owned", 1, 1)
    (cron.root / "cron.d" / "broken").symlink_to("nothing")
    (cron.root / "cron.d" / "directory").mkdir()
    expected.add("cron.d/linked")
    games = cron.write("crontabs/games", USERS.format("crontabs/games"), 0o600)
    os.chown(games, uid_of(b"games"), -1)
    expected.add("crontabs/games")
    man = cron.write("crontabs/man", USERS.format("crontabs/man"), 0o600)
    os.chown(man, uid_of(b"games"), -1)
    (cron.root / "crontabs" / "mail").symlink_to("games")
    for name, (content, is_taken) in LONG.items():
        cron.write(f"cron.d/{name}", content + GOOD.format(f"cron.d/{name}"))
        if is_taken:
            expected.add(f"cron.d/{name}")
    with cron:
        started = cron.go_to(cron.at + 60)
        assert {one.removeprefix(": ") for one in started} == expected
        root = _as_host(cron.root, tmp_path)
        look = Observer("debian", "UTC", root, Path("/proc")).look(cron.at)
        told = {
            entry.command.removeprefix(": ")
            for entry in look.entries
            if entry.next_run_kind == "exact" and entry.source in {"cron.d", "user"}
        }
        assert told == expected
        assert {file.status for file in look.files} == {"active", "ignored"}
        assert all(file.reason for file in look.files if file.status == "ignored")


LONG = {
    "lines10003": ("# x\n" * 10_002, True),
    "lines10004": ("# x\n" * 10_003, False),
}


def _as_host(tabs: Path, root: Path) -> Path:
    """Give a root in which the crontabs are where a host has them."""
    (root / "etc").mkdir()
    (root / "var/spool/cron").mkdir(parents=True)
    (root / "usr/sbin").mkdir(parents=True)
    (root / "usr/sbin/cron").touch()
    (root / "etc/crontab").write_bytes((tabs / "crontab").read_bytes())
    (tabs / "cron.d").rename(root / "etc/cron.d")
    (tabs / "crontabs").rename(root / "var/spool/cron/crontabs")
    return root


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for place in ("etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs", "usr/sbin"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def cronie_reason(host: Path) -> Callable[..., str | None]:
    """Give what puts a file at a place and tells why cronie ignores it."""

    def judge(place: str, mode: int = 0o600, **changes: Any) -> str | None:
        path = host / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0 5 * * * x\n")
        path.chmod(mode)
        (file,) = [
            one for one in find_files(host, "cronie").files if one.name == path.name.encode()
        ]
        status = file.status
        assert status is not None
        fields = {"st_uid": 4, "st_nlink": 3}
        values = list(status)
        values[4] = 0  # who runs the tests may not be root
        for name, value in changes.items():
            values[fields[name]] = value
        changed = TabFile(
            file.path, file.place, file.link_owner, os.stat_result(values), file.content
        )
        return judge_file(changed, "cronie", {"etl": 1000}.get(path.name)).reason

    return judge


class TestCronie:
    @pytest.mark.parametrize("name", ["a.b", "a~b", "a b", "rpmsave", "-x"])
    def test_names_that_it_takes(self, cronie_reason: Callable[..., Any], name: str) -> None:
        assert cronie_reason(f"etc/cron.d/{name}") is None

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            (".a", "begins with a dot"),
            ("#a", "begins with #"),
            ("a~", "ends with ~"),
            ("a.rpmsave", "ends with .rpmsave"),
            ("a.rpmorig", "ends with .rpmorig"),
            ("a.rpmnew", "ends with .rpmnew"),
        ],
    )
    def test_names_that_it_passes_over(
        self, cronie_reason: Callable[..., Any], name: str, reason: str
    ) -> None:
        assert reason in cronie_reason(f"etc/cron.d/{name}")

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o640])
    def test_modes_that_it_takes(self, cronie_reason: Callable[..., Any], mode: int) -> None:
        assert cronie_reason("etc/cron.d/a", mode) is None

    @pytest.mark.parametrize("mode", [0o700, 0o660, 0o602, 0o200, 0o755])
    def test_modes_that_it_refuses(self, cronie_reason: Callable[..., Any], mode: int) -> None:
        assert "mode" in cronie_reason("etc/cron.d/a", mode)

    def test_owners_and_links(self, cronie_reason: Callable[..., Any]) -> None:
        spool = "var/spool/cron/crontabs"
        assert cronie_reason(f"{spool}/etl", st_uid=1000) is None
        assert cronie_reason(f"{spool}/etl", st_uid=0) is None
        assert "belongs to uid 5" in cronie_reason(f"{spool}/etl", st_uid=5)
        assert "hard links" in cronie_reason(f"{spool}/etl", st_nlink=2)
        assert cronie_reason("etc/cron.d/a", st_nlink=2) is None
        assert "belongs to uid 1000" in cronie_reason("etc/cron.d/a", st_uid=1000)
        assert "an orphan" in cronie_reason(f"{spool}/gone")


class TestRunParts:
    @pytest.mark.parametrize(
        ("name", "mode", "debian", "cronie"),
        [
            ("backup", 0o755, None, None),
            ("backup.sh", 0o755, "no dot", None),
            ("backup", 0o644, "not executable", "not executable"),
            ("backup~", 0o755, "no dot", "passes over"),
            ("backup.rpmnew", 0o755, "no dot", "passes over"),
            (".backup", 0o755, "no dot", "begins with a dot"),
        ],
    )
    def test_scripts(
        self, host: Path, name: str, mode: int, debian: str | None, cronie: str | None
    ) -> None:
        path = host / "etc/cron.daily" / name
        path.touch()
        path.chmod(mode)
        (file,) = find_files(host, "debian").files
        for dialect, reason in (("debian", debian), ("cronie", cronie)):
            found = judge_file(file, dialect, None).reason  # type: ignore[arg-type]
            assert (found is None) if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [("good-name", True), ("Bad", False), ("lsb.org-x", True), ("x_y", False), ("a.b", False)],
)
def test_names_by_the_rules_of_the_lsb(host: Path, name: str, is_taken: bool) -> None:
    (host / "etc/cron.d" / name).write_text("0 5 * * * root x\n")
    (file,) = find_files(host, "debian").files
    reason = judge_file(file, "debian", None, lsb_names=True).reason
    assert (reason is None or "LSB" not in reason) == is_taken
