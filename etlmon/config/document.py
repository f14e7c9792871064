"""Bytes of a file -> the nodes of its one YAML document. Nothing is constructed from them here.

A hostile file costs no more than an honest one: its length, its depth and the number of its
values are bounded, and a value that contains itself is refused.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

import yaml

from etlmon.config.mistakes import Mistakes, visible

MOST_BYTES = 1 << 20
MOST_VALUES = 100_000
MOST_DEPTH = 32


def compose(text: bytes, mistakes: Mistakes) -> yaml.Node | None:
    """Give the root node of the document, None if the file says nothing.

    Raises ConfigError, through ``mistakes``, if this is not one YAML document in UTF-8.
    """
    if len(text) > MOST_BYTES:
        mistakes.fail(f"is larger than {MOST_BYTES >> 20} MiB; is this the right file?")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        byte = text[error.start]
        mistakes.fail(f"the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8", line)
    try:
        loader = _Composer(decoded)
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, error.position) + 1
        shown = visible(decoded[error.position])
        mistakes.fail(f"the control character {shown} is not allowed; remove it", line)
    try:
        node: yaml.Node | None = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        mistakes.fail(_explain(error), mark.line + 1 if mark else None)
    except (ValueError, OverflowError):
        # The scanner turns escapes such as "\UFFFFFFFF" into numbers without a look.
        mistakes.fail("is not YAML: a number is out of range", loader.line + 1)
    finally:
        loader.dispose()
    return node


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it cannot be read"
    if error.context == "expected a single document in the stream":
        return "a second document begins here; keep one, without further --- lines"
    if r"'\t'" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces"
    if isinstance(error, _Refused):
        return problem
    doing = f" {error.context}" if error.context else ""
    return f"is not YAML: {visible(problem)}{visible(doing)}"


class _Refused(yaml.composer.ComposerError):
    """Valid YAML, but nothing that a configuration needs."""


class _Composer(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0
        self._open_anchors: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = cast(Any, self).peek_event()  # its stub has no types
        self._values += 1
        if self._values > MOST_VALUES:
            self._refuse(f"more than {MOST_VALUES:,} values; make the file smaller", event)
        if self._depth == MOST_DEPTH:
            self._refuse(f"nested more than {MOST_DEPTH} deep; this is no configuration", event)
        anchor = event.anchor
        if isinstance(event, yaml.AliasEvent) and anchor in self._open_anchors:
            self._refuse(f"*{visible(anchor)} stands inside itself; write the value out", event)
        self._depth += 1
        self._open_anchors.append(anchor)
        node = super().compose_node(parent, index)
        self._open_anchors.pop()
        self._depth -= 1
        return node

    def _refuse(self, problem: str, event: Any) -> NoReturn:
        raise _Refused(None, None, problem, event.start_mark)
