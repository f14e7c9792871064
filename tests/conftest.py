"""What every test gets: a deadline, a reactor left clean, and no error logged unnoticed."""

from __future__ import annotations

import ctypes
import gc
import inspect
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, settings
from twisted.internet import defer, process, task
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

DEADLINE = 240.0  # seconds for an async test that does not say otherwise; only a hang takes them
SETTLE = 60.0  # seconds for closed connections and ended children to leave the reactor
CALLS_SETTLE = 0.25  # seconds, and at least so many turns, in which calls that are left may go
CALLS_TURNS = 20
BEGIN_WITH = ("debian", "e2e")  # rooms whose tests take longest
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000  # of sched.h and mount.h

type_or_text = type[BaseException] | str

# How long an example takes says how busy the machine is. Where no test may be skipped, a test tries
# the same examples each time: what another commit has made wrong fails no one else's.
settings.register_profile(
    "etlmon",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("ETLMON_NO_SKIPS")),
)
settings.load_profile("etlmon")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"deadline(seconds): fail an async test that takes longer (default {DEADLINE:g})"
    )
    # A shell without job control has what it puts into the background ignore ^C, and so would all
    # programs that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    _keep_mounts_to_ourselves()


def _keep_mounts_to_ourselves() -> None:
    """Mount for this process and its children alone, where the kernel lets us.

    Tests run in several processes: what one of them mounts, and has hang, no other may look at.
    """
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: one begun last would run alone."""
    rooms = [Path(__file__).with_name(name) for name in BEGIN_WITH]
    items.sort(key=lambda item: not any(room in item.path.parents for room in rooms))


def pytest_collection_finish() -> None:
    """Keep what imports have made out of the collection after each test: it takes 1 ms, not 50."""
    _freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Keep out of it, too, what the tests of a file leave for good: caches, and late imports."""
    result = yield
    if nextitem is None or nextitem.path != item.path:
        _freeze()
    return result


def _freeze() -> None:
    gc.collect()
    gc.freeze()


# --- no test without an end ----------------------------------------------------------------------


class DeadlineExceededError(AssertionError):
    """An async test was still waiting when its time was up."""


def _bounded(function: Callable[..., Any], name: str, seconds: float) -> Callable[..., Any]:
    from twisted.internet import reactor

    def late(result: Any, _timeout: float) -> Any:
        text = f"{name} was still waiting after {seconds:g} s"
        # The traceback of the cancellation shows where it waited.
        cause = result.value if isinstance(result, Failure) else None
        raise DeadlineExceededError(text) from cause

    end: float | None = None  # one deadline for all examples that hypothesis tries

    def run(**arguments: Any) -> Any:
        nonlocal end
        end = end or reactor.seconds() + seconds
        result = function(**arguments)
        if inspect.iscoroutine(result):
            result = defer.ensureDeferred(result)
        if isinstance(result, defer.Deferred):
            left = max(0.02, end - reactor.seconds())
            result.addTimeout(left, reactor, onTimeoutCancel=late)
        return result

    return run


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Give each async test its deadline before pytest-twisted runs it."""
    mark = pyfuncitem.get_closest_marker("deadline")
    seconds = mark.args[0] if mark else DEADLINE
    name = pyfuncitem.nodeid
    given = getattr(pyfuncitem.obj, "hypothesis", None)
    if given is None:
        pyfuncitem.obj = _bounded(pyfuncitem.obj, name, seconds)
        return (yield)
    # Both we and pytest-twisted replace hypothesis's inner test. Put it back: all parameters of a
    # test share it.
    original = given.inner_test
    given.inner_test = _bounded(original, name, seconds)
    try:
        return (yield)
    finally:
        given.inner_test = original


# --- no error logged unnoticed --------------------------------------------------------------------


class LoggedErrors:
    """The errors that Twisted's log has seen during one test."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Observe the log."""
        severe = event.get("log_level") in (LogLevel.error, LogLevel.critical)
        if severe or event.get("log_failure") is not None:
            self.events.append(event)

    def flush(self, *expected: type_or_text) -> list[LogEvent]:
        """Take out and give the events that were expected: by type of error, or by text."""
        gc.collect()  # a Deferred logs its unhandled error when it goes
        taken = [event for event in self.events if any(_is(event, one) for one in expected)]
        self.events = [event for event in self.events if event not in taken]
        return taken

    def describe(self) -> list[str]:
        lines = []
        for event in self.events:
            failure = event.get("log_failure")
            lines.append(f"logged error: {formatEvent(event) or event.get('log_namespace')}")
            if failure is not None:
                lines.append(failure.getTraceback())
        return lines


def _is(event: LogEvent, expected: type_or_text) -> bool:
    failure = event.get("log_failure")
    if isinstance(expected, str):
        said = [formatEvent(event), failure.getErrorMessage() if failure else ""]
        return any(re.search(expected, text) for text in said)
    return failure is not None and failure.check(expected) is not None


@pytest.fixture
def flush_logged_errors(clean_reactor: LoggedErrors) -> Callable[..., list[LogEvent]]:
    """Call it with the type of an expected error, or a regular expression for its text.

    It gives the log events (``event["log_failure"].value`` is the error), which then no longer
    fail the test.
    """
    return clean_reactor.flush


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """The lines that the log got, in the order they came."""
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


# --- a reactor left clean -------------------------------------------------------------------------


class _Busy:
    """What the reactor has to do: pending calls, children, and files it reads or writes."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        # Its own wakers are internal; Twisted's trial passes over them in the same way.
        own = getattr(reactor, "_internalReaders", set())
        self.calls: set[IDelayedCall] = {
            call for call in reactor.getDelayedCalls() if call.active()
        }
        self.children = set(process.reapProcessHandlers.values())
        self.files = {*reactor.getReaders(), *reactor.getWriters()} - set(own)

    def since(self, before: _Busy) -> list[object]:
        return [
            *(self.calls - before.calls),
            *(self.children - before.children),
            *(self.files - before.files),
        ]


async def _settle(before: _Busy) -> list[object]:
    """Give what is left of a test after a few turns of the reactor.

    Who is at the other end of a pipe or a connection may take long; a call that nothing but the
    clock ends is left behind, though it would be gone a little later.
    """
    from twisted.internet import reactor

    end = reactor.seconds() + SETTLE
    calls_end, turns = reactor.seconds() + CALLS_SETTLE, 0
    while (left := _Busy().since(before)) and reactor.seconds() < end:
        if not all(IDelayedCall.providedBy(one) for one in left):
            calls_end, turns = reactor.seconds() + CALLS_SETTLE, 0
        elif reactor.seconds() >= calls_end and turns >= CALLS_TURNS:
            break
        turns += 1
        await task.deferLater(reactor, 0.005)
    return left


def _end(left: list[object]) -> None:
    """End what a test has left behind: the next test must not suffer from it."""
    from twisted.internet import reactor

    for one in left:
        if IDelayedCall.providedBy(one):
            one.cancel()
        elif IProcessTransport.providedBy(one):
            one.signalProcess("KILL")
        else:
            reactor.removeReader(one)
            reactor.removeWriter(one)
            one.connectionLost(Failure(ConnectionAbortedError("left behind by a test")))


@pytest.fixture(autouse=True)
def clean_reactor() -> Iterator[LoggedErrors]:
    """Fail a test that logs an error nobody expected or leaves work in the reactor."""
    logged = LoggedErrors()
    globalLogPublisher.addObserver(logged)
    before = _Busy()
    try:
        yield logged
        gc.collect()
        left = _Busy().since(before)
        if left:
            left = pytest_twisted.blockon(defer.ensureDeferred(_settle(before)))
        wrong = logged.describe() + [f"left in the reactor: {one}" for one in left]
        if left:
            _end(left)
            pytest_twisted.blockon(defer.ensureDeferred(_settle(before)))
    finally:
        globalLogPublisher.removeObserver(logged)
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


# --- no test skipped where all must run -----------------------------------------------------------


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("ETLMON_NO_SKIPS"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, but here no test may be (ETLMON_NO_SKIPS): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report = yield
    _no_skip(report)
    return report


REMOTE = Path("/lib/systemd/systemd-journal-remote")


@pytest.fixture
def write_journal(tmp_path: Path) -> Callable[..., Path]:
    """Give what writes a journal of systemd: of entries of when, who, pid, what, and the uid."""
    if not REMOTE.exists():
        pytest.skip("needs systemd-journal-remote")

    def write(*entries: Any) -> Path:
        text = b""
        for at, program, pid, message, *more in entries:
            micros = int(at * 1_000_000)
            fields = {
                "__REALTIME_TIMESTAMP": micros,
                "__MONOTONIC_TIMESTAMP": micros - 1_700_000_000_000_000,
                "_BOOT_ID": "a" * 32,
                "_UID": more[0] if more else 0,
                "_PID": pid,
                "SYSLOG_IDENTIFIER": program,
                "SYSLOG_PID": pid,
            }
            text += "".join(f"{name}={value}\n" for name, value in fields.items()).encode()
            text += b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n"
        path = tmp_path / "written.journal"
        path.unlink(missing_ok=True)
        subprocess.run(
            [REMOTE, f"--output={path}", "-"], input=text, check=True, capture_output=True
        )
        return path

    return write
