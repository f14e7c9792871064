"""The API's own description: valid, true of the server, and compatible with what was released."""

from __future__ import annotations

import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from twisted.internet.utils import getProcessOutputAndValue

from etlmon import __version__
from etlmon.api.openapi import document
from etlmon.contract.all import ENDPOINTS
from etlmon.contract.endpoint import PREFIX
from etlmon.contract.pages import PLAIN_PAGES

RELEASED = Path(__file__).with_name("released")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def present() -> Document:
    """The document of this version, as a client reads it."""
    return msgspec.json.decode(msgspec.json.encode(document()), type=dict)


async def test_it_is_served(api, present) -> None:
    assert (await api.ask("/api/v1/openapi.json")).json == present


def test_it_is_valid_openapi(present) -> None:
    assert present["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(deepcopy(present)).validate()


def test_a_document_that_is_not_valid_is_found_out(present) -> None:
    wrong = deepcopy(present)
    del wrong["paths"][f"{PREFIX}/fs"]["get"]["responses"]["200"]["description"]
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(wrong).validate()


def test_every_endpoint_has_its_operation_and_there_are_no_others(present) -> None:
    operations = {
        (method.upper(), path): operation["operationId"]
        for path, methods in present["paths"].items()
        for method, operation in methods.items()
    }
    pages = {
        ("GET", path): page.name + ("_api" if path.startswith(PREFIX) else "")
        for page in PLAIN_PAGES
        for path in page.paths
    }
    assert operations == {(e.method, PREFIX + e.path): e.name for e in ENDPOINTS} | pages


def test_every_reference_leads_to_a_schema(present) -> None:
    schemas = present["components"]["schemas"]

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            found = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return found.union(*map(references, part.values()))
        return set().union(*map(references, part)) if isinstance(part, list) else set()

    assert references(present) == {f"#/components/schemas/{name}" for name in schemas}


def test_every_field_and_parameter_is_explained(present) -> None:
    for path, methods in present["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            for parameter in operation["parameters"]:
                assert parameter["description"], (path, parameter["name"])
    for name, schema in present["components"]["schemas"].items():
        assert schema.get("description"), name
        for field, described in schema["properties"].items():
            assert described.get("description") or "Health" in name, (name, field)


# --- what was released stays ----------------------------------------------------------------------


def breaks(old: Document, new: Document) -> list[str]:
    """Name what a client of the old document would miss, or find changed, in the new one."""
    found = []
    for path, methods in old["paths"].items():
        for method, before in methods.items():
            place = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                found.append(f"{place} is gone")
                continue
            found += _parameters(before["parameters"], after["parameters"], place)
            for status, answer in before["responses"].items():
                if status.startswith("2"):
                    later = after["responses"].get(status)
                    if later is None:
                        found.append(f"{place} does not answer {status} any more")
                    else:
                        found += _content(old, answer, new, later, f"{place} {status}", "answer")
            body, later = before.get("requestBody", {}), after.get("requestBody", {})
            found += _content(old, body, new, later, f"{place} body", "request")
    return found


def _parameters(old: list[Document], new: list[Document], place: str) -> list[str]:
    found, later = [], {parameter["name"]: parameter for parameter in new}
    for before in old:
        after = later.pop(before["name"], None)
        where = f"{place} ?{before['name']}"
        if after is None:
            found.append(f"{where} is gone")
        elif before["schema"] != after["schema"]:
            found.append(f"{where} has changed")
        elif after["required"] and not before["required"]:
            found.append(f"{where} is required now")
    return found + [
        f"{place} ?{name} is new and required" for name in later if later[name]["required"]
    ]


def _content(
    old_document: Document,
    old: Document,
    new_document: Document,
    new: Document,
    place: str,
    way: str,
) -> list[str]:
    found = []
    for kind, before in old.get("content", {}).items():
        after = new.get("content", {}).get(kind)
        if after is None:
            found.append(f"{place} has no {kind} any more")
        else:
            schemas = (before["schema"], after["schema"])
            found += _schema(old_document, schemas[0], new_document, schemas[1], place, way)
    return found


def _schema(
    old_document: Document,
    old: Document,
    new_document: Document,
    new: Document,
    place: str,
    way: str,
) -> list[str]:
    old, new = _resolved(old_document, old), _resolved(new_document, new)
    nested = ("properties", "required", "items", "anyOf", "description", "title", "default")
    if {k: old[k] for k in old if k not in nested} != {k: new[k] for k in new if k not in nested}:
        return [f"{place} has changed"]
    found = []
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            found.append(f"{place}.{name} is gone")
        else:
            found += _schema(old_document, before, new_document, after, f"{place}.{name}", way)
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    missed = before - after if way == "answer" else after - before
    found += [
        f"{place}.{name} is{' not' * (way == 'answer')} required now" for name in sorted(missed)
    ]
    alternatives = (old.get("anyOf", []), new.get("anyOf", []))
    items = ([old["items"]] if "items" in old else [], [new["items"]] if "items" in new else [])
    for one, other, mark in ((*alternatives, ""), (*items, "[]")):
        if len(one) != len(other):
            found.append(f"{place} has changed")
            continue
        for before, after in zip(one, other, strict=True):
            found += _schema(old_document, before, new_document, after, place + mark, way)
    return found


def _resolved(whole: Document, schema: Document) -> Document:
    while "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_this_version_is_kept() -> None:
    """Write it with: etlmon get openapi.json > tests/api/released/openapi-VERSION.json."""
    assert (RELEASED / f"openapi-{__version__}.json").exists()


@pytest.mark.parametrize("released", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
def test_clients_of_a_release_still_find_what_they_know(released: Path, present) -> None:
    assert breaks(msgspec.json.decode(released.read_bytes(), type=dict), present) == []


def change(present: Document, *steps: str, to: Any = None) -> Document:
    """Give the document with one place removed, or set to something else."""
    changed = deepcopy(present)
    place: Any = changed
    for step in steps[:-1]:
        place = place[step]
    if to is None:
        del place[steps[-1]]
    else:
        place[steps[-1]] = to
    return changed


FILESYSTEM = ("components", "schemas", "Filesystem")
FS = ("paths", "/api/v1/fs")
SCAN = ("paths", "/api/v1/paths/scan", "post")


@pytest.mark.parametrize(
    ("steps", "to", "says"),
    [
        (FS, None, "GET /api/v1/fs is gone"),
        ((*FS, "get"), None, "GET /api/v1/fs is gone"),
        ((*FS, "get", "parameters"), [], "GET /api/v1/fs ?limit is gone"),
        ((*FS, "get", "responses", "200"), None, "GET /api/v1/fs does not answer 200 any more"),
        ((*FS, "get", "responses", "200", "content"), {}, "has no application/json any more"),
        ((*FILESYSTEM, "properties", "device"), None, "GET /api/v1/fs 200[].device is gone"),
        ((*FILESYSTEM, "properties", "device", "type"), "integer", "200[].device has changed"),
        ((*FILESYSTEM, "properties", "level", "enum"), ["ok"], "200[].level has changed"),
        (
            (*FILESYSTEM, "properties", "total_bytes"),
            {"type": "integer"},
            "total_bytes has changed",
        ),
        ((*FILESYSTEM, "required"), ["device"], "200[].collected_at is not required now"),
        (
            ("components", "schemas", "ScanRequest", "properties", "paths"),
            None,
            "body.paths is gone",
        ),
        (
            ("components", "schemas", "ScanRequest", "required"),
            ["paths"],
            "body.paths is required now",
        ),
        ((*SCAN, "requestBody"), None, "body has no application/json any more"),
    ],
)
def test_the_comparison_finds_what_breaks(
    present, steps: tuple[str, ...], to: Any, says: str
) -> None:
    assert any(says in line for line in breaks(present, change(present, *steps, to=to)))


def test_the_comparison_finds_a_parameter_that_became_required_or_another(present) -> None:
    changed = deepcopy(present)
    parameters = changed["paths"]["/api/v1/fs"]["get"]["parameters"]
    parameters[0]["required"] = True
    parameters[1]["schema"]["minimum"] = 5
    parameters.append({"name": "token", "required": True, "schema": {"type": "string"}})
    assert breaks(present, changed) == [
        "GET /api/v1/fs ?limit is required now",
        "GET /api/v1/fs ?offset has changed",
        "GET /api/v1/fs ?token is new and required",
    ]


def test_the_comparison_lets_grow(present) -> None:
    changed = deepcopy(present)
    changed["paths"]["/api/v1/new"] = changed["paths"]["/api/v1/fs"]
    parameters = changed["paths"]["/api/v1/fs"]["get"]["parameters"]
    parameters.append({"name": "new", "required": False, "schema": {"type": "string"}})
    filesystem = changed["components"]["schemas"]["Filesystem"]
    filesystem["properties"]["new"] = {"type": "integer"}
    filesystem["description"] = "Other words."
    filesystem["properties"]["device"]["description"] = "Other words."
    assert breaks(present, changed) == []


# --- the judge ------------------------------------------------------------------------------------


# What no schema can tell: since is before until and from 1970 on, a stream has no end, what a
# regular expression is, and confirm is true.
_NOT_BY_SCHEMA = [
    endpoint.name
    for endpoint in ENDPOINTS
    if endpoint.is_command or "since" in endpoint.query.__struct_fields__
]
# A stream has no end, and its judge waits for one.
_JUDGE = f"""
[parameters]
"query.follow" = false

[[operations]]
include-operation-id = {_NOT_BY_SCHEMA}
checks.positive_data_acceptance.enabled = false
"""


async def test_schemathesis_finds_nothing(api, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(_JUDGE)
    arguments = [
        *("-m", "schemathesis.cli", "run", f"{api.address}/api/v1/openapi.json"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--continue-on-failure"),
        *("--generation-deterministic", "--warnings", "off", "--no-color"),
        *("--request-timeout", "60", "--suppress-health-check", "too_slow"),
    ]
    output, errors, status = await getProcessOutputAndValue(
        sys.executable, arguments, dict(os.environ), str(tmp_path)
    )
    assert status == 0, (output + errors).decode()
    assert b"No issues found" in output
