"""What the doctor finds on hosts that lack something."""

from __future__ import annotations

import os
import pwd
import socket
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from etlmon.node.doctor import servers, system, watched
from etlmon.node.doctor.base import Host
from etlmon.node.doctor.examine import examine
from etlmon.node.doctor.system import Synchronised
from etlmon.node.doctor.unit import Unit
from tests.node.doctor.conftest import config, found, make, needs_root
from tests.waiting import free_port


class TestPaths:
    def test_each_is_listed_missing_or_no_directory(self, tmp_path: Path) -> None:
        make(tmp_path, "file")
        text = (
            f"paths: [{{path: {tmp_path}}}, {{path: {tmp_path}/none}}, {{path: {tmp_path}/file}}]"
        )
        assert found(watched.paths, Host(), text) == [
            ("ok", f"{tmp_path}: can be listed"),
            ("problem", f"{tmp_path}/none: not there"),
            ("problem", f"{tmp_path}/file: not a directory"),
        ]

    @needs_root
    def test_what_the_user_may_not_list_is_named_with_the_remedy(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(0o700)
        text = f"paths: [{{path: {closed}}}]"
        for one in (tmp_path, *tmp_path.parents[:-2]):
            one.chmod(one.stat().st_mode | 0o755)
        host = Host(user="nobody", uid=pwd.getpwnam("nobody").pw_uid)
        (one,) = examine(host, config(text), [watched.paths])
        assert (one.level, one.what) == ("problem", f"{closed}: nobody may not read it")
        assert one.remedy is not None
        assert one.remedy.startswith(f"setfacl -R -m u:nobody:rX -m d:u:nobody:rX {closed}; or")
        may = Unit(user="nobody", capabilities=frozenset({"CAP_DAC_READ_SEARCH"}))
        allowed = Host(root=tmp_path, user="nobody", uid=host.uid, unit=may)
        (one,) = examine(allowed, config(text), [watched.paths])
        assert (one.level, one.what) == ("ok", f"{closed}: can be listed")

    @needs_root
    def test_below_one_that_is_closed_the_others_are_looked_at_all_the_same(
        self, tmp_path: Path
    ) -> None:
        closed = tmp_path / "closed"
        (closed / "in").mkdir(parents=True)
        closed.chmod(0o700)
        for one in (tmp_path, *tmp_path.parents[:-2]):
            one.chmod(one.stat().st_mode | 0o755)
        host = Host(root=tmp_path, user="nobody", uid=pwd.getpwnam("nobody").pw_uid)
        text = f"paths: [{{path: {closed}/in}}, {{path: {tmp_path}}}]"
        below, open_one = examine(host, config(text), [watched.paths])
        assert (below.level, below.what) == (
            "problem",
            f"{closed}/in: nobody may not enter {closed}",
        )
        assert below.remedy is not None
        assert below.remedy.startswith(f"setfacl -m u:nobody:x {closed}; and look again; or")
        assert open_one.level == "ok"


class TestMounts:
    def test_thresholds_of_what_is_not_mounted_are_without_effect(self, tmp_path: Path) -> None:
        make(tmp_path, "self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
        text = "disk: {mounts: {/: {warn_percent: 50}, /data: {warn_percent: 50}}}"
        assert found(watched.mounts, Host(proc=tmp_path), text) == [
            ("ok", "/: is mounted"),
            ("warning", "/data: nothing is mounted there; its thresholds are without effect"),
        ]


class TestLogs:
    def test_those_are_looked_at_that_the_node_reads(self, tmp_path: Path) -> None:
        """Below all directories, through no links there; not what rotation has put aside."""
        for name in ("a.log", "deep/er/b.log", "a.log.1", "a.log.2.gz", "elsewhere/c.txt"):
            make(tmp_path, f"logs/{name}")
        (tmp_path / "logs/deep/up").symlink_to(tmp_path / "logs")
        text = f"logs: [{{name: etl, path: '{tmp_path}/logs/**/*.log*'}}]"
        assert found(watched.logs, Host(root=tmp_path), text) == [
            ("ok", f"{tmp_path}/logs/{name}: can be read") for name in ("a.log", "deep/er/b.log")
        ]

    def test_of_very_many_the_newest_are_looked_at(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watched, "_MOST_FILES", 2)
        for age, name in enumerate("dacb"):
            os.utime(make(tmp_path, f"{name}.log"), (1_000 - age, 1_000 - age))
        text = f"logs: [{{name: etl, path: '{tmp_path}/*.log'}}]"
        assert found(watched.logs, Host(root=tmp_path), text) == [
            ("ok", "etl: 2 files more, written earlier, are not looked at"),
            ("ok", f"{tmp_path}/a.log: can be read"),
            ("ok", f"{tmp_path}/d.log: can be read"),
        ]

    def test_logrotate_that_truncates_is_found(self, tmp_path: Path) -> None:
        log = make(tmp_path, "var/etl.log", "x\n")
        make(
            tmp_path,
            "etc/logrotate.d/etl",
            f"# {log} {{ copytruncate }}\n{tmp_path}/var/*.log {{\n  daily\n  copytruncate\n}}\n",
        )
        text = f"logs: [{{name: etl, path: {log}}}]"
        assert [level for level, _ in found(watched.logs, Host(root=tmp_path), text)] == [
            "ok",
            "warning",
        ]
        make(tmp_path, "etc/logrotate.d/etl", f"{log} {{\n  #copytruncate\n  create\n}}\n")
        assert [level for level, _ in found(watched.logs, Host(root=tmp_path), text)] == ["ok"]

    def test_one_that_is_not_there_or_no_file(self, tmp_path: Path) -> None:
        text = f"logs: [{{name: a, path: {tmp_path}/none}}, {{name: b, path: {tmp_path}}}]"
        levels = [level for level, _ in found(watched.logs, Host(root=tmp_path), text)]
        assert levels == ["warning", "problem"]

    @needs_root
    def test_in_a_closed_directory_it_is_not_taken_for_missing(self, tmp_path: Path) -> None:
        """Debian's logs are for the group adm: its drop-in is the remedy, and then all is well."""
        log = make(tmp_path, "logs/etl.log", "x\n")
        log.chmod(0o640)
        log.parent.chmod(0o750)
        for one in (log, log.parent):
            os.chown(one, 0, 4)
        for above in (tmp_path, *tmp_path.parents[:-2]):
            above.chmod(above.stat().st_mode | 0o755)
        uid = pwd.getpwnam("nobody").pw_uid
        for path in (log, log.parent / "*.log", log.parent / "later.log"):
            text = f"logs: [{{name: etl, path: '{path}'}}]"
            host = Host(root=tmp_path, user="nobody", uid=uid, unit=Unit(user="nobody"))
            (one,) = examine(host, config(text), [watched.logs])
            assert (one.level, one.what) == ("problem", f"{log.parent}: nobody may not read it")
            assert one.remedy is not None
            assert one.remedy.startswith("the drop-in /usr/share/doc/etlmon/rights/read-logs.conf;")
        host = Host(
            root=tmp_path, user="nobody", uid=uid, unit=Unit(user="nobody", groups=("adm",))
        )
        text = f"logs: [{{name: etl, path: '{log.parent}/*.log'}}]"
        (one,) = examine(host, config(text), [watched.logs])
        assert (one.level, one.what) == ("ok", f"{log}: can be read")


class TestProcesses:
    def test_a_user_or_program_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        text = (
            "process_watch: [{name: a, user: nobody-at-all}, {name: b, exe: /no/such}, "
            f"{{name: c, user: root, exe: {sys.executable}}}]"
        )
        told = [what for _, what in found(watched.processes, Host(), text)]
        assert "a: there is no user nobody-at-all on this host" in told
        assert "b: /no/such is not there" in told
        assert not [what for what in told if what.startswith("c:")]

    @needs_root
    def test_rights_that_the_unit_gives_are_seen(self) -> None:
        uid = pwd.getpwnam("nobody").pw_uid
        text = config("process_watch: [{match: x}]")
        bare = Host(user="nobody", uid=uid, unit=Unit(user="nobody"))
        assert [one.level for one in examine(bare, text, [watched.processes])] == [
            "ok",
            "warning",
            "warning",
        ]
        may = Unit(user="nobody", capabilities=frozenset({"CAP_KILL", "CAP_SYS_PTRACE"}))
        given = Host(user="nobody", uid=uid, unit=may)
        assert {one.level for one in examine(given, text, [watched.processes])} == {"ok"}


class TestXferlogs:
    def test_the_directories_of_uploads_can_be_listed(self, tmp_path: Path) -> None:
        text = f"xferlog: {{path: /var/log/xferlog, roots: {{a: {tmp_path}, b: {tmp_path}/none}}}}"
        told = found(servers.xferlogs, Host(root=tmp_path), text)[1:]
        assert told == [
            ("ok", f"{tmp_path}: the uploads of a can be looked for"),
            ("problem", f"{tmp_path}/none: No such file or directory"),
        ]

    @needs_root
    def test_in_a_closed_directory_it_is_not_taken_for_missing(self, tmp_path: Path) -> None:
        log = make(tmp_path, "ftp/xferlog", "x\n")
        log.parent.chmod(0o700)
        for above in (tmp_path, *tmp_path.parents[:-2]):
            above.chmod(above.stat().st_mode | 0o755)
        host = Host(root=tmp_path, user="nobody", uid=pwd.getpwnam("nobody").pw_uid)
        text = f"xferlog: {{path: {log}, roots: {{a: {log.parent}/a}}}}"
        told, root = examine(host, config(text), [servers.xferlogs])
        assert (told.level, told.what) == ("problem", f"{log.parent}: nobody may not read it")
        assert root.what == f"{log.parent}/a: nobody may not enter {log.parent}"

    @pytest.mark.parametrize(
        ("settings", "level"),
        [
            ("xferlog_enable=YES\nxferlog_std_format=YES\n", "ok"),
            ("xferlog_enable=YES\nxferlog_std_format=YES\nxferlog_file=/x\n", "warning"),
            ("xferlog_enable=YES\n", "warning"),
            ("xferlog_enable=YES\ndual_log_enable=YES\n", "ok"),
            ("#xferlog_enable=YES\n", "warning"),
        ],
    )
    def test_vsftpd_must_write_it(self, tmp_path: Path, settings: str, level: str) -> None:
        make(tmp_path, "etc/vsftpd.conf", settings)
        text = "xferlog: {path: /var/log/xferlog}"
        told = found(servers.xferlogs, Host(root=tmp_path), text)
        assert next(one for one in told if "vsftpd" in one[1])[0] == level


class TestCron:
    @pytest.mark.parametrize(
        ("options", "level"),
        [
            ("", "warning"),
            ('EXTRA_OPTS="-L 15"', "ok"),
            ('EXTRA_OPTS="-fL 15"', "ok"),
            ('EXTRA_OPTS="-l -L 5"', "warning"),
        ],
    )
    def test_it_must_log_how_jobs_end(self, tmp_path: Path, options: str, level: str) -> None:
        make(tmp_path, "usr/sbin/cron")
        make(tmp_path, "etc/debian_version")
        make(tmp_path, "etc/default/cron", options)
        make(tmp_path, "run/crond.pid", "7")
        make(tmp_path, "proc/7/comm", "cron\n")
        make(tmp_path, "var/spool/cron/crontabs/etl")
        make(tmp_path, "var/log/syslog")
        host = Host(root=tmp_path, proc=tmp_path / "proc")
        assert [one[0] for one in found(servers.cron, host, "")] == [level, "ok", "ok"]
        assert found(servers.cron, host, "cron: {enabled: false}") == []

    @pytest.fixture
    def logging(self, tmp_path: Path) -> Host:
        """Give a host whose cron logs all, and to the journal."""
        for path, text in (
            ("usr/sbin/cron", ""),
            ("etc/debian_version", ""),
            ("etc/default/cron", 'EXTRA_OPTS="-L 15"'),
            ("run/crond.pid", "7"),
            ("proc/7/comm", "cron\n"),
            ("var/spool/cron/crontabs/etl", ""),
            ("run/systemd/system/x", ""),
        ):
            make(tmp_path, path, text)
        return Host(root=tmp_path, proc=tmp_path / "proc", user="etl", journalctl=("true",))

    def test_the_journal_must_be_readable(self, logging: Host) -> None:
        assert ("ok", "the journal, where cron logs, can be read") in found(
            servers.cron, logging, ""
        )
        denied = "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1"
        closed = replace(logging, journalctl=("sh", "-c", denied))
        (one,) = [one for one in servers.cron(closed, config("")) if one.level != "ok"]
        assert "cron logs to the journal: the journal cannot be read" in one.what
        assert one.remedy == "usermod -aG systemd-journal etl"
        (one,) = [
            one
            for one in servers.cron(replace(closed, unit=Unit(user="etl")), config(""))
            if one.level != "ok"
        ]
        assert "read-logs" in str(one.remedy)

    def test_what_it_logs_must_be_somewhere(self, logging: Host) -> None:
        (logging.root / "run/systemd/system/x").unlink()
        (logging.root / "run/systemd/system").rmdir()
        told = [one for one in servers.cron(logging, config("")) if one.level != "ok"]
        assert [(one.what.partition(",")[0], one.remedy) for one in told] == [
            ("what cron logs is in no file and no journal", "apt-get install rsyslog")
        ]

    @needs_root
    def test_crontabs_get_no_access_list(self, tmp_path: Path) -> None:
        """Cron ignores a crontab whose mode is not 0600, and a list on it shows in the mode."""
        make(tmp_path, "usr/sbin/cron")
        make(tmp_path, "etc/debian_version")
        make(tmp_path, "var/spool/cron/crontabs/etl")
        (tmp_path / "var/spool/cron/crontabs").chmod(0o700)
        for above in (tmp_path, *tmp_path.parents[:-2]):
            above.chmod(above.stat().st_mode | 0o755)
        host = Host(root=tmp_path, user="nobody", uid=pwd.getpwnam("nobody").pw_uid)
        *_, last = examine(host, config(""), [servers.cron])
        assert last.what == "/var/spool/cron/crontabs: nobody may not read it"
        assert last.remedy is not None
        assert "setfacl" not in last.remedy


class TestSystem:
    def test_the_database_has_a_place(self, tmp_path: Path) -> None:
        text = f"node: {{db_path: {tmp_path}/new/etlmon.db}}"
        told = found(system.database, Host(), text)
        assert ("ok", f"{tmp_path}/new: not there, and will be made") in told
        assert any("MiB free" in what for _, what in told)

    def test_a_network_file_system_is_a_problem(self, tmp_path: Path) -> None:
        make(
            tmp_path,
            "proc/self/mountinfo",
            f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:50 / {tmp_path} rw - nfs4 srv:/x rw\n",
        )
        host = Host(proc=tmp_path / "proc")
        node = f"db_path: {tmp_path}/etlmon.db"
        told = found(system.sqlite, host, f"node: {{{node}}}")
        assert next(one for one in told if "network" in one[1])[0] == "problem"
        told = found(system.sqlite, host, f"node: {{{node}, db_on_network_filesystem: true}}")
        assert next(one for one in told if "network" in one[1])[0] == "warning"

    def test_a_port_that_is_taken_names_who_has_it(self) -> None:
        with closing(socket.create_server(("127.0.0.1", free_port()))) as server:
            port = server.getsockname()[1]
            ((level, what),) = found(system.ports, Host(), f"node: {{listen: '127.0.0.1:{port}'}}")
        comm = Path("/proc/self/comm").read_text().strip()
        assert (level, what) == (
            "problem",
            f"127.0.0.1:{port}: in use by {comm} (pid {os.getpid()})",
        )
        assert found(system.ports, Host(), f"node: {{listen: '127.0.0.1:{port}'}}") == [
            ("ok", f"127.0.0.1:{port}: free")
        ]

    @needs_root
    def test_one_that_the_unit_lets_the_node_open_is_well(self) -> None:
        uid = pwd.getpwnam("nobody").pw_uid
        text = config("node: {listen: '127.0.0.1:1'}")
        bare = Host(user="nobody", uid=uid, unit=Unit(user="nobody"))
        assert [one.level for one in examine(bare, text, [system.ports])] == ["problem"]
        may = Unit(user="nobody", capabilities=frozenset({"CAP_NET_BIND_SERVICE"}))
        (one,) = examine(replace(bare, unit=may), text, [system.ports])
        assert (one.level, one.what) == ("ok", "127.0.0.1:1: free")

    def test_one_that_systemd_has_opened_is_well(self, tmp_path: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
            line = f" 0: 0100007F:{port:04X} 00000000:0000 0A 0:0 0:0 0 {{}} 0 4711 1\n"
            make(tmp_path, "net/tcp", "header\n" + line.format(0))
            text = f"node: {{listen: '127.0.0.1:{port}'}}"
            host = Host(root=tmp_path, proc=tmp_path, uid=7, user="etl", unit=Unit(user="etl"))
            assert [level for level, _ in found(system.ports, host, text)] == ["warning"]
            wants = tmp_path / "etc/systemd/system/sockets.target.wants"
            wants.mkdir(parents=True)
            (wants / "etlmon-node.socket").symlink_to("/lib/systemd/system/etlmon-node.socket")
            assert found(system.ports, host, text) == [
                ("ok", f"127.0.0.1:{port}: opened by systemd, for the node")
            ]
            make(tmp_path, "net/tcp", "header\n" + line.format(7))
            assert found(system.ports, host, text) == [
                ("ok", f"127.0.0.1:{port}: in use by a process of etl")
            ]

    def test_what_the_unit_makes_read_only_is_a_problem(self, tmp_path: Path) -> None:
        text = f"backup: {{directory: {tmp_path}/copies}}"
        unit = Unit(user="root", writable=(Path("/var/lib/etlmon"),))
        told = list(system.database(Host(unit=unit), config(text)))
        (one,) = [one for one in told if one.check == "backup" and one.level == "problem"]
        assert one.what == f"{tmp_path}/copies: read-only for the node, by its unit"
        assert one.remedy is not None
        assert f"ReadWritePaths={tmp_path}/copies;" in one.remedy
        unit = Unit(user="root", writable=(tmp_path,))
        assert not [
            one
            for one in system.database(Host(unit=unit), config(text))
            if one.check == "backup" and one.level == "problem"
        ]

    def test_the_unit_says_how_many_files_may_be_open(self) -> None:
        """Not the limit of whoever looks."""
        told = {
            number: found(system.limits, Host(unit=Unit(user="etl", descriptors=number)), "")[-1]
            for number in (100, 65_536, -1)
        }
        assert told == {
            100: ("warning", "100 open files are allowed"),
            65_536: ("ok", "65536 open files are allowed"),
            -1: ("ok", "any number of open files are allowed"),
        }

    def test_few_watches_are_a_warning(self, tmp_path: Path) -> None:
        make(tmp_path, "sys/fs/inotify/max_user_watches", "100\n")
        make(tmp_path, "sys/fs/inotify/max_user_instances", "128\n")
        told = found(system.limits, Host(proc=tmp_path), "")
        assert told[:2] == [
            ("warning", "fs.inotify.max_user_watches is 100"),
            ("ok", "fs.inotify.max_user_instances is 128"),
        ]

    def test_tokens_that_others_can_read_are_a_problem(self, tmp_path: Path) -> None:
        tokens = make(tmp_path, "tokens")
        tokens.chmod(0o644)
        ((level, what),) = found(system.files, Host(), f"auth: {{tokens_file: {tokens}}}")
        assert level == "problem"
        assert "is open to others" in what

    def test_without_localtime_it_is_utc(self, tmp_path: Path) -> None:
        told = found(system.clock, Host(root=tmp_path), "")
        assert told[-1][0] == "warning"
        assert "read as UTC" in told[-1][1]
        assert found(system.clock, Host(root=tmp_path), "node: {timezone: Asia/Seoul}")[-1] == (
            "ok",
            "cron and transfers are read in Asia/Seoul",
        )

    def test_a_clock_that_was_set_back_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now)
        database = make(tmp_path, "etlmon.db")
        text = f"node: {{db_path: {database}}}"
        assert not [what for _, what in found(system.clock, Host(), text) if "set back" in what]
        os.utime(database, (now + 3600, now + 3600))
        (one,) = [one for one in found(system.clock, Host(), text) if "set back" in one[1]]
        assert one == ("warning", f"the clock has been set back: {database} is of 1h from now")

    @pytest.mark.parametrize(
        ("is_so", "level", "what"),
        [
            (True, "ok", "synchronised, 0.25 s wrong at the most"),
            (False, "warning", "nothing keeps"),
        ],
    )
    def test_a_clock_that_nothing_keeps_right_is_told(
        self, monkeypatch: pytest.MonkeyPatch, is_so: bool, level: str, what: str
    ) -> None:
        monkeypatch.setattr(system, "synchronised", lambda: Synchronised(is_so, 0.25))
        told = found(system.clock, Host(), "")[0]
        assert told[0] == level
        assert what in told[1]
