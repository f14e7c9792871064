"""What runs in a session, and what it cannot do to the node."""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, fail, succeed

from etlmon.node.manhole.session import Interpreter, Script


class Shown:
    """What a session says."""

    def __init__(self) -> None:
        self.text = ""
        self.waiting: list[Deferred[Any]] = []

    def addOutput(self, data: str, isAsync: bool | None = None) -> None:
        self.text += data

    def wait_for(self, waiting: Deferred[Any]) -> None:
        self.waiting.append(waiting)


def run(*lines: str, longest_seconds: float = 60.0, **names: Any) -> tuple[str, list[str]]:
    """Give what lines print, and what has been asked for besides."""
    shown, ended = Shown(), []
    one = Interpreter(shown, names, lambda: ended.append("ended"), longest_seconds)
    for line in lines:
        one.push(line.encode())
    return shown.text, ended


class TestInterpreter:
    def test_values_are_shown_and_kept(self) -> None:
        assert run("a + 1", "_ * 2", a=1)[0] == "2\n4\n"

    def test_a_statement_that_never_ends_is_interrupted(self) -> None:
        before = signal.getsignal(signal.SIGALRM)
        text, _ = run("while True: pass", "", longest_seconds=0.05)
        assert text.endswith("HeldUp: interrupted: the node stood still for 0.05 s\n")
        assert signal.getsignal(signal.SIGALRM) is before
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)

    def test_one_that_keeps_every_exception_is_interrupted_too(self) -> None:
        lines = ("while True:", " try:", "  pass", " except Exception:", "  pass", "")
        assert "HeldUp" in run(*lines, longest_seconds=0.05)[0]

    def test_exit_ends_the_session_and_not_the_node(self) -> None:
        assert run("raise SystemExit(3)") == ("", ["ended"])

    def test_nothing_waits_for_the_input_of_the_daemon(self) -> None:
        assert run("input()")[0].endswith("EOFError: EOF when reading a line\n")

    def test_what_cannot_be_shown_says_so(self) -> None:
        class Bad:
            def __repr__(self) -> str:
                raise ValueError("no")

        assert run("bad", bad=Bad())[0] == "<Bad, whose repr fails: ValueError: no>\n"

    def test_bytes_that_are_no_text_are_told(self) -> None:
        shown = Shown()
        one = Interpreter(shown, {}, lambda: None)
        one.push(b"\xff")
        one.push(b"1")
        assert shown.text.startswith("not UTF-8: ")
        assert shown.text.endswith("\n1\n")


class TestScript:
    def run(self, text: bytes, **names: Any) -> tuple[list[bytes], list[str], Script]:
        written: list[bytes] = []
        ended: list[str] = []
        self.clock = task.Clock()
        script = Script(names, written.append, lambda: ended.append("ended"), self.clock)
        script.dataReceived(text)
        script.input_ended()
        return written, ended, script

    def test_the_last_line_needs_no_end_and_a_block_no_blank_line(self) -> None:
        written, ended, _ = self.run(b"if True:\r\n    print(7)")
        assert (b"".join(written), ended) == (b"7\n", ["ended"])

    def test_a_deferred_is_waited_for(self) -> None:
        one: Deferred[int] = Deferred()
        written, ended, _ = self.run(b"one\n_ + 1\n", one=one)
        assert (written, ended) == ([], [])
        one.callback(41)
        assert (b"".join(written), ended) == (b"41\n42\n", ["ended"])

    def test_one_that_has_fired_or_failed_is_shown_at_once(self) -> None:
        written, ended, _ = self.run(b"a\nb\n", a=succeed(1), b=fail(KeyError("x")))
        assert (b"".join(written), ended) == (b"1\nKeyError: 'x'\n", ["ended"])

    def test_one_that_does_not_fire_holds_up_no_script_for_ever(self) -> None:
        written, ended, _ = self.run(b"one\n2\n", one=Deferred())
        self.clock.advance(60)
        assert (b"".join(written).splitlines()[-1], ended) == (b"2", ["ended"])

    def test_its_own_user_still_gets_what_it_fires_with(self) -> None:
        one: Deferred[int] = Deferred()
        self.run(b"one\n", one=one)
        got: list[int] = []
        one.addCallback(got.append)
        one.callback(5)
        assert got == [5]

    def test_after_exit_nothing_more_is_run(self) -> None:
        written, ended, _ = self.run(b"raise SystemExit\nprint('more')\n")
        assert (written, ended) == ([], ["ended"])

    def test_a_line_without_end_is_not_kept_for_ever(self) -> None:
        written, ended, _ = self.run(b"x" * (1 << 20) + b"x")
        assert b"too much at once" in b"".join(written)
        assert ended == ["ended"]
