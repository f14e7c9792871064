"""Names of metrics, their labels, and the bound on series."""

from __future__ import annotations

from prometheus_client.exposition import generate_latest

from etlmon.api.metrics.families import (
    MOST_OF_A_KIND,
    Each,
    counter,
    first,
    gauge,
    label,
    left_out,
    only,
    ratio,
    seconds,
    seconds_since_epoch,
)


class Source:
    def __init__(self, *metrics: object) -> None:
        self.metrics = metrics

    def collect(self) -> object:
        return self.metrics


def test_a_counter_ends_with_total_and_a_gauge_does_not() -> None:
    text = generate_latest(
        Source(
            counter("runs", "Runs.", ("of",), [(("a",), 2)]),
            gauge("size_bytes", "Size.", (), [((), 7)]),
        )
    ).decode()
    assert '# TYPE etlmon_runs_total counter\netlmon_runs_total{of="a"} 2.0\n' in text
    assert "# TYPE etlmon_size_bytes gauge\netlmon_size_bytes 7.0\n" in text


def test_what_is_not_known_has_no_series() -> None:
    assert gauge("x", "X.", ("of",), [(("a",), None), (("b",), 0)]).samples[0].labels == {"of": "b"}


def test_names_that_look_alike_make_one_series() -> None:
    """Prometheus refuses a page that has a series twice."""
    assert len(gauge("x", "X.", ("of",), [(("a",), 1), (("a",), 2)]).samples) == 1


def test_a_label_is_printable_and_bounded() -> None:
    assert label("/a\n\x1b[2Jb") == "/a\\n\\x1b[2Jb"
    assert label("/é/\\xff") == "/é/\\xff"
    assert len(label("x" * 10_000)) == 500
    assert label("\udcff").isascii()


def test_a_token_does_not_get_into_a_label() -> None:
    assert label("/in/etlmon_" + "A" * 43) == "/in/etlmon_..."


def test_series_are_bounded_and_the_others_counted() -> None:
    many = {f"{number:05}": number for number in range(MOST_OF_A_KIND + 7)}
    assert [name for name, _ in first(many)] == sorted(many)[:MOST_OF_A_KIND]
    assert left_out("path", many) == (("path",), 7.0)
    assert left_out("path", {}) == (("path",), 0.0)


def test_each_of_several_has_a_series_by_its_labels() -> None:
    each = Each("load", ("watch",), [(("a",), 1), (("b",), None)])
    found = each.gauge("size", "Size.", lambda one: one)
    assert [(one.name, one.labels, one.value) for one in found.samples] == [
        ("etlmon_load_size", {"watch": "a"}, 1)
    ]
    assert (
        each.counter("runs", "Runs.", lambda one: one).samples[0].name == "etlmon_load_runs_total"
    )


def test_one_state_is_the_present_one() -> None:
    found = Each("load", ("watch",), [(("a",), "down")]).states("It.", ("ok", "down"), str)
    assert [(one.name, one.labels["state"], one.value) for one in found.samples] == [
        ("etlmon_load_state", "ok", 0.0),
        ("etlmon_load_state", "down", 1.0),
    ]


def test_units() -> None:
    assert (seconds(1_500), ratio(25.0)) == (1.5, 0.25)
    assert (seconds(None), ratio(None), seconds_since_epoch(None)) == (None, None, None)
    assert only({"a": 1, "b": 2}, ["b", "c"]) == {"b": 2}
