"""Secrets in command lines, taken out before anything is kept, shown or compared.

Everybody on a host can read the arguments of its processes; that is no reason to keep passwords
for a week in a database and to serve them over HTTP. What is done here is best effort: it knows
how secrets are usually handed over, and the configuration can teach it more.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from etlmon.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REDACTED = "[redacted]"

_WORDS = (
    "passw(?:or)?d|passwort|passphrase|passwd|pwd|secret|token|credentials?|"
    "(?:api|access|account|secret|private|auth|encryption|shared)[-_.]?key|signature"
)
# What it is about a secret that is none itself: --password-file, --token-type, ACCESS_KEY_ID.
_HARMLESS = frozenset(
    "file files path dir directory url uri type name id ids method mode length size ttl expiry "
    "expires lifetime policy provider store prompt count limit max min stdin".split()
)
_NOT_NAME_OF_ONES = frozenset(("PWD", "OLDPWD"))
_VALUE = r"""("[^"]*"|'[^']*'|[^\s&;,"']+)"""

# Nearly all command lines have nothing of this, and are left alone by one quick look.
_SUSPECT = rf"(?i){_WORDS}|pass|://[^/\s]*@|[?&]sig=|bearer|basic|authorization|cookie"
_ASSIGNED = rf"""(?i)([\w.-]*(?:{_WORDS}|\bpass|[-_.]pass)[\w.-]*)(["']?\s*[=:]\s*){_VALUE}"""
_OPTION_IN_TEXT = rf"(?i)(\s--?[\w.-]*(?:{_WORDS}|\bpass|[-_.]pass)[\w.-]*)(\s+){_VALUE}"
_USER_IN_URL = r"""(://[^\s/:@"']*:)([^\s/"']+)(@)"""
_SIGNED_URL = r"""(?i)([?&]sig=)([^\s&"']+)"""
_HEADER = r"""(?i)(\b(?:proxy-)?authorization["']?\s*[:=]\s*|\b(?:set-)?cookie:\s*)([^"']+)"""
_SCHEME = r"(?i)\b((?:bearer|basic)\s+)([\w.~+/=-]{8,})"
_NAME_OF_ONE = rf"(?i)(?:{_WORDS})[0-9]*$|(?:^|[-_.])(?:{_WORDS}|pass)(?:$|[-_.])"

# What programs of the trade call their secrets: the options, and what parts the user from it.
_MYSQL = ("-p", None, False)
_PROGRAMS: dict[str, tuple[tuple[str, str | None, bool], ...]] = {
    # option, separator of user and secret, whether the next argument may hold it
    **dict.fromkeys(
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlbinlog mysqlsh mariadb "
        "mariadb-dump mariadb-admin mariadb-import mariadb-check".split(),
        (_MYSQL,),
    ),
    **dict.fromkeys(("7z", "7za", "7zr", "rar", "unrar"), (("-p", None, False),)),
    **dict.fromkeys(("zip", "unzip"), (("-P", None, True),)),
    **dict.fromkeys(
        ("sshpass", "mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "mongoimport"),
        (("-p", None, True),),
    ),
    **dict.fromkeys(("docker", "podman", "beeline", "ncftpput", "ncftpget"), (("-p", None, True),)),
    **dict.fromkeys(("bcp", "isql", "sqlcmd", "tsql", "osql"), (("-P", None, True),)),
    **dict.fromkeys(
        ("ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldappasswd", "ldapwhoami"),
        (("-w", None, True),),
    ),
    "redis-cli": (("-a", None, True),),
    "curl": (
        ("-u", ":", True),
        ("--user", ":", True),
        ("-U", ":", True),
        ("--proxy-user", ":", True),
    ),
    "lftp": (("-u", ",", True), ("--user", ",", True)),
    "smbclient": (("-U", "%", True), ("--user", "%", True)),
}
_ORACLE = frozenset("sqlplus sqlldr exp imp expdp impdp rman tnsping sqlcl".split())
_ORACLE_LOGIN = r"""^((?:userid=)?["']?[A-Za-z][\w$#]*/)([^\s@/]+)(@.*)?$"""
_OPENSSL = r"^(pass:)(.+)$"


class Redaction:
    """Takes secrets out of command lines.

    ``patterns`` are regular expressions on the whole line: their groups are taken out, or all
    that they match if they have none. Raises ValueError if one is no pattern.
    """

    def __init__(self, patterns: Iterable[str] = (), *, defaults: bool = True) -> None:
        self._patterns = [Pattern(text) for text in patterns]
        self._usual = _Usual() if defaults else None

    def line(self, arguments: Sequence[str]) -> str:
        """Give the arguments of a process as one line without secrets."""
        if self._usual is not None:
            arguments = self._usual.without(arguments)
        line = " ".join(arguments)
        for pattern in self._patterns:
            line = pattern.replace(line, _hide_groups)
        return line


class _Usual:
    """Knows how secrets are usually handed over. Its patterns are made when they are needed."""

    @cached_property
    def _suspect(self) -> Pattern:
        return Pattern(_SUSPECT)

    @cached_property
    def _assigned(self) -> Pattern:
        return Pattern(_ASSIGNED)

    @cached_property
    def _option_in_text(self) -> Pattern:
        return Pattern(_OPTION_IN_TEXT)

    @cached_property
    def _user_in_url(self) -> Pattern:
        return Pattern(_USER_IN_URL)

    @cached_property
    def _signed_url(self) -> Pattern:
        return Pattern(_SIGNED_URL)

    @cached_property
    def _header(self) -> Pattern:
        return Pattern(_HEADER)

    @cached_property
    def _scheme(self) -> Pattern:
        return Pattern(_SCHEME)

    @cached_property
    def _secret_name(self) -> Pattern:
        return Pattern(_NAME_OF_ONE)

    @cached_property
    def _oracle_login(self) -> Pattern:
        return Pattern(_ORACLE_LOGIN)

    @cached_property
    def _openssl(self) -> Pattern:
        return Pattern(_OPENSSL)

    def without(self, arguments: Sequence[str]) -> list[str]:
        """Give the arguments without their secrets."""
        found = self._by_program(list(arguments))
        if not self._suspect.finds(" ".join(found).encode()):
            return found
        for place, argument in enumerate(found):
            name, equals, value = argument.partition("=")
            if place and self._is_bare_option(found[place - 1]) and not argument.startswith("--"):
                found[place] = REDACTED
            elif equals and value and _is_word(name) and self._is_secret(name):
                found[place] = f"{name}={REDACTED}"
            else:
                found[place] = self._in_text(argument)
        return found

    def _in_text(self, text: str) -> str:
        """Take secrets out of an argument that may be a script, a URL, JSON or a header."""
        text = self._header.replace(text, lambda m: m[1] + REDACTED)
        text = self._scheme.replace(text, lambda m: m[1] + REDACTED)
        text = self._user_in_url.replace(text, lambda m: m[1] + REDACTED + m[3])
        text = self._signed_url.replace(text, lambda m: m[1] + REDACTED)
        text = self._assigned.replace(text, self._hide_value)
        return self._option_in_text.replace(text, self._hide_value)

    def _hide_value(self, found: Any) -> str:
        secret = self._is_secret(found[1].strip())
        return f"{found[1]}{found[2]}{REDACTED}" if secret else str(found[0])

    def _is_bare_option(self, argument: str) -> bool:
        return argument.startswith("-") and "=" not in argument and self._is_secret(argument)

    def _is_secret(self, name: str) -> bool:
        """Whether what bears this name is a secret, and not just something about one."""
        if name in _NOT_NAME_OF_ONES or len(name) > 200:
            return False
        last = name.replace("_", "-").replace(".", "-").rpartition("-")[2]
        return last.lower() not in _HARMLESS and self._secret_name.finds(name.encode())

    def _by_program(self, arguments: list[str]) -> list[str]:
        """Take out what certain programs take for a secret, also when sudo or a shell runs them."""
        options: tuple[tuple[str, str | None, bool], ...] = ()
        program = ""
        expected: str | None = None
        awaited = False
        for place, argument in enumerate(arguments):
            if awaited:
                arguments[place] = _part(argument, expected)
                awaited = False
                continue
            base = argument.rpartition("/")[2]
            if base in _PROGRAMS or base in _ORACLE or base == "openssl":
                program, options = base, _PROGRAMS.get(base, ())
            elif program in _ORACLE:
                arguments[place] = self._oracle_login.replace(argument, _hide_second)
            elif program == "openssl":
                arguments[place] = self._openssl.replace(argument, _hide_second)
            elif " " in argument and place:
                words = argument.split(" ")
                plain = self._by_program(list(words))
                arguments[place] = " ".join(plain)
            for option, separator, may_be_next in options:
                if argument == option:
                    awaited, expected = may_be_next, separator
                elif argument.startswith(f"{option}="):
                    rest = argument[len(option) + 1 :]
                    arguments[place] = f"{option}={_part(rest, separator)}"
                elif len(option) == 2 and argument.startswith(option):
                    arguments[place] = option + _part(argument[2:], separator)
        return arguments


def _is_word(name: str) -> bool:
    """Whether it can be the name of an option or a variable."""
    return all(c.isalnum() or c in "-_." for c in name)


def _part(value: str, separator: str | None) -> str:
    """Hide a value, or what of it comes after the separator."""
    if separator is None:
        return REDACTED
    user, found, _ = value.partition(separator)
    return f"{user}{found}{REDACTED}" if found else value


def _hide_second(found: Any) -> str:
    rest = found[3] if len(found.groups()) > 2 else None
    return f"{found[1]}{REDACTED}{rest or ''}"


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
