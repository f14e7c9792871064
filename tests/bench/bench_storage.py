"""The database under load: answers while lines are stored and old ones go, and what that costs.

The yardstick of the answers is the limit itself; that of writing is the same store without limits
on what it keeps.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import threading
import time
from http import HTTPStatus
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from measure import Limit, Load, conclude, etlmon_node, fetch, free_port, in_reactor, server, wrk
from twisted.internet import reactor

sys.path.insert(0, str(Path(__file__).parents[2]))

from etlmon.config.node import RetentionSection
from etlmon.records.log import LogBlock
from etlmon.store import retention
from etlmon.store.database import StoreService
from etlmon.store.tables.all import TABLES
from etlmon.units import utc

LINES_A_SECOND = 10_000
LINE = b"%09d " + b"x" * 109 + b"\n"
UNTIL_RETENTION_SECONDS = 55.0
"""It runs at the start and every 60 s: the load is measured when it runs again."""
ROUTES = ("fs", "paths", "processes", "logs", "logs/app?lines=100", "xferlog", "cron", "health")
IN_TURN_SECONDS = 60.0
"""As long as it takes for retention to run once more."""
KEPT = 100_000
BLOCK = 5_000
BLOCKS = 120
ROUNDS = 3
"""Each with and without retention, by turns; what counts is the middle one's ratio."""


class Writing:
    """Appends lines to a log at an even rate, from a thread."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        a_turn = LINES_A_SECOND // 50
        began = time.perf_counter()
        number = 0
        with self._log.open("ab", buffering=0) as file:
            while not self._stop.is_set():
                file.write(b"".join(LINE % n for n in range(number, number + a_turn)))
                number += a_turn
                ahead = began + number / LINES_A_SECOND - time.perf_counter()
                self._stop.wait(max(0.0, ahead))


def in_turn(port: int) -> dict[str, float]:
    """Ask for one route after the other, one request at a time; give the p99 of each, in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    took: dict[str, list[float]] = {route: [] for route in ROUTES}
    give_up_at = time.perf_counter() + IN_TURN_SECONDS
    while time.perf_counter() < give_up_at:
        for route in ROUTES:
            began = time.perf_counter()
            connection.request("GET", f"/api/v1/{route}")
            answer = connection.getresponse()
            answer.read()
            took[route].append((time.perf_counter() - began) * 1000)
            if answer.status != HTTPStatus.OK:
                sys.exit(f"/{route} answered {answer.status}")
            time.sleep(0.002)  # whoever asks is no load
    connection.close()
    return {route: quantiles(found, n=100)[98] for route, found in took.items()}


def answers(directory: Path) -> tuple[Load, dict[str, float], int]:
    """Give how /fs is answered while lines are stored and deleted, all routes, and the lines left.

    ``/fs`` as fast as it goes, the others one at a time.
    """
    log, port = directory / "app.log", free_port()
    log.touch()
    command = etlmon_node(
        directory,
        port,
        f"logs: [{{name: app, path: {log}}}]\nretention: {{log_lines: {{max_rows: {KEPT}}}}}\n",
    )
    base = f"http://127.0.0.1:{port}/api/v1"
    with server(command, f"{base}/health"), Writing(log):
        time.sleep(UNTIL_RETENTION_SECONDS)
        load = wrk(f"{base}/fs", connections=4, seconds=12)
        routes = in_turn(port)
        tables: list[dict[str, Any]] = json.loads(fetch(f"{base}/admin/db"))["tables"]
        (rows,) = (one["rows"] for one in tables if one["table"] == "log_lines")
    return load, routes, rows


def block(number: int) -> LogBlock:
    lines = [f"{n:09d} " + "x" * 109 for n in range(number * BLOCK, (number + 1) * BLOCK)]
    return LogBlock(
        log_name="app",
        log_path="/app.log",
        source_inode=1,
        lines=lines,
        created_at=utc(time.time()),
    )


async def written(database: Path, *, trimmed: bool) -> tuple[float, int]:
    """Give lines a second that are stored, and how many are left."""
    store = StoreService(database, reactor, time.time)
    store.startService()
    limit = RetentionSection(max_rows=KEPT)
    service = retention.RetentionService(
        store,
        TABLES,
        lambda table: limit if trimmed and table == "log_lines" else RetentionSection(),
        reactor,
        time.time,
    )
    service.startService()
    began = time.perf_counter()
    for number in range(BLOCKS):
        await store.write([block(number)])
    seconds = time.perf_counter() - began
    left = await store.read(
        lambda cursor: cursor.execute("SELECT count(*) FROM log_lines").fetchone()[0]
    )
    await service.stopService()
    await store.stopService()
    return BLOCKS * BLOCK / seconds, left


async def rates(directory: Path) -> list[tuple[float, float]]:
    """Give lines a second without and with retention, of each round."""
    retention._EVERY_SECONDS = 1.0  # so that as many go as come
    found = []
    for number in range(ROUNDS):
        rate = {}
        for trimmed in (False, True):
            rate[trimmed], left = await written(
                directory / f"{number}-{trimmed}.db", trimmed=trimmed
            )
            print(
                f"retention {'on ' if trimmed else 'off'} {rate[trimmed]:9,.0f} lines/s, ", end=""
            )
            print(f"{left:,} of {BLOCKS * BLOCK:,} left")
        found.append((rate[False], rate[True]))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        load, routes, rows = answers(Path(name))
        print(
            f"/fs while {LINES_A_SECOND:,} lines/s come and go: {load.per_second:,.0f}/s, ", end=""
        )
        print(f"p99 {load.p99_ms:.2f} ms; {rows:,} lines left of {LINES_A_SECOND * 127:,}")
        for route, p99_ms in routes.items():
            print(f"  one at a time: p99 {p99_ms:6.2f} ms  /{route}")
        found = in_reactor(lambda _: rates(Path(name)))
    conclude(
        [
            Limit("p99 of /fs meanwhile, ms", load.p99_ms, 10),
            Limit("p99 of the slowest route meanwhile, ms", max(routes.values()), 10),
            Limit("lines left after retention", rows, LINES_A_SECOND * 20),
            Limit(
                "rate with retention / without", median(on / off for off, on in found), 0.8, True
            ),
        ]
    )


if __name__ == "__main__":
    main()
