"""What certain programs take for a secret: options of theirs, and words at certain places.

A program is known by its name wherever it stands, since sudo, a shell or somebody's script may run
it. Names that are words of the language too count only where a command begins.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from etlmon.redaction.words import is_end, pieces, unquoted

REDACTED = "[redacted]"


class Option(NamedTuple):
    """An option that bears a secret."""

    name: str
    after: str | None = None
    """What parts the user from the secret; None where all of the value is one."""
    is_next: bool = True
    """Whether the next argument may be the value; else it is a part of this one."""
    others: str = ""
    """The letters that may stand before its own in one argument, such as ``-su``."""
    is_glued: bool = True
    """Whether the value may follow the letter at once, where it is one letter."""

    def awaits(self, argument: str) -> bool:
        """Whether an argument is the option, or ends in it, so that the value is the next one."""
        if not self.is_next:
            return False
        is_several = bool(self.others) and argument[0] == "-" and argument[-1] == self.name[-1]
        return argument == self.name or (is_several and not argument[1:-1].strip(self.others))

    def begins(self, argument: str) -> str:
        """Give what of an argument is the option, where the value follows in it; else nothing."""
        name = self.name
        if (len(name) == 2 and self.is_glued) or not self.is_next:
            is_begun = argument.startswith(name) and argument != name
        else:
            name += "="
            is_begun = argument.startswith(name)
        return name if is_begun else ""


class Place(NamedTuple):
    """Words of a command behind which, some words on, a secret stands."""

    words: tuple[str, ...]
    between: int = 0


def _each(names: str, *options: Option) -> dict[str, tuple[Option, ...]]:
    return dict.fromkeys(names.split(), options)


_CURL = "fgijklnpqsvGILNORS#012346"
_LDAP = "xZvnLcMtTuAC"
# These take a password by -p to log in; otherwise -p is for ports, projects and parents.
_TO_LOG_IN = _each("docker podman nerdctl buildah skopeo helm oras az", Option("-p"))
_OPTIONS: dict[str, tuple[Option, ...]] = {
    **_TO_LOG_IN,
    **_each(
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlbinlog mysqlslap mysqlsh "
        "mysqlpump mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-show "
        "mycli mydumper myloader xtrabackup mariabackup",
        Option("-p", is_next=False),
    ),
    **_each("7z 7za 7zr 7zz", Option("-p", is_next=False)),
    **_each("rar unrar", Option("-p", is_next=False), Option("-hp", is_next=False)),
    **_each("zip unzip", Option("-P", others="rqjoneuvlmTyX0123456789")),
    **_each(
        "sshpass mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop "
        "mongofiles beeline ncftp ncftpput ncftpget ncftpls cqlsh rabbitmqadmin useradd usermod "
        "smbmap crackmapexec netexec rdesktop ipmipower ipmi-sensors ipmi-sel ipmi-chassis",
        Option("-p"),
    ),
    **_each("bcp freebcp isql sqlcmd tsql osql fisql ipmitool", Option("-P")),
    **_each(
        "ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldapcompare ldapmodrdn ldapexop vsql",
        Option("-w", others=_LDAP),
    ),
    "ldappasswd": (Option("-w", others=_LDAP), Option("-s"), Option("-a")),
    **_each(
        "snmpget snmpgetnext snmpwalk snmpbulkget snmpbulkwalk snmpset snmptable snmptest snmptrap "
        "snmpinform snmpstatus snmpdf snmpdelta",
        Option("-c"),
        Option("-A"),
        Option("-X"),
    ),
    **_each("redis-cli valkey-cli keydb-cli", Option("-a")),
    "curl": (
        Option("-u", ":", others=_CURL),
        Option("--user", ":"),
        Option("-U", ":", others=_CURL),
        Option("--proxy-user", ":"),
    ),
    **_each("http https xh xhs", Option("-a", ":"), Option("--auth", ":")),
    "lftp": (Option("-u", ","), Option("--user", ",")),
    **_each(
        "smbclient smbget smbcacls smbspool rpcclient winexe wmic net smbtree samba-tool",
        Option("-U", "%"),
        Option("--user", "%"),
    ),
    **_each("plink pscp psftp nzsql nzload", Option("-pw")),
    **_each("xfreerdp xfreerdp3 wlfreerdp sdl-freerdp", Option("/p:", is_next=False)),
    "openssl": (
        Option("-k", is_glued=False),
        Option("-K", is_glued=False),
        Option("-hmac"),
        Option("-macopt", ":"),
    ),
    **_each("keytool jarsigner", Option("-storepass"), Option("-keypass")),
}
_PLACES: dict[str, tuple[Place, ...]] = {
    **dict.fromkeys(("vault", "bao"), (Place(("login",)),)),
    "openssl": (Place(("passwd",)),),
    "db2": (Place(("using",)),),
    "mc": (Place(("alias", "set"), 3), Place(("config", "host", "add"), 3)),
    "rabbitmqctl": tuple(
        Place((verb,), 1) for verb in ("add_user", "change_password", "authenticate_user")
    ),
    "aws": tuple(
        Place(("configure", "set", name)) for name in ("aws_secret_access_key", "aws_session_token")
    ),
}
_MOST_WORDS = 20
"""So many words of one command are looked at for places."""
_ORACLE = frozenset("sqlplus sqlldr exp imp expdp impdp rman tnsping sqlcl".split())
_ORACLE_LOGIN = re.compile(r"""((?:userid=)?["']?[A-Za-z][\w$#]*/)([^\s@/]+)(@.*)?""", re.DOTALL)
_OWN_LANGUAGE = frozenset(("lftp", "db2"))
"""An argument of theirs may hold whole commands of their own."""
_COMMON_WORDS = frozenset(
    "exp imp zip rar net http https mc db2 az helm vault bao docker isql".split()
)
# Before a command, with arguments of their own, of which not all are known here.
_STARTERS = frozenset(
    "sudo doas env nice ionice timeout nohup time setsid chrt taskset flock su runuser xargs exec "
    "command sh bash dash ksh zsh busybox stdbuf strace unbuffer chronic cronic systemd-run "
    "systemd-cat docker podman kubectl ssh find watch parallel if then else do while until ! { "
    "sshpass".split()
)
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_MOST_DEPTH = 4
"""So deep are commands in quotes looked into, as those that ssh has a shell run there."""

NAMES = frozenset((*_OPTIONS, *_PLACES, *_ORACLE, "htpasswd"))
"""The programs that are known."""


def by_program(arguments: list[str]) -> list[str]:
    """Give the arguments of a process without what programs among them take for a secret."""
    command = _Command("", 0)
    return [command.take(argument) for argument in arguments]


def hidden(value: str, after: str | None = None) -> str:
    """Hide a value, or what of it comes after a separator; quotes around it stay."""
    begin, inner, end = unquoted(value)
    if after is None:
        return f"{begin}{REDACTED}{end}"
    user, found, _ = inner.partition(after)
    return f"{begin}{user}{found}{REDACTED}{end}" if found else value


class _Command:
    """One command, as far as it has been read; ``depth`` says within how many others it stands."""

    def __init__(self, program: str, depth: int) -> None:
        self._depth = depth
        self._awaited: Option | None = None
        self._is_begin = True
        """Whether a program may be named here: no other one has been."""
        self._is_started = False
        """Whether something stands before it that starts it."""
        self._begin(program)

    def _begin(self, program: str) -> None:
        self._program = program
        self._options = () if program in _TO_LOG_IN else _OPTIONS.get(program, ())
        self._words: list[str] = []
        self._letters: set[str] = set()

    def take(self, argument: str) -> str:
        """Give an argument without its secret."""
        if self._awaited is not None:
            option, self._awaited = self._awaited, None
            return hidden(argument, option.after)
        begin, inner, end = unquoted(argument)
        if not inner:
            return argument
        base = inner.rpartition("/")[2]
        is_program = base in NAMES and base != self._program
        if is_program and (self._is_begin or base not in _COMMON_WORDS):
            self._begin(base)
        elif self._program:
            shown = self._of_program(inner)
            if shown != inner:
                return f"{begin}{shown}{end}"
        if self._depth < _MOST_DEPTH and any(blank in inner for blank in " \t\n"):
            within = self._program if self._program in _OWN_LANGUAGE else ""
            return f"{begin}{_of_text(inner, within, self._depth + 1)}{end}"
        self._is_started = self._is_started or base in _STARTERS
        self._is_begin = self._is_begin and (
            self._is_started or _ASSIGNMENT.match(inner) is not None
        )
        return argument

    def _of_program(self, argument: str) -> str:
        for option in self._options:
            if option.awaits(argument):
                self._awaited = option
                return argument
            begun = option.begins(argument)
            if begun:
                return begun + hidden(argument[len(begun) :], option.after)
        if self._program in _ORACLE:
            found = _ORACLE_LOGIN.fullmatch(argument)
            return f"{found[1]}{REDACTED}{found[3] or ''}" if found else argument
        if self._program == "openssl" and argument.startswith("pass:"):
            return f"pass:{REDACTED}"
        if argument.startswith("-"):
            self._letters |= set(argument[1:])
            return argument
        return self._of_place(argument)

    def _of_place(self, word: str) -> str:
        """Give a word that is no option; a secret is known by those before it."""
        program, words = self._program, self._words
        if program == "sshpass":  # what begins here is another command, with options of its own
            self._begin("")
        if len(words) >= _MOST_WORDS:
            return word
        before = len(words)
        words.append(word)
        if program in _TO_LOG_IN and word == "login":
            self._options = _OPTIONS[program]
        if program == "htpasswd" and "b" in self._letters:
            return REDACTED if before == (1 if "n" in self._letters else 2) else word
        for place in _PLACES.get(program, ()):
            at = before - place.between - len(place.words)
            if at >= 0 and tuple(words[at : before - place.between]) == place.words:
                return word if "=" in word else REDACTED
        return word


def _of_text(text: str, program: str, depth: int) -> str:
    """Give the text of commands without the secrets of their programs."""
    command = _Command(program, depth)
    shown = []
    for piece in pieces(text):
        if is_end(piece):
            command = _Command(program, depth)
        shown.append(piece if is_end(piece) or piece.isspace() else command.take(piece))
    return "".join(shown)
