"""What programs take for a secret, as arguments of a process and within the text of a crontab."""

from __future__ import annotations

import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlmon.redaction import REDACTED, Redaction
from etlmon.redaction.words import pieces

R = REDACTED
REDACTION = Redaction()
HIDDEN = [
    # As written, x1 being the secret; what is shown of it where the whole is of interest.
    ("openssl enc -aes-256-cbc -k x1 -in a", f"openssl enc -aes-256-cbc -k {R} -in a"),
    ("openssl enc -d -aes256 -pass pass:x1 -in a", None),
    ("openssl rsa -in a -passin pass:x1 -out b", f"openssl rsa -in a -passin pass:{R} -out b"),
    ("openssl pkcs12 -passout pass:x1 -in a", None),
    ("openssl passwd -6 x1", f"openssl passwd -6 {R}"),
    ("openssl dgst -sha256 -hmac x1 a", None),
    ("vault login x1", f"vault login {R}"),
    ("vault login -method=userpass username=u password=x1", None),
    ("VAULT_ADDR=https://h vault login x1", f"VAULT_ADDR=https://h vault login {R}"),
    ("xfreerdp /u:me /p:x1 /v:h", f"xfreerdp /u:me /p:{R} /v:h"),
    ("xfreerdp /u:me /password:x1 /v:h", f"xfreerdp /u:me /password:{R} /v:h"),
    ("""python3 -c 'import requests as r; r.get(u, auth=("a","x1"))'""", None),
    ("""python3 -c "get(u, auth = ('a', 'x1'), verify=False)" """, None),
    ("sshpass -px1 ssh h ls", f"sshpass -p{R} ssh h ls"),
    ("sshpass -p x1 ssh -p 22 h", f"sshpass -p {R} ssh -p 22 h"),
    ("SSHPASS=x1 sshpass -e ssh h", f"SSHPASS={R} sshpass -e ssh h"),
    ("mysql -px1 db", f"mysql -p{R} db"),
    ("mysql -uroot -p'x1 x2' db", None),
    ("/usr/bin/mysqldump --password=x1 db", f"/usr/bin/mysqldump --password={R} db"),
    ("curl -u me:x1 https://h/a", f"curl -u me:{R} https://h/a"),
    ("curl -su me:x1 https://h/a", f"curl -su me:{R} https://h/a"),
    ('curl -u "me:x1 x2" https://h/a', None),
    ("curl --user=me:x1 https://h/a", f"curl --user=me:{R} https://h/a"),
    ("curl -x h:1 -U me:x1 https://h/a", None),
    ("curl -fsS https://me:x1@h/a", f"curl -fsS https://me:{R}@h/a"),
    ("curl -H 'Authorization: Bearer x1' https://h", None),
    ("curl -H 'Authorization: Basic x1' https://h", None),
    ("curl -H 'X-Api-Key: x1' https://h", None),
    ("git clone https://ghp_x1abcdefghijklmnopqrst@github.com/a/b", None),
    ("git pull https://oauth2:x1@h/a/b", f"git pull https://oauth2:{R}@h/a/b"),
    ("http -a me:x1 h/a", f"http -a me:{R} h/a"),
    ("wget --user me --password x1 https://h", f"wget --user me --password {R} https://h"),
    ("wget --password=x1 https://h", f"wget --password={R} https://h"),
    ("wget --http-passwd=x1 https://h", None),
    ("PGPASSWORD=x1 psql -h h db", f"PGPASSWORD={R} psql -h h db"),
    ('psql "host=h user=u password=x1 dbname=d"', None),
    ("lftp -u me,x1 sftp://h", f"lftp -u me,{R} sftp://h"),
    ("lftp -e 'open -u me,x1 h; mirror a' ", None),
    ("smbclient //h/s -U me%x1 -c ls", f"smbclient //h/s -U me%{R} -c ls"),
    ("smbclient --user=me%x1 //h/s", None),
    ("""expect -c 'spawn ssh h; expect "password:" ; send "x1\\r"; interact'""", None),
    ("""expect -c 'expect "assword: "; send -- "x1\\r"'""", None),
    ("AWS_SECRET_ACCESS_KEY=x1 aws s3 ls", f"AWS_SECRET_ACCESS_KEY={R} aws s3 ls"),
    ("aws configure set aws_secret_access_key x1", None),
    ("load aws_secret_access_key=x1", f"load aws_secret_access_key={R}"),
    ("redis-cli -a x1 ping", f"redis-cli -a {R} ping"),
    ("redis-cli --pass x1 ping", f"redis-cli --pass {R} ping"),
    ("REDISCLI_AUTH=x1 redis-cli ping", f"REDISCLI_AUTH={R} redis-cli ping"),
    ("mongo -u me -p x1 db", f"mongo -u me -p {R} db"),
    ("mongodump --uri mongodb://u:x1@h/d", f"mongodump --uri mongodb://u:{R}@h/d"),
    ("sqlplus me/x1@db @a.sql", f"sqlplus me/{R}@db @a.sql"),
    ("expdp me/x1 schemas=a", f"expdp me/{R} schemas=a"),
    ("rclone copy --sftp-pass x1 a b:", f"rclone copy --sftp-pass {R} a b:"),
    ("rclone --http-proxy-pass=x1 ls b:", f"rclone --http-proxy-pass={R} ls b:"),
    ("zip -P x1 a.zip b", f"zip -P {R} a.zip b"),
    ("zip -rP x1 a.zip b", f"zip -rP {R} a.zip b"),
    ("unzip -P x1 a.zip", f"unzip -P {R} a.zip"),
    ("unzip -Px1 a.zip", f"unzip -P{R} a.zip"),
    ("7z a -px1 a.7z b", f"7z a -p{R} a.7z b"),
    ("rar a -hpx1 a.rar b", f"rar a -hp{R} a.rar b"),
    ("gpg --batch --passphrase x1 -c a", f"gpg --batch --passphrase {R} -c a"),
    ("gpg --passphrase=x1 -c a", f"gpg --passphrase={R} -c a"),
    ("ldapsearch -x -D cn=a -w x1", f"ldapsearch -x -D cn=a -w {R}"),
    ("ldapsearch -xw x1 -D cn=a", f"ldapsearch -xw {R} -D cn=a"),
    ("snmpget -v2c -c x1 h sysUpTime.0", f"snmpget -v2c -c {R} h sysUpTime.0"),
    ("snmpwalk -v3 -u a -A x1 -X x2 h", f"snmpwalk -v3 -u a -A {R} -X {R} h"),
    ("ipmitool -H h -U a -P x1 power status", f"ipmitool -H h -U a -P {R} power status"),
    ("sqlcmd -S h -U me -P x1 -Q q", f"sqlcmd -S h -U me -P {R} -Q q"),
    ("docker login -u me -p x1 h", f"docker login -u me -p {R} h"),
    ("htpasswd -b /etc/htpasswd me x1", f"htpasswd -b /etc/htpasswd me {R}"),
    ("htpasswd -nb me x1", f"htpasswd -nb me {R}"),
    ("keytool -list -keystore a -storepass x1", f"keytool -list -keystore a -storepass {R}"),
    ("pscp -pw x1 a h:b", f"pscp -pw {R} a h:b"),
    ("db2 connect to d user me using x1", f"db2 connect to d user me using {R}"),
    ('db2 "connect to d user me using x1"', None),
    ("mc alias set s https://h key x1", f"mc alias set s https://h key {R}"),
    ("rabbitmqctl add_user me x1", f"rabbitmqctl add_user me {R}"),
    ("useradd -m -p x1 me", f"useradd -m -p {R} me"),
    ("mount -t cifs //h/s /m -o user=me,password=x1", None),
    ("mount -t cifs //h/s /m -o user=me,pass=x1,ro", None),
    ("ssh h 'mysql -px1 db'", None),
    ("""ssh h "sh -c 'mysql -px1 db'" """, None),
    ("sudo -u etl mysqldump -px1 db", f"sudo -u etl mysqldump -p{R} db"),
    ("cd /a && mysql -px1 db | gzip > a.gz", f"cd /a && mysql -p{R} db | gzip > a.gz"),
    ("/opt/etl/run.sh curl -u me:x1 h", f"/opt/etl/run.sh curl -u me:{R} h"),
]
IN_TEXT = [
    # What only a shell makes of it.
    ("echo x1 | kinit me@R", f"echo {R} | kinit me@R"),
    ("echo 'x1' | sudo -S systemctl restart a", f"echo '{R}' | sudo -S systemctl restart a"),
    ("echo me:x1 | chpasswd", f"echo {R} | chpasswd"),
    ("printf 'x1' | docker login -u me --password-stdin", None),
    ("mysql -p'x1 x2' db; psql -p 5432", f"mysql -p'{R}' db; psql -p 5432"),
    ('curl -u "me:x1 x2" h', f'curl -u "me:{R}" h'),
    ("zip -P 'x1 x2' a.zip b", f"zip -P '{R}' a.zip b"),
    ("export PGPASSWORD=x1; psql -h h db", f"export PGPASSWORD={R}; psql -h h db"),
    ("(zip -P x1 a.zip b)", f"(zip -P {R} a.zip b)"),
    ("if true; then zip -P x1 a b; fi", f"if true; then zip -P {R} a b; fi"),
]
SHOWN = [
    "kinit -kt /etc/me.keytab me@R",
    "kinit -p me",
    "openssl enc -d -pass file:/etc/key -in a",
    "openssl enc -d -pass env:KEY -in a",
    "openssl req -new -key a.key -out a.csr",
    "openssl s_client -connect h:443",
    "vault kv get secret/etl",
    "vault login -method=aws",
    "vault status",
    "msbuild a.sln /p:Configuration=Release",
    "sshpass -f /etc/pw ssh -p 22 h",
    "ssh -p 22 h ls -p",
    "psql -p 5432 -h h -U me db",
    "mysql -u me -P 3306 -h h db",
    "mysql --defaults-file=/etc/my.cnf -e 'select 1'",
    "docker run -d -p 8080:80 nginx",
    "docker compose -p etl up",
    "podman ps -a",
    "az group list -o table",
    "mkdir -p /a/b && cp -p a b",
    "cp exp/a imp/b",
    "tar cf a.tar exp src/main imp dst/main",
    "ls zip -P",
    "unzip -o a.zip -d /a",
    "zip -r a.zip b",
    "7z x a.7z -o/a",
    "gpg --passphrase-file /etc/p -d a",
    "gpg --passphrase-fd 0 -d a",
    "gpg --batch -c a",
    "curl -fsSo a.csv https://h/a",
    "curl -u me https://h/a",
    "curl https://h/?user=me&page=2",
    "wget -q https://h/a",
    "git clone ssh://git@h/a/b",
    "git clone https://me@h/a/b",
    "rsync -e ssh a git@h:b",
    "ffmpeg -i a -pass 1 -f null x",
    "load --first-pass yes --bypass no",
    "load --compass north --passive",
    "cat /var/log/auth.log",
    "python3 train.py basic training-set",
    "python3 -m bearer instruments",
    "grep password /etc/app.conf",
    "sh -c 'echo hello | mail -s report me'",
    "sqlplus -s /nolog @a.sql",
    "snmpd -c /etc/snmpd.conf",
    "redis-cli -h h ping",
    "ldapsearch -x -y /etc/pw -b dc=a",
    "htpasswd -c /etc/htpasswd me",
    "passwd -S me",
    "chpasswd -e",
    "http GET h/a",
    "net start a",
    "find / -name secret.txt -newer /etc/passwd",
    "kubectl get secret etl",
    "run --user=me --group=etl",
    "az storage blob list -c a --account-name b",
    "aws configure set region eu-west-1",
    "rabbitmqctl list_users",
    "mc ls s/a",
    "db2 connect to d",
    "expect /opt/etl/login.exp",
]


@pytest.mark.parametrize(("line", "shown"), HIDDEN, ids=[line for line, _ in HIDDEN])
def test_a_secret_of_a_process_is_hidden(line: str, shown: str | None) -> None:
    redacted = REDACTION.line(shlex.split(line))
    assert not {"x1", "x2"} & set(_parts(redacted)), redacted
    assert R in redacted
    assert shown in (None, redacted)


@pytest.mark.parametrize(
    ("line", "shown"), HIDDEN + IN_TEXT, ids=[line for line, _ in HIDDEN + IN_TEXT]
)
def test_a_secret_of_a_crontab_is_hidden(line: str, shown: str | None) -> None:
    redacted = REDACTION.line(("sh", "-c", line))
    assert not {"x1", "x2"} & set(_parts(redacted)), redacted
    assert R in redacted
    assert shown is None or redacted == f"sh -c {shown}"


@pytest.mark.parametrize("line", SHOWN)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert REDACTION.line(("sh", "-c", line)) == f"sh -c {line}"
    arguments = shlex.split(line)
    assert REDACTION.line(arguments) == " ".join(arguments)


def _parts(text: str) -> list[str]:
    """Give the secrets that are left in a text, wherever they stand in it."""
    return [secret for secret in ("x1", "x2") if secret in text]


@given(st.text(alphabet="ab \t\n\"'\\;|&()-=:", max_size=60))
def test_pieces_are_the_whole_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "mysql " + "\"a '" * 40_000,
        "mysql " + "'\"" * 60_000,
        "mysql " + '"\\' * 60_000,
        "mysql " + "(" * 120_000,
        "mc " + "alias set " * 12_000,
        "lftp " + "-u," * 40_000,
        "expect password " + "send " * 24_000,
        "echo " + "a | " * 30_000,
        "auth=(" * 20_000,
        "password=" * 13_000,
        "sqlplus " + "a/" * 60_000,
    ],
    ids=lambda text: text[:20],
)
def test_the_time_is_that_of_the_length(hostile: str) -> None:
    def takes(text: str) -> float:
        began = time.process_time()
        REDACTION.line(("sh", "-c", text))
        return time.process_time() - began

    takes(hostile[:100])
    short, whole = (
        min(takes(text) for _ in range(3)) for text in (hostile[: len(hostile) // 8], hostile)
    )
    assert whole < 0.05 + 24 * short, (short, whole)
