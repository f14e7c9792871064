"""The shipped files: valid as they are, complete, and true about the defaults."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema_rs
import msgspec
import msgspec.inspect as mi
import pytest
import yaml

from etlmon.config.grammar import grammar_of, wanted
from etlmon.config.loader import (
    load_node_config,
    load_ui_config,
    parse_node_config,
    parse_ui_config,
)
from etlmon.config.node import RETENTION_DEFAULTS, NodeConfig, RetentionSection
from etlmon.config.schema import node_config_schema, ui_config_schema
from etlmon.config.ui import UiConfig

CONF = Path(__file__).parents[2] / "conf"
OPTION = re.compile(r"^(\s*)#(?=[^\s#])", re.MULTILINE)


def everything(name: str) -> str:
    """Give the file with every option uncommented."""
    return OPTION.sub(r"\1", (CONF / name).read_text("utf-8"))


def node_yaml() -> str:
    """Give node.yaml with every option."""
    return everything("node.yaml")


def given_fields(node, value):
    """Yield (Struct, field name, key node, value node) for each key, with what was made of it."""
    if isinstance(value, tuple):
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for item_node, item in zip(items, value, strict=True):
            yield from given_fields(item_node, item)
    elif isinstance(value, dict):
        for (_, entry_node), entry in zip(node.value, value.values(), strict=True):
            yield from given_fields(entry_node, entry)
    elif isinstance(value, msgspec.Struct):
        for key, field_node in node.value:
            yield value, key.value, key, field_node
            yield from given_fields(field_node, getattr(value, key.value))


def all_fields(want):
    """Yield (struct, field name) for each key that there can be."""
    if isinstance(want.type, mi.VarTupleType):
        yield from all_fields(wanted(want.type.item_type))
    elif isinstance(want.type, mi.DictType):
        yield from all_fields(wanted(want.type.value_type))
    elif want.section is not None:
        for field in want.section.fields:
            yield want.section.cls, field.name
            yield from all_fields(wanted(field.type))


def ui_yaml() -> str:
    """Give ui.yaml with every option."""
    return everything("ui.yaml")


CASES = [
    pytest.param(node_yaml, NodeConfig, parse_node_config, id="node.yaml"),
    pytest.param(ui_yaml, UiConfig, parse_ui_config, id="ui.yaml"),
]


def test_as_shipped_node_yaml_is_the_default_configuration():
    assert load_node_config(CONF / "node.yaml") == NodeConfig()


def test_as_shipped_ui_yaml_is_the_default_configuration():
    assert load_ui_config(CONF / "ui.yaml") == UiConfig()


@pytest.mark.parametrize(("text", "struct", "parse"), CASES)
def test_every_option_may_be_uncommented(text, struct, parse):
    assert isinstance(parse(text().encode(), "conf"), struct)


@pytest.mark.parametrize(("text", "struct", "parse"), CASES)
def test_every_option_is_there(text, struct, parse):
    source = text()
    given = given_fields(yaml.compose(source), parse(source.encode(), "conf"))
    shown = {(type(owner), field) for owner, field, *_ in given}
    assert set(all_fields(wanted(grammar_of(struct)))) == shown


@pytest.mark.parametrize(("text", "struct", "parse"), CASES)
def test_a_commented_value_is_the_default(text, struct, parse):
    """Where a line is no example, its value is the default of its field; and all are shown."""
    source = text()
    lines = source.splitlines()
    compared = set()
    document = yaml.compose(source)
    for owner, name, key, value in given_fields(document, parse(source.encode(), "conf")):
        line = lines[key.start_mark.line]
        section = value.start_mark.line != key.start_mark.line  # its keys have their own lines
        if section or "# example" in line or isinstance(owner, RetentionSection):
            continue
        assert getattr(owner, name) == default_of(type(owner), name), line
        compared.add((type(owner), name))
    want = wanted(grammar_of(struct))
    assert compared == {one for one in all_fields(want) if default_of(*one) is not None}


def default_of(struct, name):
    """Give a field's default; None, too, if it is a list of sections, shown by an example."""
    (field,) = (one for one in grammar_of(struct).fields if one.name == name)
    want = wanted(field.type)
    of_sections = isinstance(want.type, mi.VarTupleType) and wanted(want.type.item_type).section
    return None if of_sections or field.default is msgspec.NODEFAULT else field.default


def test_retention_shows_what_holds_without_it():
    shown = parse_node_config(node_yaml().encode(), "conf").retention
    assert shown == dict(RETENTION_DEFAULTS)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (node_config_schema, lambda: (CONF / "node.yaml").read_text("utf-8")),
        (node_config_schema, lambda: everything("node.yaml")),
        (ui_config_schema, lambda: (CONF / "ui.yaml").read_text("utf-8")),
        (ui_config_schema, lambda: everything("ui.yaml")),
    ],
)
def test_the_schema_takes_the_shipped_files(schema, text):
    document = yaml.safe_load(text())
    errors = list(jsonschema_rs.validator_for(schema()).iter_errors(document))
    assert [error.message for error in errors] == []
