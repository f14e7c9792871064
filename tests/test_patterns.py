"""Patterns that others write: what they find, what they cannot do, and that they end."""

from __future__ import annotations

import time

import pytest

from etlmon.patterns import Pattern


def test_it_finds_anywhere_in_utf8() -> None:
    assert Pattern("일.*é$").finds("어제 일과 é".encode())
    assert not Pattern("^b").finds(b"ab")
    assert Pattern("a|b") == Pattern("a|b") != Pattern("b|a")
    assert len({Pattern("a"), Pattern("a"), Pattern("b")}) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [(r"(a)\1", "invalid escape"), ("a(?=b)", "invalid perl operator"), ("(", "missing")],
)
def test_what_it_cannot_do_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Pattern(text)


def test_a_pattern_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        Pattern(r"\pL{1000}" * 20)


def test_what_holds_others_for_ever_does_not_hold_it() -> None:
    began = time.perf_counter()
    assert not Pattern("(a*)*(a|aa)*c$").finds(b"a" * (1 << 20) + b"b")
    assert time.perf_counter() - began < 60


def test_matches_are_replaced() -> None:
    assert Pattern("(é)(x?)").replace("aéxé", lambda found: f"<{found[1]}>") == "a<é><é>"
