"""YAML nodes -> Structs, along the types of the Struct; every mistake on the way is noted.

A value that is wrong is left out and reading goes on, so that one run finds all mistakes; what is
made in the end is given to the caller only if there were none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import msgspec.inspect as mi
import yaml

from etlmon.config.document import MOST_VALUES
from etlmon.config.grammar import Wanted, grammar_of, wanted
from etlmon.config.kinds import Kind, Misfit
from etlmon.config.mistakes import Mistakes, keyed, visible
from etlmon.config.section import Section, same

S = TypeVar("S", bound=Section)

_WRONG: Any = object()  # stands for a value that could not be read; its mistake is noted
_TAG = "tag:yaml.org,2002:"
# What YAML 1.1 makes of untagged values. Other tags would ask for Python objects, sets, binaries.
_PLAIN = "map seq str null bool int float timestamp merge value".split()
_PLAIN_TAGS = {_TAG + name for name in _PLAIN}
_NUMBER = re.compile(r"[+-]?[0-9][0-9_.]*")

Pair = tuple[yaml.ScalarNode, yaml.Node]


def read(root: yaml.Node | None, struct: type[S], mistakes: Mistakes) -> S:
    """Make the Struct that a document describes; without a document, the one of all defaults.

    Raises ConfigError with every mistake in it.
    """
    if root is None:
        return struct()
    value = _Reader(mistakes).value(root, wanted(grammar_of(struct)), "", root)
    mistakes.check()
    made: S = value
    return made


class _Reader:
    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._lines: dict[str, int] = {}
        self._values = 0

    def value(self, node: yaml.Node, want: Wanted, path: str, place: yaml.Node) -> Any:
        """Read one value; ``place`` is the node whose line a mistake names: mostly the key."""
        self._count(place)
        self._lines[path] = _line(place)
        if node.tag not in _PLAIN_TAGS:
            tag = visible(node.tag.removeprefix(_TAG))
            return self._wrong(path, place, f"the tag {tag} is not allowed here; remove it")
        if _is_null(node):
            if want.may_be_empty and not node.value:
                node = yaml.MappingNode(_TAG + "map", [], node.start_mark, node.end_mark)
            else:
                what = f"{node.value} is no value" if node.value else "has no value"
                removable = want.optional or want.kind is None
                remedy = _remedy(want) + (", or remove it" if removable else "")
                return self._wrong(path, place, f"{what}; {remedy}")
        if want.kind is not None:
            return self._scalar(node, want, want.kind, path, place)
        if isinstance(want.type, mi.VarTupleType):
            return self._list(node, want, want.type, path, place)
        if isinstance(node, yaml.MappingNode):
            if want.section is not None:
                return self._section(node, want.section, path)
            return self._mapping(node, want, path)
        return self._wrong(path, place, f"{_shown(node)} is not a mapping; {_remedy(want)}")

    def _scalar(
        self, node: yaml.Node, want: Wanted, kind: Kind, path: str, place: yaml.Node
    ) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return self._wrong(path, place, f"{_shown(node)} is not {kind.noun}; {_remedy(want)}")
        text: str = node.value
        if "\0" in text or not _encodable(text):
            return self._wrong(path, place, f"{_shown(node)} holds NUL or half a character")
        try:
            value = kind.read(text)
        except Misfit as misfit:
            return self._wrong(path, place, f"{_shown(node)} {misfit}")
        except ValueError:
            return self._wrong(path, place, f"{_shown(node)} is not {kind.noun}; {_remedy(want)}")
        bounds = want.range()
        if bounds is not None and not bounds[0](value):
            return self._wrong(path, place, f"{_shown(node)} is out of range; write {bounds[1]}")
        return value

    def _list(
        self, node: yaml.Node, want: Wanted, listing: mi.VarTupleType, path: str, place: yaml.Node
    ) -> Any:
        items: list[tuple[str, yaml.Node]]
        if isinstance(node, yaml.SequenceNode):
            items = [(f"{path}[{index}]", item) for index, item in enumerate(node.value)]
        elif want.one_or_many:
            items = [(path, node)]
        else:
            return self._wrong(path, place, f"{_shown(node)} is not a list; {_remedy(want)}")
        if len(items) < (listing.min_length or 0):
            return self._wrong(path, place, "the list is empty; fill it, or remove it")
        of_item = wanted(listing.item_type)
        read = [(where, self.value(item, of_item, where, item)) for where, item in items]
        good = [(where, value) for where, value in read if value is not _WRONG]
        if want.unique is not None:
            self._find_twins(good, want.unique)
        return tuple(value for _, value in good)

    def _find_twins(self, items: Sequence[tuple[str, Any]], field: str) -> None:
        first: dict[Any, str] = {}
        for path, item in items:
            value = getattr(item, field)
            at = f"{path}.{field}"
            twin = first.setdefault(same(value), at)
            if twin != at:
                text = f'"{visible(value)}" is there twice, see {twin} on line {self._lines[twin]}'
                self._mistakes.add(self._lines[at], at, f"{text}; keep one")

    def _mapping(self, node: yaml.MappingNode, want: Wanted, path: str) -> Any:
        assert isinstance(want.type, mi.DictType)
        of_key, of_value = wanted(want.type.key_type), wanted(want.type.value_type)
        assert of_key.kind is not None
        known = of_key.type.values if isinstance(of_key.type, mi.LiteralType) else None
        entries = {}
        for key, value in self._pairs(node, path):
            if known is None:
                where = path + keyed(key.value)
                name = self._scalar(key, of_key, of_key.kind, where, key)
            elif key.value in known:
                where, name = f"{path}.{key.value}", key.value
            else:
                self._unknown(key, [str(one) for one in known], f"{path}.{_key_text(key)}")
                continue
            entry = self.value(value, of_value, where, key)
            if name is not _WRONG and entry is not _WRONG:
                entries[name] = entry
        return entries

    def _section(self, node: yaml.MappingNode, struct: mi.StructType, path: str) -> Any:
        fields = {field.encode_name: field for field in struct.fields}
        given: dict[str, Any] = {}
        seen = set()
        for key, value in self._pairs(node, path):
            name = key.value
            where = f"{path}.{_key_text(key)}" if path else _key_text(key)
            if name not in fields:
                self._unknown(key, list(fields), where)
                continue
            seen.add(name)
            read = self.value(value, wanted(fields[name].type), where, key)
            if read is not _WRONG:
                given[name] = read
        for name, field in fields.items():
            if field.required and name not in seen:
                where = f"{path}.{name}" if path else name
                text = f"missing; {_remedy(wanted(field.type))}"
                self._mistakes.add(self._lines[path], where, text)
        if any(field.required and name not in given for name, field in fields.items()):
            return _WRONG
        section = struct.cls(**given)
        self._find_problems(section, path)
        return section

    def _find_problems(self, section: msgspec.Struct, path: str) -> None:
        assert isinstance(section, Section)
        for problem in section.problems():
            if not any(self._mistakes.below(_join(path, need)) for need in problem.needs):
                where = _join(path, problem.at)
                line = self._lines.get(where, self._lines[path])
                self._mistakes.add(line, where, problem.text)

    def _pairs(self, node: yaml.MappingNode, path: str) -> list[Pair]:
        """Give the keys and values of a mapping, those that it merges (``<<``) last.

        A key given twice is noted as a mistake; a merged one steps back behind the mapping's own.
        """
        first: dict[str, yaml.ScalarNode] = {}
        pairs: list[Pair] = []
        merged: list[Pair] = []
        for key, value in node.value:
            self._count(key)
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(path, key, f"{_shown(key)} cannot be a key; write a word")
            elif key.tag == f"{_TAG}merge":
                merged += self._merged(value, path, key)
            elif key.value in first:
                where = f"{path}.{_key_text(key)}" if path else _key_text(key)
                line = _line(first[key.value])
                self._wrong(where, key, f"given twice, first on line {line}; keep one")
            else:
                first[key.value] = key
                pairs.append((key, value))
        for key, value in merged:
            if key.value not in first:
                first[key.value] = key
                pairs.append((key, value))
        return pairs

    def _merged(self, value: yaml.Node, path: str, key: yaml.ScalarNode) -> list[Pair]:
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        pairs: list[Pair] = []
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                pairs += self._pairs(source, path)
            else:
                self._wrong(path, key, f"<< takes mappings, not {_shown(source)}; write *NAME")
        return pairs

    def _unknown(self, key: yaml.ScalarNode, known: Sequence[str], where: str) -> None:
        near = difflib.get_close_matches(key.value[:100], known, 1)
        remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        self._wrong(where, key, f"unknown key; {remedy}")

    def _wrong(self, path: str, place: yaml.Node, text: str) -> Any:
        self._mistakes.add(_line(place), path, text)
        return _WRONG

    def _count(self, node: yaml.Node) -> None:
        """Bound the work: aliases of aliases make a small file mean billions of values."""
        self._values += 1
        if self._values > MOST_VALUES:
            text = f"more than {MOST_VALUES:,} values, aliases counted; make the file smaller"
            self._mistakes.fail(text, _line(node))


def _remedy(want: Wanted) -> str:
    """Say what to write instead."""
    bounds = want.range()
    if want.kind is not None:
        plain_number = bounds is not None and want.kind.schema["type"] in ("integer", "number")
        return f"write {bounds[1]}" if bounds and plain_number else f"write {want.kind.examples}"
    if isinstance(want.type, mi.VarTupleType):
        return "write a list: [...]"
    first = want.section.fields[0].encode_name if want.section else "NAME"
    return f"write keys below it: {first}: ..."


def _shown(node: yaml.Node) -> str:
    """Give a value as it is echoed: numbers as they are, other text in quotes."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if not isinstance(node, yaml.ScalarNode):
        return "a list"
    text: str = node.value
    if node.style is None and _NUMBER.fullmatch(text):
        return visible(text)
    return f'"{visible(text)}"'


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"


def _key_text(key: yaml.ScalarNode) -> str:
    text: str = key.value
    return visible(text) if re.fullmatch(r"[\w-]+", text) else f'"{visible(text)}"'


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path and part else path or part


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
