"""Threads for what blocks, asked as ``deferToThreadPool`` and adbapi ask them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from etlmon.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT_SECONDS = 60.0


class Pool:
    """Threads whose results can be waited for."""

    def __init__(self, most: int) -> None:
        self.threads = Threads("test", most)
        self._told: SimpleQueue[tuple[bool, Any]] = SimpleQueue()

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        """Have a function called."""
        self.threads.callInThreadWithCallback(
            lambda is_good, result: self._told.put((is_good, result)), function, *args, **named
        )

    def call_that_hangs(self) -> threading.Event:
        """Have something called that does not return before that is set; it has begun."""
        begun, go_on = threading.Event(), threading.Event()

        def hang() -> None:
            begun.set()
            go_on.wait(WAIT_SECONDS)

        self.call(hang)
        assert begun.wait(WAIT_SECONDS)
        return go_on

    def told(self) -> tuple[bool, Any]:
        """Wait for what is told next."""
        return self._told.get(timeout=WAIT_SECONDS)

    def wait_until_idle(self) -> None:
        """Wait until a thread waits again: it tells before that."""
        give_up_at = time.monotonic() + WAIT_SECONDS
        while self.threads._idle < 1:
            assert time.monotonic() < give_up_at
            time.sleep(0.001)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.threads.stop()


def test_a_call_runs_in_a_thread_and_gives_what_it_returns(pool: Pool) -> None:
    pool.call(lambda *args, **named: (args, named, threading.current_thread().name), 1, two=2)
    assert pool.told() == (True, ((1,), {"two": 2}, "test 1"))


def test_an_exception_is_told_as_a_failure_and_the_thread_goes_on(pool: Pool) -> None:
    for _ in range(3):
        pool.call(int, "no number")
        is_good, failure = pool.told()
        assert not is_good
        assert failure.check(ValueError)
    pool.call(int, "7")
    assert pool.told() == (True, 7)


def test_calls_one_after_the_other_need_one_thread() -> None:
    pool = Pool(8)
    names = set()
    for _ in range(50):
        pool.call(threading.current_thread)
        names.add(pool.told()[1].name)
        pool.wait_until_idle()
    pool.threads.stop()
    assert names == {"test 1"}


def test_no_more_than_so_many_calls_run_at_a_time(pool: Pool) -> None:
    running: SimpleQueue[int] = SimpleQueue()
    go_on = threading.Semaphore(0)

    def work(number: int) -> int:
        running.put(number)
        assert go_on.acquire(timeout=WAIT_SECONDS)
        return number

    for number in range(5):
        pool.call(work, number)
    assert {running.get(timeout=WAIT_SECONDS) for _ in range(2)} == {0, 1}
    assert running.empty()
    for _ in range(3):  # each that ends lets one more begin
        go_on.release()
        pool.told()
        running.get(timeout=WAIT_SECONDS)
        assert running.empty()
    go_on.release(2)
    assert all(pool.told()[0] for _ in range(2))


def test_stopping_waits_for_all_that_was_asked_for() -> None:
    pool = Pool(2)
    done = []
    for number in range(20):
        pool.call(done.append, number)
    threads = list(pool.threads._threads)
    pool.threads.stop()
    assert sorted(done) == list(range(20))
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


def test_stopping_waits_no_longer_than_is_said_for_what_hangs(pool: Pool) -> None:
    go_on = pool.call_that_hangs()
    pool.call(lambda: "idle from now on")
    assert pool.told() == (True, "idle from now on")
    hanging, idle = pool.threads._threads
    pool.threads.stop(0.1)
    idle.join(WAIT_SECONDS)
    assert hanging.is_alive()
    go_on.set()
    assert pool.told() == (True, None)
    hanging.join(WAIT_SECONDS)


def test_after_an_end_others_begin_though_one_is_still_busy(pool: Pool) -> None:
    """As when a call hangs on a file system: it takes nobody's place after that."""
    go_on = pool.call_that_hangs()
    (hanging,) = pool.threads.end()
    assert hanging.daemon  # the process may end without it
    pool.call(lambda: "others")
    assert pool.told() == (True, "others")
    go_on.set()
    assert pool.told() == (True, None)
    hanging.join(WAIT_SECONDS)
    pool.call(lambda: "and others")  # its end is none of those that wait now
    assert pool.told() == (True, "and others")


def test_a_waiting_thread_keeps_nothing_of_its_last_call(pool: Pool) -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    pool.call(lambda one: None, large)
    pool.told()
    del large
    pool.wait_until_idle()
    gc.collect()
    assert gone() is None


def test_where_no_thread_can_begin_calls_have_those_that_are_there(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a limit of processes (TasksMax)."""

    def none_left(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            pool.call(int, "1")
        with pytest.raises(RuntimeError):
            pool.threads.start()
    pool.threads.start()
    pool.threads.start()
    assert len(pool.threads._threads) == 1
    go_on = threading.Event()
    pool.call(go_on.wait, WAIT_SECONDS)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        pool.call(int, "2")
    go_on.set()
    assert pool.told() == (True, True)
    assert pool.told() == (True, 2)
    pool.wait_until_idle()
    pool.threads.stop()
