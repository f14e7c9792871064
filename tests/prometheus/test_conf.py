"""What conf/ has for Prometheus and Grafana: valid, and of metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import convert
from twisted.internet.defer import succeed

from etlmon.api.metrics.exposition import Metrics
from etlmon.api.metrics.node import NodeFigures, NodeMetrics
from etlmon.api.metrics.readings import readings
from etlmon.api.metrics.traffic import ReactorDelay, Traffic
from etlmon.fsworker.lanes import LaneState
from etlmon.records.health import Health
from tests.prometheus.conftest import RULES, TOP

DASHBOARD = TOP / "conf" / "grafana" / "etlmon.json"
DOCUMENT = TOP / "docs" / "metrics.md"
_NAME = re.compile(r"\b(?:[a-z_]+:)?(?:etlmon|process)_[a-z0-9_]+(?::[a-z0-9_]+)?\b(?!\s*=)")
_HEALTH = {
    "node_name": "n",
    "version": "1",
    "state": "ok",
    "started_at": "2026-11-24T12:00:00Z",
    "uptime_seconds": 1,
    "now": "2026-11-24T12:00:00Z",
    "warnings": [],
    "collectors": [],
    "stuck_workers": [],
    "database": {
        "state": "ok",
        "path": "/db",
        "size_bytes": 1,
        "wal_bytes": 1,
        "schema_version": 1,
        "sqlite_version": "3",
        "wal_reset_bug": False,
        "commits": 1,
        "pending_batches": 0,
    },
}


def whole_page() -> str:
    """Give the page of metrics of a node that has seen nothing: all the names are there."""

    def figures() -> NodeFigures:
        lanes = [LaneState("scan", 2, 1, 1, 0)]
        return NodeFigures(convert(_HEALTH, Health), 0.0, None, None, lanes, 0, 0)

    metrics = Metrics(
        [Traffic(), ReactorDelay(None)],
        [NodeMetrics(figures), *readings()],
        lambda work: succeed(work()),
        Path("/proc"),
    )
    written: list[bytes] = []
    metrics.write(openmetrics=False, compressed=False).addCallback(written.append)
    return written[0].decode()


@pytest.fixture(scope="module")
def kinds() -> dict[str, str]:
    """What kind each metric is, by name."""
    found = re.findall(r"^# TYPE (\S+) (\S+)$", whole_page(), re.MULTILINE)
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.fixture(scope="module")
def names(kinds: dict[str, str]) -> set[str]:
    """The names that a query may have: series, and what the rules record."""
    series = {
        f"{name}{end}" if kind == "histogram" else name
        for name, kind in kinds.items()
        for end in ("_bucket", "_sum", "_count")
    }
    rules = yaml.safe_load(RULES.read_text())
    return series | {
        rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule
    }


def promtool(program: Callable[[str], str], *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [program("promtool"), *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_has_nothing_to_say_of_the_metrics(program: Callable[[str], str]) -> None:
    assert promtool(program, "check", "metrics", given=whole_page()) == ""


def test_the_rules_hold(program: Callable[[str], str]) -> None:
    promtool(program, "check", "rules", str(RULES))
    promtool(program, "test", "rules", str(TOP / "tests" / "prometheus" / "rules_test.yml"))


def test_every_alert_has_a_test() -> None:
    rules = yaml.safe_load(RULES.read_text())
    tests = yaml.safe_load((TOP / "tests" / "prometheus" / "rules_test.yml").read_text())
    alerts = [
        rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule
    ]
    assert [test["name"] for test in tests["tests"]] == [*alerts, "recorded"]


def test_the_example_of_a_configuration_is_one(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    example = (RULES.parent / "prometheus.yml").read_text()
    (tmp_path / "etlmon.token").touch()
    (tmp_path / "etlmon.rules.yml").write_text(RULES.read_text())
    (tmp_path / "prometheus.yml").write_text(
        example.replace("/etc/prometheus/etlmon.token", f"{tmp_path}/etlmon.token")
    )
    promtool(program, "check", "config", str(tmp_path / "prometheus.yml"))


def expressions(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(part, list):
        for one in part:
            yield from expressions(one)


@pytest.mark.parametrize("of", ["rules", "dashboard"])
def test_every_metric_that_is_asked_for_exists(of: str, names: set[str]) -> None:
    text = RULES.read_text() if of == "rules" else DASHBOARD.read_text()
    asked = {
        name
        for expression in expressions(yaml.safe_load(text))
        for name in _NAME.findall(re.sub(r"by \([^)]*\)|\"[^\"]*\"", "", expression))
    }
    assert len(asked) > 15
    assert asked <= names


def test_prometheus_understands_every_query_of_the_dashboard(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    """Grafana hands them on as they are, but for its variables."""
    queries = [
        target["expr"].replace("$instance", ".*").replace("$__rate_interval", "5m")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(queries) > 30
    assert not [query for query in queries if "$" in query]
    rules = [{"record": f"query:{number}", "expr": one} for number, one in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "a", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool(
        program, "check", "rules", "--lint=none", str(tmp_path / "rules.yml")
    )


def test_legends_name_labels_that_the_queries_give() -> None:
    """A legend with a label that no series has is empty on the screen."""
    document = DOCUMENT.read_text()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat") or ""):
                known = label in ("instance", "code", "endpoint", "lane", "status", "direction")
                assert known or f"`{label}`" in document, (panel["title"], label)
                grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
                assert grouped is None or label in grouped[1], (panel["title"], label)


def test_the_dashboard_is_whole() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells


_UNITS = {"short", "none", "percentunit", "bytes", "s", "Bps", "reqps"}


def test_the_dashboard_has_the_form_that_grafana_imports() -> None:
    """As far as this is to be seen without one: kinds, sources, units and variables it knows."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert (dashboard["schemaVersion"], dashboard["uid"]) == (38, "etlmon")
    assert "id" not in dashboard, "that is given where it is imported"
    variables = {one["name"]: one["type"] for one in dashboard["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query"}
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            assert panel["panels"] == [], "one that is not collapsed holds none"
            continue
        assert panel["type"] in ("stat", "timeseries"), panel["title"]
        assert panel["datasource"] == source
        assert panel["fieldConfig"]["defaults"]["unit"] in _UNITS, panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs == list("ABC"[: len(refs)])
        assert all(target["datasource"] == source for target in panel["targets"])
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
        assert used <= set(variables), panel["title"]
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps")
        assert steps is None or steps[0]["value"] is None, "the first has no lower end"


def test_the_document_lists_every_metric_with_its_kind(kinds: dict[str, str]) -> None:
    ours = {name: kind for name, kind in kinds.items() if name.startswith("etlmon_")}
    listed = dict(re.findall(r"^\| `(etlmon_\w+)` \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE))
    assert listed == ours
