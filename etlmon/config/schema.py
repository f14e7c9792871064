"""The grammar as JSON Schema, for editors and for those who generate configuration.

It is made from the same types that the reader goes along. ``msgspec.json.schema`` would describe
what the program holds, floats and nulls; this describes what people write: ``15s``, no nulls.
"""

from __future__ import annotations

from typing import Any

import msgspec
import msgspec.inspect as mi

from etlmon.config.grammar import Wanted, grammar_of, wanted
from etlmon.config.node import NodeConfig
from etlmon.config.ui import UiConfig

Schema = dict[str, Any]


def node_config_schema() -> Schema:
    """Give the JSON Schema of node.yaml."""
    return _document(NodeConfig, "etlmon node.yaml")


def ui_config_schema() -> Schema:
    """Give the JSON Schema of ui.yaml."""
    return _document(UiConfig, "etlmon ui.yaml")


def _document(struct: type[msgspec.Struct], title: str) -> Schema:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return {**head, **_schema(wanted(grammar_of(struct)))}


def _schema(want: Wanted) -> Schema:
    if want.kind is not None:
        return {**want.kind.schema, **_bounds(want)}
    if want.section is not None:
        return _section(want, want.section)
    if isinstance(want.type, mi.VarTupleType):
        item = _schema(wanted(want.type.item_type))
        listing: Schema = {"type": "array", "items": item}
        if want.type.min_length:
            listing["minItems"] = want.type.min_length
        return {"anyOf": [item, listing]} if want.one_or_many else listing
    assert isinstance(want.type, mi.DictType)
    return {
        "type": ["object", "null"],
        "propertyNames": _schema(wanted(want.type.key_type)),
        "additionalProperties": _schema(wanted(want.type.value_type)),
    }


def _bounds(want: Wanted) -> Schema:
    """Give the bounds of a plain number; a duration is text here, and text has none."""
    number = want.type
    if not isinstance(number, mi.IntType | mi.FloatType) or want.kind is None:
        return {}
    if want.kind.schema["type"] not in ("integer", "number"):
        return {}
    names = {"minimum": number.ge, "maximum": number.le, "exclusiveMinimum": number.gt}
    return {name: bound for name, bound in names.items() if bound is not None}


def _section(want: Wanted, struct: mi.StructType) -> Schema:
    properties = {field.encode_name: _field(field) for field in struct.fields}
    schema: Schema = {
        "type": ["object", "null"] if want.may_be_empty else "object",
        "description": (struct.cls.__doc__ or "").partition("\n")[0],
        "properties": properties,
        "additionalProperties": False,
    }
    required = [field.encode_name for field in struct.fields if field.required]
    return {**schema, "required": required} if required else schema


def _field(field: mi.Field) -> Schema:
    want = wanted(field.type)
    schema = _schema(want)
    if want.description:
        schema["description"] = want.description
    if field.default is not msgspec.NODEFAULT and field.default is not None:
        show = want.kind.show if want.kind else _plain
        schema["default"] = show(field.default)
    return schema


def _plain(value: Any) -> Any:
    """Give lists and mappings as JSON has them."""
    return msgspec.json.decode(msgspec.json.encode(value))
