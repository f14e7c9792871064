"""Reading the journal: the real journalctl on journals of the test's own, and stand-ins for it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etlmon.errors import CollectError
from etlmon.host import journal
from etlmon.host.journal import Journal, JournalEntry

AT = 1_795_713_322.25
MATCHES = ("_UID=0", "SYSLOG_IDENTIFIER=CRON", "SYSLOG_IDENTIFIER=anacron")


@pytest.fixture
def real(write_journal: Callable[..., Path]) -> Callable[..., Journal]:
    """Give what opens a journal of entries: when, who, pid, what, and perhaps the uid."""

    def open_one(*entries: Any, cursor: str | None = None, since: float = AT) -> Journal:
        path = write_journal(*entries)
        return Journal(
            MATCHES, cursor, since_seconds=since, command=("journalctl", f"--file={path}")
        )

    return open_one


def test_what_matches_is_given_from_a_moment_on(real: Callable[..., Journal]) -> None:
    found = real(
        (AT - 1, "CRON", 6, b"too old"),
        (AT, "CRON", 7, b"(root) CMD (load)"),
        (AT + 1, "CRON", 8, b"forged", 1000),
        (AT + 2, "sshd", 9, b"of others"),
        (AT + 3, "anacron", 10, b"Job `cron.daily' started"),
        (AT + 4, "CRON", 11, b"\xff\xfe \x1b[2J"),
        (AT + 5, "CRON", 12, b"two\nlines"),
    )
    assert found.read(100) == [
        JournalEntry(AT, b"CRON", 7, b"(root) CMD (load)"),
        JournalEntry(AT + 3, b"anacron", 10, b"Job `cron.daily' started"),
        JournalEntry(AT + 4, b"CRON", 11, b"\xff\xfe \x1b[2J"),
        JournalEntry(AT + 5, b"CRON", 12, b"two\nlines"),
    ]
    assert found.is_at_end


def test_it_goes_on_behind_the_last_one(real: Callable[..., Journal]) -> None:
    entries = [(AT + n, "CRON", n, b"%d" % n) for n in range(1, 6)]
    found = real(*entries)
    assert [one.pid for one in found.read(2)] == [1, 2]
    assert not found.is_at_end
    again = real(*entries, cursor=found.cursor)
    assert [one.pid for one in again.read(3)] == [3, 4, 5]
    assert again.is_at_end
    cursor = again.cursor
    assert again.read(3) == []
    assert again.cursor == cursor


def test_nothing_is_no_error(real: Callable[..., Journal]) -> None:
    found = real((AT - 60, "CRON", 6, b"too old"))
    assert found.read(10) == []
    assert (found.is_at_end, found.cursor) == (True, None)


def test_after_a_cursor_of_another_journal_it_begins_at_the_moment(
    real: Callable[..., Journal],
) -> None:
    found = real((AT, "CRON", 7, b"x"), cursor="s=none;i=1")
    with pytest.raises(CollectError, match="Failed to seek to cursor"):
        found.read(10)
    assert [one.pid for one in found.read(10)] == [7]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_journal_that_may_not_be_read_is_no_empty_one(write_journal: Callable[..., Path]) -> None:
    path = write_journal((AT, "CRON", 7, b"x"))
    path.chmod(0o600)
    nobody = pwd.getpwnam("nobody")
    found = Journal(
        MATCHES,
        None,
        since_seconds=AT,
        command=(
            *("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
            *("journalctl", f"--file={path}"),
        ),
    )
    with pytest.raises(CollectError, match="group systemd-journal"):
        found.read(10)


class TestStandIns:
    """What a real one does seldom."""

    @pytest.fixture
    def journal_of(self, tmp_path: Path) -> Callable[[str], Journal]:
        """Give a journal whose journalctl is a script."""

        def make(script: str) -> Journal:
            program = tmp_path / "journalctl"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            return Journal(MATCHES, None, since_seconds=0.0, command=(str(program),))

        return make

    def test_a_hint_that_others_are_not_seen_counts_when_nothing_is(
        self, journal_of: Callable[[str], Journal]
    ) -> None:
        hint = "Hint: You are currently not seeing messages from other users and the system."
        with pytest.raises(CollectError, match="cannot be read"):
            journal_of(f"echo '{hint}' >&2; echo '-- No entries --'").read(1)

    @pytest.mark.parametrize(
        ("script", "words"),
        [
            ("echo 'no disk' >&2; exit 3", "journalctl failed: no disk"),
            ("exit 3", "journalctl failed: 3"),
            ("echo '{\"MESSAGE\": 1}'", "not what was expected"),
            ('echo \'{"__CURSOR": "a", "__REALTIME_TIMESTAMP": "x"}\'', "not what was expe"),
        ],
    )
    def test_failures_are_told(
        self, journal_of: Callable[[str], Journal], script: str, words: str
    ) -> None:
        with pytest.raises(CollectError, match=words):
            journal_of(script).read(1)

    def test_without_the_program(self) -> None:
        lost = Journal((), None, since_seconds=0.0, command=("/no/journalctl",))
        with pytest.raises(CollectError, match="journalctl cannot be run"):
            lost.read(1)

    @pytest.mark.parametrize("script", ["exec sleep 1000", "exec >&- 2>&-; exec sleep 1000"])
    def test_one_that_hangs_is_ended(
        self,
        journal_of: Callable[[str], Journal],
        monkeypatch: pytest.MonkeyPatch,
        script: str,
    ) -> None:
        begun: list[subprocess.Popen[bytes]] = []

        class Noted(subprocess.Popen[bytes]):
            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                begun.append(self)

        monkeypatch.setattr(subprocess, "Popen", Noted)
        monkeypatch.setattr(journal, "_DEADLINE_SECONDS", 0.2)
        with pytest.raises(CollectError, match=r"did not answer within 0\.2 s"):
            journal_of(script).read(1)
        (process,) = begun
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)

    def test_one_that_never_ends_is_left_with_what_was_asked_for(
        self, journal_of: Callable[[str], Journal]
    ) -> None:
        row = '{"__CURSOR":"a","__REALTIME_TIMESTAMP":"1","MESSAGE":["x","y"],"_PID":"5"}'
        found = journal_of(f"exec yes '{row}'")
        assert found.read(3) == [JournalEntry(0.000001, b"", 5, b"x")] * 3
        assert not found.is_at_end

    def test_so_is_one_that_says_too_much(
        self, journal_of: Callable[[str], Journal], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "_MOST_BYTES", 150)
        row = '{"__CURSOR":"a","__REALTIME_TIMESTAMP":"1","MESSAGE":"x","_PID":"5"}'
        assert len(row) > 50
        found = journal_of(f"exec yes '{row}'")
        assert len(found.read(1_000)) == 3
        assert not found.is_at_end

    def test_a_line_without_end_is_passed_over(self, journal_of: Callable[[str], Journal]) -> None:
        found = journal_of(
            "head -c 3000000 /dev/zero | tr '\\0' x; echo; "
            'echo \'{"__CURSOR":"a","__REALTIME_TIMESTAMP":"1","MESSAGE":null}\''
        )
        assert found.read(3) == [JournalEntry(0.000001, b"", None, b"")]


def test_it_leaves_no_process_behind(real: Callable[..., Journal]) -> None:
    found = real(*[(AT + n, "CRON", n, b"x" * 5_000) for n in range(1, 100)])
    found.read(2)
    mine = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "comm="],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "journalctl" not in mine
