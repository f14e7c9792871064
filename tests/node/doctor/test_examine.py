"""What the doctor says, for whom it looks, and what its remedies are."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from etlmon.config.node import NodeConfig
from etlmon.errors import EtlmonError
from etlmon.node.doctor import examine as examine_module
from etlmon.node.doctor import servers, system, watched
from etlmon.node.doctor.base import Finding, Host, drop_in, turn_on
from etlmon.node.doctor.examine import examine, exit_status, host_for
from etlmon.node.doctor.unit import Unit, unit_word
from etlmon.text import shell_word
from tests.node.doctor.conftest import config, make, needs_root
from tests.waiting import PATIENCE_SECONDS

ETLMON = Path(sys.executable).with_name("etlmon")


class TestRemedies:
    """What can be pasted into a shell, whatever is in the names."""

    @pytest.mark.parametrize("name", ["a b", "it's", 'say "x"', "$(touch x)", "back\\slash"])
    def test_paths_are_quoted(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).mkdir()
        missing = tmp_path / name / "none"
        text = json.dumps(
            {
                "paths": [{"path": str(missing)}],
                "logs": [{"name": "a", "path": str(missing / "x.log")}],
                "xferlog": {"path": str(missing / "xferlog")},
                "auth": {"tokens_file": str(missing / "tokens")},
            }
        )
        checks = [watched.paths, watched.logs, servers.xferlogs, system.files]
        remedies = [one.remedy for one in examine(Host(root=tmp_path), config(text), checks)]
        assert len(remedies) == 4
        for remedy in remedies:
            assert remedy is not None
            words = shlex.split(remedy.split("; ")[0])
            assert str(missing) in (words[-1], str(Path(words[-1]).parent))

    @needs_root
    def test_access_lists_are_for_the_path_and_another_s_file_is_not_given_away(
        self, tmp_path: Path
    ) -> None:
        place = tmp_path / "a b"
        place.mkdir(0o700)
        for one in (tmp_path, *tmp_path.parents[:-2]):
            one.chmod(one.stat().st_mode | 0o755)
        host = Host(user="nobody", uid=pwd.getpwnam("nobody").pw_uid)
        text = config(f"{{paths: [{{path: '{place}'}}], node: {{db_path: '{place}/db'}}}}")
        listed, written = (
            one.remedy
            for one in examine(host, text, [watched.paths, system.database])
            if one.level == "problem"
        )
        assert listed is not None
        assert shlex.split(listed.split(";")[0])[-1] == str(place)
        assert written == f"chown nobody '{place}'"
        os.chown(place, 1, 1)
        *_, written = (
            one.remedy for one in examine(host, text, [system.database]) if one.level == "problem"
        )
        assert (
            written == "it is daemon's: run the node as daemon, or name another place in node.yaml"
        )

    def test_what_is_not_printable_is_typed_all_the_same(self) -> None:
        path = "/tmp/new\nline\udcff'\\"
        command = f"printf %s {shell_word(path)}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
        assert done.stdout == os.fsencode(path)

    def test_in_a_unit(self) -> None:
        assert unit_word("/srv/db") == "/srv/db"
        assert unit_word('/srv/50% "x" \\y') == '"/srv/50%% \\"x\\" \\\\y"'


class TestExamine:
    def test_a_check_that_hangs_holds_up_no_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        in_child = examine_module._in_child
        patience = {"hangs": 0.2, "fails": PATIENCE_SECONDS, "works": PATIENCE_SECONDS}
        monkeypatch.setattr(
            examine_module,
            "_in_child",
            lambda check, *given: in_child(check, *given[:-1], patience[check.__name__]),
        )

        def hangs(_host: Host, _config: NodeConfig) -> Iterator[Finding]:
            time.sleep(60)
            yield Finding("ok", "a", "never")

        def fails(_host: Host, _config: NodeConfig) -> Iterator[Finding]:
            raise ValueError("broken")

        def works(_host: Host, _config: NodeConfig) -> Iterator[Finding]:
            yield Finding("ok", "c", "well")

        told = examine(Host(), NodeConfig(), [hangs, fails, works])
        assert [(one.level, one.what.split(":")[0]) for one in told] == [
            ("problem", "no answer in 0.2 s"),
            ("problem", "the check itself failed"),
            ("ok", "well"),
        ]

    def test_the_status_is_that_of_the_worst(self) -> None:
        ok, bad = Finding("ok", "a", "b"), Finding("problem", "a", "b")
        assert [exit_status(one) for one in ([], [ok], [ok, bad, ok])] == [0, 0, 2]
        assert exit_status([Finding("warning", "a", "b"), ok]) == 1

    def test_a_user_that_is_not_there_is_named(self) -> None:
        with pytest.raises(EtlmonError, match="there is no user nobody-at-all on this host"):
            host_for("nobody-at-all")

    @needs_root
    def test_what_the_unit_runs_is_judged_for_its_user(self, tmp_path: Path) -> None:
        assert host_for(None, tmp_path, of_unit=True).user == "root"
        make(tmp_path, "lib/systemd/system/etlmon-node.service", "[Service]\nUser=nobody\n")
        host = host_for(None, tmp_path, of_unit=True)
        assert (host.user, host.uid) == ("nobody", pwd.getpwnam("nobody").pw_uid)
        assert host.unit is not None
        assert host_for("nobody", tmp_path) == host
        assert host_for("root", tmp_path, of_unit=True).unit is None
        assert host_for(None, tmp_path).user == "root"

    def test_who_may_not_look_as_that_user_judges_no_rights(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And is advised to nothing that would give him the node's files."""
        make(tmp_path, "lib/systemd/system/etlmon-node.service", "[Service]\nUser=nobody\n")
        monkeypatch.setattr(os, "geteuid", lambda: 1)
        host = host_for(None, tmp_path, of_unit=True)
        assert (host.user, host.seen_by) == ("nobody", "daemon")
        with pytest.raises(EtlmonError, match="only root may look as nobody: sudo etlmon doctor"):
            host_for("nobody", tmp_path)
        told = examine(host, config(f"node: {{listen: 'unix:{tmp_path}/x', db_path: /no/such/db}}"))
        first = told[0]
        assert first.level == "warning"
        assert first.what.startswith("daemon cannot tell what nobody may: paths, logs, crontabs")
        assert first.remedy == "sudo etlmon doctor"
        assert {one.check for one in told} == {"rights", "database", "limits", "clock"}
        assert not [one for one in told if "chown" in (one.remedy or "")]

    @needs_root
    def test_who_looks_without_the_rights_of_the_unit_is_told(self) -> None:
        unit = Unit(user="nobody", groups=("adm",), capabilities=frozenset({"CAP_KILL"}))
        host = Host(user="nobody", uid=pwd.getpwnam("nobody").pw_uid, unit=unit)
        assert examine(host, NodeConfig(), [system.rights]) == []
        bare = replace(host, unit=None)

        def looks_as_himself(_host: Host, config: NodeConfig) -> Iterator[Finding]:
            return system.rights(host, config)

        (one,) = examine(bare, NodeConfig(), [looks_as_himself])
        assert one.what == "looked without what the unit gives: CAP_KILL, group adm"


class TestCommand:
    def test_it_tells_in_lines_and_in_json(self, tmp_path: Path) -> None:
        file = make(
            tmp_path,
            "node.yaml",
            f"node: {{listen: '127.0.0.1:0', db_path: {tmp_path}/db}}\n"
            "paths: [{path: /no/such}]\n",
        )
        lines = subprocess.run(
            [ETLMON, "doctor", "-c", file], capture_output=True, text=True, check=False
        )
        assert (lines.returncode, lines.stderr) == (2, "")
        assert "problem  path      /no/such: not there\n" in lines.stdout
        assert "-> mkdir -p /no/such; or correct paths in node.yaml\n" in lines.stdout
        made = subprocess.run(
            [ETLMON, "doctor", "-c", file, "--json"], capture_output=True, text=True, check=False
        )
        assert made.returncode == 2
        assert {"level", "check", "what", "remedy"} == set(json.loads(made.stdout)[0])
        assert not (tmp_path / "db").exists()

    def test_the_drop_ins_are_turned_on_by_one_command(self) -> None:
        told = [
            Finding("problem", "log", "a", drop_in("read-logs")),
            Finding("warning", "log", "b", f"chmod; or {drop_in('read-all')}"),
            Finding("ok", "log", "c"),
        ]
        assert turn_on(told[2:]) is None
        command = turn_on([*told, told[0]])
        assert command is not None
        rights = "/usr/share/doc/etlmon/rights"
        assert f".service.d {rights}/read-all.conf {rights}/read-logs.conf && " in command

    def test_mistakes_in_the_file_are_problems(self, tmp_path: Path) -> None:
        file = make(tmp_path, "node.yaml", "nodes: {}\n")
        done = subprocess.run(
            [ETLMON, "doctor", "-c", file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "node.yaml:1: nodes:" in done.stderr
