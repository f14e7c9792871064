"""The keys: one table that the behaviour, the help and the footer read, and the tests too."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Key:
    """A command, the keys that give it, and what help says of it."""

    command: str
    keys: tuple[str, ...]
    help: str
    short: str = ""
    """The word in the footer; empty for what only the help shows."""


@dataclass(frozen=True)
class Place:
    """Where keys hold: a part of the screen, and what its keys are."""

    name: str
    keys: tuple[Key, ...]


EVERYWHERE = Place(
    "Everywhere",
    (
        Key("quit", ("q",), "quit", "quit"),
        Key("help", ("?", "f1"), "this help", "help"),
        Key("next view", ("tab", "right"), "next view", "view"),
        Key("previous view", ("shift tab", "left"), "previous view"),
        Key("next node", ("n", "]"), "next node", "node"),
        Key("previous node", ("N", "["), "previous node"),
        Key(
            "node by number",
            ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
            "the node of that number",
        ),
        Key("refresh", ("r", "f5"), "ask the node now"),
        Key("redraw", ("ctrl l",), "draw the whole screen anew"),
    ),
)
TABLE = Place(
    "In a table",
    (
        Key("detail", ("enter",), "the whole of the chosen row", "detail"),
        Key("down", ("j", "down"), "next row"),
        Key("up", ("k", "up"), "previous row"),
        Key("page down", ("page down", "ctrl f", " "), "a page down"),
        Key("page up", ("page up", "ctrl b"), "a page up"),
        Key("first", ("g", "home"), "first row"),
        Key("last", ("G", "end"), "last row"),
        Key("filter", ("/",), "show only rows that hold a text; empty shows all", "filter"),
        Key("sort", ("o",), "sort by the next column", "sort"),
        Key("reverse", ("O",), "turn the order round"),
        Key("back", ("esc",), "end the filter", "all rows"),
    ),
)
FILESYSTEMS = Place(
    "File systems",
    (Key("toggle hidden", ("h",), "show hidden mounts and why they are, or not", "hidden"),),
)
PATHS = Place(
    "Paths",
    (
        Key("scan", ("s",), "scan the chosen path now, after y", "scan"),
        Key("scan all", ("S",), "scan all paths now, after y"),
        Key("cancel", ("x",), "end the scan of the chosen path, after y", "end scan"),
    ),
)
PATH = Place(
    "In the detail of a path",
    (
        Key("largest", ("t",), "look for its largest files and directories, after y", "largest"),
        Key("end largest", ("T",), "end that search, after y", "end search"),
    ),
)
LOGS = Place(
    "Logs",
    (
        Key("switch", ("P",), "pause or resume the node's reading of the log, after y", "pause"),
        Key("fields", ("i",), "all that is known of the file", "about"),
    ),
)
LOG = Place(
    "In a log",
    (
        Key("back", ("esc", "backspace"), "back", "back"),
        Key("follow", ("f",), "go to the newest line and stay there, or stay here", "follow"),
        Key("freeze", ("p",), "freeze the screen and count what is new, or go on", "freeze"),
        Key(
            "search",
            ("/",),
            "search by a regular expression (RE2; (?i) folds case); empty ends it",
            "search",
        ),
        Key("next match", ("n",), "next match, as far as the node has lines", "next"),
        Key("previous match", ("N",), "previous match, as far as the node has lines"),
        Key("only matches", ("&",), "only lines that match, or all", "only"),
        Key("time format", ("t",), "time: local, UTC, how long ago, the line's own, none", "time"),
        Key("wrap", ("w",), "wrap long lines, or cut them", "wrap"),
        Key("all files", ("a",), "the lines of all files of the log, or of this one", "all files"),
        Key("jump", ("g", ":"), "go to the lines read at a time", "go to"),
        Key("shift right", ("right", "l"), "what is further right of long lines"),
        Key("shift left", ("left", "h"), "what is further left"),
        Key("shift to start", ("0",), "the beginning of the lines"),
        Key("switch", ("P",), "pause or resume the node's reading of the log, after y", "pause"),
        Key("down", ("j", "down"), "a line down"),
        Key("up", ("k", "up"), "a line up"),
        Key("page down", ("page down", "ctrl f", " "), "a page down"),
        Key("page up", ("page up", "ctrl b"), "a page up"),
        Key("first", ("home",), "the oldest line on this side; again for those before it"),
        Key("last", ("G", "end"), "the newest line, and follow"),
    ),
)
PROMPT = Place(
    "While writing in a log",
    (
        Key("done", ("enter",), "search for it, or go there", "done"),
        Key("back", ("esc",), "leave all as it was", "leave"),
        Key("shorten", ("backspace",), "take away the last letter"),
        Key("clear", ("ctrl u",), "take away all letters"),
    ),
)
PROCESSES = Place(
    "Processes",
    (
        Key("toggle all", ("a",), "all processes of the host, read now; or those watched", "all"),
        Key("toggle tree", ("t",), "children below their parents, or not", "tree"),
        Key("toggle watches", ("w",), "watched processes by their watch, or in one list"),
    ),
)
PROCESS = Place(
    "A process",
    (Key("kill", ("d",), "send it a signal: a form asks for all of it first", "signal"),),
)
CRON = Place(
    "Cron",
    (
        Key("files", ("f",), "the files of cron, and which are ignored", "files"),
        Key("timeline", ("t",), "the runs of the next 24 hours", "24 hours"),
        Key("look", ("c",), "have the node look at the crontabs now, after y", "look now"),
    ),
)
XFERLOG = Place(
    "Xferlog",
    (
        Key("follow", ("f",), "show each transfer as it comes, or end that", "follow"),
        Key("summary", ("s",), "transfers added up", "sums"),
        Key("user", ("u",), "only those of the chosen user, all that the node has", "user"),
        Key("host", ("h",), "only those of the chosen client, all that the node has", "host"),
        Key("file", ("F",), "only files whose names hold the filter, all that the node has"),
        Key("logs", ("L",), "the logs that are read, and how far"),
    ),
)
SUMS = Place(
    "Transfers added up",
    (Key("group", ("b",), "by user, host, direction or hour, or by all of these", "by"),),
)
PART = Place(
    "In a table that another view has opened",
    (Key("back", ("esc", "backspace"), "back", "back"),),
)
IN_PART = (PART, replace(TABLE, keys=tuple(key for key in TABLE.keys if key.command != "back")))
"""The places of such a table: all that a table has, but that Esc leads back."""
DETAIL = Place(
    "In a detail or in this help",
    (
        Key("back", ("esc", "enter", "backspace"), "back", "back"),
        Key("down", ("j", "down"), "a line down"),
        Key("up", ("k", "up"), "a line up"),
        Key("page down", ("page down", "ctrl f", " "), "a page down"),
        Key("page up", ("page up", "ctrl b"), "a page up"),
        Key("first", ("g", "home"), "the beginning"),
        Key("last", ("G", "end"), "the end"),
    ),
)
QUESTION = Place(
    "In a question",
    (
        Key("yes", ("y", "Y"), "yes, do it", "yes"),
        Key("back", ("n", "N", "esc", "q"), "no", "no"),
    ),
)
KILL = Place(
    "In the form for a signal",
    (
        Key(
            "go on", ("enter",), "next field; after the last one it is sent, if confirmed", "go on"
        ),
        Key("back", ("esc",), "leave, and send nothing", "send nothing"),
        Key("next signal", ("right",), "next signal", "signal"),
        Key("previous signal", ("left",), "previous signal"),
        Key("next field", ("tab", "down"), "next field", "field"),
        Key("previous field", ("shift tab", "up"), "previous field"),
        Key("shorten", ("backspace",), "take away the last letter"),
        Key("clear", ("ctrl u",), "take away all letters"),
    ),
)
KILL_WAITING = Place(
    "While a signal is under way",
    (Key("back", ("esc", "enter"), "leave; what came of it is told all the same", "leave"),),
)
KILL_OUTCOME = Place(
    "When a signal has been answered",
    (
        Key("back", ("esc", "enter"), "leave", "leave"),
        Key("again", ("d",), "the form again, for the same process", "another signal"),
        Key("escalate", ("K",), "the form again with SIGKILL, if it is still running", "SIGKILL"),
    ),
)
FILTER = Place(
    "While writing a filter",
    (
        Key("done", ("enter",), "keep the filter", "keep"),
        Key("back", ("esc",), "end the filter", "all rows"),
        Key("shorten", ("backspace",), "take away the last letter"),
        Key("clear", ("ctrl u",), "take away all letters"),
        Key("down", ("down",), "next row"),
        Key("up", ("up",), "previous row"),
        Key("page down", ("page down",), "a page down"),
        Key("page up", ("page up",), "a page up"),
    ),
)

PLACES = (
    EVERYWHERE,
    TABLE,
    FILESYSTEMS,
    PATHS,
    PATH,
    LOGS,
    LOG,
    PROMPT,
    PROCESSES,
    PROCESS,
    CRON,
    XFERLOG,
    SUMS,
    PART,
    DETAIL,
    QUESTION,
    KILL,
    KILL_WAITING,
    KILL_OUTCOME,
    FILTER,
)


def command_of(key: str, *places: Place) -> str | None:
    """Give the command that a key gives in the first of ``places`` that knows it; None if none."""
    for place in places:
        for entry in place.keys:
            if key in entry.keys:
                return entry.command
    return None


def rest_of(place: Place, taken: tuple[Place, ...]) -> Place:
    """Give a place with only those of its keys that none of ``taken`` has for itself."""
    keys = {key for other in taken for entry in other.keys for key in entry.keys}
    left = (
        replace(entry, keys=tuple(key for key in entry.keys if key not in keys))
        for entry in place.keys
    )
    return Place(place.name, tuple(entry for entry in left if entry.keys))


def shown(key: str) -> str:
    """Give a key as people call it."""
    names = {" ": "Space", "esc": "Esc", "enter": "Enter", "tab": "Tab", "shift tab": "Shift-Tab"}
    if key in names:
        return names[key]
    if key.startswith("ctrl "):
        return f"^{key[5:].upper()}"
    return key if len(key) == 1 else key.title().replace(" ", "")
