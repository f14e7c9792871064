"""The file with the token of a client: ``auth.token_file`` in ui.yaml, ``--token-file``."""

from __future__ import annotations

import os
import stat

from etlmon.errors import EtlmonError
from etlmon.text import shell_word

_MOST_BYTES = 4_096


def read_token_file(path: str, named: str) -> str:
    """Give the token in a file; ``named`` is what the file is called where it was asked for.

    Raises EtlmonError with the remedy. The content is never shown: it may be a secret of another
    kind. Who can read the file can do what its owner may, so nobody else is to be able to.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise EtlmonError(f"cannot read {named}: {path}: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise EtlmonError(f"cannot read {named}: {path} is not a plain file")
        if stat.S_IMODE(found.st_mode) & 0o077:
            mode = f"{stat.S_IMODE(found.st_mode):04o}"
            raise EtlmonError(
                f"cannot use {named}: {path} is open to others (mode {mode}); "
                f"chmod 600 {shell_word(path)}"
            )
        raw = os.read(descriptor, _MOST_BYTES + 1)
    except OSError as error:
        raise EtlmonError(f"cannot read {named}: {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    try:
        token = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token or len(raw) > _MOST_BYTES:
        raise EtlmonError(f"{path}: no token is in it; it is one word")
    return token
