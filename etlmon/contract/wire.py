"""How a query is written into a URL, and read from one."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from etlmon.contract.query import Q, Query
from etlmon.contract.words import in_words, unknown_parameter
from etlmon.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def query_texts(query: Query) -> dict[str, str]:
    """Give the fields that are not at their default, as ``read_query`` takes them."""
    given = {
        field.encode_name: value
        for field in msgspec.structs.fields(query)
        if (value := getattr(query, field.name)) != field.default and value is not None
    }
    plain = msgspec.to_builtins(given)
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in plain.items()
    }


def read_query(
    pairs: Iterable[tuple[str, str]], wanted: type[Q], segments: Mapping[str, str] | None = None
) -> Q:
    """Give the query that parameters in text form make; ``segments`` are those of the path.

    Each type has one form, the one that the OpenAPI document promises.
    Raises ApiError (400) naming the parameter and what it may be.
    """
    values: dict[str, str] = {}
    forms = _forms(wanted)
    for name, value in chain((segments or {}).items(), pairs):
        if name not in forms:
            detail = unknown_parameter(name, wanted.__struct_fields__)
            raise ApiError(400, "unknown-parameter", detail)
        if name in values:
            raise ApiError(400, "bad-parameter", f"The parameter {name} is given twice.")
        if not forms[name].pattern.fullmatch(value):
            raise ApiError(400, "bad-parameter", f"{name}: must be {forms[name].in_words}.")
        values[name] = value
    for field in msgspec.structs.fields(wanted):
        if field.required and field.name not in values:
            raise ApiError(400, "bad-parameter", f"The parameter {field.name} is missing.")
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise ApiError(400, "bad-parameter", in_words(error)) from error


class _Form(NamedTuple):
    """How a value is written in a query string."""

    pattern: re.Pattern[str]
    in_words: str


_FORMS = {
    int: _Form(re.compile("-?[0-9]{1,18}"), "a whole number"),
    bool: _Form(re.compile("true|false"), "true or false"),
    # Surrogates stand for bytes that are not UTF-8.
    str: _Form(re.compile("[^\ud800-\udfff]*"), "UTF-8"),
    datetime: _Form(
        re.compile("(19[7-9]|[2-9][0-9]{2})[0-9]-.+:.+"),
        "a moment from 1970 on, such as 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00",
    ),
}


@lru_cache
def _forms(wanted: type[Query]) -> dict[str, _Form]:
    hints = get_type_hints(wanted)
    return {name: _form(hints[name]) for name in wanted.__struct_fields__}


def _form(hint: Any) -> _Form:
    """Give how values of a type are written, or of that which may be absent."""
    wanted = hint if get_origin(hint) is Literal else getattr(hint, "__args__", (hint,))[0]
    if get_origin(wanted) is not Literal:
        return _FORMS[wanted]
    words = get_args(wanted)
    return _Form(re.compile("|".join(map(re.escape, words))), f"one of {', '.join(words)}")
