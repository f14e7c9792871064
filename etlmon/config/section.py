"""What every section of a configuration file is made of."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta


class Problem(NamedTuple):
    """What is wrong between fields that are right one by one.

    ``at`` is the place and ``needs`` are the places that were looked at, all as paths below the
    section (``""`` is the section itself): where one of them has a mistake of its own, the problem
    is not reported, since it may be no more than a consequence.
    """

    at: str
    text: str
    needs: tuple[str, ...]


class Section(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mapping in the file: its fields are the known keys, their defaults hold without the key."""

    def problems(self) -> Iterator[Problem]:
        """Give what is wrong between the fields."""
        return iter(())


def list_of(text: str, *, unique: str | None = None, one_or_many: bool = False) -> Meta:
    """Give the ``Meta`` of a list of sections.

    ``unique`` names a field that no two of them may share (paths are compared without ``//`` and
    ``..``); with ``one_or_many`` a single section may stand in place of the list.
    """
    return Meta(description=text, extra={"unique": unique, "one_or_many": one_or_many})


def same(value: Any) -> Any:
    """Give what is equal for two values that mean the same."""
    if isinstance(value, str) and value.startswith("/"):
        return "/" + os.path.normpath(value).lstrip("/")
    return value
