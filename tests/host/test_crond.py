"""Which cron is there, whether it runs, and what its options say."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlmon.host.crond import Daemon, find_daemon


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for place in ("etc", "usr/sbin", "usr/bin", "run", "var/spool/cron"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("programs", "kind"),
    [
        ([], None),
        (["usr/sbin/cron", "etc/debian_version"], "debian"),
        (["usr/sbin/crond"], "cronie"),
        (["usr/sbin/cron", "usr/bin/cronnext"], "cronie"),
        (["usr/sbin/cron", "var/spool/cron/tabs/"], "cronie"),
        (["usr/sbin/cron"], "debian"),
    ],
)
def test_which_cron_is_installed(root: Path, programs: list[str], kind: str | None) -> None:
    for program in programs:
        if program.endswith("/"):
            (root / program).mkdir()
        else:
            (root / program).touch()
    assert find_daemon(root, root / "proc").kind == kind


@pytest.mark.parametrize(
    ("text", "options", "lsb"),
    [
        ('EXTRA_OPTS="-l -L 15"', ("-l", "-L", "15"), True),
        ("EXTRA_OPTS='-L 15'", ("-L", "15"), False),
        ("#EXTRA_OPTS='-l'", (), False),
        ("EXTRA_OPTS=-fl # x", ("-fl",), True),
        ("", (), False),
    ],
)
def test_what_it_is_started_with(
    root: Path, text: str, options: tuple[str, ...], lsb: bool
) -> None:
    (root / "usr/sbin/cron").touch()
    (root / "etc/default").mkdir()
    (root / "etc/default/cron").write_text(f"# x\n{text}\n")
    found = find_daemon(root, root)
    assert (found.options, found.lsb_names) == (options, lsb)


def test_what_the_daemon_was_started_with_counts_and_not_what_it_would_be(root: Path) -> None:
    for place in ("usr/sbin", "etc/default", "run", "proc/42"):
        (root / place).mkdir(parents=True, exist_ok=True)
    (root / "usr/sbin/cron").touch()
    (root / "etc/default/cron").write_text('EXTRA_OPTS="-L 15"\n')
    (root / "run/crond.pid").write_text("42\n")
    assert find_daemon(root, root / "proc").options == ("-L", "15")
    (root / "proc/42/comm").write_text("cron\n")
    (root / "proc/42/cmdline").write_bytes(b"/usr/sbin/cron\0-f\0-L\0005\0")
    daemon = find_daemon(root, root / "proc")
    assert (daemon.options, daemon.pid, daemon.running) == (("-f", "-L", "5"), 42, True)
    (root / "proc/42/stat").write_text(f"42 (cron) Z 1{' 0' * 20}\n")  # nobody waits for it
    daemon = find_daemon(root, root / "proc")
    assert (daemon.options, daemon.running) == (("-L", "15"), False)


@pytest.mark.parametrize(
    ("options", "level", "lsb"),
    [
        ((), 1, False),
        (("-L", "15"), 15, False),
        (("-L15",), 15, False),
        (("-fL", "15"), 15, False),
        (("-flL15",), 15, True),
        (("-L", "1", "-L", "7"), 7, False),
        (("-L", "x"), 0, False),
        (("-L",), 0, False),
        (("-x", "-L", "-l"), 1, True),
        (("-f", "--", "-L", "15", "-l"), 1, False),
        (("start", "-L", "3"), 3, False),
        (("-L", "-l"), 0, False),
    ],
)
def test_options_are_read_as_cron_reads_them(
    options: tuple[str, ...], level: int, lsb: bool
) -> None:
    daemon = Daemon("debian", True, options)
    assert (daemon.log_level, daemon.lsb_names) == (level, lsb)
    assert not daemon.permits_any


@pytest.mark.parametrize(
    ("options", "permits", "is_clustered"),
    [
        ((), False, False),
        (("-np",), True, False),
        (("-m", "-p"), False, False),
        (("-mp",), False, False),
        (("-x", "misc", "-c", "-p"), True, True),
        (("-L", "15"), False, False),
    ],
)
def test_options_are_read_as_cronie_reads_them(
    options: tuple[str, ...], permits: bool, is_clustered: bool
) -> None:
    daemon = Daemon("cronie", True, options)
    assert (daemon.permits_any, daemon.is_clustered) == (permits, is_clustered)
    assert (daemon.lsb_names, daemon.log_level) == (False, 1)
