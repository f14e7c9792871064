"""Debian's own Prometheus and Alertmanager on the loopback: an alert comes, and goes again."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.prometheus.conftest import RULES
from tests.waiting import PATIENCE_SECONDS, free_port

_BIN = Path(sys.executable).parent


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and give it; fail when patience ends."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        select.select([], [], [], 0.05)
    return found


def get(url: str) -> Any:
    """Give the JSON at an address; None while nobody answers there."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)
    except OSError:
        return None


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start programs; they are ended by their pid when the test is over."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*command: str) -> subprocess.Popen[bytes]:
        said = (tmp_path / f"{Path(command[0]).name}-{len(running)}.log").open("wb")
        with said:
            running.append(
                subprocess.Popen(
                    command,
                    cwd=tmp_path,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env={**os.environ, "GOMAXPROCS": "1"},
                )
            )
        return running[-1]

    yield run
    for process in reversed(running):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def told() -> Iterator[tuple[str, list[Any]]]:
    """Give the address of somebody whom Alertmanager tells, and what he has heard."""
    heard: list[Any] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", heard
    server.shutdown()
    thread.join()
    server.server_close()


def hastened_rules(path: Path) -> None:
    """Write the rules as they are, but that no alert waits for its time."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    path.write_text(yaml.safe_dump(rules))


def statuses(heard: Sequence[Any]) -> list[str]:
    return [
        alert["status"]
        for message in heard
        for alert in message["alerts"]
        if alert["labels"]["alertname"] == "EtlmonProcessDown"
        and alert["labels"]["watch"] == "load"
    ]


def assert_every_panel_shows_something(ask: Callable[[str], list[Any]]) -> None:
    """Each query of the dashboard gives series, with the labels that its legend names.

    What Grafana itself does besides is to put values for the variables, and to draw.
    """
    dashboard = json.loads((RULES.parents[1] / "grafana" / "etlmon.json").read_text())
    queries = 0
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$instance", ".*")
            series = until(lambda query=query: ask(query), f"{panel['title']}: {query}")
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            for label in set(labels) - {"subject"}:  # empty where there is but one of a kind
                assert [one for one in series if label in one["metric"]], (query, label)
            queries += 1
    assert queries > 30
    variable = next(one for one in dashboard["templating"]["list"] if one["type"] == "query")
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert found
    assert found[2] in ask(found[1])[0]["metric"]


def test_an_alert_fires_and_resolves(
    program: Callable[[str], str],
    alertmanager: list[str],
    run: Callable[..., subprocess.Popen[bytes]],
    told: tuple[str, list[Any]],
    tmp_path: Path,
) -> None:
    """A watched process is missing, and comes: etlmon, Prometheus and Alertmanager all tell."""
    prometheus = program("prometheus")
    webhook, heard = told
    node_port, prometheus_port, alert_port = free_port(), free_port(), free_port()

    marker = f"etlmon-test-{os.getpid()}"
    token = subprocess.run(
        [
            _BIN / "etlmon",
            "token",
            "add",
            "prometheus",
            "--role",
            "viewer",
            "--file",
            tmp_path / "tokens",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[0]
    (tmp_path / "token").write_text(token)
    (tmp_path / "node.yaml").write_text(
        f"node: {{listen: '127.0.0.1:{node_port}', db_path: {tmp_path}/etlmon.db}}\n"
        f"auth: {{tokens_file: {tmp_path}/tokens}}\n"
        "refresh: {process: 1s}\n"
        f"paths: [{{path: {tmp_path}, scan_interval: 2s}}]\n"
        f"logs: [{{name: app, path: {tmp_path}/app.log}}]\n"
        f"xferlog: {{path: {tmp_path}/xferlog}}\n"
        f"process_watch: [{{name: load, match: '{marker}', expect: {{min: 1}}}}]\n"
    )
    hastened_rules(tmp_path / "etlmon.rules.yml")
    example = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())
    example["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    example["alerting"]["alertmanagers"] = [
        {"static_configs": [{"targets": [f"127.0.0.1:{alert_port}"]}]}
    ]
    (job,) = example["scrape_configs"]
    job["authorization"]["credentials_file"] = str(tmp_path / "token")
    job["static_configs"] = [{"targets": [f"127.0.0.1:{node_port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(example))
    (tmp_path / "alertmanager.yml").write_text(
        yaml.safe_dump(
            {
                "route": {
                    "receiver": "test",
                    "group_by": ["alertname"],
                    "group_wait": "100ms",
                    "group_interval": "1s",
                },
                "receivers": [{"name": "test", "webhook_configs": [{"url": webhook}]}],
            }
        )
    )

    run(str(_BIN / "etlmon"), "node", "-c", "node.yaml")
    run(
        *alertmanager,
        "--config.file=alertmanager.yml",
        f"--storage.path={tmp_path}/alerts",
        f"--web.listen-address=127.0.0.1:{alert_port}",
        "--cluster.listen-address=",
    )
    # Prometheus tells it again in a minute of what could not be told at once, and not before.
    until(lambda: get(f"http://127.0.0.1:{alert_port}/api/v2/status"), "Alertmanager answers")
    run(
        prometheus,
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/series",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
    )

    def scraped() -> Any:
        found = get(f"http://127.0.0.1:{prometheus_port}/api/v1/targets")
        targets = found["data"]["activeTargets"] if found else []
        return [one for one in targets if one["health"] == "up"]

    def ask(query: str, **parameters: str) -> list[Any]:
        parameters["query"] = query
        url = f"http://127.0.0.1:{prometheus_port}/api/v1/query?{urlencode(parameters)}"
        found = get(url)
        return found["data"]["result"] if found else []

    until(scraped, "Prometheus scrapes the node")
    until(lambda: "firing" in statuses(heard), "the alert comes")
    assert_every_panel_shows_something(ask)
    run(sys.executable, "-c", "import time; time.sleep(600)", marker)
    until(lambda: "resolved" in statuses(heard), "the alert goes")
