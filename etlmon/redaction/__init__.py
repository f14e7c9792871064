"""Secrets in command lines, taken out before anything is kept, shown or compared.

Everybody on a host can read the arguments of its processes; that is no reason to keep passwords
for a week in a database and to serve them over HTTP. What is done here is best effort: it knows
how secrets are usually handed over, and the configuration can teach it more.
"""

from __future__ import annotations

from etlmon.redaction.line import Redaction
from etlmon.redaction.programs import REDACTED

__all__ = ["REDACTED", "Redaction"]
