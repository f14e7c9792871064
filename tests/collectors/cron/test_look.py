"""A whole look at a host that is a fixture: jobs, files, scripts, anacron, timers, zones."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH

import pytest

from etlmon.collectors.cron import assembly, times
from etlmon.collectors.cron.assembly import Look
from etlmon.collectors.cron.look import Observer, uid_of
from etlmon.collectors.cron.next import Runs
from etlmon.host import crontabs
from etlmon.records.cron import CronEntry, CronFile

NOW = datetime(2026, 11, 26, 14, 7, 30, tzinfo=UTC).timestamp()
CRONTAB = """\
SHELL=/bin/sh
17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly
25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
"""
ANACRONTAB = """\
SHELL=/bin/sh
START_HOURS_RANGE=3-22
1\t5\tcron.daily\tnice run-parts --report /etc/cron.daily
@monthly 45 once.a.month /opt/report
0x 5 bad true
"""
LISTED = """[
{"next": 1795748400000000, "left": 1, "last": 1795662000000000, "passed": 2,
 "unit": "load.timer", "activates": "load.service"},
{"next": null, "left": 0, "last": 0, "passed": 0,
 "unit": "off.timer", "activates": "off.service"}]"""
SHOWN = """\
Id=load.timer
ActiveState=active
FragmentPath=/etc/systemd/system/load.timer
TimersCalendar={ OnCalendar=*-*-* 03:00:00 ; next_elapse=@1795748400 }
TimersMonotonic={ OnBootUSec=15min ; next_elapse=15min }

Id=load.service
User=etl
MainPID=0
ExecMainStartTimestamp=@1795662001
ExecMainExitTimestamp=@1795662061
ExecMainCode=1
ExecMainStatus=3

Id=off.timer
ActiveState=inactive

Id=off.service
MainPID=77
ExecMainStartTimestamp=
ExecMainCode=0
ExecMainStatus=0
"""


class Host:
    """A host below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.accounts = {b"root": 0, b"etl": os.getuid()}
        for place in ("etc/cron.d", "var/spool/cron/crontabs", "run", "proc"):
            (root / place).mkdir(parents=True)
        self.write("etc/debian_version", "12.8\n")
        self.write("usr/sbin/cron", "")
        self.write("run/crond.pid", "42\n")
        self.write("proc/42/comm", "cron\n")
        self.observer = self.observe()

    def observe(self, dialect: Any = None, timezone: str | None = "UTC", **more: Any) -> Observer:
        self.observer = Observer(
            dialect, timezone, self.root, self.proc, find_uid=self.accounts.get, **more
        )
        return self.observer

    def write(self, place: str, content: str, mode: int = 0o644) -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        return path

    def systemctl(self, listed: str = LISTED, shown: str = SHOWN, then: str = "") -> Path:
        """Put a systemctl there that says so."""
        (self.root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
        self.write("listed", listed)
        self.write("shown", shown)
        return self.write(
            "systemctl",
            f'#!/bin/sh\n{then}\ncase "$*" in *list-timers*) cat {self.root}/listed;; '
            f"*) cat {self.root}/shown;; esac\n",
            0o755,
        )

    def look(self, now: float = NOW) -> Look:
        return self.observer.look(now)

    def jobs(self, now: float = NOW) -> dict[str, CronEntry]:
        return {entry.command: entry for entry in self.look(now).entries}

    def files(self) -> dict[str, CronFile]:
        return {file.path: file for file in self.look().files}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text + "+00:00")


class TestJobs:
    def test_a_job_tells_all_that_is_known_of_it(self, host: Host) -> None:
        host.write("etc/cron.d/etl", "# x\n\n*/20 2-4 * * * root /opt/load  --all\n")
        if os.geteuid() != 0:
            pytest.skip("only root can make a file of root's")
        (job,) = host.look().entries
        assert (job.schedule, job.command, job.user) == (
            "*/20 2-4 * * *",
            "/opt/load  --all",
            "root",
        )
        assert (job.source, job.file, job.line) == ("cron.d", "/etc/cron.d/etl", 3)
        assert (job.next_run, job.next_run_kind) == (at("2026-11-27T02:00"), "exact")
        assert job.next_run_local == "2026-11-27T02:00:00+00:00"
        assert job.next_runs[:2] == [at("2026-11-27T02:00"), at("2026-11-27T02:20")]
        assert len(job.next_runs) == 10
        assert job.runs_by_hour == [0] * 12 + [3, 3, 3] + [0] * 9
        assert (job.file_status, job.dialect, job.reason, job.dst_risk) == (
            "active",
            "debian",
            None,
            False,
        )

    def test_its_id_stays_while_lines_and_times_change(self, host: Host) -> None:
        host.write("etc/cron.d/etl", "0 1 * * * root load\n0 2 * * * root load\n")
        first = [entry.job_id for entry in host.look().entries]
        host.write(
            "etc/cron.d/etl",
            "A=b\n0 3 * * * root other\n5 1 * * * root load\n0 2 * * * root load\n",
        )
        later = [entry.job_id for entry in host.look().entries]
        assert len(set(later)) == 3
        assert later[1:] == first

    def test_jobs_of_a_file_that_is_ignored_are_shown(self, host: Host) -> None:
        host.write("etc/cron.d/a.sh", "0 1 * * * root load\n")
        host.write("etc/cron.d/bad", "0 1 * * * root fine\n0 25 * * * root worse\n")
        jobs = host.jobs()
        assert {job.next_run_kind for job in jobs.values()} == {"never"}
        assert {job.file_status for job in jobs.values()} == {"ignored"}
        assert "no dot" in str(jobs["load"].reason)
        assert "line 2: bad hour" in str(jobs["fine"].reason)
        files = host.files()
        assert (files["/etc/cron.d/bad"].line, files["/etc/cron.d/bad"].jobs) == (2, 2)

    def test_cronie_leaves_out_the_bad_line_only(self, host: Host) -> None:
        host.observe("cronie")
        host.write("etc/cron.d/some.name", "0 1 * * * root fine\n0 25 * * * root worse\n")
        jobs = host.jobs()
        assert jobs["fine"].next_run_kind == "exact"
        assert (jobs["worse"].next_run_kind, jobs["worse"].file_status) == ("never", "active")
        assert "bad hour" in str(jobs["worse"].reason)
        (file,) = host.files().values()
        assert (file.status, file.lint) == (
            "active",
            ["line 2: bad hour: cron does not take the line"],
        )

    def test_random_times_are_windows(self, host: Host) -> None:
        host.observe("cronie")
        host.write(
            "etc/cron.d/a",
            "RANDOM_DELAY=30\n0 5 * * * root slow\nRANDOM_DELAY=0\n~ 6 * * * root any\n",
        )
        jobs = host.jobs()
        assert (jobs["slow"].next_run_kind, jobs["slow"].next_run, jobs["slow"].window_end) == (
            "window",
            at("2026-11-27T05:00"),
            at("2026-11-27T05:30"),
        )
        assert (jobs["any"].next_run, jobs["any"].window_end) == (
            at("2026-11-27T06:00"),
            at("2026-11-27T06:59"),
        )
        for name, hour in (("slow", 15), ("any", 16)):  # from 14 on
            assert jobs[name].runs_by_hour == [int(one == hour) for one in range(24)]

    def test_zones_of_a_crontab_are_so_many_at_the_most(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(times, "_MOST_ZONES", 2)
        host.observe("cronie")
        zones = ("Asia/Seoul", "Europe/Berlin", "Asia/Tokyo", "Asia/Seoul")
        lines = [f"CRON_TZ={zone}\n0 5 * * * root n{n}\n" for n, zone in enumerate(zones)]
        host.write("etc/cron.d/a", "".join(lines))
        for _ in range(2):
            jobs = host.jobs()
            kinds = [jobs[f"n{n}"].next_run_kind for n in range(4)]
            assert kinds == ["exact", "exact", "unknown", "exact"]
            assert "one zone too many: 2 are" in str(jobs["n2"].reason)
        host.write("etc/cron.d/a", "".join(lines[2:]))
        host.jobs()  # forgets what is not asked for any more
        assert host.jobs()["n2"].next_run_kind == "exact"

    def test_cron_tz_counts_for_cronie_alone(self, host: Host) -> None:
        host.write(
            "etc/cron.d/a",
            "CRON_TZ=Asia/Seoul\n0 5 * * * root load\nCRON_TZ=No/Where\n0 6 * * * root lost\n",
        )
        assert host.jobs()["load"].next_run == at("2026-11-27T05:00")
        assert "does not move" in host.files()["/etc/cron.d/a"].lint[0]
        host.observe("cronie")
        jobs = host.jobs()
        assert (jobs["load"].next_run, jobs["load"].dst_risk) == (at("2026-11-26T20:00"), True)
        assert jobs["load"].timezone == "Asia/Seoul"
        assert (jobs["lost"].next_run_kind, jobs["lost"].next_run) == ("unknown", None)

    def test_boot_and_never(self, host: Host) -> None:
        host.write("etc/cron.d/a", "@reboot root early\n0 0 30 2 * root nowhen\n")
        jobs = host.jobs()
        assert (jobs["early"].next_run_kind, jobs["early"].next_run) == ("on_boot", None)
        assert (jobs["nowhen"].next_run_kind, jobs["nowhen"].reason) == (
            "never",
            "none of the months has such a day",
        )

    def test_a_users_crontab_runs_as_him(self, host: Host) -> None:
        host.write("var/spool/cron/crontabs/etl", "0 5 * * * root load\n", 0o600)
        host.write("var/spool/cron/crontabs/gone", "0 5 * * * load\n", 0o600)
        jobs = host.jobs()
        assert jobs["root load"].user == "etl"
        assert "user column" in jobs["root load"].lint[0]
        assert "orphan" in str(jobs["load"].reason)

    def test_an_account_that_comes_changes_what_is_known(self, host: Host) -> None:
        host.write("etc/cron.d/a", "0 5 * * * loader load\n")
        assert host.jobs()["load"].file_status == "ignored"
        host.accounts[b"loader"] = 7
        assert host.jobs()["load"].file_status == "active"

    def test_times_that_jobs_share_are_reckoned_once_and_forgotten_with_them(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        reckon = Runs.meets_jump
        monkeypatch.setattr(
            Runs, "meets_jump", lambda *each: asked.append(each[2]) or reckon(*each)
        )
        host.write("etc/cron.d/a", "0 5 * * * root one\n0 5 * * * root two\n0 6 * * * root x\n")
        jobs = host.jobs()
        assert jobs["one"].next_runs == jobs["two"].next_runs
        host.jobs()
        assert len(asked) == 2
        host.write("etc/cron.d/a", "0 6 * * * root x\n")
        host.jobs()
        host.write("etc/cron.d/a", "0 5 * * * root one\n")
        host.jobs()
        assert len(asked) == 3

    def test_windows_are_reckoned_once_too(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        reckon = Runs.window
        monkeypatch.setattr(Runs, "window", lambda *each: asked.append(each[2]) or reckon(*each))
        host.observe("cronie")
        host.write("etc/cron.d/a", "12~40 14 * * * root load\n")
        found = [host.jobs(NOW + after)["load"] for after in (0, 60, 240, 300)]
        assert [one.next_run for one in found] == [
            *[at("2026-11-26T14:12")] * 3,
            at("2026-11-26T14:13"),
        ]
        assert len(asked) == 2

    def test_zones_are_forgotten_with_the_jobs_that_are_in_them(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        find = times.find_zone
        monkeypatch.setattr(times, "find_zone", lambda name: asked.append(name) or find(name))
        host.observe("cronie")
        for zone in ("Asia/Seoul", "Asia/Tokyo", "Asia/Seoul"):
            host.write("etc/cron.d/a", f"CRON_TZ={zone}\n0 5 * * * root load\n")
            assert host.jobs()["load"].timezone == zone
            host.jobs()
        assert asked == ["Asia/Seoul", "Asia/Tokyo", "Asia/Seoul"]

    def test_secrets_are_not_shown_and_the_log_is_understood_all_the_same(self, host: Host) -> None:
        host.observe("cronie")
        host.write(
            "etc/cron.d/a",
            "0 5 * * * root mysqldump -phunter2 db\nDB PASSWORD=hunter2 and no more words\n",
        )
        host.write("usr/sbin/anacron", "")
        host.write("etc/anacrontab", "1 5 load load --password hunter2\n")
        look = host.look()
        assert len(look.entries) == 3
        assert "hunter2" not in str([*look.entries, *look.files])
        assert (b"root", b"mysqldump -phunter2 db") in look.commands


class TestDaemon:
    def test_none_that_is_installed_runs_nothing(self, host: Host) -> None:
        host.write("etc/cron.d/a", "0 5 * * * root load\n")
        (host.root / "usr/sbin/cron").unlink()
        job = host.jobs()["load"]
        assert (job.file_status, job.next_run_kind) == ("ignored", "never")
        assert "no cron is installed" in str(job.reason)
        host.observe("debian")  # who says whose rules hold wants to see them
        assert host.jobs()["load"].next_run_kind == "exact"

    @pytest.mark.parametrize("change", ["no process", "another process", "no pid file"])
    def test_one_that_does_not_run_is_told(self, host: Host, change: str) -> None:
        host.write("etc/cron.d/a", "0 5 * * * root load\n")
        if change == "another process":
            host.write("proc/42/comm", "crontab\n")
        else:
            (host.root / ("proc/42/comm" if change == "no process" else "run/crond.pid")).unlink()
        job = host.jobs()["load"]
        assert (job.next_run_kind, job.reason) == ("exact", "cron is not running")
        assert host.files()["/etc/cron.d/a"].reason == "cron is not running"

    def test_which_one_is_found_out(self, host: Host) -> None:
        host.write("etc/cron.d/a", "*/2 1 * * * root load\n5/9 * * * * root not\n")
        assert host.look().dialect == "debian"
        host.write("usr/bin/cronnext", "")
        assert host.look().dialect == "cronie"
        assert host.jobs()["load"].next_run_kind == "exact"

    def test_names_by_the_lsb_where_cron_is_told_so(self, host: Host) -> None:
        host.write("etc/cron.d/lsb.org-x", "0 5 * * * root load\n")
        assert host.jobs()["load"].file_status == "ignored"
        host.write("etc/default/cron", 'READ_ENV="yes"\nEXTRA_OPTS="-l -L 5"\n')
        assert host.jobs()["load"].file_status == "active"

    def test_cronie_takes_any_file_where_it_is_told_so(self, host: Host) -> None:
        host.write("usr/bin/cronnext", "")
        host.write("etc/cron.d/a", "0 5 * * * root load\n", 0o666)
        assert host.jobs()["load"].file_status == "ignored"
        host.write("etc/sysconfig/crond", 'CRONDARGS="-np"\n')
        assert host.jobs()["load"].file_status == "active"

    def test_jobs_are_so_many_at_the_most(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(assembly, "MOST_JOBS", 2)
        for name in "ab":
            host.write(f"etc/cron.d/{name}", f"0 5 * * * root {name}1\n0 5 * * * root {name}2\n")
        assert set(host.jobs()) == {"a1", "a2"}
        file = host.files()["/etc/cron.d/b"]
        assert (file.status, file.visibility, file.reason) == (
            "unknown",
            "partial",
            "not looked at: there are 2 jobs already",
        )

    @pytest.mark.parametrize("dialect", ["debian", "cronie"])
    def test_a_secret_where_the_user_should_be_is_not_shown(self, host: Host, dialect: str) -> None:
        host.observe(dialect)
        host.write("etc/cron.d/a", "0 5 * * * PGPASSWORD=geheim psql -c x\n")
        look = host.look()
        assert [entry.user for entry in look.entries] == ["PGPASSWORD=[redacted]"]
        assert "geheim" not in repr((look.entries, look.files))

    def test_cronie_runs_users_crontabs_on_one_host_where_it_is_told_so(self, host: Host) -> None:
        host.write("usr/bin/cronnext", "")
        host.write("etc/sysconfig/crond", "CRONDARGS=-c\n")
        host.write("var/spool/cron/crontabs/etl", "0 5 * * * load\n", 0o600)
        host.write("etc/cron.d/a", "0 5 * * * root all\n")
        assert "names no host" in str(host.jobs()["load"].reason)
        name = host.write("var/spool/cron/crontabs/.cron.hostname", "other\x1b\n")
        jobs = host.jobs()
        assert "names other\\x1b, which alone runs" in str(jobs["load"].reason)
        assert jobs["all"].file_status == "active"
        name.write_text(f"{os.uname().nodename}\n")
        assert host.jobs()["load"].file_status == "active"


class TestScripts:
    def test_they_run_when_their_directory_does(self, host: Host) -> None:
        host.write("etc/crontab", CRONTAB)
        host.write("etc/cron.daily/rotate", "#!/bin/sh\n", 0o755)
        host.write("etc/cron.daily/backup.sh", "#!/bin/sh\n", 0o755)
        host.write("etc/cron.hourly/poll", "#!/bin/sh\n", 0o755)
        host.write("etc/cron.hourly/.placeholder", "")
        host.write("etc/cron.weekly/report", "#!/bin/sh\n", 0o755)
        jobs = host.jobs()
        rotate = jobs["/etc/cron.daily/rotate"]
        assert (rotate.schedule, rotate.user, rotate.source) == ("25 6 * * *", "root", "run-parts")
        assert rotate.next_run == at("2026-11-27T06:25")
        assert jobs["/etc/cron.hourly/poll"].next_run == at("2026-11-26T14:17")
        assert "no dot" in str(jobs["/etc/cron.daily/backup.sh"].reason)
        assert "no job that runs starts /etc/cron.weekly" in str(
            jobs["/etc/cron.weekly/report"].reason
        )
        assert "/etc/cron.hourly/.placeholder" not in jobs

    def test_anacron_takes_them_over(self, host: Host) -> None:
        host.write("etc/crontab", CRONTAB)
        host.write("etc/anacrontab", ANACRONTAB)
        host.write("etc/cron.daily/rotate", "#!/bin/sh\n", 0o755)
        host.write("var/spool/anacron/cron.daily", "20261126\n")
        host.write("var/spool/anacron/once.a.month", "20261101\n")
        assert "anacron is not installed" in str(host.jobs()["/opt/report"].reason)
        host.write("usr/sbin/anacron", "")
        jobs = host.jobs()
        rotate = jobs["/etc/cron.daily/rotate"]
        assert (rotate.next_run_kind, rotate.next_run, rotate.window_end) == (
            "window",
            at("2026-11-27T03:00"),
            at("2026-11-27T22:00"),
        )
        assert jobs["/opt/report"].next_run == at("2026-12-01T03:00")
        assert (jobs["0x 5 bad true"].next_run_kind, jobs["0x 5 bad true"].line) == ("never", 5)

    def test_what_is_overdue_may_run_at_any_moment(self, host: Host) -> None:
        host.write("etc/anacrontab", ANACRONTAB)
        host.write("usr/sbin/anacron", "")
        job = host.jobs()["/opt/report"]
        assert (job.next_run, job.window_end) == (at("2026-11-26T14:08"), at("2026-11-26T22:00"))


class TestTimers:
    def test_systemd_is_asked_where_it_runs(self, host: Host) -> None:
        host.observe(systemctl=str(host.systemctl()))
        look = host.look()
        job = {entry.command: entry for entry in look.entries}["load.service"]
        assert (job.source, job.schedule, job.user) == (
            "timer",
            "OnCalendar=*-*-* 03:00:00, OnBootSec=15min",
            "etl",
        )
        assert job.file == "/etc/systemd/system/load.timer"
        assert job.next_run == datetime.fromtimestamp(1795748400, UTC)
        assert job.runs_by_hour == [0] * 13 + [1]  # what comes after 03:00 systemd does not tell
        went = {history.job_id: history for history in look.histories}[job.job_id]
        assert (went.last_start, went.last_end, went.last_exit, went.running_pids) == (
            datetime.fromtimestamp(1795662001, UTC),
            datetime.fromtimestamp(1795662061, UTC),
            3,
            [],
        )
        off = {entry.command: entry for entry in look.entries}["off.service"]
        assert (off.next_run_kind, off.reason) == ("never", "the timer is not active")

    @pytest.mark.parametrize(
        ("events", "more", "hours"),
        [
            (["*-*-* *:00/15:00"], "", [4] * 24),
            (["*-*-* 03:00:00", "*-*-* 03,15:00:00"], "", [0, 1, *[0] * 11, 2, *[0] * 10]),
            (["*-*-* 03:00:00"], "RandomizedDelayUSec=1h", [0] * 13 + [1]),
            (["*-*-* 03:00:00 Asia/Seoul"], "RandomizedDelayUSec=0", [0] * 13 + [1]),
        ],
    )
    def test_runs_of_the_day_follow_from_calendar_events(
        self, host: Host, events: list[str], more: str, hours: list[int]
    ) -> None:
        written = "\n".join(
            f"TimersCalendar={{ OnCalendar={event} ; next_elapse=@1795748400 }}" for event in events
        )
        shown = f"Id=load.timer\nActiveState=active\n{written}\n{more}\n"
        host.observe(systemctl=str(host.systemctl(shown=shown)))
        job = host.jobs()["load.service"]
        assert (job.next_run_kind, job.runs_by_hour) == ("exact", hours)

    def test_one_that_comes_on_another_day_has_no_run_today(self, host: Host) -> None:
        listed = LISTED.replace("1795748400000000", "1799748400000000")
        host.observe(systemctl=str(host.systemctl(listed)))
        assert host.jobs()["load.service"].runs_by_hour == [0] * 24
        assert host.jobs()["off.service"].runs_by_hour == []

    def test_without_systemd_nobody_is_asked(self, host: Host) -> None:
        host.observe(systemctl=str(host.root / "nothing"))
        assert host.look().trouble is None

    def test_without_a_bus_there_is_nobody_to_ask(self, host: Host) -> None:
        """As on a Debian without D-Bus: its timers stay unknown, and the node is well."""
        said = "Failed to connect to bus: No such file or directory"
        host.observe(systemctl=str(host.systemctl(then=f"echo {said} >&2; exit 1")))
        assert host.look().trouble is None

    def test_what_is_not_heard_of_is_not_gone(self, host: Host) -> None:
        host.observe(systemctl=str(host.systemctl()))
        before = host.look()
        host.systemctl(then="echo no bus >&2; exit 1")
        after = host.look()
        assert after.trouble == "systemctl list-timers failed: no bus"
        assert [entry.job_id for entry in after.entries] == [
            entry.job_id for entry in before.entries
        ]
        host.systemctl(listed="[{]")
        assert "not what was expected" in str(host.look().trouble)


class TestZone:
    def test_that_of_the_host_counts_and_its_change_too(self, host: Host) -> None:
        host.observe(timezone=None)
        host.write("etc/cron.d/a", "0 5 * * * root load\n")
        place = host.root / "etc/localtime"
        place.symlink_to(f"{TZPATH[0]}/Asia/Seoul")
        job = host.jobs()["load"]
        assert (job.next_run, job.timezone) == (at("2026-11-26T20:00"), "Asia/Seoul")
        assert job.next_run_local == "2026-11-27T05:00:00+09:00"
        place.unlink()
        place.symlink_to(f"{TZPATH[0]}/Europe/Berlin")
        assert host.jobs()["load"].next_run == at("2026-11-27T04:00")
        place.unlink()
        assert host.jobs()["load"].next_run == at("2026-11-27T05:00")

    def test_hours_begin_at_any_quarter_of_one(self, host: Host) -> None:
        host.observe(timezone="Asia/Kathmandu")  # 5:45 ahead of UTC
        host.write("etc/cron.d/a", "0 6 * * * root load\n")
        for moment, place in ((NOW, 11), (NOW + 600, 10)):  # 19:52 and 20:02
            assert host.jobs(moment)["load"].runs_by_hour.index(1) == place

    def test_a_step_of_the_clock_is_reckoned_with(self, host: Host) -> None:
        host.write("etc/cron.d/a", "0 * * * * root load\n")
        assert host.jobs(NOW)["load"].next_run == at("2026-11-26T15:00")
        assert host.jobs(NOW + 7200)["load"].next_run == at("2026-11-26T17:00")
        assert host.jobs(NOW - 7200)["load"].next_run == at("2026-11-26T13:00")
        assert host.jobs(NOW + 60)["load"].next_run == at("2026-11-26T15:00")


class TestPartialSight:
    def test_what_may_not_be_read_is_not_taken_for_nothing(
        self, host: Host, unprivileged: Callable[[], Any]
    ) -> None:
        host.write("etc/cron.d/secret", "0 5 * * * root load\n", 0o600)
        (host.root / "var/spool/cron/crontabs").chmod(0o730)
        for parent in (host.root, *host.root.parents):
            if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o055)
        with unprivileged():
            look = host.look()
        if os.geteuid() != 0:
            return
        found = {file.path: file for file in look.files}
        assert not look.entries
        for path, word in (("/etc/cron.d/secret", "read"), ("/var/spool/cron/crontabs", "look")):
            assert (found[path].status, found[path].visibility) == ("unknown", "partial")
            assert f"may not {word} it" in str(found[path].reason) or "look into it" in str(
                found[path].reason
            )
        assert len(look.partial) == 2

    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_cannot_be_read_any_more_is_told_as_it_was(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        host.write("var/spool/cron/crontabs/etl", "A=x # y\n*/7 5 * * * load\n", 0o600)
        before, lint = host.jobs()["load"], host.files()["/var/spool/cron/crontabs/etl"].lint
        assert before.lint
        assert lint

        def fail(*_: Any, **__: Any) -> Any:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as broken:
            if what == "file":
                broken.setattr(crontabs, "_all", fail)
            else:
                broken.setattr(os, "scandir", fail)
            for _ in range(2):
                look = host.look()
                (job,) = look.entries
                (file,) = (one for one in look.files if one.path.endswith("/etl"))
                assert (job.job_id, job.lint, job.next_run_kind) == (
                    before.job_id,
                    before.lint,
                    "unknown",
                )
                assert (file.status, file.lint, file.jobs) == ("unknown", lint, 1)
                assert "as they stood in it when it was read last" in str(file.reason)
        assert host.jobs()["load"] == before
        (host.root / "var/spool/cron/crontabs/etl").unlink()
        assert not host.look().entries

    def test_what_is_no_file_is_not_read(self, host: Host) -> None:
        os.mkfifo(host.root / "etc/cron.d/pipe")
        (host.root / "etc/cron.d/lost").symlink_to("nothing")
        files = host.files()
        assert files["/etc/cron.d/pipe"].reason == "not a regular file"
        assert files["/etc/cron.d/lost"].status == "ignored"

    def test_no_places_at_all(self, tmp_path: Path) -> None:
        look = Observer(None, "UTC", tmp_path, tmp_path).look(NOW)
        assert (look.entries, look.files) == ([], [])


def test_accounts_are_those_of_the_host() -> None:
    assert uid_of(b"root") == 0
    assert uid_of(b"no such account") is None
    assert uid_of(b"\xff") is None


def test_a_command_cannot_be_made_so_that_it_takes_long_to_look_for_run_parts(host: Host) -> None:
    host.observe("cronie")
    host.write("etc/cron.d/a", f"0 5 * * * root {'run-parts -' * 11_000}\n" * 3)
    began = time.process_time()
    host.look()
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("command", "is_started"),
    [
        ("run-parts /etc/cron.daily", True),
        ("cd / && run-parts  --report -v	/etc/cron.daily/;true", True),
        ("run-parts -a /etc/cron.d /etc/cron.daily", False),
        ("run-parts -a /etc/cron.dailys", False),
        ("ls /etc/cron.daily && run-parts /etc/cron.daily", True),
        ("run-parts x /etc/cron.daily", False),
    ],
)
def test_what_run_parts_starts(host: Host, command: str, is_started: bool) -> None:
    host.write("etc/cron.d/a", f"0 5 * * * root {command}\n")
    host.write("etc/cron.daily/load", "", 0o755)
    script = host.jobs()["/etc/cron.daily/load"]
    assert (script.file_status == "active") == is_started
