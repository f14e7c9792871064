"""docs/api-examples.md: every call of the API, with what a real node answered.

    python tests/docs/examples.py DIRECTORY >docs/api-examples.md

starts a node that watches a small ETL host made in DIRECTORY, a new one, and writes the document
from what it answers. Best done on a clean Debian 12, with the Python of the package.
"""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlmon.contract.all import ENDPOINTS
from etlmon.contract.pages import PLAIN_PAGES
from etlmon.records.path import path_id
from tests.waiting import PATIENCE_SECONDS

ADDRESS = "localhost:8080"
HOST = "/srv/etl"
"""What the scene's directory is called in the document."""
_WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}
_MORE = '"..."'
"""A row of a list that is not shown."""
_JSON = "-H 'Content-Type: application/json'"
_STREAM = "curl -sN --max-time 1"

COMMANDS: dict[str, tuple[str, ...]] = {
    "list_filesystems": ("curl -s 'localhost:8080/api/v1/fs?limit=1'",),
    "get_filesystem_history": (
        "curl -s 'localhost:8080/api/v1/fs/history?mount_point=/&points=10'",
    ),
    "list_paths": ("curl -s localhost:8080/api/v1/paths",),
    "get_path_history": ("curl -s 'localhost:8080/api/v1/paths/{path_id}/history?points=10'",),
    "list_path_children": ("curl -s localhost:8080/api/v1/paths/{path_id}/children",),
    "list_path_expectations": ("curl -s localhost:8080/api/v1/paths/{path_id}/expectations",),
    "scan_paths": (
        f"curl -s localhost:8080/api/v1/paths/scan {_JSON} "
        '-d \'{"paths": ["/srv/etl/in"], "confirm": true}\'',
    ),
    "cancel_scans": ("curl -s -X DELETE 'localhost:8080/api/v1/paths/scan?confirm=true'",),
    "start_top": (
        f"curl -s localhost:8080/api/v1/paths/{{path_id}}/top {_JSON} "
        '-d \'{"confirm": true, "count": 1}\'',
    ),
    "get_top": ("curl -s localhost:8080/api/v1/paths/{path_id}/top",),
    "cancel_top": (
        f"curl -s localhost:8080/api/v1/paths/{{old_id}}/top {_JSON} -d '{{\"confirm\": true}}'",
        "curl -s -X DELETE 'localhost:8080/api/v1/paths/{old_id}/top?confirm=true'",
    ),
    "list_processes": (
        "curl -s localhost:8080/api/v1/processes",
        "curl -s 'localhost:8080/api/v1/processes?all=true&limit=1'",
    ),
    "list_process_watches": ("curl -s localhost:8080/api/v1/processes/watches",),
    "list_process_events": ("curl -s 'localhost:8080/api/v1/processes/events?limit=1'",),
    "get_process_history": (
        "curl -s 'localhost:8080/api/v1/processes/history?watch=loader&points=10'",
    ),
    "get_process": ("curl -s localhost:8080/api/v1/processes/{pid}",),
    "kill_process": (
        f"curl -s localhost:8080/api/v1/processes/{{pid}}/kill {_JSON} "
        '-d \'{"signal": "SIGTERM", "confirm": true, "reason": "hangs since 02:10"}\'',
    ),
    "list_audit": ("curl -s 'localhost:8080/api/v1/audit?command=kill_process&limit=1'",),
    "list_logs": ("curl -s localhost:8080/api/v1/logs",),
    "get_log_lines": (
        "curl -s 'localhost:8080/api/v1/logs/app?lines=2&match=ERROR'",
        f"{_STREAM} 'localhost:8080/api/v1/logs/app?follow=true&lines=1'",
    ),
    "pause_log": (
        f"curl -s localhost:8080/api/v1/logs/app/pause {_JSON} -d '{{\"confirm\": true}}'",
    ),
    "resume_log": (
        f"curl -s localhost:8080/api/v1/logs/app/resume {_JSON} -d '{{\"confirm\": true}}'",
    ),
    "list_transfers": (
        "curl -s 'localhost:8080/api/v1/xferlog?limit=1&direction=upload'",
        f"{_STREAM} 'localhost:8080/api/v1/xferlog?follow=true&after=1'",
    ),
    "summarize_transfers": ("curl -s 'localhost:8080/api/v1/xferlog/summary?by=user,direction'",),
    "list_transfer_logs": ("curl -s localhost:8080/api/v1/xferlog/files",),
    "list_cron_jobs": ("curl -s 'localhost:8080/api/v1/cron?limit=1'",),
    "list_cron_files": ("curl -s 'localhost:8080/api/v1/cron/files?limit=1'",),
    "get_cron_job": ("curl -s localhost:8080/api/v1/cron/{job_id}",),
    "refresh_cron": (
        f"curl -s localhost:8080/api/v1/cron/refresh {_JSON} -d '{{\"confirm\": true}}'",
    ),
    "get_health": ("curl -s localhost:8080/api/v1/health",),
    "get_database": ("curl -s localhost:8080/api/v1/admin/db",),
    "compact_database": (
        f"curl -s localhost:8080/api/v1/admin/db/compact {_JSON} -d '{{\"confirm\": true}}'",
    ),
    "get_openapi": ("curl -s localhost:8080/api/v1/openapi.json | head -c 100",),
    "get_liveness": ("curl -s localhost:8080/livez",),
    "get_readiness": ("curl -s localhost:8080/readyz",),
    "get_metrics": ("curl -s localhost:8080/metrics | grep etlmon_path_files",),
}
"""By the name of the call, in the words of ``str.format`` for what only the node knows."""


@dataclass(frozen=True)
class Example:
    """A command and what it printed."""

    call: str
    command: str
    printed: str


class Scene:
    """A small ETL host in a directory, and a node that watches it."""

    def __init__(self, directory: Path, etlmon: str) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._running: list[subprocess.Popen[bytes]] = []
        (directory / "in" / "orders").mkdir(parents=True)
        for number in range(3):
            (directory / "in" / "orders" / f"{number}.csv").write_text("row\n" * 1000)
        for number in range(60):  # at two calls a second: what is to be ended is still going on
            (directory / "old" / str(number)).mkdir(parents=True)
        self.write_log("INFO  loader: started, 4 workers")
        shutil.copy("/bin/sleep", directory / "etl_load")
        config = directory / "node.yaml"
        config.write_text(_CONFIG.format(at=directory))
        self._start(etlmon, "node", "-c", str(config))
        try:
            self.address = self._until(self._listening, "the node listens")
            self._wait_until_seen()
        except BaseException:
            self.end()
            raise

    def _start(self, *command: str) -> None:
        with (self.directory / "said").open("ab") as said:
            self._running.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
            )

    def _listening(self) -> str | None:
        found = re.search(r"listening on http://(\S+?)[,;]", (self.directory / "said").read_text())
        return found[1] if found else None

    def write_log(self, line: str) -> None:
        """Append a line to the log that the node follows."""
        with (self.directory / "app.log").open("a") as log:
            log.write(f"2026-11-26 17:30:01 {line}\n")

    def _wait_until_seen(self) -> None:
        """Let things happen before the node's eyes, and wait until it has seen all of them."""
        self._until(
            lambda: [one for one in self.get("/logs") if one["state"] == "following"],
            "the log is followed",
        )
        self.write_log("ERROR loader: cannot open b.csv")
        self.write_log("ERROR loader: no space left on device")
        (self.directory / "xferlog").write_text(
            "".join(time.strftime(line).format(at=self.directory) for line in _TRANSFERS)
        )
        # Two, one after the other: the second is an event.
        self._until(lambda: self.get("/processes/watches"), "the watch is known")
        self._start(str(self.directory / "etl_load"), "3600")
        self._until(
            lambda: [one for one in self.get("/processes") if one["cpu_percent"] is not None],
            "the process has been sampled twice",
        )
        for resource in ("/fs", "/processes/events", "/xferlog", "/cron"):
            self._until(lambda of=resource: self.get(of), f"{resource} tells something")
        self._until(lambda: self.get("/logs")[0]["lines_total"] >= 2, "the lines were read")
        self._until(lambda: self.get("/paths")[0]["complete"], "the path was counted")
        self._until(lambda: self.get("/paths")[0]["expectation_state"], "files are expected")

    def _until(self, condition: Callable[[], Any], what: str) -> Any:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            said = (self.directory / "said").read_text()
            assert time.monotonic() < give_up_at, f"waited in vain: {what}\n{said}"
            select.select([], [], [], 0.05)
        return found

    def get(self, resource: str) -> Any:
        """Ask the node, for its first two rows."""
        return json.loads(self.run(f"curl -s '{ADDRESS}/api/v1{resource}?limit=2'"))

    def run(self, command: str) -> str:
        """Run a command as the document has it; give what it prints, in the document's words."""
        here = {ADDRESS: self.address, HOST: str(self.directory)}
        for name in ("in", "old"):
            here[path_id(f"{HOST}/{name}")] = path_id(f"{self.directory}/{name}")
        for said, meant in here.items():
            command = command.replace(said, meant)
        if command.startswith(_STREAM):
            printed = self._first_event(command)
        else:
            done = subprocess.run(
                ["sh", "-c", command], capture_output=True, text=True, check=False
            )
            printed = done.stdout
        for said, meant in here.items():
            printed = printed.replace(meant, said)
        return printed

    def _first_event(self, command: str) -> str:
        """Give what a stream says until its first event is whole, however long that takes."""
        patient = command.replace("--max-time 1 ", f"--max-time {PATIENCE_SECONDS:g} ")
        printed = ""
        with subprocess.Popen(
            ["sh", "-c", f"exec {patient}"], stdout=subprocess.PIPE, text=True
        ) as curl:
            assert curl.stdout is not None
            for line in curl.stdout:
                printed += line
                if line == "\n" and "\ndata: " in printed:
                    break
            curl.terminate()
        return printed

    def known(self) -> dict[str, str]:
        """Give what only the node knows, by the names that the commands have for it."""
        return {
            "path_id": path_id(f"{HOST}/in"),
            "old_id": path_id(f"{HOST}/old"),
            "pid": str(self.get("/processes")[0]["pid"]),
            "job_id": self.get("/cron")[0]["job_id"],
        }

    def end(self) -> None:
        """End the node and all else."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(PATIENCE_SECONDS)


_CONFIG = """\
node: {{listen: '127.0.0.1:0', db_path: {at}/db/etlmon.db, node_name: prod-etl-01}}
refresh: {{process: 1s}}
paths:
  - path: {at}/in
    expect: [{{pattern: "orders/*.csv", by: 23:59}}]
  - {{path: {at}/old, max_ops_per_second: 2}}
logs: [{{name: app, path: {at}/app.log}}]
process_watch: [{{name: loader, exe: {at}/etl_load}}]
xferlog: {{path: {at}/xferlog, roots: {{etl: {at}}}}}
"""
_TRANSFERS = (
    "%a %b %d %H:%M:%S %Y 1 10.0.0.7 4000 {at}/in/orders/0.csv b _ i r etl ftp 0 * c\n",
    "%a %b %d %H:%M:%S %Y 2 10.0.0.7 52428800 /out/report.pdf b _ o r guest ftp 0 * c\n",
)


def calls() -> Iterator[tuple[str, str, str]]:
    """Give every call: its name, its method and path, what it does."""
    for endpoint in ENDPOINTS:
        yield endpoint.name, f"{endpoint.method} {endpoint.path}", endpoint.summary
    for page in PLAIN_PAGES:
        yield page.name, f"GET {page.paths[0]}", page.summary


def order() -> Iterator[str]:
    """Give the names of the calls as they are made: the one that ends the process is the last."""
    names = [name for name, _, _ in calls()]
    return iter(sorted(names, key=lambda name: name in ("kill_process", "list_audit")))


def write(scene: Scene) -> str:
    """Make every call, and give the document."""
    known = scene.known()
    printed: dict[str, str] = {}
    for name in order():
        blocks = []
        for command in COMMANDS[name]:
            asked = re.sub(r"\{(\w+)\}", lambda word: known[word[1]], command)
            blocks.append(_block(asked, _shown(scene.run(asked))))
        printed[name] = "\n".join(blocks)
    head = (
        "# Every call, and what a node answers\n\n"
        "Written by `tests/docs/examples.py` from a real node; a test makes each call again and\n"
        "compares what it gives with what stands here, field by field. Of lists the first row is\n"
        "shown. [api.md](api.md) tells what the fields and parameters mean.\n"
    )
    return head + "".join(
        f"\n## `{what}`\n\n{summary}\n\n{printed[name]}" for name, what, summary in calls()
    )


def _shown(printed: str) -> str:
    """Give an answer as the document has it: lists cut after their first row."""
    try:
        answer = json.loads(printed)
    except ValueError:
        return printed.strip("\n")
    text = json.dumps(_cut(answer), ensure_ascii=False, separators=(", ", ":"))
    lines = textwrap.wrap(text.replace(_MORE, "..."), 96, **_WHOLE_WORDS)
    return "\n".join(lines)


def _cut(answer: Any) -> Any:
    if isinstance(answer, dict):
        return {name: _cut(one) for name, one in answer.items()}
    if isinstance(answer, list) and answer and isinstance(answer[0], dict):
        return [_cut(answer[0]), *(["..."] if answer[1:] else [])]
    return answer


def _block(command: str, printed: str) -> str:
    lines = textwrap.wrap(f"$ {command}", 90, **_WHOLE_WORDS)
    text = [line + (" \\" if line is not lines[-1] else "") for line in lines]
    text[1:] = ["    " + line for line in text[1:]]
    text += printed.split("\n")
    return "".join(f"    {line}".rstrip() + "\n" for line in text)


def read(document: str) -> list[Example]:
    """Give the examples of the document."""
    names = {what: name for name, what, _ in calls()}
    found = []
    for section in re.split(r"(?m)^## ", document)[1:]:
        what = section.partition("`")[2].partition("`")[0]
        blocks = "\n".join(line[4:] for line in section.split("\n") if line.startswith("    "))
        for block in re.split(r"(?m)^\$ ", blocks)[1:]:
            command, _, printed = re.sub(r" \\\n +", " ", block).partition("\n")
            found.append(Example(names.get(what, what), command, printed.strip("\n")))
    return found


if __name__ == "__main__":
    made = Scene(Path(sys.argv[1]), str(Path(sys.executable).with_name("etlmon")))
    try:
        sys.stdout.write(write(made))
    finally:
        made.end()
