"""Exclude patterns: examples, find and the standard library as judges, and hostile names."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, reject, settings
from hypothesis import strategies as st

from etlmon.collectors.path.exclude import compile_exclude


def excluded(patterns: str | Sequence[str], path: str) -> bool:
    source = compile_exclude([patterns] if isinstance(patterns, str) else patterns)
    assert source is not None
    return re.fullmatch(source, path) is not None


@pytest.mark.parametrize(
    ("pattern", "matched", "passed"),
    [
        (
            "*.tmp",
            ["a.tmp", ".tmp", "x/y/a.tmp", "a.tmp/"],
            ["a.tmpx", "a.tmp/b", "tmp"],
        ),
        ("a", ["a", "a/", "x/a", "x/a/"], ["b", "a/b", "ab", "xa"]),
        ("a/", ["a/", "x/a/"], ["a", "x/a", "a/b"]),
        ("*", ["a", "a/", "x/y"], []),
        ("?", ["a", "x/b", "é", "\n", "\udcff"], ["ab", "x/ab"]),
        ("a/b", ["a/b", "a/b/"], ["x/a/b", "b", "a/b/c", "a/xb"]),
        ("/a", ["a", "a/"], ["x/a", "a/b"]),
        ("/a/", ["a/"], ["a", "x/a/"]),
        ("a/*", ["a/b", "a/b/", "a/.b"], ["a", "a/", "a/b/c"]),
        ("a/*/c", ["a/b/c"], ["a/c", "a/b/b/c", "a//c"]),
        ("a/?", ["a/b", "a/b/"], ["a/", "a/bc"]),
        ("a/**", ["a/b", "a/b/", "a/b/c"], ["a", "a/", "ab"]),
        ("a/**/", ["a/b/", "a/b/c/"], ["a/", "a/b"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b/"], ["a/xb", "ab", "b", "x/a/b"]),
        ("**/b", ["b", "x/b", "x/y/b/"], ["xb", "x/yb", "b/x"]),
        ("**/a/**/b/*.c", ["a/b/x.c", "x/a/y/z/b/x.c"], ["a/b/x/x.c", "a/x.c", "b/x.c"]),
        ("a/x**y", ["a/xy", "a/x/y", "a/x/z/wy/"], ["a/x", "a/y"]),
        ("[a-c]x", ["ax", "d/bx"], ["dx", "x", "-x"]),
        ("[!a-c]x", ["dx", "-x", "\nx"], ["ax", "x"]),
        ("[^a]", ["b"], ["a"]),
        ("[]]", ["]"], ["a", "[]]"]),
        ("[!]]", ["a"], ["]"]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[z-a]", [], ["z", "a", "[z-a]"]),
        ("[!z-a]", ["z", "-"], ["zz"]),
        ("[", ["["], ["a"]),
        ("[ab", ["[ab"], ["a"]),
        ("x/[!a]", ["x/b"], ["x/a", "x//"]),
        ("x[!a]y/z", [], ["x/y/z", "xay/z"]),
        ("x[+-9]y/z", ["x7y/z"], ["x/y/z"]),
        ("[[:digit:]x]*", ["7up", "x"], ["up", ":"]),
        (r"\*", ["*"], ["a", r"\*"]),
        (r"[\]a]", ["]", "a"], ["\\"]),
        (r"a\[b]", ["a[b]"], ["ab"]),
        ("a.b+c(d)|e$^{2}#", ["a.b+c(d)|e$^{2}#"], ["aXb+c(d)|e$^{2}#"]),
        ("[a&&b||c--d~~e]", ["&", "|", "~", "a"], ["f"]),
        ("*\n*", ["a\nb", "x/\n"], ["ab", "\n/a"]),
        ("a", [], ["a\n", "\na"]),
        ("*\udcff", ["x\udcff"], ["x\udcfe"]),
    ],
)
def test_pattern(pattern: str, matched: list[str], passed: list[str]) -> None:
    assert [path for path in matched if not excluded(pattern, path)] == []
    assert [path for path in passed if excluded(pattern, path)] == []


def test_several_patterns_are_one_expression() -> None:
    patterns = ["*.tmp", "/cache/", "logs/**/*.gz", "core"]
    for path in ("x/a.tmp", "cache/", "logs/a.gz", "logs/2024/01/a.gz", "a/core"):
        assert excluded(patterns, path)
    for path in ("cache", "x/cache/", "a.gz", "score", "logs/"):
        assert not excluded(patterns, path)
    assert compile_exclude([]) is None


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", '"" is not a pattern: it holds no name'),
        ("//", '"//" is not a pattern: it holds no name'),
        ("a\\", '"a\\" ends in a backslash; write \\\\ for a backslash itself'),
        ("[[:nonsense:]]", '"[[:nonsense:]]": there is no character class [:nonsense:]'),
    ],
)
def test_pattern_that_makes_no_sense(pattern: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        compile_exclude(["fine", pattern])


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory of all names of up to three of the characters that patterns are made of."""
    path = tmp_path_factory.mktemp("names")
    letters = "ab-]!["
    for one in letters:
        for two in ["", *letters]:
            for three in ["", *letters] if two else [""]:
                (path / f"{one}{two}{three}").touch()
    return path


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text("ab-]![*?\\", min_size=1, max_size=6))
@example("[a-]")
@example("[!]a]*")
@example("*a*b*")
def test_name_patterns_match_as_find_matches(names: Path, pattern: str) -> None:
    # To glibc "[x-" without an end matches nothing at all; the shell takes it as it stands.
    assume(not ("[" in pattern and pattern.endswith("-")))
    try:
        compile_exclude([pattern])
    except ValueError:
        reject()
    command = ["find", names, "-mindepth", "1", "-name", pattern, "-printf", "%f\\0"]
    found = subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C"}).stdout
    ours = {name for name in os.listdir(names) if excluded(pattern, name)}  # noqa: PTH208
    assert ours == set(found.decode().split("\0")[:-1])


def reference(pattern: list[str], path: list[str]) -> bool:
    """Match name by name, in the slow and obvious way."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(reference(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return (
        bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and reference(pattern[1:], path[1:])
    )


parts = st.text("ab*?", min_size=1, max_size=6).filter(lambda part: "**" not in part)


@settings(max_examples=500, deadline=None)
@given(
    pattern=st.lists(parts | st.just("**"), min_size=1, max_size=4),
    path=st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=6),
    directory=st.booleans(),
    directories_only=st.booleans(),
)
def test_path_patterns_match_name_by_name(
    pattern: list[str], path: list[str], directory: bool, directories_only: bool
) -> None:
    expected = reference(pattern, path) and (directory or not directories_only)
    written = "/" + "/".join(pattern) + "/" * directories_only
    assert excluded(written, "/".join(path) + "/" * directory) == expected


@settings(max_examples=500, deadline=None)
@given(
    pattern=st.text("ab*?/", min_size=3, max_size=9).filter(
        lambda text: "***" not in text and not re.search(r"//|(^|/)\*\*(/|$)|^/|/$", text)
    ),
    path=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join),
)
def test_double_star_within_a_name_crosses_slashes(pattern: str, path: str) -> None:
    """The plain translation, which may backtrack, is the judge."""
    written = pattern if "/" in pattern else "/" + pattern
    meanings = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    plain = re.sub(r"\*\*|\*|\?", lambda star: meanings[star[0]], pattern)
    assert excluded(written, path) == (re.fullmatch(plain, path) is not None)


@pytest.mark.parametrize(
    "pattern",
    [
        "*a*a*a*a*a*b",
        "*a?a*a?*a*[!a]",
        "/*a*a*a*a*b",
        "**/*a*a*a*/**/*a*a*a*b",
        "/**a**a**a**a**b",
        "x/**a*a*a*a*b/**c",
        "**/a*/**/a*/**/a*/**/b",
        "*" * 50 + "b",
    ],
)
@pytest.mark.parametrize(
    "path",
    ["a" * 250, "/".join(["a" * 250] * 400), "x/" + "a/" * 50_000 + "a", "x/" + "aaaa/" * 20_000],
)
def test_hostile_names_take_no_time(pattern: str, path: str) -> None:
    source = compile_exclude([pattern, pattern + "/"])
    assert source is not None
    matches = re.compile(source).fullmatch
    began = time.process_time()
    assert matches(path) is None
    assert time.process_time() - began < 10  # seconds of CPU; else it is hours
