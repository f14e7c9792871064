"""The tests' own safety net: each case is a test that must fail, run by a pytest of its own."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

HEAD = """
import pytest
from twisted.internet import defer, process, protocol, reactor
from twisted.logger import Logger
log = Logger()
"""


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Run the text of a test module under our conftest."""
    conftest = Path(__file__).with_name("conftest.py").read_text("utf-8")
    short, times = re.subn("(?m)^SETTLE = 60.0 ", "SETTLE = 1.0 ", conftest)
    assert times == 1
    pytester.makeconftest(short)

    def run(text: str, *arguments: str, **files: str) -> pytest.RunResult:
        pytester.makepyfile(HEAD + dedent(text), **{name: dedent(t) for name, t in files.items()})
        return pytester.runpytest_subprocess("-p", "no:schemathesis", "-p", "no:anyio", *arguments)

    return run


def test_clean_tests_pass(run) -> None:
    result = run(
        """
        def test_plain(): pass

        async def test_waits():
            d = defer.Deferred()
            reactor.callLater(0.01, d.callback, 1)
            assert await d == 1

        def test_returns_a_deferred():
            return defer.succeed(None)

        async def test_port_is_closed():
            port = reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")
            await port.stopListening()
        """
    )
    result.assert_outcomes(passed=4)


def test_logged_error_fails_unless_expected(run) -> None:
    result = run(
        """
        def test_failure():
            try: 1 / 0
            except ZeroDivisionError: log.failure("the disk is on fire")

        def test_text(): log.error("no failure, only words")

        async def test_unhandled_deferred(): defer.fail(KeyError("lost"))

        def test_expected_type(flush_logged_errors):
            try: 1 / 0
            except ZeroDivisionError: log.failure("x")
            [event] = flush_logged_errors(ZeroDivisionError)
            assert isinstance(event["log_failure"].value, ZeroDivisionError)

        def test_expected_text(flush_logged_errors):
            log.error("disk {name} is full", name="sda")
            assert len(flush_logged_errors("sda is full")) == 1

        def test_another_was_expected(flush_logged_errors):
            log.error("surprise")
            assert flush_logged_errors(ValueError, "disk") == []
        """
    )
    result.assert_outcomes(passed=6, errors=4)
    result.stdout.fnmatch_lines_random(
        ["*the disk is on fire*", "*ZeroDivisionError*", "*only words*", "*KeyError*lost*"]
    )


def test_work_left_in_the_reactor_fails_and_is_ended(run) -> None:
    result = run(
        """
        def test_call(): reactor.callLater(30, print)

        def test_port():
            reactor.listenTCP(0, protocol.Factory(), interface="127.0.0.1")

        async def test_child():
            reactor.spawnProcess(protocol.ProcessProtocol(), "/bin/sleep", ["sleep", "30"])

        async def test_next_one_is_not_hurt():
            d = defer.Deferred()
            reactor.callLater(0, d.callback, None)
            await d
            assert not process.reapProcessHandlers
            assert [c.func for c in reactor.getDelayedCalls() if c.func is print] == []
        """
    )
    result.assert_outcomes(passed=4, errors=3)
    result.stdout.fnmatch_lines_random(
        ["*left in the reactor: *DelayedCall*", "*left*Port*", "*left*Process pid=*"]
    )


def test_test_that_never_ends_fails_by_name(run) -> None:
    result = run(
        """
        from hypothesis import Phase, given, settings, strategies as st

        @pytest.mark.deadline(0.1)
        async def test_hangs(): await defer.Deferred()

        @pytest.mark.deadline(0.1)
        def test_deferred_hangs(): return defer.Deferred()

        @pytest.mark.deadline(0.1)
        @pytest.mark.parametrize("x", [1, 2])
        @settings(max_examples=1, database=None, deadline=None, phases=[Phase.generate])
        @given(n=st.integers())
        async def test_example_hangs(x, n): await defer.Deferred()

        @pytest.mark.deadline(5)
        async def test_in_time(): pass
        """
    )
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines_random(
        [
            "*::test_hangs was still waiting after 0.1 s",
            "*::test_deferred_hangs was still waiting after 0.1 s",
            "*::test_example_hangs[[]2[]] was still waiting after 0.1 s",
        ]
    )


def test_skipped_test_fails_where_none_may_be(run, monkeypatch) -> None:
    text = """
        def test_call(): pytest.skip("no tmux")

        @pytest.mark.skipif(True, reason="no curl")
        def test_mark(): pass
    """
    module = "import pytest\npytest.skip('no ssh', allow_module_level=True)"
    monkeypatch.delenv("ETLMON_NO_SKIPS", raising=False)
    run(text, test_module=module).assert_outcomes(skipped=3)
    monkeypatch.setenv("ETLMON_NO_SKIPS", "1")
    result = run(text, "--continue-on-collection-errors", test_module=module)
    result.assert_outcomes(failed=1, errors=2)
    for lacking in ("tmux", "curl", "ssh"):
        result.stdout.fnmatch_lines([f"*no test may be*no {lacking}*"])


def test_what_a_file_leaves_is_looked_through_no_more(run) -> None:
    text = """
        import gc, sys

        def test_is_left(): assert not any(one is sys.left for one in gc.get_objects())
    """
    first = """
        import gc, sys

        def test_leaves():
            sys.left = [[]]
            assert any(one is sys.left for one in gc.get_objects())
    """
    result = run(text, test_a_first=first)
    result.assert_outcomes(passed=2)


def test_the_files_that_take_longest_come_first(run) -> None:
    test = "def test_it(): pass"
    files = {"debian/test_b": test, "e2e/test_c": test, "api/test_a": test}
    result = run(test, "--collect-only", "-q", **files)
    paths = [line.partition("::")[0] for line in result.outlines if "::" in line]
    assert paths[:3] == ["debian/test_b.py", "e2e/test_c.py", "api/test_a.py"]
