"""Writes the manual pages from the program: its commands, and the grammar of its files.

python3 debian/manpages.py DIRECTORY
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from etlmon import __version__
from etlmon.cli.main import main
from etlmon.config.schema import node_config_schema, ui_config_schema


def escaped(text: str) -> str:
    """Give text as troff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def head(name: str, section: int, what: str) -> list[str]:
    return [
        f'.TH {name.upper()} {section} "" "etlmon {__version__}" "etlmon"',
        ".SH NAME",
        f"{escaped(name)} \\- {escaped(what)}",
    ]


def paragraphs(help_text: str) -> Iterator[str]:
    """Give the help of a command; what click leaves as it is written stays so."""
    for paragraph in (part.strip("\n") for part in help_text.split("\n\n")):
        if paragraph.startswith("\b"):
            yield from (".PP", ".nf", *map(escaped, paragraph.splitlines()[1:]), ".fi")
        else:
            yield from (".PP", *map(escaped, map(str.strip, paragraph.splitlines())))


def etlmon_page() -> list[str]:
    context = click.Context(main, info_name="etlmon")
    lines = head("etlmon", 1, "watch the hosts that run ETL jobs")
    lines += [".SH SYNOPSIS", ".B etlmon", "COMMAND [OPTIONS] [ARGUMENTS]", ".SH COMMANDS"]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        own = click.Context(command, info_name=name, parent=context)
        usage = " ".join(command.collect_usage_pieces(own))
        lines += [f".SS etlmon {escaped(name)} {escaped(usage)}"]
        lines += paragraphs((command.help or "").partition("\f")[0])
        for parameter in command.get_params(own):
            record = parameter.get_help_record(own)
            if record is not None:
                lines += [".TP", f".B {escaped(record[0])}", escaped(record[1])]
    return [
        *lines,
        ".SH FILES",
        ".TP",
        ".I /etc/etlmon/node.yaml",
        "The configuration of the packaged node; see",
        ".BR etlmon\\-node.yaml (5).",
        ".TP",
        ".I /var/lib/etlmon/etlmon.db",
        "Its database.",
        ".TP",
        ".I ~/.config/etlmon/ui.yaml\\fR, \\fI/etc/etlmon/ui.yaml",
        "The nodes that etlmon ui shows: of the user, else of the host; see",
        ".BR etlmon\\-ui.yaml (5).",
        ".SH EXIT STATUS",
        "0 if all went well, 1 if not, with one line on standard error for each mistake, 2 if the",
        "command line is wrong.",
        ".B etlmon doctor",
        "says 1 for warnings and 2 for problems;",
        ".B etlmon node",
        "78 for mistakes in its configuration, which the service does not try again.",
        ".SH SEE ALSO",
        ".BR etlmon\\-node.yaml (5),",
        ".BR etlmon\\-ui.yaml (5),",
        ".BR systemctl (1),",
        ".I /usr/share/doc/etlmon",
    ]


def settings(schema: dict[str, Any], place: str = "") -> Iterator[str]:
    """Give each setting with its help, and its default where it has one."""
    for name, field in schema.get("properties", {}).items():
        where = f"{place}.{name}" if place else name
        inner = field
        for choice in field.get("anyOf", ()):
            inner = choice if "properties" in choice else inner
        default = f" Default: {field['default']}." if "default" in field else ""
        yield from (".TP", f".B {escaped(where)}")
        yield escaped(field.get("description", "").rstrip(".") + "." + default)
        yield from settings(inner, where)
        if isinstance(inner.get("additionalProperties"), dict):
            yield from settings(inner["additionalProperties"], f"{where}.NAME")


def config_page(name: str, schema: dict[str, Any], what: str, commented: str) -> list[str]:
    return [
        *head(name, 5, what),
        ".SH DESCRIPTION",
        "YAML. Every setting has a default or is said to have none; durations have a unit (500ms,",
        "15s, 5m, 1h, 7d), sizes may have one (4096, 64KiB, 2GiB).",
        f"{escaped(commented)} explains each where it is.",
        ".B etlmon check\\-config",
        "names every mistake in a file.",
        ".SH SETTINGS",
        *settings(schema),
        ".SH SEE ALSO",
        ".BR etlmon (1)",
    ]


def write(directory: Path) -> None:
    pages = {
        "etlmon.1": etlmon_page(),
        "etlmon-node.yaml.5": config_page(
            "etlmon-node.yaml",
            node_config_schema(),
            "configuration of an etlmon node",
            "/etc/etlmon/node.yaml",
        ),
        "etlmon-ui.yaml.5": config_page(
            "etlmon-ui.yaml",
            ui_config_schema(),
            "configuration of the etlmon terminal client",
            "/etc/etlmon/ui.yaml",
        ),
    }
    for name, lines in pages.items():
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
