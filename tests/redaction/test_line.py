"""Secrets in command lines: those that are usual are gone, and what is no secret stays."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.redaction import REDACTED, Redaction

R = REDACTED


@pytest.fixture(scope="module")
def usual() -> Redaction:
    return Redaction()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("load --password=x1", f"load --password={R}"),
        ("load --password x1 -v", f"load --password {R} -v"),
        ("load --db-pass x1", f"load --db-pass {R}"),
        ("load -password x1", f"load -password {R}"),
        ("load --api-key=x1 --token x2", f"load --api-key={R} --token {R}"),
        ("env PGPASSWORD=x1 psql", f"env PGPASSWORD={R} psql"),
        ("env MYSQL_PWD=x1 DB_PASSWORD_PROD=x2 x", f"env MYSQL_PWD={R} DB_PASSWORD_PROD={R} x"),
        ("java -Dspring.datasource.password=x1 -jar a", None),
        ("java 'jdbc:sqlserver://h;user=u;password=x1;encrypt=true'", None),
        (
            "azcopy https://a.blob/c?sv=1&sig=x1%3D&se=2 d",
            f"azcopy https://a.blob/c?sv=1&sig={R}&se=2 d",
        ),
        ("psql postgresql://u:x1@h/db", f"psql postgresql://u:{R}@h/db"),
        ("curl 'https://h/a?token=x1&page=2'", f"curl https://h/a?token={R}&page=2"),
        ("curl -H 'Authorization: Bearer x1.x2-x3x3'", f"curl -H Authorization: {R}"),
        ("curl -H 'Cookie: a=x1; b=x2'", f"curl -H Cookie: {R}"),
        ("curl -u me:x1 https://h", f"curl -u me:{R} https://h"),
        ("/usr/bin/curl --user me:x1 h", f"/usr/bin/curl --user me:{R} h"),
        ("curl --user=me:x1 h", f"curl --user=me:{R} h"),
        ("mysql -u me -px1 db", f"mysql -u me -p{R} db"),
        ("sudo -u etl mysqldump -px1 db", f"sudo -u etl mysqldump -p{R} db"),
        ("sshpass -p x1 ssh h", f"sshpass -p {R} ssh h"),
        ("sshpass -px1 ssh h", f"sshpass -p{R} ssh h"),
        ("sqlplus -s scott/x1@orcl", f"sqlplus -s scott/{R}@orcl"),
        ("sqlldr userid=scott/x1@orcl control=a.ctl", None),
        ("bcp t out f -U me -P x1", f"bcp t out f -U me -P {R}"),
        ("lftp -u me,x1 h", f"lftp -u me,{R} h"),
        ("smbclient -U me%x1 //h/s", f"smbclient -U me%{R} //h/s"),
        ("redis-cli -a x1 ping", f"redis-cli -a {R} ping"),
        ("ldapsearch -D cn=a -w x1", f"ldapsearch -D cn=a -w {R}"),
        ("openssl enc -pass pass:x1", None),
        ("sh -c 'PGPASSWORD=x1 psql -c \"select 1\"'", None),
        ("sh -c 'load --password x1 --verbose'", f"sh -c load --password {R} --verbose"),
        ("sh -c 'cd /a && mysql -px1 db'", f"sh -c cd /a && mysql -p{R} db"),
        ('load \'{"secret": "x1", "n": 1}\'', f'load {{"secret": {R}, "n": 1}}'),
        ("az 'AccountName=a;AccountKey=x1==;E=b'", None),
    ],
)
def test_secrets_are_taken_out(usual, line: str, shown: str | None) -> None:
    redacted = usual.line(shlex.split(line))
    assert "x1" not in redacted
    assert "x2" not in redacted
    assert R in redacted
    if shown is not None:
        assert redacted == shown


@pytest.mark.parametrize(
    "line",
    [
        "load --password-file=/etc/pw --token-type jwt",
        "load --max-tokens 4096 --tokenizer=bert",
        "env PWD=/home/etl OLDPWD=/tmp load",
        "env AWS_ACCESS_KEY_ID=AKIA1 load",
        "psql -U me -p 5432 db",
        "ssh -p 22 host",
        "curl https://h:8080/a?b=c@d",
        "mysql --user=me -u me -h h",
        "sqlplus / as sysdba @a/b.sql",
        "java -Xmx4g -cp a.jar:b.jar com.example.Bypass",
        "compass --north",
    ],
)
def test_what_is_no_secret_stays(usual, line: str) -> None:
    arguments = shlex.split(line)
    assert usual.line(arguments) == " ".join(arguments)


def test_own_patterns_take_out_groups_or_all() -> None:
    own = Redaction([r"--pin (\d+)(x?)", "geheim[0-9]*", "y*"])
    assert own.line(["a", "--pin", "12x", "geheim7", "--password=p"]) == (
        f"a --pin {R}{R} {R} --password={R}"
    )


def test_the_usual_ones_can_be_left_out() -> None:
    assert Redaction(defaults=False).line(["a", "--password=p"]) == "a --password=p"


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        Redaction(["("])


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_arguments(arguments: list[str]) -> None:
    arguments = [one.encode("utf-8", "replace").decode() for one in arguments]
    assert isinstance(ANY.line(arguments), str)


@given(st.from_regex(r"[A-Za-z0-9!#%*+]{6,20}", fullmatch=True))
def test_no_secret_comes_through(secret: str) -> None:
    for arguments in (
        ["x", f"--password={secret}"],
        ["x", "--password", secret],
        ["x", f"ftp://u:{secret}@h/p"],
        ["mysql", f"-p{secret}"],
    ):
        assert secret not in ANY.line(arguments)


ANY = Redaction()
