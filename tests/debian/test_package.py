"""The package, as its users get it: installed, run, upgraded, removed, and nothing left."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from etlmon import __version__
from etlmon.cli.main import main
from tests.debian.conftest import TOP, UNIT, Debian

# Building and installing take longer than other tests; all that waits has a deadline of its own.
pytestmark = pytest.mark.timeout(900)

HIGHER = f"{__version__}+1"


def test_the_version_is_the_program_s() -> None:
    first = (TOP / "debian" / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"etlmon ({__version__}) ")


def higher(package: Path, directory: Path) -> Path:
    """Give the package in a higher version, whose database has one table more."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub("(?m)^Version: .*", f"Version: {HIGHER}", control.read_text()))
    [migrations] = tree.glob("opt/venvs/etlmon/lib/python3.*/site-packages/etlmon/store/migrations")
    numbers = [int(file.name[:4]) for file in migrations.glob("[0-9]*.sql")]
    new = migrations / f"{max(numbers) + 1:04}_later.sql"
    new.write_text("CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT;\n")
    made = directory / "higher.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, made], check=True, capture_output=True)
    return made


def test_install_run_upgrade_remove_purge(debian: Debian, package: Path, tmp_path: Path) -> None:
    before = debian.files()
    debian.put(package, "/root/etlmon.deb")
    debian.put(higher(package, tmp_path), "/root/higher.deb")

    # Installed: it runs as its user, on its own configuration.
    debian.run("dpkg", "--install", "/root/etlmon.deb")
    assert debian.run("etlmon", "version") == f"etlmon {__version__}\n"
    assert "good" in debian.run("etlmon", "check-config", "/etc/etlmon/node.yaml")
    assert debian.run("stat", "-c", "%U:%G %a", "/var/lib/etlmon") == "etlmon:etlmon 750\n"
    if debian.systemd:
        assert debian.run("systemctl", "is-active", "etlmon-node") == "active\n"
        assert debian.run("systemctl", "is-enabled", "etlmon-node") == "enabled\n"
        assert "disabled" in debian.run(
            "systemctl", "is-enabled", "etlmon-node.socket", check=False
        )
    else:
        debian.start_node()
    health = debian.get_until("health", lambda health: health["collectors"][0]["runs"])
    ill = [one["last_error"] for one in health["collectors"] if one["last_error"]]
    assert not ill, "; ".join(ill)
    assert (health["version"], health["state"]) == (__version__, "ok")
    assert health["database"]["path"] == "/var/lib/etlmon/etlmon.db"
    user = debian.run("stat", "-c", "%U %a", "/var/lib/etlmon/etlmon.db")
    assert user == "etlmon 640\n"
    first = debian.get("fs")
    assert "/" in {row["mount_point"] for row in first}
    assert {row["mount_point"] for row in first} == df(debian)
    # As on the host, though the unit makes nearly all read-only for the node.
    assert not [row["mount_point"] for row in first if row["read_only"]]

    assert_fast_start(debian)
    assert_helpful(debian)

    # Configured by its administrator, and upgraded: restarted, data kept, schema brought up.
    debian.run(
        "sh", "-c", "echo 'paths: [{path: /etc, scan_interval: 1s}]' >>/etc/etlmon/node.yaml"
    )
    if debian.systemd:
        debian.run("systemctl", "reload", "etlmon-node")
        [path] = debian.get_until("paths", lambda rows: rows and rows[0]["complete"])
        assert path["path"] == "/etc"
        assert_supervised(debian)
        assert_no_start_with_mistakes(debian)
    health = debian.get_until("health", lambda health: health["collectors"][-1]["runs"])
    began_at, old_schema = health["started_at"], health["database"]["schema_version"]
    newest = debian.get_until("fs/history?mount_point=/", bool)[-1]
    history = f"fs/history?mount_point=/&until={newest['collected_at']}"
    debian.run("dpkg", "--install", "--force-confold", "/root/higher.deb")
    debian.restart_node()
    health = debian.get_until("health", lambda health: health["started_at"] > began_at)
    assert health["database"]["schema_version"] == old_schema + 1
    assert debian.get(history)[-1] == newest
    assert debian.get_until("paths", bool)[0]["path"] == "/etc"
    assert f"etlmon.db.schema-{old_schema}" in debian.run("ls", "/var/lib/etlmon")

    # Looked into and commanded, as an administrator does by the documents.
    if debian.systemd:
        assert_open_to_its_administrator(debian)
        # The socket that systemd has opened outlives an upgrade.
        debian.run("dpkg", "--install", "--force-confold", "/root/higher.deb")
        assert debian.run("systemctl", "is-active", "etlmon-node.socket") == "active\n"

    # Removed: the program is gone, the configuration and the data are not. Purged: all is gone.
    debian.stop_node()
    debian.run("etlmon", "token", "add", "somebody", "--role", "viewer")
    debian.run("dpkg", "--remove", "etlmon")
    assert debian.get("health") is None
    if debian.systemd:
        assert debian.run("systemctl", "list-units", "--no-legend", "etlmon*") == ""
    assert "/etc/etlmon/node.yaml" in (left := debian.files())
    assert "/var/lib/etlmon/etlmon.db" in left
    assert not any(path.startswith(("/opt/venvs", "/usr/bin/etlmon")) for path in left)
    debian.run("dpkg", "--purge", "etlmon")
    debian.run("rm", "-rf", "/root/etlmon.deb", "/root/higher.deb", "/var/backups/etlmon")
    kept_by_debian = re.compile(
        "/var/(lib/(dpkg|systemd)|cache)/|/var/log/(journal(/.*)?|dpkg.log|wtmp|btmp|lastlog|faillog)$"
        "|/etc/.*-$|/etc/.pwd.lock$"
    )
    left = {path for path in debian.files() - before if not kept_by_debian.match(path)}
    assert left == set()
    assert "etlmon" not in debian.run("dpkg-query", "--show", "-f", "${Package}\n")


def df(debian: Debian) -> set[str]:
    """Give the mount points that df shows, outside of the unit's own mount namespace."""
    lines = debian.run("df", "--output=target", check=False).splitlines()
    return {line for line in lines[1:] if line.startswith("/")}


def assert_fast_start(debian: Debian) -> None:
    """All is compiled, and twistd finds the plugin in its list without having to write one."""
    modules = "find /opt/venvs/etlmon/lib -name __pycache__ -prune -o -name '*.py' -print"
    count = "find /opt/venvs/etlmon/lib -name '*.cpython-3??.pyc'"
    sources = debian.run("sh", "-c", f"{modules} | wc -l")
    assert int(sources) == int(debian.run("sh", "-c", f"{count} | wc -l")) > 500
    as_user = ("setpriv", "--reuid=etlmon", "--regid=etlmon", "--clear-groups")
    listed = debian.run(*as_user, "/opt/venvs/etlmon/bin/twistd", "--help")
    assert "etlmon-node" in listed
    assert "plugin cache" not in listed


def assert_helpful(debian: Debian) -> None:
    """Manual pages name every command and setting; shells can complete; rights can be given."""
    page = debian.run("zcat", "/usr/share/man/man1/etlmon.1.gz")
    for name in main.commands:
        assert f".SS etlmon {name}".replace("-", "\\-") in page
    settings = debian.run("zcat", "/usr/share/man/man5/etlmon-node.yaml.5.gz")
    assert ".B retention.NAME.max_age" in settings
    for place in (
        "/usr/share/bash-completion/completions/etlmon",
        "/usr/share/zsh/vendor-completions/_etlmon",
        "/usr/share/fish/vendor_completions.d/etlmon.fish",
    ):
        assert "_ETLMON_COMPLETE" in debian.run("cat", place)
    words = "COMP_WORDS='etlmon che' COMP_CWORD=1 _ETLMON_COMPLETE=bash_complete etlmon"
    assert debian.run("sh", "-c", words) == "plain,check-config\n"
    assert debian.run("sh", "-c", "ls /usr/share/doc/etlmon/rights | wc -l") == "4\n"
    for kept in ("prometheus/prometheus.yml", "prometheus/etlmon.rules.yml", "grafana/etlmon.json"):
        debian.run("test", "-s", f"/usr/share/doc/etlmon/{kept}")


def assert_supervised(debian: Debian) -> None:
    """The unit holds: rights and priorities are as it says."""
    pid = debian.run("systemctl", "show", "-P", "MainPID", "etlmon-node").strip()
    status = debian.run("cat", f"/proc/{pid}/status")
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    assert re.search(r"Seccomp:\s+2\n", status)
    own, *children = map(int, debian.run("sh", "-c", NICES.format(pid)).split())
    assert min(own + 10, 19) in children  # who runs the tests may be nice to others
    kinds = sorted(one["name"] for one in debian.get("health")["collectors"])
    assert kinds == ["cron", "disk", "path"]
    assert "ok; 3 collectors" in debian.run("systemctl", "status", "etlmon-node")
    assert debian.run("systemd-analyze", "verify", UNIT) == ""
    judged = debian.run("systemd-analyze", "security", "--no-pager", "--offline=true", UNIT)
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+) OK", judged)
    assert figure, judged
    assert float(figure[1]) <= 2.5
    told = (TOP / "docs" / "operations.md").read_text()
    assert f"(`systemd-analyze security` says {figure[1]}, of 10)" in told
    right = "/usr/share/doc/etlmon/rights/read-all.conf"
    debian.run("install", "-D", "-m", "644", "-t", DROP_INS, right)
    debian.run("systemctl", "daemon-reload")
    debian.run("systemctl", "restart", "etlmon-node")
    pid = debian.run("systemctl", "show", "-P", "MainPID", "etlmon-node").strip()
    assert re.search(r"CapEff:\s+0{15}4\n", debian.run("cat", f"/proc/{pid}/status"))
    said = debian.run("journalctl", "--no-pager", "-u", "etlmon-node", "-p", "warning")
    assert "-- No entries --" in said, said


def assert_no_start_with_mistakes(debian: Debian) -> None:
    """A node.yaml with a mistake is told once, as an error, and systemd does not try again."""
    conf = "/etc/etlmon/node.yaml"
    debian.run("sh", "-c", f"cp {conf} /root/good.yaml && echo 'refrsh: {{}}' >>{conf}")
    since = debian.run("date", "+%F %T").strip()
    debian.run("systemctl", "restart", "etlmon-node", check=False)
    shown = ("systemctl", "show", "-P", "ActiveState", "-P", "ExecMainStatus", "etlmon-node")
    debian.wait_for(lambda: "failed" in debian.run(*shown), "the node has failed")
    assert set(debian.run(*shown).split()) == {"failed", "78"}
    debian.run("journalctl", "--sync")
    said = debian.run(
        "journalctl", "--no-pager", "-q", "-o", "cat", "-u", "etlmon-node", "-p", "err",
        f"--since={since}", "-t", "etlmon",
    )  # fmt: skip
    [line] = said.splitlines()
    assert re.match(rf"etlmon: {conf}:\d+: refrsh: unknown", line), line
    debian.run("mv", "/root/good.yaml", conf)
    debian.run("systemctl", "start", "etlmon-node")


def assert_open_to_its_administrator(debian: Debian) -> None:
    """A copy, the console, a signal to another user's process, the socket: all under the unit.

    And systemd begins a node anew whose reactor hangs.
    """
    debian.run("sh", "-c", f"cat >>/etc/etlmon/node.yaml <<'END'\n{MORE}END")
    debian.run("sed", "-i", "s/#disk: 15s/disk: 1s/", "/etc/etlmon/node.yaml")
    debian.run("install", "-d", "-o", "etlmon", "-m", "750", "/var/backups/etlmon")
    rights = "/usr/share/doc/etlmon/rights"
    debian.run("install", "-D", "-m", "644", "-t", DROP_INS, f"{rights}/kill.conf")
    debian.run("systemd-run", "-q", "-p", "User=nobody", "--unit=load", "sleep", "4711")
    debian.run("systemctl", "stop", "etlmon-node")
    debian.run("systemctl", "enable", "--now", "etlmon-node.socket")
    debian.run("systemctl", "daemon-reload")
    (load,) = debian.get_until("processes", lambda rows: rows and rows[0]["collected_at"])
    copies = ("sh", "-c", "ls /var/backups/etlmon/etlmon-*.db")
    debian.wait_for(lambda: debian.run(*copies, check=False).count("\n") == 1, "there is a copy")
    console = "echo 'collectors' | etlmon console"
    debian.wait_for(
        lambda: re.search(r"(?m)^process +ok ", debian.run("sh", "-c", console)),
        "the console tells how the collectors fare",
    )
    assert_begun_anew_when_it_hangs(debian)
    debian.get_until("processes", bool)
    # What is mounted while the node runs it sees too, and as it is on the host.
    debian.run("mount", "-t", "tmpfs", "-o", "ro,size=1m", "later", "/mnt")
    debian.get_until(
        "fs", lambda rows: {"/mnt"} == {r["mount_point"] for r in rows if r["read_only"]}
    )
    debian.run("umount", "/mnt")
    body = json.dumps({"signal": "SIGTERM", "confirm": True, "identity": load["identity"]})
    command = ["curl", "-sS", "-H", "Content-Type: application/json", "-d", body]
    answer = json.loads(debian.ask(*command, f"{API}/processes/{load['pid']}/kill"))
    assert answer["outcome"] == "exited"
    found = debian.run("etlmon", "doctor", "--user", "etlmon", "--json", check=False)
    by_check = {(one["check"], one["level"]) for one in json.loads(found)}
    assert not [check for check, level in by_check if level == "problem"], found
    assert ("port", "ok") in by_check


def assert_begun_anew_when_it_hangs(debian: Debian) -> None:
    """Systemd does so, soon enough for a test; on a busy machine perhaps once more."""
    hasty = "[Service]\\nWatchdogSec=2s\\nRestartSec=100ms\\n"
    debian.run("sh", "-c", f"printf '{hasty}' >{DROP_INS}/hasty.conf")
    debian.run("systemctl", "daemon-reload")
    debian.run("systemctl", "restart", "etlmon-node")
    hang = "echo 'import time; time.sleep(4.9)' | etlmon console"

    def is_begun_anew() -> bool:
        debian.run("sh", "-c", hang, check=False)
        return int(debian.run("systemctl", "show", "-P", "NRestarts", "etlmon-node")) > 0

    debian.wait_for(is_begun_anew, "a node that hangs is begun anew")
    debian.run("rm", f"{DROP_INS}/hasty.conf")
    debian.run("systemctl", "daemon-reload")
    debian.run("systemctl", "restart", "etlmon-node")


API = "http://127.0.0.1:8080/api/v1"
DROP_INS = "/run/systemd/system/etlmon-node.service.d"
MORE = """
process_watch: [{name: load, match: sleep 4711}]
manhole: {socket: /run/etlmon/manhole.sock}
backup: {directory: /var/backups/etlmon}
"""
NICES = "for p in {0} $(cat /proc/{0}/task/*/children); do cut -d' ' -f19 /proc/$p/stat; done"


def test_lintian_finds_nothing(package: Path) -> None:
    """What it may find is written down, with the reason, in the overrides."""
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", str(package)]
    found: Any = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    said = [line for line in found.stdout.splitlines() if not line.startswith("N:")]
    assert (found.returncode, said) == (0, []), found.stderr
