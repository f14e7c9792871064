"""What `./run` fetches from others, who may fail for a moment: stand-ins for them, no network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "run"
WORKS_LATER = """#!/bin/sh
echo "${0##*/} $*" >>"$SAID"
case " $* " in *" update "*) exit "$LISTS" ;; esac
left=$(cat "$FAILURES")
[ "$left" = 0 ] && exit
echo $((left - 1)) >"$FAILURES"
echo "no mirror answers"
exit 100
"""


@pytest.fixture
def fetching(tmp_path: Path) -> Callable[..., tuple[int, list[str], str]]:
    """Run shell code with the functions of `./run`; what fetches fails so many times first.

    Give its status, the commands that it ran, and what it said.
    """
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("apt-get", "python"):
        (programs / name).write_text(WORKS_LATER)
    (programs / "sleep").write_text('#!/bin/sh\necho "sleep $1" >>"$SAID"\n')
    (programs / "id").write_text("#!/bin/sh\necho 0\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    said, failures = tmp_path / "said", tmp_path / "failures"

    def run(code: str, times: int, *, lists: int = 0) -> tuple[int, list[str], str]:
        said.write_text("")
        failures.write_text(f"{times}\n")
        functions = RUN.read_text().partition("\n# --- main ")[0]
        done = subprocess.run(
            ["sh", "-c", f"{functions}\n{code}"],
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "SAID": str(said),
                "FAILURES": str(failures),
                "LISTS": str(lists),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line for line in said.read_text().splitlines() if line]
        return done.returncode, [" ".join(_short(line)) for line in lines], done.stderr

    return run


def _short(line: str) -> list[str]:
    """Give the words of a command that are no options."""
    return [word for word in line.split() if not word.startswith("-") and "=" not in word]


GET, LISTS = "apt-get install etl", "apt-get update"


def test_lists_that_do_are_not_fetched(fetching: Callable[..., tuple[int, list[str], str]]) -> None:
    assert fetching("apt_install etl", 0) == (0, [GET], "")


@pytest.mark.parametrize("lists", [0, 100])
def test_lists_that_are_old_are_fetched_once(
    fetching: Callable[..., tuple[int, list[str], str]], lists: int
) -> None:
    """Where one of several mirrors has none, another may do."""
    status, ran, said = fetching("apt_install etl", 1, lists=lists)
    assert (status, ran) == (0, [GET, LISTS, GET])
    assert "trying again" not in said


def test_a_mirror_that_fails_for_a_moment_is_waited_for(
    fetching: Callable[..., tuple[int, list[str], str]],
) -> None:
    status, ran, said = fetching("apt_install etl", 3)
    assert (status, ran) == (0, [GET, LISTS, GET, "sleep 5", LISTS, GET, "sleep 30", LISTS, GET])
    assert said.count("no mirror answers") == 2
    assert said.count("trying again in 5 s ...") == said.count("trying again in 30 s ...") == 1


def test_one_that_cannot_be_reached_is_waited_for_once(
    fetching: Callable[..., tuple[int, list[str], str]],
) -> None:
    code = "apt_install etl || apt_install etl || exit 7"
    status, ran, said = fetching(code, 99)
    waited = [GET, LISTS, GET, "sleep 5", LISTS, GET, "sleep 30", LISTS, GET]
    assert (status, ran) == (7, [*waited, GET, LISTS, GET])
    assert "failed: apt-get -qq" in said


def test_servers_are_fetched_as_patiently(
    fetching: Callable[..., tuple[int, list[str], str]], tmp_path: Path
) -> None:
    status, ran, _ = fetching(f"venv={tmp_path}/venv\nwant_servers etl", 2)
    assert (status, ran) == (0, [GET, LISTS, GET, "sleep 5", LISTS, GET])


def test_a_package_index_that_fails_for_a_moment_is_asked_again(
    fetching: Callable[..., tuple[int, list[str], str]], tmp_path: Path
) -> None:
    (tmp_path / "bin").symlink_to(tmp_path / "programs")
    code = f"pip_install {tmp_path} etl"
    status, ran, said = fetching(code, 1)
    assert (status, ran) == (0, ["python pip install etl", "sleep 10", "python pip install etl"])
    assert "trying again in 10 s ..." in said
    assert fetching(code, 2)[0] == 1
