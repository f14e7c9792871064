"""Reading node.yaml and ui.yaml: what the rest of the program calls.

Scalars are read by the kind that is wanted, from their text (see ``kinds``), so the traps of
YAML 1.1 do not bite:

* ``no``, ``on`` and ``yes`` are booleans where one is wanted, and plain words elsewhere;
* ``10:30`` is a time of day or text, never 630 (and ``22:22`` not 1342);
* ``010`` is ten; ``1e3``, ``0x10`` and ``1_000`` are no numbers;
* ``2026-01-01T00:00:00Z`` is a moment with or without quotes;
* ``~`` and ``null`` are no value: a mistake everywhere, ``"~"`` in quotes is text;
* a key with nothing after it is a mistake too, save for a section whose keys all have defaults.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from etlmon.config.document import MOST_BYTES, compose
from etlmon.config.mistakes import Mistakes
from etlmon.config.node import NodeConfig
from etlmon.config.reader import read
from etlmon.config.section import Section
from etlmon.config.ui import UiConfig
from etlmon.config.watched import ProcessWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound=Section)


def load_node_config(path: str | os.PathLike[str]) -> NodeConfig:
    """Read a node.yaml; raise ConfigError with every mistake in it, or why it cannot be read."""
    return _load(path, NodeConfig)


def parse_node_config(text: bytes, name: str) -> NodeConfig:
    """Read the bytes of a node.yaml; ``name`` stands in messages. Raises ConfigError."""
    return _parse(text, name, NodeConfig)


def read_watch(criteria: Mapping[str, str], *, with_children: bool) -> ProcessWatch:
    """Make the watch of criteria given as text, as on a command line; raise ConfigError."""
    watch = _parse(msgspec.json.encode(criteria), "the command line", ProcessWatch)
    return msgspec.structs.replace(watch, with_children=with_children)


def load_ui_config(path: str | os.PathLike[str]) -> UiConfig:
    """Read a ui.yaml; raise ConfigError with every mistake in it, or why it cannot be read."""
    return _load(path, UiConfig)


def parse_ui_config(text: bytes, name: str) -> UiConfig:
    """Read the bytes of a ui.yaml; ``name`` stands in messages. Raises ConfigError."""
    return _parse(text, name, UiConfig)


def _load(path: str | os.PathLike[str], struct: type[S]) -> S:
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            # One byte more than is allowed, so that a longer file (or /dev/zero) is seen as such.
            text = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        Mistakes(name).fail("no such file; create it, or name another one")
    except IsADirectoryError:
        Mistakes(name).fail("is a directory; name a file in it")
    except OSError as error:
        Mistakes(name).fail(f"cannot be read: {error.strerror}")
    except ValueError as error:  # a NUL in the name
        Mistakes(name).fail(f"is not a file name: {error}")
    return _parse(text, name, struct)


def _parse(text: bytes, name: str, struct: type[S]) -> S:
    mistakes = Mistakes(name)
    return read(compose(text, mistakes), struct, mistakes)
