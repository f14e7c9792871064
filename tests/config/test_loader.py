"""Reading configuration: the examples, the traps of YAML, and every kind of mistake."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.config import loader
from etlmon.config.document import MOST_BYTES
from etlmon.config.loader import (
    load_node_config,
    load_ui_config,
    parse_node_config,
    parse_ui_config,
)
from etlmon.config.mistakes import MOST_MISTAKES
from etlmon.config.node import NodeConfig, RefreshSection
from etlmon.config.ui import UiConfig
from etlmon.errors import ConfigError

# The examples of the requirements, word for word.
EXAMPLES = Path(__file__).parent / "examples"
SHORT_EXAMPLE = (EXAMPLES / "node-short.yaml").read_text("utf-8")
LONG_EXAMPLE = (EXAMPLES / "node-long.yaml").read_text("utf-8")
UI_EXAMPLE = (EXAMPLES / "ui.yaml").read_text("utf-8")


@pytest.fixture
def early() -> Iterator[None]:
    """Fail what takes more than seconds of work, however long a busy machine takes for them."""
    began = time.process_time()
    yield
    assert time.process_time() - began < 20


def node(text: str) -> NodeConfig:
    return parse_node_config(text.encode(), "node.yaml")


def ui(text: str) -> UiConfig:
    return parse_ui_config(text.encode(), "ui.yaml")


def mistakes(text: str | bytes, parse=parse_node_config, name="node.yaml") -> list[str]:
    """Give the lines of a file's mistakes."""
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), name)
    return list(caught.value.mistakes)


class TestExamples:
    def test_the_two_forms_of_the_node_example_say_the_same(self):
        assert node(SHORT_EXAMPLE) == node(LONG_EXAMPLE)

    def test_the_node_example_has_the_values_it_says(self):
        config = node(LONG_EXAMPLE)
        assert config.node.listen == "0.0.0.0:8080"
        assert config.node.node_name == "prod-etl-01"
        assert config.node.db_path == "/var/lib/etlmon/etlmon.db"
        assert config.refresh == RefreshSection(disk=15.0, default_path_scan=300.0, process=5.0)
        (path,) = config.paths
        assert (path.path, path.scan_interval, path.max_depth) == ("/data/logs", 60.0, 5)
        assert path.exclude == ("*.tmp",)
        (log,) = config.logs
        assert (log.name, log.path) == ("app", "/var/log/app.log")
        assert (log.follow, log.buffer_lines) == (True, 500)
        named, numbered = config.process_watch
        assert (named.name, named.match, named.pid) == ("etl_worker", "etl_worker", None)
        assert (numbered.name, numbered.match, numbered.pid) == (None, None, 12345)
        assert config.cron.enabled is True
        (xferlog,) = config.xferlog
        assert xferlog.path == "/var/log/xferlog"
        assert xferlog.parse_start == datetime(2026, 1, 1, tzinfo=UTC)

    def test_the_ui_example_has_the_values_it_says(self):
        config = ui(UI_EXAMPLE)
        assert [(one.name, one.address) for one in config.nodes] == [
            ("prod-etl-01", "http://10.0.0.11:8080"),
            ("prod-etl-02", "http://10.0.0.12:8080"),
        ]
        assert config.ui.refresh_interval == 2.0
        assert config.ui.default_node == "prod-etl-01"

    @pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "{}", "\ufeff# BOM\n"])
    def test_a_file_that_says_nothing_means_all_defaults(self, text):
        assert node(text) == NodeConfig()
        assert ui(text) == UiConfig()

    def test_xferlog_may_be_a_list(self):
        config = node("xferlog: [{path: /a}, {path: /b}]")
        assert [one.path for one in config.xferlog] == ["/a", "/b"]

    def test_a_section_with_nothing_below_it_has_its_defaults(self):
        assert node("refresh:\n  # disk: 15s\ndisk:\n  mounts:\nretention:\n") == NodeConfig()


class TestScalars:
    """What is written is read by what is wanted, not by what YAML 1.1 makes of it."""

    @pytest.mark.parametrize("text", ["no", "on", "12", "1:30", "1e3", '"~"', "'null'", "=", "예"])
    def test_text_is_what_is_written(self, text):
        assert node(f"node: {{node_name: {text}}}").node.node_name == text.strip("\"'")

    @pytest.mark.parametrize(
        ("text", "value"),
        [("true", True), ("Yes", True), ("ON", True), ("false", False), ("no", False)],
    )
    def test_booleans_have_three_words_each(self, text, value):
        assert node(f"cron: {{enabled: {text}}}").cron.enabled is value

    def test_a_leading_zero_is_not_octal(self):
        assert node("paths: [{path: /a, max_depth: 010}]").paths[0].max_depth == 10

    def test_a_time_of_day_is_not_a_number_in_base_60(self):
        config = node(
            "paths: [{path: /a, expect: [{pattern: x, by: 10:30}, {pattern: y, by: 6:05}]}]"
        )
        assert [one.by for one in config.paths[0].expect] == ["10:30", "06:05"]

    def test_a_moment_needs_no_quotes_and_becomes_utc(self):
        config = node("xferlog: {path: /x, parse_start: 2026-01-01T09:00:00+09:00}")
        assert config.xferlog[0].parse_start == datetime(2026, 1, 1, tzinfo=UTC)
        assert config.xferlog[0].parse_start.tzinfo is UTC

    def test_sizes_and_durations_come_in_bytes_and_seconds(self):
        config = node("logs: [{name: a, path: /a, max_line_bytes: 1MiB, partial_timeout: 1m30s}]")
        assert config.logs[0].max_line_bytes == 1 << 20
        assert config.logs[0].partial_timeout == 90.0

    def test_a_size_may_stand_without_a_unit(self):
        assert node("node: {db_max_bytes: 8388608}").node.db_max_bytes == 8388608


class TestAliases:
    def test_an_alias_and_a_merge_stand_for_what_they_name(self):
        config = node(
            "paths:\n"
            "  - &usual {path: /a, scan_interval: 1m, exclude: &tmp ['*.tmp']}\n"
            "  - {<<: *usual, path: /b}\n"
            "  - {path: /c, exclude: *tmp}\n"
        )
        assert [one.path for one in config.paths] == ["/a", "/b", "/c"]
        assert [one.scan_interval for one in config.paths] == [60.0, 60.0, None]
        assert [one.exclude for one in config.paths] == [("*.tmp",)] * 3

    def test_several_mappings_may_be_merged_and_the_first_wins(self):
        config = node(
            "paths:\n  - &a {path: /a, timeout: 1m}\n  - &b {path: /b, timeout: 2m, max_depth: 1}\n"
            "  - {path: /c, <<: [*a, *b]}\n"
        )
        assert (config.paths[2].timeout, config.paths[2].max_depth) == (60.0, 1)

    def test_only_mappings_can_be_merged(self):
        assert mistakes("cron: {<<: 5}") == [
            "node.yaml:1: cron: << takes mappings, not 5; write *NAME"
        ]

    def test_what_contains_itself_is_refused(self):
        assert mistakes("paths: &a [*a]") == [
            "node.yaml:1: *a stands inside itself; write the value out"
        ]
        assert mistakes("cron: &a {<<: *a}") == [
            "node.yaml:1: *a stands inside itself; write the value out"
        ]

    @pytest.mark.usefixtures("early")
    def test_a_billion_laughs_end_early(self):
        merges = ["disk:", "  mounts:", '    "/0": &a0 {warn_percent: 1}']
        merges += [
            f'    "/{n}": &a{n} {{<<: [{", ".join([f"*a{n - 1}"] * 9)}]}}' for n in range(1, 12)
        ]
        (line,) = mistakes("\n".join(merges))
        assert line.endswith("more than 100,000 values, aliases counted; make the file smaller")

    @pytest.mark.usefixtures("early")
    def test_long_lists_of_long_lists_end_early(self):
        exclude = ", ".join(["x"] * 5000)
        paths = "\n".join(f"  - {{path: /{n}, exclude: *x}}" for n in range(5000))
        (line,) = mistakes(f"paths:\n  - {{path: /x, exclude: &x [{exclude}]}}\n{paths}")
        assert "aliases counted" in line

    @pytest.mark.usefixtures("early")
    def test_many_plain_values_end_early(self):
        (line,) = mistakes("node: {allowed_hosts: [" + "x," * 150_000 + "]}")
        assert line == "node.yaml:1: more than 100,000 values; make the file smaller"

    @pytest.mark.usefixtures("early")
    @pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
    def test_deep_nesting_is_refused(self, opening):
        assert mistakes(opening * 20_000) == [
            "node.yaml:1: nested more than 32 deep; this is no configuration"
        ]


MISTAKES = [
    # The value itself.
    (
        "refresh: {disk: 5 parsecs}",
        'refresh.disk: "5 parsecs" is not a duration; write 30s, 5m, 1h',
    ),
    ("refresh: {disk: 15}", "refresh.disk: 15 has no unit; write 15s, 5m, 1h"),
    ('refresh: {disk: "15"}', 'refresh.disk: "15" has no unit; write 15s, 5m, 1h'),
    ("refresh: {disk: 0s}", 'refresh.disk: "0s" is out of range; write 1s or more'),
    ("refresh: {process: 100ms}", 'refresh.process: "100ms" is out of range; write 1s or more'),
    ("disk: {probe_timeout: 0s}", 'disk.probe_timeout: "0s" is out of range; write more than 0s'),
    (
        "disk: {probe_timeout: -5s}",
        'disk.probe_timeout: "-5s" is not a duration; write 30s, 5m, 1h',
    ),
    ("refresh: {disk: 99999w}", 'refresh.disk: "99999w" is too long; write at most 36500d'),
    ("refresh: {disk: [15s]}", "refresh.disk: a list is not a duration; write 30s, 5m, 1h"),
    ("refresh: {disk: {s: 15}}", "refresh.disk: a mapping is not a duration; write 30s, 5m, 1h"),
    ("refresh: {disk: }", "refresh.disk: has no value; write 30s, 5m, 1h"),
    ("refresh: {disk: ~}", "refresh.disk: ~ is no value; write 30s, 5m, 1h"),
    (
        "node: {node_name: null}",
        "node.node_name: null is no value; write some text, or remove it",
    ),
    ('node: {node_name: ""}', 'node.node_name: "" is empty; write some text, or remove the key'),
    (
        'node: {node_name: "a\\0b"}',
        'node.node_name: "a\\x00b" holds NUL or half a character',
    ),
    (
        'node: {node_name: "\\ud800"}',
        'node.node_name: "\\ud800" holds NUL or half a character',
    ),
    (
        "node: {db_max_bytes: 5 parsecs}",
        'node.db_max_bytes: "5 parsecs" is not a size; write 64KiB, 500MiB, 2GiB',
    ),
    (
        "node: {db_max_bytes: 1MiB}",
        "node.db_max_bytes: too little to work in; write 8MiB or more",
    ),
    ("node: {db_max_bytes: 0}", "node.db_max_bytes: 0 is out of range; write 1 or more"),
    (
        "node: {db_max_bytes: 99999999TiB}",
        'node.db_max_bytes: "99999999TiB" is too large; write at most 9223372036854775807',
    ),
    (
        "logs: [{name: a, path: /a, max_line_bytes: 3MiB}]",
        'logs[0].max_line_bytes: "3MiB" is out of range; write 1 to 1MiB',
    ),
    ("workers: {processes: 0}", "workers.processes: 0 is out of range; write 1 or more"),
    (
        "workers: {memory_limit: 1MiB}",
        "workers.memory_limit: too little to work in; write 128MiB or more",
    ),
    (
        "workers: {processes: 1e3}",
        'workers.processes: "1e3" is not a whole number; write 1 or more',
    ),
    ("workers: {processes: 2.0}", "workers.processes: 2.0 is not a whole number; write 1 or more"),
    (
        "workers: {processes: 0x10}",
        'workers.processes: "0x10" is not a whole number; write 1 or more',
    ),
    (
        "workers: {processes: 9223372036854775808}",
        "workers.processes: 9223372036854775808 is too large; write at most 9223372036854775807",
    ),
    ("workers: {nice: 99}", "workers.nice: 99 is out of range; write 0 to 19"),
    ("disk: {warn_percent: lots}", 'disk.warn_percent: "lots" is not a number; write 0 to 100'),
    ("disk: {warn_percent: .nan}", 'disk.warn_percent: ".nan" is not a number; write 0 to 100'),
    ("disk: {critical_percent: 101}", "disk.critical_percent: 101 is out of range; write 0 to 100"),
    ("cron: {enabled: maybe}", 'cron.enabled: "maybe" is not a yes or no; write true or false'),
    ("cron: {enabled: 1}", "cron.enabled: 1 is not a yes or no; write true or false"),
    ("rescan: fulll", 'rescan: "fulll" is not known; write full or incremental'),
    ("log: {level: loud}", 'log.level: "loud" is not known; write debug, error, info or warn'),
    ("paths: [{path: data}]", 'paths[0].path: "data" is not an absolute path; write /data/logs'),
    (
        "logs: [{name: a/b, path: /a}]",
        'logs[0].name: "a/b" is not a name that fits into a URL;'
        " write app or app-errors, without /",
    ),
    (
        "logs: [{name: a, path: /a, encoding: klingon}]",
        'logs[0].encoding: "klingon" is not a known encoding; write utf-8, latin-1, cp949',
    ),
    (
        "logs: [{name: a, path: /a, encoding: idna}]",
        'logs[0].encoding: "idna" is not a known encoding; write utf-8, latin-1, cp949',
    ),
    (
        "logs: [{name: a, path: /a, encoding: utf-16}]",
        'logs[0].encoding: "utf-16" does not end lines with the single byte LF; convert the log'
        " to utf-8",
    ),
    (
        "process_watch: [{pid: 1, allow_signals: [TERM]}]",
        'process_watch[0].allow_signals[0]: "TERM" is not a signal; write SIGTERM, SIGKILL, SIGHUP',
    ),
    (
        "node: {timezone: Europe}",
        'node.timezone: "Europe" is not a known time zone; write UTC, Europe/Berlin, Asia/Seoul',
    ),
    (
        "paths: [{path: /a, expect: [{pattern: x, by: 24:00}]}]",
        'paths[0].expect[0].by: "24:00" is not a time of day; write 06:30',
    ),
    (
        "xferlog: {path: /x, parse_start: 2026-01-01}",
        'xferlog.parse_start: "2026-01-01" has no time zone; write 2026-01-01T00:00:00Z',
    ),
    (
        "xferlog: {path: /x, parse_start: 0001-01-01T00:00:00+10:00}",
        'xferlog.parse_start: "0001-01-01T00:00:00+10:00" is not a moment;'
        " write 2026-01-01T00:00:00Z",
    ),
    (
        "cron: {enabled: !!python/name:os.system x}",
        "cron.enabled: the tag python/name:os.system is not allowed here; remove it",
    ),
    ("cron: !mine {}", "cron: the tag !mine is not allowed here; remove it"),
    # The form around it.
    ("paths: {path: /a}", "paths: a mapping is not a list; write a list: [...]"),
    ("paths: /a", 'paths: "/a" is not a list; write a list: [...]'),
    ("paths: [/a]", 'paths[0]: "/a" is not a mapping; write keys below it: path: ...'),
    ("paths:", "paths: has no value; write a list: [...], or remove it"),
    ("xferlog:", "xferlog: has no value; write a list: [...], or remove it"),
    ("auth:", "auth: has no value; write keys below it: tokens_file: ..., or remove it"),
    ("cron: [enabled]", "cron: a list is not a mapping; write keys below it: enabled: ..."),
    ("cron: ~", "cron: ~ is no value; write keys below it: enabled: ..., or remove it"),
    ("- cron", "the file: a list is not a mapping; write keys below it: node: ..."),
    ("cron", 'the file: "cron" is not a mapping; write keys below it: node: ...'),
    ("disk: {mounts: []}", "disk.mounts: a list is not a mapping; write keys below it: NAME: ..."),
    ("? [a, b]\n: c", "the file: a list cannot be a key; write a word"),
    # Keys.
    ("refesh: {}", "refesh: unknown key; did you mean refresh?"),
    (
        "paths: [{path: /a, scan_intervall: 1m}]",
        "paths[0].scan_intervall: unknown key; did you mean scan_interval?",
    ),
    ("cron: {zzz: 1}", "cron.zzz: unknown key; known are enabled, dialect, log, interval"),
    ('cron: {"a\\nb": 1}', 'cron."a\\nb": unknown key; known are enabled, dialect, log, interval'),
    ("retention: {log_line: {}}", "retention.log_line: unknown key; did you mean log_lines?"),
    (
        "disk: {mounts: {data: {}}}",
        'disk.mounts["data"]: "data" is not an absolute path; write /data/logs',
    ),
    ("paths: [{max_depth: 1}]", "paths[0].path: missing; write /data/logs"),
    ("logs: [{path: /a}]", "logs[0].name: missing; write app or app-errors, without /"),
    # Fields that are right one by one.
    (
        "disk: {warn_percent: 95}",
        "disk.warn_percent: 95 is above critical_percent 90; write at most that",
    ),
    (
        "disk: {mounts: {/data: {warn_percent: 95}}}",
        'disk.mounts["/data"].warn_percent: here warn_percent is 95 and critical_percent 90;'
        " write warn below critical",
    ),
    (
        "disk: {mounts: {/data: {critical_percent: 70}}}",
        'disk.mounts["/data"].critical_percent: here warn_percent is 80 and critical_percent 70;'
        " write warn below critical",
    ),
    (
        "paths: [{path: /a}, {path: //a/b/../}]",
        'paths[1].path: "//a/b/../" is there twice, see paths[0].path on line 1; keep one',
    ),
    (
        "logs: [{name: a, path: /a}, {name: a, path: /b}]",
        'logs[1].name: "a" is there twice, see logs[0].name on line 1; keep one',
    ),
    (
        "process_watch: [{name: etl}]",
        "process_watch[0]: no criterion; give one of match, comm, exe, user, cgroup, pid",
    ),
    (
        "process_watch: [{match: '', user: etl}]",
        "process_watch[0].match: empty, which every process meets; leave it out, or say which are "
        "meant",
    ),
    (
        "process_watch: [{match: '(a)\\1'}]",
        'process_watch[0].match: "(a)\\1" is no regular expression that RE2 takes (invalid escape '
        "sequence: \\1); write one without look-around and back-references",
    ),
    (
        "logs: [{name: a, path: /a, multiline: {start: '['}}]",
        'logs[0].multiline.start: "[" is no regular expression that RE2 takes (missing ]: [); '
        "write one without look-around and back-references",
    ),
    (
        "logs: [{name: a, path: /a, time_format: '%Y %Q'}]",
        'logs[0].time_format: "%Y %Q" has %Q; write only %a %A %b %B %p %d %H %I %m %M %S %f %j '
        "%y %Y %z %Z %%",
    ),
    (
        "logs: [{name: a, path: /a, time_format: '%H:%M:%S'}]",
        'logs[0].time_format: "%H:%M:%S" tells no day; write %d with %m or %b, or write %j',
    ),
    (
        "redact: {patterns: ['a(?=b)']}",
        'redact.patterns[0]: "a(?=b)" is no regular expression that RE2 takes (invalid '
        "perl operator: (?=); write one without look-around and back-references",
    ),
    (
        "process_watch: [{pid: 1}, {match: '1'}]",
        'process_watch[1]: "1" is process_watch[0] too; give it another name',
    ),
    (
        "process_watch: [{comm: a}, {name: a, pid: 1}]",
        'process_watch[1].name: "a" is process_watch[0] too; give it another name',
    ),
    (
        "paths: [{path: /a, expect: [{pattern: in_%Q.csv, by: '06:00'}]}]",
        'paths[0].expect[0].pattern: "in_%Q.csv": %Q means nothing; write %% for a % itself',
    ),
    (
        "paths: [{path: /a, expect: [{pattern: ../x, by: '06:00'}]}]",
        'paths[0].expect[0].pattern: "../x" is no glob below a directory; write one such as '
        "in/*.csv",
    ),
    (
        "process_watch: [{pid: 1, expect: {min: 3, max: 2}}]",
        "process_watch[0].expect.min: 3 is above max 2; write at most that",
    ),
    ("manhole: {}", "manhole: no way in; give socket or ssh, or remove manhole"),
    (
        "manhole: {ssh: 127.0.0.1:8022}",
        "manhole.ssh: needs authorized_keys, the public keys that it lets in",
    ),
    *(
        (
            f"manhole: {{ssh: {listen}, authorized_keys: /k}}",
            f'manhole.ssh: "{listen}" is not of this host alone; write 127.0.0.1:8022, and reach '
            "it with ssh -J HOST",
        )
        for listen in ("0.0.0.0:8022", "10.0.0.11:8022", "etl-01:22", "unix:/run/ssh")
    ),
]


class TestMistakes:
    @pytest.mark.parametrize(("text", "line"), MISTAKES)
    def test_each_has_its_line(self, text, line):
        assert mistakes(text) == [f"node.yaml:1: {line}"]

    @pytest.mark.parametrize(
        "listen",
        ["8080", "1:30", ":8080", "*:8080", "a:65536", "a:", "::1:80", "[::1]", "[x]:1",
         "10.0.0.256:1", "http://a:1", "unix:run", "unix:/run/", "a b:1"],
    )  # fmt: skip
    def test_listen_must_be_an_address(self, listen):
        (line,) = mistakes(f'node: {{listen: "{listen}"}}')
        assert line == (
            f'node.yaml:1: node.listen: "{listen}" is not an address to listen on;'
            " write 127.0.0.1:8080, [::1]:8080, unix:/run/etlmon.sock"
        )

    def test_a_key_given_twice_names_both_lines(self):
        assert mistakes("cron:\n  enabled: true\n  interval: 1m\n  enabled: false\n") == [
            "node.yaml:4: cron.enabled: given twice, first on line 2; keep one"
        ]

    def test_the_line_is_that_of_the_key(self):
        text = "# first\nrefresh:\n  disk: 15s\n  process:\n\n    soon\n"
        (line,) = mistakes(text)
        assert line.startswith('node.yaml:4: refresh.process: "soon"')

    def test_all_are_found_in_one_run_in_the_order_of_the_lines(self):
        text = (
            "node:\n"
            "  listen: nowhere\n"
            "  nodename: a\n"
            "refresh: {disk: 15, process: 5s}\n"
            "disk: {warn_percent: 99}\n"
            "paths:\n"
            "  - path: /a\n"
            "  - scan_interval: 5 parsecs\n"
            "  - path: /a/\n"
            "cron: {enabled: perhaps}\n"
        )
        assert [line.split(": ")[:2] for line in mistakes(text)] == [
            ["node.yaml:2", "node.listen"],
            ["node.yaml:3", "node.nodename"],
            ["node.yaml:4", "refresh.disk"],
            ["node.yaml:5", "disk.warn_percent"],
            ["node.yaml:8", "paths[1].scan_interval"],
            ["node.yaml:8", "paths[1].path"],
            ["node.yaml:9", "paths[2].path"],
            ["node.yaml:10", "cron.enabled"],
        ]

    def test_a_mere_consequence_is_not_reported(self):
        """The wrong threshold is left out; its default, then, must not clash with the other."""
        (line,) = mistakes("disk: {warn_percent: ten, critical_percent: 20}")
        assert line.startswith("node.yaml:1: disk.warn_percent: ")
        (line,) = mistakes("process_watch: [{mach: x}]")
        assert line == "node.yaml:1: process_watch[0].mach: unknown key; did you mean match?"

    def test_a_long_or_odd_value_is_shown_on_one_line(self):
        (line,) = mistakes('refresh:\n  disk: "a\\nb\\e[31m' + "x" * 500 + '"')
        assert line == (
            'node.yaml:2: refresh.disk: "a\\nb\\x1b[31m' + "x" * 51 + '…" is not a duration;'
            " write 30s, 5m, 1h"
        )

    def test_an_odd_file_name_is_shown_on_one_line(self):
        (line,) = mistakes("cron: 5", name="a\nb")
        assert line.startswith("a\\nb:1: cron: ")

    def test_a_thousand_are_enough(self):
        found = mistakes("\n".join(f"key{n}: 1" for n in range(MOST_MISTAKES + 5)))
        assert len(found) == MOST_MISTAKES + 1
        assert found[-1] == "node.yaml: more than 1000 mistakes; mend these first"

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            (b"cron: {", "1: is not YAML: expected the node content, but found '<stream end>'"
             " while parsing a flow node"),
            (b"a\nb: c: d", "2: is not YAML: mapping values are not allowed here"),
            (b"cron: *x", "1: is not YAML: found undefined alias 'x'"),
            (b"cron:\n\tenabled: true", "2: a tab stands where YAML wants spaces;"
             " indent with spaces"),
            (b"cron: {}\n---\ncron: {}\n", "2: a second document begins here; keep one, without"
             " further --- lines"),
            (b"a: b\nc: \xff\n", "2: the byte 0xff is not UTF-8; save the file as UTF-8"),
            (b"a: b\nc: \0\n", "2: the control character \\x00 is not allowed; remove it"),
            (b'\na: "\\UFFFFFFFF"', "2: is not YAML: a number is out of range"),
            (b"#" * (MOST_BYTES + 1), " is larger than 1 MiB; is this the right file?"),
        ],
    )  # fmt: skip
    def test_what_is_no_yaml_has_its_line_too(self, text, line):
        assert mistakes(text) == [f"node.yaml:{line}"]


class TestUi:
    @pytest.mark.parametrize(
        ("address", "url"),
        [
            ("http://etl-01:8080", "http://etl-01:8080"),
            ("https://etl-01/", "https://etl-01"),
            ("https://proxy/etl-01/", "https://proxy/etl-01"),
            ("etl-01:8080", "http://etl-01:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("unix:/run/etlmon.sock", "unix:/run/etlmon.sock"),
        ],
    )
    def test_an_address_becomes_a_url(self, address, url):
        assert ui(f'nodes: [{{name: a, address: "{address}"}}]').nodes[0].address == url

    @pytest.mark.parametrize(
        "address",
        ["etl-01", "ftp://a:1", "http://", "http:///x", "http://a:0", "http://a:99999", "a:0",
         "http://me:pw@a:1", "http://a:1/?x", "http://a b/", "unix:x"],
    )  # fmt: skip
    def test_an_address_must_be_one(self, address):
        (line,) = mistakes(f'nodes: [{{name: a, address: "{address}"}}]', parse_ui_config)
        assert f'nodes[0].address: "{address}" is not the address of a node; write ' in line

    def test_the_default_node_must_be_there(self):
        text = "nodes: [{name: a, address: a:1}]\nui: {default_node: b}"
        assert mistakes(text, parse_ui_config) == [
            'node.yaml:2: ui.default_node: "b" is not one of the nodes; write a'
        ]

    def test_names_must_differ(self):
        text = "nodes:\n- {name: a, address: a:1}\n- {name: a, address: a:2}"
        assert mistakes(text, parse_ui_config) == [
            'node.yaml:3: nodes[1].name: "a" is there twice, see nodes[0].name on line 2; keep one'
        ]

    def test_there_must_be_a_node(self):
        assert mistakes("nodes: []", parse_ui_config) == [
            "node.yaml:1: nodes: the list is empty; fill it, or remove it"
        ]

    def test_a_token_file_may_be_in_the_home_directory(self):
        config = ui("nodes: [{name: a, address: a:1, auth: {token_file: ~/token}}]")
        assert config.nodes[0].auth.token_file == os.path.expanduser("~/token")


class TestFiles:
    def test_a_file_is_read(self, tmp_path: Path):
        path = tmp_path / "node.yaml"
        path.write_text("refresh: {disk: 1m}")
        assert load_node_config(path).refresh.disk == 60.0
        assert load_node_config(str(path)).refresh.disk == 60.0

    @pytest.mark.parametrize("load", [load_node_config, load_ui_config])
    def test_one_that_is_not_there_is_named(self, load, tmp_path: Path):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / "x.yaml")
        assert str(caught.value) == (
            f"{tmp_path}/x.yaml: no such file; create it, or name another one"
        )

    def test_a_directory_is_named(self, tmp_path: Path):
        with pytest.raises(ConfigError) as caught:
            load_node_config(tmp_path)
        assert str(caught.value) == f"{tmp_path}: is a directory; name a file in it"

    def test_one_that_may_not_be_read_is_named(self, tmp_path: Path, monkeypatch):
        def refuse(self: Path, mode: str) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(loader.Path, "open", refuse)
        with pytest.raises(ConfigError) as caught:
            load_node_config(tmp_path / "a")
        assert str(caught.value) == f"{tmp_path}/a: cannot be read: Permission denied"

    def test_a_name_with_nul_is_refused(self):
        with pytest.raises(ConfigError) as caught:
            load_node_config("a\0b")
        assert str(caught.value) == "a\\x00b: is not a file name: embedded null byte"

    def test_an_endless_file_is_refused(self):
        with pytest.raises(ConfigError) as caught:
            load_node_config("/dev/zero")
        assert str(caught.value).startswith("/dev/zero: is larger than")


KEYS = ["node", "refresh", "paths", "path", "listen", "disk", "mounts", "<<", "xferlog", "expect"]
VALUES = st.recursive(
    st.sampled_from(["15s", "5", "~", "", "no", "/a", "*.tmp", "&a", "*a", "!x", '"\\0"', "|", "é"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(KEYS), inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=20,
)
DOCUMENTS = st.lists(st.tuples(st.sampled_from(KEYS), VALUES), max_size=5).map(
    lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs)
)


class TestAnything:
    @given(
        text=st.binary()
        | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
        | DOCUMENTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
    )
    def test_whatever_comes_is_read_or_refused_in_single_lines(self, text):
        for parse in (parse_node_config, parse_ui_config):
            try:
                parse(text, "some.yaml")
            except ConfigError as error:
                assert error.mistakes  # noqa: PT017
                for line in error.mistakes:
                    assert line.startswith("some.yaml:")
                    assert line.isprintable()
