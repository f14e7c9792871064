"""The keys of the console over SSH: its own, and those that it lets in."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.conch.ssh.keys import Key

from etlmon.errors import EtlmonError
from etlmon.text import shell_word

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 1 << 20


class KeyTrouble(EtlmonError):
    """A file with keys cannot be used."""


def host_key(path: Path) -> Key:
    """Give the node's own key; made if there is none. Raises KeyTrouble."""
    try:
        if not os.path.lexists(path):
            _make(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if found.st_mode & 0o077:
                raise KeyTrouble(f"others can read {path}: chmod 600 {shell_word(str(path))}")
            key: Key = Key.fromString(file.read(_MOST_BYTES))
    except OSError as error:
        raise KeyTrouble(f"cannot use the console's key {path}: {error.strerror}") from error
    except KeyTrouble:
        raise
    except Exception as error:  # whatever conch makes of a file that is no key
        raise KeyTrouble(f"{path} holds no key: remove it, and a new one is made") from error
    if key.isPublic():
        raise KeyTrouble(f"{path} holds a public key: remove it, and a new one is made")
    return key


def _make(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    )
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.rename(path)
    except BaseException:
        fresh.unlink()
        raise


def authorized_keys(path: str) -> list[tuple[Key, str]]:
    """Give the public keys of a file, each with what it is called. Raises KeyTrouble.

    A line is a kind, the key and a comment, as in OpenSSH's file; one with options is not taken,
    for their restrictions would be lost. The file must be root's or ours, and nobody else's to
    write.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise KeyTrouble(f"{path} is no file")
            if found.st_uid not in (0, os.geteuid()):
                raise KeyTrouble(
                    f"{path} belongs to uid {found.st_uid}: chown root {shell_word(path)}"
                )
            if found.st_mode & 0o022:
                raise KeyTrouble(f"others can write {path}: chmod go-w {shell_word(path)}")
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeyTrouble(f"cannot read {path}: {error.strerror}") from error
    if len(text) > _MOST_BYTES:
        raise KeyTrouble(f"{path} has more than {_MOST_BYTES} bytes")
    return [one for line in text.splitlines() if (one := _public(line)) is not None]


def _public(line: bytes) -> tuple[Key, str] | None:
    line = line.strip()
    if not line or line.startswith(b"#"):
        return None
    try:
        key = Key.fromString(line, type="public_openssh")
    except Exception:  # conch raises what it likes on a line that is no key
        return None
    comment = line.split(None, 2)[2:]
    name = comment[0].decode("utf-8", "replace") if comment else key.fingerprint()
    return key, name
