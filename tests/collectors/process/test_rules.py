"""The criteria of a watch, and what is not read where another one has decided already."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from etlmon.collectors.process.rules import Rule
from etlmon.config.watched import ProcessWatch
from etlmon.host.users import Users


class Stat:
    pid = 7
    comm = b"etl_worker_long"
    is_kernel_thread = False
    has_ended = False


class Candidate:
    """Stands for a process; what is not given may not be read at all."""

    def __init__(self, **known: Any) -> None:
        self.stat: Any = Stat()
        self.name = "etl_worker_long_name"
        for name, value in known.items():
            setattr(self, name, value)


def selects(known: dict[str, Any], **criteria: Any) -> bool | None:
    rule = Rule(ProcessWatch(**criteria), Users(lambda: 0.0))
    return rule.selects(Candidate(**known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("criteria", "known", "expected"),
    [
        ({"pid": 7}, {}, True),
        ({"pid": 8}, {}, False),
        ({"comm": "etl_worker_long_name"}, {}, True),
        ({"comm": "etl_worker"}, {}, False),
        ({"match": "^etl_worker_long_name$"}, {}, True),
        ({"match": "--job 5"}, {"line": "x --job 5"}, True),
        ({"match": "--job 5"}, {"line": "x --job 6"}, False),
        ({"match": "--job 5"}, {"line": None}, None),
        ({"match": "데이터"}, {"line": "x 데이터"}, True),
        ({"user": "root"}, {"owner": (0, None)}, True),
        ({"user": "0"}, {"owner": (0, 5)}, True),
        ({"user": "root"}, {"owner": (1, None)}, False),
        ({"user": "nobody at all"}, {"owner": (1, None)}, False),
        ({"user": "root"}, {"owner": None}, None),
        ({"exe": "/usr/bin/etl"}, {"exe": "/usr/bin/etl"}, True),
        ({"exe": "/usr/bin/etl"}, {"exe": "/usr/bin/etl2"}, False),
        ({"exe": "/usr/bin/etl"}, {"exe": None}, None),
        ({"cgroup": "/a/b"}, {"cgroup": "/a/b"}, True),
        ({"cgroup": "/a/b/"}, {"cgroup": "/a/b/c"}, True),
        ({"cgroup": "/a/b"}, {"cgroup": "/a/bc"}, False),
        ({"cgroup": "/"}, {"cgroup": "/a"}, True),
        ({"cgroup": "etl.service"}, {"cgroup": "/system.slice/etl.service/x"}, True),
        ({"cgroup": "etl.service"}, {"cgroup": "/system.slice/retl.service"}, False),
        ({"cgroup": "/a"}, {"cgroup": None}, None),
        ({"comm": "etl_worker_long", "user": "root"}, {"owner": (1, None)}, False),
        ({"user": "root", "cgroup": "/a"}, {"owner": (1, None), "cgroup": None}, False),
        ({"user": "root", "cgroup": "/a"}, {"owner": (0, None), "cgroup": None}, None),
        # What is not given would raise: it is not read.
        ({"pid": 8, "match": "x", "user": "root", "exe": "/a", "cgroup": "/a"}, {}, False),
        ({"comm": "x", "match": "x", "user": "root"}, {}, False),
    ],
)
def test_criteria(criteria: dict[str, Any], known: dict[str, Any], expected: bool | None) -> None:
    assert selects(known, **criteria) is expected


def test_a_link_to_a_program_stands_for_it(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    real = str(Path(sys.executable).resolve())
    assert selects({"exe": real}, exe=str(link)) is True
