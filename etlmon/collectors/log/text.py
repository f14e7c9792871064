"""Lines of bytes as text: any byte string is accepted."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from etlmon.records.log import LineMark

if TYPE_CHECKING:
    from etlmon.host.lines import Reading

# Here a line break is a byte that is part of nothing else, whatever stands before it: a block of
# lines can be decoded as a whole, which is several times as fast.
_BLOCKWISE = ("utf-8", "ascii", "iso8859", "latin", "cp125", "koi8", "mac-")


class TextReader:
    """Turns what was read into text, with U+FFFD for what is not of the encoding."""

    def __init__(self, encoding: str, *, strip_cr: bool) -> None:
        self._encoding = codecs.lookup(encoding).name
        self._cut_decoder = codecs.getincrementaldecoder(self._encoding)
        self._strip_cr = strip_cr
        self._is_blockwise = self._encoding.startswith(_BLOCKWISE)

    def lines(self, reading: Reading) -> list[str | None]:
        """Give the lines as text, None where a mark stands alone."""
        if reading.block is not None and self._is_blockwise:
            block = reading.block
            if self._strip_cr:
                block = block.replace(b"\r\n", b"\n")
            lines: list[str | None] = [*block.decode(self._encoding, "replace").split("\n")]
            lines.pop()
            return lines
        return [
            None if line is None else self._text(line, place in reading.marks)
            for place, line in enumerate(reading.lines)
        ]

    def _text(self, line: bytes, is_marked: bool) -> str:
        if self._strip_cr and line.endswith(b"\r"):
            line = line[:-1]
        text = self._begun(line) if is_marked else line.decode(self._encoding, "replace")
        # What comes of some encodings (UTF-7) is no text that can be stored.
        return text.encode("utf-8", "replace").decode()

    def _begun(self, line: bytes) -> str:
        """Decode a line that was cut, and may end within a character."""
        try:
            return self._cut_decoder("replace").decode(line)
        except UnicodeError:  # some wait for the end of an escape sequence that is none
            return line.decode(self._encoding, "replace")


def marks(reading: Reading) -> dict[int, LineMark]:
    """Give the marks of a reading as they are stored."""
    if not reading.marks:
        return {}
    return {
        place: LineMark(
            flags=mark.flags,  # type: ignore[arg-type]
            length_bytes=mark.length_bytes,
            detail=mark.detail,
        )
        for place, mark in reading.marks.items()
    }
