"""What the documents name is there: files, places in them, commands, settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etlmon.cli.main import main
from etlmon.config.loader import parse_node_config

TOP = Path(__file__).parents[2]
DOCUMENTS = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
_SETTINGS = "paths|logs|process_watch|xferlog|manhole|auth|disk|backup|control"


def anchors(document: Path) -> set[str]:
    """Give the places of a document that a link can name, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.*)$", document.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def examples(document: Path) -> list[str]:
    """Give the parts of node.yaml that stand in a document."""
    text = document.read_text()
    fenced = re.findall(r"(?ms)^```yaml\n(.*?)^```", text)
    indented = re.findall(rf"(?m)(?:^    (?:{_SETTINGS}):.*\n(?:^    .*\n)*)", text)
    return [*fenced, *("".join(f"{line[4:]}\n" for line in one.splitlines()) for one in indented)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        place, _, anchor = target.partition("#")
        if "://" in place:
            continue
        found = (document.parent / place) if place else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_commands_are_those_of_the_program(document: Path) -> None:
    said = re.findall(
        r"(?:^ +(?:sudo )?|`(?:sudo )?|exec )etlmon ([a-z-]+)", document.read_text(), re.M
    )
    assert set(said) <= set(main.commands), document


def test_settings_are_those_of_the_node() -> None:
    found = [one for document in DOCUMENTS for one in examples(document)]
    assert len(found) >= 4
    for one in found:
        parse_node_config(one.encode(), "node.yaml")
