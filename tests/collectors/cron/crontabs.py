"""Crontabs, good, bad and odd, of which a real cron is asked what it makes of them."""

from __future__ import annotations

FIELDS: tuple[list[str], ...] = (
    # What may stand in the minute, then hour, day of the month, month, day of the week.
    [
        *"* 0 59 60 00 007 -1 1-5 5-1 50-10 1,2,3 1, ,1 1,,2 */5 */1 */0 */60 */61 */999".split(),
        *"5/15 5/ 1-59/2 1-30/0 5-64/30 60-70 0-59 0-60 1-2-3 1-5/2/3 *,5 5,* *5 ** *- *-5".split(),
        "1.5",
        *"1#2 1~5 ~ ~5 L ? H x 1x x1 0x5 +5 1+ jan 1-5,10-20/3,30 1;2 1:2 @ 1@ * */ /5 5-".split(),
        *"5-x 1-* 4294967296 4294967301 99999999999999999999 */4294967297".split(),
        "*" * 30,
        "1" + ",2" * 200,
    ],
    "* 0 23 24 22-2 22-2/2 0-23 */2 */24 */25 8-18/2 1,2-4 24-25 5/2 noon 0-24 1-23/23".split(),
    "* 0 1 31 32 31-1 1-31 */2 1,15 L W 15W ? 0-5 */31 1-31/31 1st 1,* *,1 3,*".split(),
    "* 0 1 12 13 jan JAN Jan dec january Jan-Dec dec-jan jan,feb jan-mar/2 1-12 feb/2 jan-13 "
    "0-5 */2 */13 1-Jun sept may-5".split(),
    "* 0 7 8 sun SUN Sunday mon-fri fri-mon fri-sun sun-fri sat,sun 0-7 7-7 7-1 1-7 1#2 5L mon/2 "
    "*/2 */7 */8 mon,wed-fri 0,7 6-7 tues sun-sun *,mon".split(),
)

FILES: dict[str, bytes] = {
    "empty": b"",
    "only blank": b"  \t ",
    "newlines": b"\n\n\n",
    "comment": b"# nothing\n",
    "comment without its newline": b"# nothing",
    "blank and comment": b"  \t# nothing\n",
    "good": b"0 5 * * * true\n",
    "good, indented": b" \t0 5 * * * true\n",
    "tabs": b"0\t5\t*\t*\t*\ttrue\n",
    "many blanks": b"0   5 \t * \t* *   true  \n",
    "no newline": b"0 5 * * * true",
    "no newline, a good one before": b"0 5 * * * true\n1 5 * * * true",
    "blanks after the last newline": b"0 5 * * * true\n   ",
    "comment after the last newline": b"0 5 * * * true\n # end",
    "assignment without its newline": b"A=b",
    "no command": b"0 5 * * *\n",
    "no command but blanks": b"0 5 * * *   \n",
    "four fields": b"0 5 * *\n",
    "four fields and a word": b"0 5 * * true\n",
    "one field": b"0\n",
    "six fields": b"0 5 * * * * true\n",
    "seven fields": b"0 0 5 * * * * true\n",
    "six fields, digits": b"0 0 5 1 1 5 true\n",
    "carriage returns": b"0 5 * * * true\r\n",
    "carriage returns in an empty line": b"\r\n0 5 * * * true\r\n",
    "user column": b"0 5 * * * root true\n",
    "percent": b"0 5 * * * date +\\%Y % in % put\n",
    "percent alone": b"0 5 * * * %\n",
    "hash in the command": b"0 5 * * * true # not a comment\n",
    "unicode": "0 5 * * * echo 안녕 ÿ\n".encode(),
    "not utf-8": b"0 5 * * * echo \xe4\xf6\n",
    "not utf-8 in a field": b"0\xe4 5 * * * true\n",
    "vertical tab": b"0\x0b5 * * * true\n",
    "form feed in an empty line": b"\x0c\n",
    "assignment": b"MAILTO=root\n0 5 * * * true\n",
    "blanks around =": b"MAILTO = root\n",
    "blank in the name": b"MAIL TO=root\n",
    "no value": b"MAILTO=\n",
    "no value but blanks": b"MAILTO=   \n",
    "empty quotes": b'MAILTO=""\n',
    "quotes": b"A='b c'\n",
    "quotes with blanks after": b'A="b c"  \t\n',
    "quotes with text after": b'A="b" c\n',
    "quotes that do not end": b'A="b\n',
    "other quotes": b"A='b\"\n",
    "quotes in the value": b"A=b'c'd\n",
    "quoted name": b'"A B"=c\n',
    "quoted name with =": b'"A=B"=c\n',
    "quoted name with text after": b'"A"B=c\n',
    "quoted name that does not end": b'"A=c\n',
    "no name": b"=c\n",
    "only =": b"=\n",
    "double =": b"A==b\n",
    "= in the value": b"A=b=c\n",
    "comment after the value": b"A=b # c\n",
    "number as a name": b"0 = 5\n",
    "star as a name": b"* = 5\n",
    "alias as a name": b"@daily = x\n",
    "assignment after an entry": b"0 5 * * * true\nA=b\n",
    "expansion": b"PATH=$PATH:/x\n",
    "export": b"export A=b\n",
    "carriage return after a value": b"A=b\r\n",
    "carriage return as a value": b"A=\r\n",
    "CRON_TZ": b"CRON_TZ=Asia/Seoul\n0 5 * * * true\n",
    "word": b"true\n",
    "bad, then good": b"x\n0 5 * * * true\n",
    "good, then bad": b"0 5 * * * true\nx\n",
    "continued": b"0 5 * * * true \\\n  && false\n",
    "long command": b"0 5 * * * " + b"x" * 998 + b"\n",
    "too long command": b"0 5 * * * " + b"x" * 999 + b"\n",
    "much too long command": b"0 5 * * * " + b"x" * 5000 + b"\n",
    "long blanks": b"0 5 * * * " + b" " * 2000 + b"true\n",
    "long value": b"A=" + b"x" * 2000 + b"\n",
    "long comment": b"#" + b"x" * 100_000 + b"\n",
    **{
        f"alias {name}": f"@{name} true\n".encode()
        for name in "reboot yearly annually monthly weekly daily midnight hourly".split()
    },
    **{
        f"no alias {name}": f"@{name} true\n".encode()
        for name in ("", "DAILY", "Daily", "every_minute", "daily,", "fortnightly", "5", "@daily")
    },
    "alias without a command": b"@daily\n",
    "alias with blanks": b"@daily   \n",
    "alias and *": b"@daily * true\n",
    "alias indented": b"   @daily true\n",
}


LONG_FILES: dict[str, tuple[bytes, bool]] = {
    # What the daemon takes; crontab(1) counts comments and its own header too, and takes less.
    "10,003 entries": (b"0 5 * * * true\n" * 10_003, True),
    "10,004 entries": (b"0 5 * * * true\n" * 10_004, False),
    "20,000 comments": (b"# x\n" * 20_000, True),
    "an entry after 10,002 comments": (b"# x\n" * 10_002 + b"0 5 * * * true\n", True),
    "an entry after 10,003 comments": (b"# x\n" * 10_003 + b"0 5 * * * true\n", False),
}


def all_files() -> dict[str, bytes]:
    """Give every crontab by what it is."""
    found = dict(FILES)
    for place, texts in enumerate(FIELDS):
        for text in texts:
            fields = ["*"] * 5
            fields[place] = text
            found[f"field {place + 1}: {text[:40]}"] = f"{' '.join(fields)} true\n".encode()
    return found
