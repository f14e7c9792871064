r"""``exclude`` patterns of a path as one regular expression.

A pattern is matched as the shell would, and what it matches is left out with all that is below:

- without ``/`` against the name, at any depth (``find -name PATTERN -prune``);
- with ``/`` against the path relative to the configured one (``find -path DIR/PATTERN -prune``),
  where ``*`` and ``?`` stay within one name and ``**`` does not; ``**/`` is any number of whole
  directories, none among them;
- ``/`` at the end restricts it to directories, ``/`` at the beginning changes nothing else than
  that the pattern has one;
- ``[abc]``, ``[a-z]``, ``[!a-z]`` and ``[[:digit:]]`` (ASCII) are one character, ``\*`` is a star.

The expression is matched with ``fullmatch`` against the relative path, with ``/`` at the end of
directories.

**It never backtracks far.** Within one name, and between two ``**``, the leftmost match of what
follows a star is always as good as any later one, as the next star takes up the difference. So
each star with what follows it stands in an atomic group, and hostile names cost at most their
length times the pattern's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_ASCII_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\ \t\n\v\f\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}

# Stars, as regular expressions for what they take up: as little as possible.
_IN_NAME = "[^/]*?"
_WHOLE_NAME = "[^/]+?"
_ANYTHING = ".*?"
_SOMETHING = ".+?"
_DIRECTORIES = "(?:.*?/)??"
_NEAR_STARS = frozenset({_IN_NAME, _WHOLE_NAME})
_FAR_STARS = frozenset({_ANYTHING, _SOMETHING, _DIRECTORIES})

# All directories above the name; its own mark at the end, if it is a directory, is not taken.
_ABOVE = r"(?>(?:.*/(?!\Z))?)"
# A slash within a pattern is never the mark at the end of a directory.
_SLASH = r"/(?!\Z)"


def compile_exclude(patterns: Sequence[str]) -> str | None:
    """Give the source of one regular expression for all patterns, None if there are none.

    Raise ValueError, with a text for the person who wrote it, if a pattern makes no sense.
    """
    names: list[str] = []
    paths: list[str] = []
    for pattern in patterns:
        body = pattern.rstrip("/")
        if not body:
            raise ValueError(f'"{pattern}" is not a pattern: it holds no name')
        end = "/" if body != pattern else "/?"
        if "/" in body:
            paths.append(_source(_path_tokens(body.lstrip("/"))) + end)
        else:
            names.append(_source(list(_name_tokens(body))) + end)
    if names:
        paths.append(_ABOVE + "(?:" + "|".join(names) + ")")
    return f"(?s:{'|'.join(paths)})" if paths else None


def _source(tokens: list[str]) -> str:
    """Put tokens together; every star but the last stands in an atomic group with what follows."""
    first, *others = _split(tokens, _FAR_STARS)
    source = _between_far_stars(first, last=not others)
    for number, part in enumerate(others, 1):
        if number < len(others):
            source += f"(?>{_between_far_stars(part, last=False)})"
        else:
            source += _between_far_stars(part, last=True)
    return source


def _between_far_stars(tokens: list[str], *, last: bool) -> str:
    first, *others = _split(tokens, _NEAR_STARS)
    source = "".join(first)
    for number, part in enumerate(others, 1):
        fixed = last and number == len(others)
        source += "".join(part) if fixed else f"(?>{''.join(part)})"
    return source


def _split(tokens: list[str], stars: frozenset[str]) -> list[list[str]]:
    """Split before each star: the first part has none, the others begin with theirs."""
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token in stars:
            parts.append([])
        parts[-1].append(token)
    return parts


def _path_tokens(body: str) -> list[str]:
    """Give the tokens of a pattern with slashes; ``**`` crosses them."""
    tokens: list[str] = []
    names = body.split("/")
    for number, name in enumerate(names, 1):
        final = number == len(names)
        if re.fullmatch(r"\*\*+", name):
            tokens.append(_SOMETHING if final else _DIRECTORIES)
            continue
        tokens.extend([_WHOLE_NAME] if name == "*" else _name_tokens(name, _ANYTHING))
        if not final:
            tokens.append(_SLASH)
    return tokens


def _name_tokens(name: str, double_star: str = _IN_NAME) -> Iterator[str]:
    """Give the regular expressions of a pattern's characters, one after the other."""
    at = 0
    while at < len(name):
        char = name[at]
        if char == "*":
            end = at
            while name[end : end + 1] == "*":
                end += 1
            yield _IN_NAME if end - at == 1 else double_star
            at = end
        elif char == "?":
            yield "[^/]"
            at += 1
        elif char == "[" and (found := _bracket(name, at)):
            source, at = found
            yield source
        else:
            char, at = _character(name, at)
            yield re.escape(char)


def _character(name: str, at: int) -> tuple[str, int]:
    """Give the character at a place, which a backslash may make a plain one, and what is next."""
    if name[at] != "\\":
        return name[at], at + 1
    if at + 1 == len(name):
        raise ValueError(f'"{name}" ends in a backslash; write \\\\ for a backslash itself')
    return name[at + 1], at + 2


def _bracket(name: str, start: int) -> tuple[str, int] | None:
    """Give the source of a ``[...]`` and what is next; None if it is not closed, thus plain."""
    at = start + 1
    negated = name[at : at + 1] in ("!", "^")
    at += negated
    first = at
    items = ""
    while at < len(name):
        if name[at] == "]" and at > first:
            break
        if named := re.compile(r"\[:(\w+):\]").match(name, at):
            if named[1] not in _ASCII_CLASSES:
                raise ValueError(f'"{name}": there is no character class [:{named[1]}:]')
            items += _ASCII_CLASSES[named[1]]
            at = named.end()
            continue
        low, at = _character(name, at)
        high = low
        if name[at : at + 1] == "-" and name[at + 1 : at + 2] not in ("]", ""):
            high, at = _character(name, at + 1)
        if low <= high:
            items += re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}"
    else:
        return None
    if negated:
        return f"[^/{items}]", at + 1
    return (f"(?!/)[{items}]" if items else "(?!)"), at + 1
