"""Requests, and the reactor's delay."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from etlmon.api.metrics.traffic import ReactorDelay, Traffic


def test_requests_are_counted_by_endpoint_and_status(value: Any) -> None:
    traffic = Traffic()
    traffic.answered("list_paths", 200, 0.002)
    traffic.answered("list_paths", 304, 0.3)
    traffic.answered("", 404, None)
    assert value(traffic, "http_requests_total", endpoint="list_paths", code="200") == 1
    assert value(traffic, "http_requests_total", endpoint="other", code="404") == 1
    duration = "http_request_duration_seconds"
    assert value(traffic, f"{duration}_count", endpoint="list_paths") == 2
    assert value(traffic, f"{duration}_bucket", endpoint="list_paths", le="0.0025") == 1
    assert value(traffic, f"{duration}_bucket", endpoint="list_paths", le="0.5") == 2
    assert value(traffic, f"{duration}_count", endpoint="other") is None


def test_two_nodes_in_one_process_count_apart(value: Any) -> None:
    one, other = Traffic(), Traffic()
    one.answered("list_paths", 200, 0.1)
    assert value(other, "http_requests_total", endpoint="list_paths", code="200") is None


def test_a_reactor_that_was_held_up_shows(value: Any) -> None:
    clock = Clock()
    delay = ReactorDelay(clock)
    delay.startService()
    for seconds in (5.0, 5.0, 5.75, 5.0):
        clock.advance(seconds)
    assert value(delay, "reactor_delay_seconds_count") == 4
    assert value(delay, "reactor_delay_seconds_bucket", le="0.001") == 3
    assert value(delay, "reactor_delay_seconds_bucket", le="0.5") == 3
    assert value(delay, "reactor_delay_seconds_bucket", le="1.0") == 4
    delay.stopService()
    assert not clock.getDelayedCalls()
