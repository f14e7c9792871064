"""The terminal program as a user has it: a real terminal, a real node, real keys."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import Terminal
from tests.waiting import PATIENCE_SECONDS, free_port


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """Give a directory of three files, and one more to watch."""
    directory = tmp_path / "watched"
    directory.mkdir()
    for number in range(3):
        (directory / f"file{number}").touch()
    (tmp_path / "other").mkdir()
    return directory


def row(text: str, first: str) -> str:
    """Give the line whose first word ends so; empty if there is none."""
    rows = (line for line in text.splitlines() if (line.split() or [""])[0].endswith(first))
    return next(rows, "")


def test_a_session_of_work(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    watched: Path,
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    paths = f"paths: [{{path: {watched}}}, {{path: {watched.parent}/other}}]\n"
    config = str(write_config(paths, listen=listen))
    node = start(etlmon, "node", "-c", config)
    node.get_until("paths", lambda answer: all(item["collected_at"] for item in answer))
    node.get_until("fs", bool)

    ui = terminal("ui", f"http://{listen}")
    ui.wait(lambda text: re.search("[✓!✗]", row(text, "/")))  # a picture may come in pieces
    ui.wait(lambda text: re.search("[0-9]+%", row(text, "/")))

    ui.type("\t")
    ui.wait(r"/watched\s+3 ")
    ui.type("/other\r")
    ui.wait(lambda text: "/other  1 row\n" in text and not row(text, "/watched"))
    ui.type("\r")
    ui.wait("0 files, 0 directories")
    ui.type("\x1b")
    ui.wait(lambda text: row(text, "/other") and "0 directories" not in text)
    ui.type("\x1b")
    ui.wait(lambda text: row(text, "/watched"))

    (watched / "new").touch()
    ui.type("/watched\r")
    ui.wait(lambda text: row(text, "/watched") and not row(text, "/other"))
    ui.type("s")
    ui.wait("Scan .*watched now")
    ui.type("y")
    ui.wait(r"/watched\s+4 +\+1 ")

    node.end(signal.SIGKILL)
    text = ui.wait("✗ As of .*nothing listens there")
    assert row(text, "/watched")
    node = start(etlmon, "node", "-c", config)
    ui.wait(lambda text: "✗ As of" not in text and "✓" in text.splitlines()[0])
    assert row(ui.text, "/watched")

    ui.resize(60, 12)
    ui.wait(lambda text: len(text.splitlines()) == 12 and "q quit" in text.splitlines()[-1])
    ui.resize(120, 40)
    ui.wait(lambda text: len(text.splitlines()) == 40 and "q quit" in text.splitlines()[-1])
    ui.type("?")
    ui.wait("draw the whole screen anew")
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()
    assert b"\x1b[?1049h" in ui.raw


@pytest.fixture
def on_screen(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
) -> Terminal:
    """Give a screen that shows a node's file systems."""
    node = start(etlmon, "node", "-c", str(write_config()))
    node.get_until("fs", bool)
    ui = terminal("ui", node.address)
    ui.wait(lambda text: row(text, "/"))
    return ui


@pytest.mark.parametrize("how", ["^C", "SIGTERM", "q"])
def test_the_terminal_is_given_back(on_screen: Terminal, how: str) -> None:
    if how == "SIGTERM":
        on_screen.process.send_signal(signal.SIGTERM)
    else:
        on_screen.type({"^C": "\x03", "q": "q"}[how])
    assert on_screen.end() == 0
    assert on_screen.is_clean()
    assert b"Traceback" not in on_screen.raw


def test_it_is_stopped_and_goes_on(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
) -> None:
    """The shell of a user stops it with ^Z and has it go on with fg."""
    node = start(etlmon, "node", "-c", str(write_config()))
    node.get_until("fs", bool)
    shell = terminal("--norc", "--noprofile", "-i", program="bash", PS1="ready> ", HISTFILE="")
    shell.wait("ready>")
    shell.type(f"{etlmon} ui {node.address}\r")
    shell.wait(lambda text: row(text, "/") and "q quit" in text)
    shell.type("\x1a")
    # What is typed while it still has the terminal is not for the shell.
    shell.wait(lambda _: b"ready>" in shell.raw.partition(b"Stopped")[2])
    assert shell.raw.rindex(b"\x1b[?1049l") > shell.raw.rindex(b"\x1b[?1049h")
    drawn = len(shell.raw)
    shell.type("fg\r")
    shell.wait(lambda _: b" quit" in shell.raw[drawn:].partition(b"\x1b[?1049h")[2])
    shell.type("\t")
    shell.wait("No paths are configured")
    shell.type("q")
    last = b"\x1b[?1049h"
    shell.wait(lambda _: b"ready>" in shell.raw.rpartition(last)[2].partition(b"\x1b[?1049l")[2])
    shell.type("exit $?\r")
    assert shell.end() == 0


def test_a_defect_is_shown_logged_and_survived(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    tmp_path: Path,
) -> None:
    node = start(etlmon, "node", "-c", str(write_config()))
    node.get_until("fs", bool)
    program = (
        "from etlmon.ui.widgets.table import Table\n"
        "from etlmon.cli.main import main\n"
        "def sort_by_next(self): raise ZeroDivisionError('oh')\n"
        "Table.sort_by_next = sort_by_next\n"
        "main()"
    )
    ui = terminal("-c", program, "ui", node.address, program=sys.executable)
    ui.wait(lambda text: row(text, "/"))
    ui.type("o")
    ui.wait("Defect: ZeroDivisionError: oh. The log has the rest.")
    ui.type("\t")
    ui.wait("No paths are configured")
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()
    log = (tmp_path / "state/etlmon/ui.log").read_text()
    assert "A defect of the screen." in log
    assert "ZeroDivisionError: oh" in log
    assert "in sort_by_next" in log


def test_demo_ends_node_and_screen_and_leaves_nothing(
    terminal: Callable[..., Terminal], watched: Path, tmp_path: Path
) -> None:
    ui = terminal("demo", "-p", str(watched))
    ui.wait(lambda text: row(text, "/"))
    assert list(tmp_path.glob("etlmon-demo-*"))
    ui.type("\t")
    ui.wait(r"/watched\s+3 ")
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()
    assert not list(tmp_path.glob("etlmon-demo-*"))


@pytest.mark.parametrize("missing", ["stdin", "stdout"])
def test_without_a_terminal_one_clear_line(etlmon: str, missing: str) -> None:
    master, slave = pty.openpty()
    try:
        given: dict[str, Any] = {"stdin": slave, "stdout": subprocess.PIPE}
        if missing == "stdin":
            given = {"stdin": subprocess.DEVNULL, "stdout": slave}
        done = subprocess.run(
            [etlmon, "ui"],
            check=False,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
            **given,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 1
    assert done.stderr.startswith("etlmon: the screen needs a terminal;")
    assert done.stderr.count("\n") == 1


COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*(?:3[0-7]|9[0-7]|4[0-7]|38;5;[0-9]+)(?:;[0-9]+)*m")


@pytest.mark.parametrize(
    ("environ", "colours"),
    [
        ({"TERM": "xterm-256color"}, 256),
        ({"TERM": "xterm"}, 16),
        ({"TERM": "vt100"}, 0),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, 0),
        ({"TERM": "xterm-256color", "LC_ALL": "C"}, 256),
    ],
    ids=str,
)
def test_colours_are_those_of_the_terminal(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    environ: dict[str, str],
    colours: int,
) -> None:
    node = start(etlmon, "node", "-c", str(write_config()))
    node.get_until("fs", bool)
    ui = terminal("ui", node.address, **environ)
    ui.wait(lambda text: row(text, "/"))
    ui.wait("[✓!✗] ")
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()
    assert bool(COLOUR.search(ui.raw)) == (colours > 0)
    assert (b"38;5;" in ui.raw) == (colours == 256)


class Wrong:
    """A server that is no node: gives the same bytes to everyone, or nothing."""

    def __init__(self, answer: bytes | None, *, waits: bool = False) -> None:
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.may_answer = threading.Event()
        if not waits:
            self.may_answer.set()
        self.open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            if self.answer is not None:
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the program may have gone meanwhile
            # All of it: a connection that is closed with something unread is reset.
            asked = b""
            while not asked.endswith(b"\r\n\r\n") and (more := connection.recv(65536)):
                asked += more
            self.may_answer.wait()
            connection.sendall(self.answer or b"")

    def close(self) -> None:
        self.may_answer.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            connection.close()


def http(body: bytes, kind: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (kind, size) + body


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (http(b"<html>\x1b[2J</html>", b"text/html"), "not what an etlmon node gives"),
        (http(b'{"a": 1}', b"application/json"), "not what an etlmon node gives"),
        (http(b"[", b"application/json", 1000), "the connection broke"),
        (b"", "the connection broke"),
        (b"\x1b]0;evil\x07\r\n\r\n", "✗ http"),
        (None, "Asking http"),
    ],
    ids=["html", "other JSON", "cut", "nothing", "no HTTP", "never"],
)
def test_what_is_no_node_is_told_and_leaves_the_screen_usable(
    terminal: Callable[..., Terminal], answer: bytes | None, told: str
) -> None:
    server = Wrong(answer)
    try:
        ui = terminal("ui", server.address)
        ui.wait(told)
        ui.type("?")
        ui.wait("this help")
        assert b"\x1b]0;" not in ui.raw
        ui.type("q")
        assert ui.end() == 0
        assert ui.is_clean()
    finally:
        server.close()


def test_a_slow_node_is_waited_for_while_keys_work(terminal: Callable[..., Terminal]) -> None:
    server = Wrong(http(b"[]", b"application/json"), waits=True)
    try:
        ui = terminal("ui", server.address)
        ui.wait("Asking http")
        ui.type("?")
        ui.wait("this help")
        ui.type("\x1b")
        ui.wait("Asking http")
        server.may_answer.set()
        ui.wait("The node has not looked at its mounts yet")
        ui.type("q")
        assert ui.end() == 0
    finally:
        server.close()


# In letters: the number of a process is looked for beside it.
LOADER = "etl_loader_" + "".join("abcdefghij"[int(digit)] for digit in str(os.getpid()))
STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
READY = "sys.stdout.write('ready'); sys.stdout.flush(); time.sleep(600)"


@pytest.fixture
def worker() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process with a word in its command line; it is killed when the test is over."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(word: str, *, stubborn: bool = False) -> subprocess.Popen[bytes]:
        code = (STUBBORN if stubborn else "import sys, time; ") + READY
        process = subprocess.Popen([sys.executable, "-c", code, word], stdout=subprocess.PIPE)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def node_with(start: Any, etlmon: str, write_config: Any, *workers: Any) -> Any:
    """Give a node that has seen these processes."""
    watch = f"process_watch: [{{name: loaders, match: {LOADER}, expect: {{min: 1}}}}]\n"
    more = watch + "refresh: {process: 1s}\n"
    node = start(etlmon, "node", "-c", str(write_config(more)))
    pids = {worker.pid for worker in workers}
    node.get_until("processes", lambda seen: pids <= {one["pid"] for one in seen})
    return node


def test_a_process_that_ignores_sigterm_is_killed_from_the_screen(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    worker: Callable[..., subprocess.Popen[bytes]],
) -> None:
    stubborn = worker(LOADER, stubborn=True)
    node = node_with(start, etlmon, write_config, stubborn)
    ui = terminal("ui", node.address)
    ui.wait("q quit")
    ui.type("\t\t")
    ui.wait(rf"loaders .*✓ ok(.|\n)* {stubborn.pid} ")
    ui.type("jd")
    ui.wait(rf"A signal to {stubborn.pid} python\S* on e2e")
    ui.wait(r"command .*python -c import signal")
    ui.type("\rstuck since 02:10\r")
    ui.wait(rf"Send SIGTERM to {stubborn.pid} .* y/n  Reason: stuck since 02:10")
    ui.type("y")
    ui.wait("SIGTERM is under way")
    ui.wait(r"! still running [0-9.]+s after SIGTERM")
    assert stubborn.poll() is None
    ui.type("K")
    ui.wait("signal .*SIGKILL .*ends it at once")
    ui.type("\r\rwrong\r")
    ui.wait("SIGKILL needs a name: type e2e or python")
    assert stubborn.poll() is None
    ui.type("\x15e2e\r")
    ui.wait(r"✓ exited \S+ after SIGKILL")
    assert stubborn.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    ui.type("\x1b")
    ui.wait("filter")
    ui.type("\t")
    ui.wait(rf"{stubborn.pid} python\S* +exited")
    ui.type("\t")
    ui.wait("✓ done(.|\n)*✓ done")
    rows = node.get("audit")
    assert [(row["command"], row["outcome"], row["reason"]) for row in rows] == [
        ("kill_process", "done", "stuck since 02:10"),
        ("kill_process", "done", "stuck since 02:10"),
    ]
    ui.type("q")
    assert ui.end() == 0
    assert ui.is_clean()


def test_a_row_that_moves_under_the_form_is_not_hit(
    start: Callable[..., Any],
    terminal: Callable[..., Terminal],
    etlmon: str,
    write_config: Callable[..., Path],
    worker: Callable[..., subprocess.Popen[bytes]],
) -> None:
    meant, other = sorted((worker(LOADER) for _ in range(2)), key=lambda one: one.pid)
    node = node_with(start, etlmon, write_config, meant, other)
    ui = terminal("ui", node.address, NO_COLOR="1")
    ui.resize(80, 24)
    ui.wait("q quit")
    ui.type("\t\twoo")  # in one list, by pid
    ui.wait(lambda text: "PID ▴" in text and f" {other.pid} " in text)
    ui.type(f"/{meant.pid}\r")
    ui.wait("1 row")
    ui.type("d")
    ui.wait(f"A signal to {meant.pid} ")
    meant.kill()
    meant.wait()
    another = worker(LOADER)
    node.get_until("processes", lambda seen: another.pid in {one["pid"] for one in seen})
    ui.wait("It has ended meanwhile|It is not in the list any more")
    ui.type("\r\r")
    ui.wait(f"Send SIGTERM to {meant.pid} ")
    ui.type("y")
    ui.wait(rf"✗ There is no process {meant.pid}: it has ended")
    assert [one.poll() for one in (other, another)] == [None, None]
    [row] = node.get_until("audit", bool)  # a refusal waits for no row
    assert (row["outcome"], row["problem"]) == ("refused", "process-not-found")
