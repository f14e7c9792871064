"""The secrets of a command line: by the names that they bear, by the programs that take them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from etlmon.patterns import Pattern
from etlmon.redaction.programs import NAMES, REDACTED, by_program, hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WORDS = (
    "passw(?:or)?d|passwort|passphrase|passwd|pwd|secret|token|credentials?|rediscli_auth|"
    "(?:api|access|account|secret|private|auth|encryption|shared)[-_.]?key|signature"
)
_SHORT = r"\bpass|[-_.]pass|(?:ssh|pg|db|my|ftp|key|store|ldap|root|user|admin|http|smtp|mail)pass"
# What it is about a secret that is none itself: --password-file, --token-type, ACCESS_KEY_ID.
_HARMLESS = frozenset(
    "file files path dir directory url uri type name id ids method mode length size ttl expiry "
    "expires lifetime policy provider store prompt count limit max min stdin fd".split()
)
_NOT_NAMES = frozenset(("PWD", "OLDPWD"))
_PASSES = re.compile(r"-*(?:(?:by|first|last|multi|one|second|single|two)[-_.])pass")
_NO_PASSWORD = re.compile(r"(?:env|file|fd):.*|stdin|[0-9]", re.DOTALL)
"""What stands after -pass of openssl where the secret stands elsewhere; -pass 1 of ffmpeg."""
_SCRIPT_NEXT = re.compile("-[a-z]{0,8}c")
"""The option of shells that a script follows, of many words."""
_VALUE = r"""("[^"]*"|'[^']*'|[^\s&;,"']+)"""
_STRING = r"""(?:"[^"]*"|'[^']*')"""

# Nearly all command lines have nothing of this, and are left alone by one quick look.
_NAMED = (
    rf"(?i){_WORDS}|pass|assword|://[^/\s]*@|[?&]sig=|bearer|basic|authorization|cookie|\bauth\s*=|"
    r"\|\s*(?:\S*/)?(?:sudo|kinit|cryptsetup|gpg2?|su|smbpasswd|pdbedit)\s"
)
_PROGRAMS = rf"""(?:^|[\s/"'(;|&])(?:{"|".join(map(re.escape, sorted(NAMES)))})["']?\s"""
_SUSPECT = f"{_PROGRAMS}|{_NAMED}"
_ASSIGNED = rf"""(?i)([\w.-]*(?:{_WORDS}|{_SHORT})[\w.-]*)(["']?\s*[=:]\s*){_VALUE}"""
_OPTION_IN_TEXT = rf"(?i)(\s--?[\w.-]*(?:{_WORDS}|{_SHORT})[\w.-]*)(\s+){_VALUE}"
_SLASHED = rf"(?i)(^|\s)(/(?:password|passwd|pass|gp|pw)):{_VALUE}"
_USER_IN_URL = r"""(://[^\s/:@"']*:)([^\s/"']+)(@)"""
_USER_ALONE_IN_URL = r"""(https?://)([\w.~%-]{20,})(@)"""
_SIGNED_URL = r"""(?i)([?&]sig=)([^\s&"']+)"""
_HEADER = r"""(?i)(\b(?:proxy-)?authorization["']?\s*[:=]\s*|\b(?:set-)?cookie:\s*)([^"']+)"""
_SCHEME = r"(?i)\b((?:bearer|basic)\s+)([\w.~+/=-]{8,})"
_PAIR_IN_CODE = rf"""(?i)(\bauth["']?\s*[=:]\s*\w*[(\[]\s*{_STRING}\s*,\s*)({_STRING})"""
_SENT = rf"(?i)(ass(?:word|phrase|code)[^\n]{{0,80}}?\bsend\s+(?:--\s+)?)({_STRING}|[^\s;}}]+)"
_PIPED = (
    rf"""(\b(?:echo|printf)\s+(?:-[neE]+\s+)?)({_STRING}|[^\s"'|;&]+)(\s*\|\s*(?:\S*/)?(?:"""
    r"sudo\s+(?:-\S+\s+)*-[A-Za-z]*S|(?:docker|podman|helm)\s[^|;&]*--password-stdin|"
    r"(?:kinit|chpasswd|passwd|smbpasswd|pdbedit|cryptsetup|su)\b|gpg2?\s[^|;&]*--passphrase-fd))"
)
_NAME = (
    rf"(?i)(?:{_WORDS})[0-9]*$|(?:^|[-_.])(?:{_WORDS}|pass)(?:$|[-_.])|^-*[a-z0-9_.-]*(?:{_SHORT})$"
)
_LONGEST_NAME = 200


class Redaction:
    """Takes secrets out of command lines.

    ``patterns`` are regular expressions on the whole line: their groups are taken out, or all
    that they match if they have none. Raises ValueError if one is no pattern.
    """

    def __init__(self, patterns: Iterable[str] = (), *, defaults: bool = True) -> None:
        self._patterns = [Pattern(text) for text in patterns]
        self._defaults = defaults

    def line(self, arguments: Sequence[str]) -> str:
        """Give the arguments of a process as one line without secrets."""
        line = " ".join(arguments)
        if self._defaults and _pattern(_SUSPECT).finds(line.encode()):
            line = " ".join(_without_usual(list(arguments)))
        for pattern in self._patterns:
            line = pattern.replace(line, _hide_groups)
        return line


@lru_cache(maxsize=32)
def _pattern(text: str) -> Pattern:
    """Give a pattern of this module, made when it is needed first."""
    return Pattern(text)


def _without_usual(arguments: list[str]) -> list[str]:
    """Give arguments without the secrets that are usual."""
    shown = by_program(arguments)
    if not _pattern(_NAMED).finds(" ".join(shown).encode()):
        return shown
    for place, argument in enumerate(shown):
        name, equals, value = argument.partition("=")
        before = shown[place - 1] if place else ""
        if _is_value_of(before, argument):
            shown[place] = REDACTED
        elif equals and value and not _SCRIPT_NEXT.fullmatch(before) and _is_secret_word(name):
            shown[place] = f"{name}={REDACTED}"
        else:
            shown[place] = _in_text(argument)
    return shown


def _is_value_of(option: str, argument: str) -> bool:
    """Whether an argument is the secret that the option before it announces."""
    if not option.startswith("-") or "=" in option or argument.startswith("--"):
        return False
    return _is_secret(option) and not _is_elsewhere(option, argument)


def _is_elsewhere(option: str, value: str) -> bool:
    return option.endswith("-pass") and _NO_PASSWORD.fullmatch(value) is not None


def _in_text(text: str) -> str:
    """Take secrets out of an argument that may be a script, a URL, JSON or a header."""
    for pattern in (_SENT, _PIPED, _PAIR_IN_CODE):
        text = _pattern(pattern).replace(text, _hide_second)
    text = _pattern(_HEADER).replace(text, lambda found: f"{found[1]}{REDACTED}")
    text = _pattern(_SCHEME).replace(text, _hide_token)
    for pattern in (_USER_IN_URL, _USER_ALONE_IN_URL):
        text = _pattern(pattern).replace(text, lambda found: f"{found[1]}{REDACTED}{found[3]}")
    text = _pattern(_SIGNED_URL).replace(text, lambda found: f"{found[1]}{REDACTED}")
    text = _pattern(_SLASHED).replace(text, lambda found: f"{found[1]}{found[2]}:{REDACTED}")
    text = _pattern(_ASSIGNED).replace(text, _hide_value)
    return _pattern(_OPTION_IN_TEXT).replace(text, _hide_value)


def _hide_value(found: Any) -> str:
    name = found[1].strip()
    if not _is_secret(name) or _is_elsewhere(name, found[3]):
        return str(found[0])
    return f"{found[1]}{found[2]}{REDACTED}"


def _hide_second(found: Any) -> str:
    rest = found[3] if len(found.groups()) > 2 else None
    return f"{found[1]}{hidden(found[2])}{rest or ''}"


def _hide_token(found: Any) -> str:
    """Hide what follows ``bearer`` and ``basic``, where it does not look like a plain word."""
    token = found[2]
    is_plain = token.islower() and not any(c.isdigit() or c in "=+" for c in token)
    return str(found[0]) if is_plain else f"{found[1]}{REDACTED}"


def _is_secret(name: str) -> bool:
    """Whether what bears this name is a secret, and not just something about one."""
    if name in _NOT_NAMES or len(name) > _LONGEST_NAME or _PASSES.fullmatch(name.lower()):
        return False
    last = name.replace("_", "-").replace(".", "-").rpartition("-")[2]
    return last.lower() not in _HARMLESS and _pattern(_NAME).finds(name.encode())


def _is_secret_word(name: str) -> bool:
    """Whether it can be the name of an option or a variable, and of one that is a secret."""
    return all(c.isalnum() or c in "-_." for c in name) and _is_secret(name)


def _hide_groups(found: Any) -> str:
    """Give what was found with its groups hidden, or hidden as a whole if it has none."""
    if found.start() == found.end():
        return ""
    spans = sorted(
        found.span(number)
        for number in range(1, len(found.groups()) + 1)
        if found.span(number)[0] >= 0
    )
    if not spans:
        return REDACTED
    whole, begin = found[0], found.start()
    shown, at = [], begin
    for first, last in spans:
        if first >= at and last > first:
            shown += [whole[at - begin : first - begin], REDACTED]
            at = last
    return "".join([*shown, whole[at - begin :]])
