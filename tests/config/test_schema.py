"""The JSON Schema takes what the loader takes, and finds typing mistakes on its own."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from etlmon.config.schema import node_config_schema, ui_config_schema

EXAMPLES = Path(__file__).parent / "examples"
NODE = jsonschema_rs.validator_for(node_config_schema())
UI = jsonschema_rs.validator_for(ui_config_schema())


def test_it_is_a_valid_schema_and_json():
    for schema in (node_config_schema(), ui_config_schema()):
        jsonschema_rs.meta.validate(schema)
        assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("validator", "name"), [(NODE, "node-short.yaml"), (NODE, "node-long.yaml"), (UI, "ui.yaml")]
)
def test_it_takes_the_examples(validator, name):
    assert validator.is_valid(yaml.safe_load((EXAMPLES / name).read_text("utf-8")))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "refresh:",
        "node: {db_max_bytes: 4096}",
        "xferlog: [{path: /a}, {path: /b}]",
        "retention: {log_lines: {max_age: 7d}}",
        "disk: {mounts: {/data: {warn_percent: 95.5}}}",
    ],
)
def test_it_takes_what_is_right(text):
    assert NODE.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "refesh: {disk: 15s}",
        "refresh: {disk: 15}",
        "refresh: {disk: 5 parsecs}",
        "refresh: {disk: }",
        "paths: {path: /a}",
        "paths: [{}]",
        "paths: [{path: data}]",
        "paths: [{path: /a, max_depth: -1}]",
        "paths:",
        "auth:",
        "rescan: fulll",
        "xferlog: [{}]",
        "retention: {log_line: {}}",
        "disk: {warn_percent: 101}",
        "disk: {mounts: {data: {}}}",
        "node: {db_max_bytes: 5 parsecs}",
        "paths: [{path: /a, expect: [{pattern: x, by: '24:00'}]}]",
    ],
)
def test_it_refuses_what_is_wrong(text):
    assert not NODE.is_valid(yaml.safe_load(text))


def test_it_says_what_a_field_means_and_its_default_as_one_writes_it():
    schema = node_config_schema()
    refresh = schema["properties"]["refresh"]["properties"]
    assert refresh["disk"]["type"] == "string"
    assert refresh["disk"]["default"] == "15s"
    assert refresh["disk"]["description"] == "Time from one look at the mounts to the next."
    log = schema["properties"]["logs"]["items"]["properties"]
    assert log["max_line_bytes"]["default"] == "64KiB"
    watch = schema["properties"]["process_watch"]["items"]["properties"]
    assert watch["allow_signals"]["default"] == ["SIGTERM", "SIGKILL"]


def test_every_field_is_described():
    def undescribed(schema, path):
        for name, field in schema.get("properties", {}).items():
            if "description" not in field:
                yield f"{path}.{name}"
            yield from undescribed(field, f"{path}.{name}")
        for part in ("items", "additionalProperties"):
            if isinstance(schema.get(part), dict):
                yield from undescribed(schema[part], f"{path}[]")

    assert [*undescribed(node_config_schema(), ""), *undescribed(ui_config_schema(), "")] == []
