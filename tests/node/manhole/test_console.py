"""The console of a running node: over its socket, and with the OpenSSH client."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from msgspec.structs import replace
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread

from etlmon.config.loader import parse_node_config
from etlmon.node.service import NodeService
from tests.waiting import PATIENCE_SECONDS

BIN = Path(sys.executable).parent
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh")


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    give_up_at = reactor.seconds() + seconds
    while not (value := condition()):
        assert reactor.seconds() < give_up_at, "it did not come about in time"
        await task.deferLater(reactor, 0.01)
    return value


def keygen(path: Path, comment: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True
    )


def make(directory: Path, manhole: str) -> NodeService:
    text = f"""
node: {{listen: 'unix:{directory}/api.sock', db_path: {directory}/etlmon.db, node_name: test}}
refresh: {{disk: 1h}}
cron: {{enabled: false}}
manhole: {{{manhole}}}
"""
    return NodeService(parse_node_config(text.encode(), "node.yaml"), reactor)


@pytest_twisted.async_yield_fixture
async def node(tmp_path: Path) -> AsyncGenerator[NodeService, None]:
    """Give a running node whose console is at ``console`` in the test's directory."""
    service = make(tmp_path, f"socket: {tmp_path}/console")
    service.startService()
    await until(lambda: all(one.state == "ok" for one in service.health().collectors))
    yield service
    await service.stopService()


@pytest_twisted.async_yield_fixture
async def over_ssh(tmp_path: Path) -> AsyncGenerator[NodeService, None]:
    """Give a running node that lets the key ``key`` in, and not the key ``other``."""
    keygen(tmp_path / "key", "alice@laptop")
    keygen(tmp_path / "other", "mallory")
    shutil.copy(tmp_path / "key.pub", tmp_path / "authorized_keys")
    (tmp_path / "authorized_keys").chmod(0o644)
    keys = f"authorized_keys: {tmp_path}/authorized_keys"
    service = make(tmp_path, f"ssh: '127.0.0.1:0', {keys}")
    service.startService()
    yield service
    await service.stopService()


async def run(*command: str, script: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end, while the reactor goes on."""
    return await deferToThread(
        subprocess.run,
        command,
        input=script,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def ssh(node: NodeService, directory: Path, *words: str, key: str = "key") -> tuple[str, ...]:
    assert node.manhole is not None
    options = (
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={directory}/known_hosts",
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "LogLevel=ERROR",
    )
    return (
        "ssh",
        *("-F", "none"),
        *(word for option in options for word in ("-o", option)),
        *("-i", f"{directory}/{key}"),
        *("-p", str(node.manhole.ssh_port)),
        "127.0.0.1",
        *words,
    )


async def visits(node: NodeService, number: int = 1) -> list[dict[str, Any]]:
    """Give the rows of the audit, the oldest first, when there are so many that have ended."""

    def read(cursor: Any) -> list[dict[str, Any]]:
        query = cursor.execute("SELECT * FROM audit_log ORDER BY id")
        names = [column[0] for column in query.description]
        return [dict(zip(names, row, strict=True)) for row in query]

    give_up_at = reactor.seconds() + PATIENCE_SECONDS
    while True:
        rows = await node.store.read(read)
        if sum(row["outcome"] != "begun" for row in rows) >= number:
            return rows
        assert reactor.seconds() < give_up_at, rows
        await task.deferLater(reactor, 0.01)


class Typist(ProcessProtocol):
    """A program on a terminal of its own, and what it shows."""

    def __init__(self, *command: str) -> None:
        self.shown = b""
        self.ended: Deferred[None] = Deferred()
        environment = {**os.environ, "TERM": "xterm"}
        reactor.spawnProcess(self, command[0], command, env=environment, usePTY=True)

    def outReceived(self, data: bytes) -> None:
        self.shown += data

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(None)

    async def sees(self, pattern: str) -> re.Match[bytes]:
        found: re.Match[bytes] = await until(lambda: re.search(pattern.encode(), self.shown))
        return found

    def types(self, text: bytes) -> None:
        self.shown = b""
        self.transport.write(text)


class TestSocket:
    async def test_a_script_gets_what_it_prints_and_nothing_else(self, tmp_path, node):
        script = "1 + 1\nfor i in range(2):\n    print('line', i)\n\nnode.health().node_name"
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script=script
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "2\nline 0\nline 1\n'test'\n"

    async def test_what_each_collector_does_is_told(self, tmp_path, node):
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script="collectors\n"
        )
        header, *rows = done.stdout.splitlines()
        assert header.split() == "collector state runs errors skipped ms next waits_at".split()
        assert [row.split()[:3] for row in rows] == [["disk", "ok", "1"]]

    async def test_an_error_that_is_over_is_not_told(self, tmp_path, node):
        (disk,) = node.collectors
        health = disk.health()
        disk.health = lambda: replace(health, errors=1, last_error="was broken")
        command = (f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console")
        done = await run(*command, script="collectors\n")
        assert done.stdout.splitlines()[1].split()[-1] == "-"
        disk.health = lambda: replace(health, state="error", last_error="is broken")
        done = await run(*command, script="collectors\n")
        assert done.stdout.splitlines()[1].endswith("is broken")

    async def test_every_tool_answers(self, tmp_path, node):
        script = (
            "pending()\nqueue()\nslow()\ndeferreds()\nmemory()\nstacks()\ndescriptors()\n"
            "read('SELECT count(*) AS n FROM filesystem_usage')\nhelp()\nhelp(store.health)\n"
        )
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script=script
        )
        assert "Traceback" not in done.stdout
        for told in (
            r"in_seconds +what\n",
            r"\d+ commits, the last at ",
            r"(?m)^commit +\d+\.\d+ .*filesystem_usage",
            r"\d+ Deferreds have not fired\.",
            r"resident \d+ KiB, peak \d+ KiB",
            r"MainThread \(this console\)",
            r"\d+ of \d+ \(hard limit \d+\)",
            r"(?m)^ *n\n *\d+$",
            r"pending\(\) +Delayed calls",
            "Tell how the database fares",
        ):
            assert re.search(told, done.stdout), told

    async def test_an_error_that_is_over_is_told_with_its_time(self, tmp_path, node):
        done = await run(
            f"{BIN}/etlmon",
            "console",
            "--socket",
            f"{tmp_path}/console",
            script="store._writer.note(ValueError('spoiled'))\nqueue()\n",
        )
        assert re.search(r"dropped; last error at 2\d{3}-\d\d-\d\d .*: spoiled", done.stdout)

    async def test_the_first_rows_of_every_table_are_to_be_had(self, tmp_path, node):
        tables = ("pending()", "queue()", "slow()", "deferreds()", "memory()", "descriptors()")
        read = "read('SELECT 1 AS n UNION SELECT 2')"
        script = "".join(f"{table}[:1]\n" for table in tables)
        script += f"{read}[1][0]\n{read}[7]\nlist(memory())\n"
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script=script
        )
        before, told, after = done.stdout.partition("\n2\nIndexError: list index out of range\n")
        assert told, done.stdout
        assert "Error" not in before
        assert after.endswith("TypeError: it is not there yet: when it is shown, _ has it\n")
        heading = re.search(r"(?m)^ *kib +n +type\n.*\nresident \d+ KiB", before)
        assert heading, "one row of memory"

    async def test_what_the_documents_type_gives_what_they_show(self, tmp_path, node):
        """Each statement of the session in docs/operations.md, and the heading of its table."""
        document = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
        session = re.findall(r"(?m)^    >>> (.*)\n(?:    \(waiting.*\n)?    (.*)$", document)
        assert [typed.partition("(")[0] for typed, _ in session] == [
            "collectors",
            "queue",
            "slow",
            "read",
        ]
        script = "".join(f"{typed}\n" for typed, _ in session)
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script=script
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        *shown, last = [heading.split() for _, heading in session]
        assert last == ["path", "status", "scan_file_count"]  # of which this node has no row
        assert [line for line in lines if line in shown] == [*shown, ["none"]]

    async def test_entry_and_exit_stand_in_the_audit(self, tmp_path, node):
        await run(f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script="1\n\n2\n")
        (row,) = await visits(node)
        assert (row["who"], row["command"]) == (f"uid:{os.geteuid()}", "console")
        assert row["target"] == f"unix:{tmp_path}/console"
        assert re.fullmatch(r"unix pid \d+", row["origin"])
        assert (row["outcome"], row["detail"]) == ("done", "the console was open; 2 statements")

    async def test_it_stands_there_before_anything_is_run(self, tmp_path, node):
        script = "read(\"SELECT outcome FROM audit_log WHERE command = 'console'\")\n"
        done = await run(
            f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console", script=script
        )
        assert done.stdout == "outcome\nbegun\n"

    async def test_others_are_refused_and_that_is_told(self, tmp_path, node):
        assert (tmp_path / "console").stat().st_mode & 0o777 == 0o600
        factory = node.manhole._ports[0].factory
        factory.uids = frozenset((4711,))  # as if it was another who ran this
        line = socket.socket(socket.AF_UNIX)
        with closing(line):
            line.connect(f"{tmp_path}/console")
            (row,) = await visits(node)
            assert await deferToThread(line.recv, 100) == b""
        assert (row["outcome"], row["problem"]) == ("refused", "not-let-in")

    async def test_many_who_are_refused_fill_no_log(self, tmp_path, node, log_lines):
        """Whoever may connect could write as many lines as he likes."""
        factory = node.manhole._ports[0].factory
        factory.uids = frozenset((4711,))

        def knock():
            for _ in range(200):
                with closing(socket.socket(socket.AF_UNIX)) as line:
                    line.connect(f"{tmp_path}/console")
                    assert line.recv(100) == b""

        await deferToThread(knock)
        lines = [line for line in log_lines if "efus" in line]
        written = len(lines) - 1
        assert 20 <= written < 30, "20 at once, and one each ten seconds"
        assert lines[-1] == "Refusals of the console: too many to write each; they are counted."
        await node.stopService()
        left = 200 - written
        assert f"Refusals of the console: {left} more came and were not written." in log_lines

    async def test_a_session_ends_with_the_node(self, tmp_path):
        node = make(tmp_path, f"socket: {tmp_path}/console")
        node.startService()
        line = socket.socket(socket.AF_UNIX)
        with closing(line), line.makefile("rb") as said:
            line.connect(f"{tmp_path}/console")
            line.sendall(b"print('here')\n")
            assert await deferToThread(said.readline) == b"here\n"
            await node.stopService()
            assert await deferToThread(said.read) == b""
        again = make(tmp_path, f"socket: {tmp_path}/console")
        again.startService()
        (row,) = await visits(again)
        await again.stopService()
        assert row["outcome"] == "done"

    async def test_at_a_terminal_keys_are_edited_and_deferreds_shown(self, tmp_path, node):
        typist = Typist(f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/console")
        await typist.sees(r"help\(\) lists the tools[\s\S]*>>> $")
        typist.types(b"6 * 8\x7f7\r")  # the 8 is taken back
        await typist.sees(r"\r\n42\r\n>>> $")
        typist.types(b"1/0\r")
        await typist.sees("ZeroDivisionError: division by zero\r\n>>> $")
        typist.types(b"read('SELECT 41 + 1 AS answer')\r")
        await typist.sees(r"answer\r\n +42\r\n>>> $")
        typist.types(b"\x04")
        await typist.ended
        assert b"\x1bc" not in typist.shown  # the screen has not been cleared
        (row,) = await visits(node)
        assert row["detail"] == "the console was open; 3 statements"

    async def test_ctrl_bracket_leaves_a_console_that_says_nothing(self, tmp_path):
        silent = socket.socket(socket.AF_UNIX)
        with closing(silent):
            silent.bind(f"{tmp_path}/silent")
            silent.listen()
            typist = Typist(f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/silent")
            peer, _ = await deferToThread(silent.accept)
            with closing(peer):
                await deferToThread(peer.recv, 100)  # then its terminal is raw
                typist.types(b"\x1d")
                await typist.ended


@needs_ssh
class TestSsh:
    async def test_a_command_is_run_and_ends_well(self, tmp_path, over_ssh):
        done = await run(*ssh(over_ssh, tmp_path, "node.health().node_name"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "'test'\n", "")
        (row,) = await visits(over_ssh)
        assert (row["who"], row["origin"]) == ("key:alice@laptop", "127.0.0.1")
        assert (row["outcome"], row["detail"]) == ("done", "the console was open; 1 statements")

    async def test_a_script_comes_on_its_input(self, tmp_path, over_ssh):
        done = await run(*ssh(over_ssh, tmp_path), script="1 + 1\ndescriptors()\n")
        assert (done.returncode, done.stdout[:2]) == (0, "2\n")
        assert str(tmp_path / "etlmon.db") in done.stdout

    async def test_at_a_terminal(self, tmp_path, over_ssh):
        typist = Typist(*ssh(over_ssh, tmp_path))
        await typist.sees(">>> $")
        typist.types(b"store.health().state\r")
        await typist.sees(r"'ok'\r\n>>> $")
        typist.types(b"exit()\r")
        await typist.ended
        (row,) = await visits(over_ssh)
        assert row["outcome"] == "done"

    async def test_no_other_key_and_no_password_gets_in(self, tmp_path, over_ssh):
        done = await run(*ssh(over_ssh, tmp_path, "1", key="other"))
        assert (done.returncode, done.stdout) == (255, "")
        assert "Permission denied (publickey)" in done.stderr
        (row,) = await visits(over_ssh)
        assert (row["outcome"], row["problem"]) == ("refused", "not-let-in")

    async def test_a_key_that_is_taken_out_of_the_file_is_out(self, tmp_path, over_ssh):
        (tmp_path / "authorized_keys").write_text("# nobody\n")
        done = await run(*ssh(over_ssh, tmp_path, "1"))
        assert done.returncode == 255

    async def test_keys_that_cannot_be_read_are_told_once_and_when_they_can(
        self, tmp_path, over_ssh, log_lines
    ):
        keys = tmp_path / "authorized_keys"
        keys.chmod(0o666)
        for _ in range(2):
            assert (await run(*ssh(over_ssh, tmp_path, "1"))).returncode == 255
        keys.chmod(0o644)
        assert (await run(*ssh(over_ssh, tmp_path, "1"))).returncode == 0
        told = [line for line in log_lines if "over SSH" in line]
        assert told == [
            f"The console lets nobody in over SSH: others can write {keys}: chmod go-w {keys}",
            "The console lets in over SSH again.",
        ]

    async def test_nothing_but_a_console_is_to_be_had(self, tmp_path, over_ssh):
        """No forwarding, no sftp."""
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            there = f"127.0.0.1:{server.getsockname()[1]}"
            forward = (*ssh(over_ssh, tmp_path)[:-1], "-W", there, "127.0.0.1")
            done = await run(*forward)
        assert done.returncode == 255
        sftp = await run(*ssh(over_ssh, tmp_path), "-s", "sftp")
        assert sftp.returncode != 0

    async def test_its_key_is_its_own_and_stays(self, tmp_path, over_ssh):
        key = tmp_path / "console_host_key"
        assert key.stat().st_mode & 0o777 == 0o600
        before = key.read_bytes()
        await over_ssh.stopService()
        keys = f"authorized_keys: {tmp_path}/authorized_keys"
        again = make(tmp_path, f"ssh: '127.0.0.1:0', {keys}")
        again.startService()
        await again.stopService()
        assert key.read_bytes() == before


class TestTrouble:
    async def test_a_console_that_cannot_be_opened_stops_no_node(self, tmp_path):
        keys = tmp_path / "authorized_keys"
        keys.touch(0o666)
        keys.chmod(0o666)
        manhole = f"socket: {tmp_path}/no/such, ssh: '127.0.0.1:0', authorized_keys: {keys}"
        node = make(tmp_path, manhole)
        node.startService()
        warnings = node.health().warnings
        await node.stopService()
        assert [line.split(":")[0] for line in warnings] == [
            "There is no console at unix",
            "There is no console at 127.0.0.1",
        ]
        assert f"others can write {keys}: chmod go-w {keys}" in warnings[1]

    def test_without_a_node_it_is_said_what_is_missing(self, tmp_path):
        done = subprocess.run(
            [f"{BIN}/etlmon", "console", "--socket", f"{tmp_path}/none"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"cannot reach the console {tmp_path}/none: no node listens there" in done.stderr

    def test_without_a_console_the_setting_is_named(self, tmp_path):
        (tmp_path / "node.yaml").write_text("node: {}\n")
        done = subprocess.run(
            [f"{BIN}/etlmon", "console", "-c", f"{tmp_path}/node.yaml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            "manhole.socket is not set, so the node has no console; write manhole:" in done.stderr
        )

    def test_a_node_without_it_imports_nothing_of_it(self):
        code = "import sys, etlmon.node.tap; print([m for m in sys.modules if 'conch' in m])"
        done = subprocess.run(
            [str(BIN / "python"), "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n"
