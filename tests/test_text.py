"""Text of others in the log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etlmon.text import host_text, one_line


def test_what_is_plain_stays() -> None:
    assert one_line("/mnt/한국어 é") == "/mnt/한국어 é"


def test_a_name_cannot_forge_a_line() -> None:
    name = host_text(b"x\n2026 [FORGED] root\x1b[31m\x1b]0;t\x07\xff")
    assert one_line(name) == r"x\n2026 [FORGED] root\x1b[31m\x1b]0;t\x07\\xff"


@given(st.text())
def test_it_is_one_printable_line_of_bounded_length(text: str) -> None:
    shown = one_line(text)
    assert shown.isprintable()
    assert len(shown) <= 500 * 10 + 3
