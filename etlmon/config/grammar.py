"""What the annotations of a Struct ask for, in the form that the reader and the schema need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect as mi

from etlmon.config.kinds import NUMBER, TEXT, TRUTH, WHOLE, Kind


@dataclass(frozen=True)
class Wanted:
    """A type with what was said about it.

    ``type`` is bare: neither annotated nor optional. ``kind`` is set for scalars, ``unique`` and
    ``one_or_many`` for lists (see ``section.list_of``).
    """

    type: mi.Type
    kind: Kind | None
    optional: bool
    description: str | None
    unique: str | None
    one_or_many: bool

    @property
    def section(self) -> mi.StructType | None:
        """The Struct, if it is one."""
        return self.type if isinstance(self.type, mi.StructType) else None

    @property
    def may_be_empty(self) -> bool:
        """Whether a key with nothing after it is fine: all that is below has its default.

        So it is for a mapping that stands in the file for its own sake. It is not where being
        there makes a difference (``auth:``), nor for lists: an empty one watches nothing.
        """
        if self.optional:
            return False
        if self.section is not None:
            return not any(field.required for field in self.section.fields)
        return isinstance(self.type, mi.DictType)

    def range(self) -> tuple[Callable[[Any], bool], str] | None:
        """Give a test of a number's bounds and the bounds in words, None if it has none."""
        number = self.type
        if not isinstance(number, mi.IntType | mi.FloatType):
            return None
        show = self.kind.show if self.kind else str
        low, high, above = number.ge, number.le, number.gt
        if low is not None and high is not None:
            return lambda value: low <= value <= high, f"{show(low)} to {show(high)}"
        if low is not None:
            return lambda value: value >= low, f"{show(low)} or more"
        if above is not None:
            return lambda value: value > above, f"more than {show(above)}"
        return None


@cache
def grammar_of(struct: type[msgspec.Struct]) -> mi.Type:
    """Give what msgspec knows of a Struct and of all below it."""
    return mi.type_info(struct)


def wanted(annotated: mi.Type) -> Wanted:
    """Take a type as msgspec describes it out of its annotations."""
    optional = False
    description: str | None = None
    extra: dict[str, Any] = {}
    bare = annotated
    while True:
        if isinstance(bare, mi.Metadata):
            description = description or (bare.extra_json_schema or {}).get("description")
            extra = {**(bare.extra or {}), **extra}
            bare = bare.type
        elif isinstance(bare, mi.UnionType):
            optional = True
            (bare,) = (one for one in bare.types if not isinstance(one, mi.NoneType))
        else:
            break
    return Wanted(
        type=bare,
        kind=extra.get("kind") or _plain_kind(bare),
        optional=optional,
        description=description,
        unique=extra.get("unique"),
        one_or_many=extra.get("one_or_many", False),
    )


def _plain_kind(bare: mi.Type) -> Kind | None:
    match bare:
        case mi.StrType():
            return TEXT
        case mi.BoolType():
            return TRUTH
        case mi.IntType():
            return WHOLE
        case mi.FloatType():
            return NUMBER
        case mi.LiteralType():
            return _choice(tuple(str(value) for value in bare.values))
        case _:
            return None


def _choice(values: tuple[str, ...]) -> Kind:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError
        return text

    words = f"{', '.join(values[:-1])} or {values[-1]}"
    return Kind("known", words, read, {"type": "string", "enum": list(values)})
