"""Text of others in the log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.text import host_path, host_text, one_line, path_bytes


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


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("/é/a b".encode(), "/é/a b"),
        (b"/\xff", r"/\xff"),
        (rb"/\xff", r"/\x5cxff"),
        (rb"/\x5cxff", r"/\x5cx5cxff"),
        (rb"/\x2d\n\\", r"/\x2d\n\\"),
    ],
)
def test_a_path_in_text(raw: bytes, shown: str) -> None:
    assert host_path(raw) == shown


@given(st.lists(st.sampled_from([b"\\", b"x", b"5c", b"f", b"8", b"\xff", b"\xc3", b"\xa9", b"a"])))
def test_no_two_paths_have_the_same_text(parts: list[bytes]) -> None:
    raw = b"".join(parts)
    assert path_bytes(host_path(raw)) == raw
