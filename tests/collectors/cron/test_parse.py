"""Crontabs as their daemons read them: Debian's own checker judges, cronie by its documentation."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.collectors.cron.commands import logged_command
from etlmon.collectors.cron.parse import Crontab, Entry, parse_crontab
from etlmon.collectors.cron.schedule import BadEntryError, field_values

SAMPLES = runpy.run_path(str(Path(__file__).with_name("crontabs.py")))
FILES: dict[str, bytes] = SAMPLES["all_files"]()
LONG_FILES: dict[str, tuple[bytes, bool]] = SAMPLES["LONG_FILES"]
ACCOUNTS = {b"root": 0, b"etl": 1000}
needs_crontab = pytest.mark.skipif(shutil.which("crontab") is None, reason="crontab is missing")


def debian(content: bytes | str, *, system: bool = False) -> Crontab:
    raw = content.encode() if isinstance(content, str) else content
    return parse_crontab(raw, "debian", user_column=system, knows_user=ACCOUNTS.__contains__)


def cronie(content: bytes | str, *, system: bool = False, privileged: bool = True) -> Crontab:
    raw = content.encode() if isinstance(content, str) else content
    return parse_crontab(
        raw,
        "cronie",
        user_column=system,
        knows_user=ACCOUNTS.__contains__,
        privileged=privileged,
    )


def only(tab: Crontab) -> Entry:
    (entry,) = tab.entries
    return entry


def mask(values: str) -> int:
    return sum(1 << int(value) for value in values.split())


def debian_takes(tmp_path: Path, content: bytes) -> tuple[bool, str]:
    file = tmp_path / "tab"
    file.write_bytes(content)
    done = subprocess.run(
        ["crontab", "-n", file], capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode == 0, done.stderr


class TestDebian:
    def test_there_are_enough_files(self) -> None:
        assert len(FILES) >= 200

    @needs_crontab
    def test_each_file_is_taken_or_refused_as_by_crontab_n(self, tmp_path: Path) -> None:
        wrong = {}
        for name, content in FILES.items():
            takes, said = debian_takes(tmp_path, content)
            refused = debian(content).refused
            words = refused is None or refused.text in said or "newline" in refused.text
            if takes != (refused is None) or not words:
                wrong[name] = (takes, said, refused)
        assert not wrong

    @needs_crontab
    @given(
        st.lists(
            st.text(alphabet="0123456789*,-/#~.janLsu", min_size=1, max_size=6),
            min_size=4,
            max_size=6,
        )
    )
    def test_so_is_whatever_else_may_stand_in_a_line(
        self, tmp_path_factory: pytest.TempPathFactory, words: list[str]
    ) -> None:
        content = (" ".join(words) + " true\n").encode()
        takes, said = debian_takes(tmp_path_factory.getbasetemp(), content)
        assert (debian(content).refused is None) == takes, said

    @pytest.mark.parametrize("name", LONG_FILES)
    def test_a_file_may_have_some_10_000_lines(self, name: str) -> None:
        content, is_taken = LONG_FILES[name]
        assert (debian(content).refused is None) == is_taken

    def test_one_bad_line_costs_the_whole_file_and_all_is_shown(self) -> None:
        tab = debian("0 5 * * * good\nx 5 * * * bad\n61 * * * * worse\n")
        assert tab.refused is not None
        assert (tab.refused.line, tab.refused.text) == (2, "bad minute")
        assert [(one.command, one.error) for one in tab.entries] == [
            ("good", None),
            ("bad", "bad minute"),
            ("worse", "bad minute"),
        ]

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ("0 5 * * * nobodyhere true", "bad username"),
            ("0 5 * * * root", "bad username"),  # the name goes on into the next line
            ("0 5 * * * true", "bad username"),
            ("@daily root", "bad username"),
            ("@daily root true", None),
            ("0 5 * * *  root  true", None),
            ("0 5 * * * root ", None),
            ("0 5 * * * * true", "bad username"),
        ],
    )
    def test_a_system_crontab_names_a_user(self, line: str, error: str | None) -> None:
        entry = only(debian(line + "\n", system=True))
        assert entry.error == error
        if error is None:
            assert (entry.user, entry.command) == ("root", line.partition("root")[2].strip())

    def test_words_and_numbers_become_masks(self) -> None:
        made = only(debian("5,10-12 22-23 1,31 jan,Dec sun-tue x\n")).schedule
        assert made is not None
        assert (made.minute, made.hour, made.day) == (
            mask("5 10 11 12"),
            mask("22 23"),
            mask("1 31"),
        )
        assert (made.month, made.weekday) == (mask("1 12"), mask("0 1 2"))
        assert (made.both_days, made.wildcard) == (False, False)

    @pytest.mark.parametrize(
        ("text", "place", "values", "said"),
        [
            ("1#2", 0, "1", 'cron reads "1" and ignores "#2"'),
            ("1.5", 0, "1", 'cron reads "1" and ignores ".5"'),
            ("*5", 4, "0 1 2 3 4 5 6", 'cron reads "*" and ignores "5"'),
            ("*/61", 0, "0", "the step 61 is larger than the range; only 0 is met"),
            ("*/35", 0, "0 35", "*/35 does not divide 60"),
            ("22-2", 1, "", "22-2 runs backwards; cron does not wrap"),
            ("1,22-2", 1, "1", "22-2 runs backwards"),
            ("7", 4, "0", None),
            ("7-7", 4, "0", None),
            ("5-7", 4, "0 5 6", None),
            ("fri-sun", 4, "", "runs backwards"),
            ("*/2", 3, "1 3 5 7 9 11", None),
        ],
    )
    def test_what_is_odd_in_a_field_is_told(
        self, text: str, place: int, values: str, said: str | None
    ) -> None:
        found = field_values(text.encode(), place, "debian")
        assert found.mask == mask(values)
        assert (said is None and not found.lint) or (said is not None and said in found.lint[0])

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("0 0 5 * * * true", None),
            ("0 0 5 1 1 5 true", "looks like a sixth time field"),
            ("0 5 * * * root true", "looks like a user column"),
            ("0 5 * * * date +%F", "ends the command"),
            ("0 5 * * * date +\\%F", None),
            ("0 5 * * *", "has no command"),
            ("0 5 * * * true\r", "carriage return"),
            ("0 0 13 * 5 true", "on each day that either day field names"),
            ("0 0 */2 * 1 true", None),
        ],
    )
    def test_what_is_odd_in_a_line_is_told(self, line: str, said: str | None) -> None:
        lint = [text for entry in debian(line + "\n").entries for text in entry.lint]
        assert said is None or any(said in text for text in lint)
        assert said is not None or not lint

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("CRON_TZ=Asia/Seoul", "does not move the times"),
            ("A=b # c", "keeps the text after #"),
            ("PATH=$HOME/bin", "no variables for $"),
        ],
    )
    def test_what_is_odd_in_an_assignment_is_told(self, line: str, said: str) -> None:
        assert said in debian(line + "\n").lint[0].text

    def test_the_day_rule_goes_by_the_first_character(self) -> None:
        for text, both in [("*/2", True), ("*", True), ("1,*", False), ("1-31", False)]:
            made = only(debian(f"0 0 {text} * 1 x\n")).schedule
            assert made is not None
            assert made.both_days is both

    @pytest.mark.parametrize(
        ("raw", "logged"),
        [(b"a", b"a"), (b"date +\\%F % x", b"date +%F "), (b"%", b""), (b"a\\\\%b", b"a\\%b")],
    )
    def test_the_command_is_logged_without_its_input(self, raw: bytes, logged: bytes) -> None:
        assert logged_command(raw) == logged


class TestCronie:
    @pytest.mark.parametrize(
        ("field", "place", "values"),
        [
            ("fri-sun", 4, "0 5 6"),  # mended up
            ("sat-sun", 4, "0 6"),
            ("fri-sun/2", 4, ""),  # but not with a step
            ("fri-mon", 4, ""),
            ("22-2", 1, ""),
            ("*/61", 0, "0"),
            ("5-64/30", 0, "5 35"),  # only what is met must be in bounds
            ("mon-fri", 4, "1 2 3 4 5"),
            ("7", 4, "0"),
        ],
    )
    def test_fields_that_it_takes(self, field: str, place: int, values: str) -> None:
        assert field_values(field.encode(), place, "cronie").mask == mask(values)

    @pytest.mark.parametrize("text", "5/15 */0 60 1#2 1.5 *5 L ? 1, 1,,2 1x mon/2 5-60 9~3".split())
    def test_fields_that_it_refuses(self, text: str) -> None:
        with pytest.raises(BadEntryError, match="bad minute"):
            field_values(text.encode(), 0, "cronie")

    @pytest.mark.parametrize(
        ("text", "low", "high"), [("~", 0, 59), ("5~", 5, 59), ("~5", 0, 5), ("10~20", 10, 20)]
    )
    def test_a_value_that_it_picks_itself(self, text: str, low: int, high: int) -> None:
        found = field_values(text.encode(), 0, "cronie")
        assert found.picked == ((low, high),)
        assert found.sure == 0
        assert found.mask == mask(" ".join(map(str, range(low, high + 1))))

    def test_one_bad_line_costs_that_line(self) -> None:
        tab = cronie("0 5 * * * good\nx 5 * * * bad\n0 6 * * * better\n")
        assert tab.refused is None
        assert [one.error for one in tab.entries] == [None, "bad minute", None]

    def test_the_last_line_needs_its_newline(self) -> None:
        tab = cronie("0 5 * * * good\n0 6 * * * lost")
        assert tab.refused is None
        assert [one.error for one in tab.entries] == [
            None,
            "missing newline at the end of the file",
        ]

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ("0 5 * * *", "bad command"),
            ("0 5 * * * * x", "bad command"),
            ("@daily", "bad command"),
            ("@daily  x", None),
            ("- 0 5 * * * x", "bad minute"),
            ("-0 5 * * * x", None),
            ("0 5 * * * -n x", None),
            ("0 5 * * * -x y", "bad option"),
            ("0 5 * * * -n -n y", "bad option"),
        ],
    )
    def test_lines_that_it_takes_and_refuses(self, line: str, error: str | None) -> None:
        assert only(cronie(line + "\n")).error == error

    def test_only_root_keeps_a_job_out_of_the_log(self) -> None:
        assert "only root" in str(only(cronie("-0 5 * * * x\n", privileged=False)).error)

    def test_an_option_is_no_part_of_the_command(self) -> None:
        assert only(cronie("0 5 * * * -n  x y\n")).command == "x y"

    def test_an_unknown_user_costs_the_line(self) -> None:
        assert "does not exist" in str(only(cronie("0 5 * * * no x\n", system=True)).error)
        assert only(cronie("0 5 * * * etl x\n", system=True)).user == "etl"
        assert only(cronie("0 5 * * * etl\n", system=True)).error == "bad command"

    def test_variables_count_from_their_line_on(self) -> None:
        tab = cronie(
            "0 1 * * * a\nCRON_TZ=Asia/Seoul\nRANDOM_DELAY=45\n0 2 * * * b\nCRON_TZ=\n0 3 * * * c\n"
        )
        assert [(one.zone, one.delay_minutes) for one in tab.entries] == [
            (None, 0),
            ("Asia/Seoul", 45),
            (None, 45),
        ]

    @pytest.mark.parametrize(
        ("text", "minutes"), [("x", 0), ("-1", 0), ("1441", 0), ("1440", 1440)]
    )
    def test_a_delay_that_it_does_not_take(self, text: str, minutes: int) -> None:
        assert only(cronie(f"RANDOM_DELAY={text}\n0 1 * * * a\n")).delay_minutes == minutes

    def test_too_much_in_a_users_crontab(self) -> None:
        assert cronie("#" * 33_000 + "\n0 5 * * * x\n").refused is not None
        assert cronie("#" * 33_000 + "\n0 5 * * * root x\n", system=True).refused is None
        assert cronie("A=b\n" * 1_001).refused is not None
        assert cronie("A=b\n" * 1_001, system=True).refused is None


@given(st.binary(max_size=300), st.booleans())
def test_whatever_a_file_holds_it_is_read(content: bytes, system: bool) -> None:
    for read in (debian, cronie):
        for entry in read(content, system=system).entries:
            entry.command.encode()  # text, whatever the bytes were


@given(st.sampled_from(["debian", "cronie"]), st.integers(0, 4), st.binary(min_size=1, max_size=12))
def test_a_mask_holds_only_what_may_be_in_a_field(dialect: str, place: int, text: bytes) -> None:
    try:
        found = field_values(text, place, dialect)  # type: ignore[arg-type]
    except BadEntryError:
        return
    low, high = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))[place]
    assert all(low <= bit <= high for bit in range(64) if found.mask >> bit & 1)
    assert found.mask & found.sure == found.sure


class TestHostile:
    def test_a_zone_is_not_kept_at_any_length(self) -> None:
        tab = cronie("CRON_TZ=" + "x" * 100_000 + "\n" + "0 5 * * * true\n" * 2)
        assert [len(entry.zone or "") for entry in tab.entries] == [255, 255]

    def test_what_is_odd_again_and_again_is_told_once(self) -> None:
        (entry,) = cronie(",".join(["5-1"] * 10_000) + " 5 * * * true\n").entries
        assert len(entry.lint) == 1

    def test_nor_is_all_of_it_told(self) -> None:
        times = ",".join(f"{n}-{n - 1}" for n in range(1, 60))
        (entry,) = cronie(f"{times} 5 * * * true\n").entries
        assert len(entry.lint) == 10

    def test_a_value_is_picked_from_each_range_once(self) -> None:
        (entry,) = cronie(",".join(["3~3"] * 10_000) + " 5 * * * true\n").entries
        assert entry.schedule is not None
        assert len(entry.schedule.picks) == 1
