"""Which jobs start the scripts of a directory by run-parts: what Debian's crontab is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etlmon.host.crontabs import PERIODS

if TYPE_CHECKING:
    from etlmon.collectors.cron.times import Coming

_DIRECTORY = re.compile(rb"[ \t](/etc/cron\.(?:%s))/?(?=[\s;|&})]|$)" % "|".join(PERIODS).encode())
_OPTIONS = re.compile(rb"(?:[ \t]+-[^ \t]+)*[ \t]*")
_RUN_PARTS = b"run-parts"
_UNLESS_ANACRON = re.compile(rb"(?:test|\[)[ \t]+-x[ \t]+/usr/sbin/anacron\b[^|]*\|\|")
_SEARCHED_BYTES = 1_000


@dataclass(frozen=True)
class Starter:
    """What starts the scripts of a run-parts directory: its times are theirs."""

    job_id: str
    schedule: str
    user: str | None
    coming: Coming


def leaves_to_anacron(command: bytes) -> bool:
    """Tell whether a command does nothing where anacron is installed."""
    return _UNLESS_ANACRON.search(command[:_SEARCHED_BYTES]) is not None


def started_by(command: bytes) -> bytes | None:
    """Give the directory whose scripts a command starts by run-parts; None if there is none.

    In the time that the length of the command takes: anybody can write one.
    """
    begin = 0
    for found in _DIRECTORY.finditer(command):
        at = command.rfind(_RUN_PARTS, begin, found.start())
        if at >= 0 and _OPTIONS.fullmatch(command, at + len(_RUN_PARTS), found.start()):
            return found[1]
        begin = found.end()
    return None
