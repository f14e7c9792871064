"""Mistakes in a configuration file: one line each, all in one go."""

from __future__ import annotations

from typing import NoReturn

from etlmon.errors import ConfigError

MOST_MISTAKES = 1000
_LONGEST_ECHO = 60


def visible(text: str) -> str:
    r"""Make text fit for one line: control characters as ``\n``, ``\x1b``; cut when long."""
    cut = text if len(text) <= _LONGEST_ECHO else text[: _LONGEST_ECHO - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def keyed(key: str) -> str:
    """Give the last part of a path for a key that the user chose: ``["/data"]``."""
    return f'["{visible(key)}"]'


class Mistakes:
    """The mistakes of one file, in the order of its lines."""

    def __init__(self, name: str) -> None:
        # The name is not cut: a message that hides which file it means is of no use.
        self._name = "".join(visible(c) for c in name)
        self._found: list[tuple[int, str]] = []
        self._paths: list[str] = []

    def add(self, line: int, path: str, text: str) -> None:
        """Note a mistake at ``path``, on ``line`` (from 1).

        Raises ConfigError when there are too many to be of use; only garbage has a thousand.
        """
        self._paths.append(path)
        self._found.append((line, f"{self._name}:{line}: {path or 'the file'}: {text}"))
        if len(self._found) == MOST_MISTAKES:
            more = f"{self._name}: more than {MOST_MISTAKES} mistakes; mend these first"
            raise ConfigError([*self._lines(), more])

    def fail(self, text: str, line: int | None = None) -> NoReturn:
        """Raise ConfigError for a mistake after which nothing more can be read."""
        place = self._name if line is None else f"{self._name}:{line}"
        raise ConfigError([f"{place}: {text}"])

    def below(self, path: str) -> bool:
        """Say whether anything at or below ``path`` is wrong; the empty path is the whole file."""
        return any(
            not path or bad == path or bad.startswith((f"{path}.", f"{path}["))
            for bad in self._paths
        )

    def check(self) -> None:
        """Raise ConfigError with all mistakes, if there are any."""
        if self._found:
            raise ConfigError(self._lines())

    def _lines(self) -> list[str]:
        return [text for _, text in sorted(self._found, key=lambda found: found[0])]
