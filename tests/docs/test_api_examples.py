"""Every call of the API has an example in the document, and gives what stands there."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.examples import COMMANDS, Example, Scene, calls, order, read

DOCUMENT = Path(__file__).parents[2] / "docs" / "api-examples.md"
REMEDY = "make docs/api-examples.md again: see tests/docs/examples.py"
LEARNT = {"list_processes": "pid", "list_cron_jobs": "job_id"}
"""What later commands name, and so differs from run to run: the field of the first row."""


def shape(value: Any) -> Any:
    """Give what of an answer must stay: names and kinds, not values; of a list its first row."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    if isinstance(value, bool):
        return "yes or no"
    return "number" if isinstance(value, int | float) else "text" if value is not None else None


def differences(shown: Any, given: Any, place: str = "") -> Iterator[str]:
    """Give where two shapes differ; null is of every kind, and a list may be empty."""
    if isinstance(shown, dict) and isinstance(given, dict):
        for name in shown.keys() ^ given.keys():
            yield f"{place}.{name} is only in {'the document' if name in shown else 'the answer'}"
        for name in shown.keys() & given.keys():
            yield from differences(shown[name], given[name], f"{place}.{name}")
    elif isinstance(shown, list) and isinstance(given, list):
        for one, other in zip(shown, given, strict=False):
            yield from differences(one, other, f"{place}[0]")
    elif None not in (shown, given) and shown != given:
        yield f"{place or 'it'} is {given}, not {shown}"


def parsed(printed: str) -> Any:
    """Give what was printed: JSON, of a stream its rows, of a text its words without numbers."""
    if "\ndata: " in printed:
        lines = printed.strip().split("\n")
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    joined = " ".join(line.strip() for line in printed.strip().split("\n"))
    try:
        return json.loads(joined.replace(", ...]", "]"))
    except ValueError:
        return {re.sub(r"\d+(\.\d+)?", "0", joined): None}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if not Path("/etc/crontab").exists() or shutil.which("curl") is None:
        pytest.skip("needs curl, and a cron whose jobs can be shown")
    made = Scene(
        tmp_path_factory.mktemp("scene") / "etl", str(Path(sys.executable).parent / "etlmon")
    )
    yield made
    made.end()


def test_every_call_has_its_examples() -> None:
    named = {name for name, _, _ in calls()}
    assert set(COMMANDS) == named
    found = [example.call for example in read(DOCUMENT.read_text())]
    assert found == [name for name, _, _ in calls() for _ in COMMANDS[name]], REMEDY


def test_each_calls_what_it_stands_under() -> None:
    commands: dict[str, str] = {}
    for example in read(DOCUMENT.read_text()):
        commands[example.call] = example.command  # the last: others may lead to it
    for name, what, _ in calls():
        method, path = what.split(" ")
        command = commands[name]
        said = "DELETE" if "-X DELETE" in command else "POST" if " -d " in command else "GET"
        assert method == said
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        assert re.search(rf"8080(/api/v1)?{pattern}(['?\s]|$)", command), command


def test_each_gives_what_stands_there(scene: Scene) -> None:
    """The document's own commands, on another node: no field more or less, none of another kind."""
    by_call: dict[str, list[Example]] = {}
    for example in read(DOCUMENT.read_text()):
        by_call.setdefault(example.call, []).append(example)
    names: dict[str, str] = {}
    wrong = []
    # What later commands name must be known before they are given.
    for call in sorted(order(), key=lambda call: call not in LEARNT):
        for example in by_call[call]:
            command = re.sub(r"[\w-]+", lambda word: names.get(word[0], word[0]), example.command)
            shown, given = parsed(example.printed), parsed(scene.run(command))
            if isinstance(shown, list) and shown:
                assert given, f"{command} gives nothing"
            if call in LEARNT:
                field = LEARNT[call]
                names.setdefault(str(shown[0][field]), str(given[0][field]))
            for difference in differences(shape(shown), shape(given)):
                wrong.append(f"{example.command}: {difference}")
    assert wrong == [], REMEDY
