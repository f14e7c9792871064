"""Real FTP servers on the loopback, as children of the test, ended by their process id.

They run from where ``./run test`` has unpacked them: installed, they would start by themselves, and
Debian lets only one FTP server in. Users that this host does not have come from files of their own;
for vsftpd, which asks PAM and the C library, these lie over the host's in a mount namespace.
"""

from __future__ import annotations

import ftplib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.waiting import PATIENCE_SECONDS, free_port

_UID = 12_345
_PERMIT = "".join(
    f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "password", "session")
)
_VSFTPD = """
listen={v4}
listen_ipv6={v6}
{listen}
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={anonymous}
anon_upload_enable=YES
anon_other_write_enable=YES
anon_umask=022
no_anon_password=NO
local_enable=YES
write_enable=YES
chroot_local_user=YES
allow_writeable_chroot=YES
ascii_upload_enable=YES
pam_service_name=other
secure_chroot_dir={empty}
xferlog_enable=YES
xferlog_std_format=YES
xferlog_file={log}
dual_log_enable=YES
vsftpd_log_file={native}
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
"""
_PROFTPD = """
ServerName test
ServerType standalone
DefaultAddress 127.0.0.1
UseIPv6 off
UseReverseDNS off
Port {port}
User {user}
Group {group}
AuthPAM off
AuthOrder mod_auth_file.c
AuthUserFile {passwd}
AuthGroupFile {etc}/group
RequireValidShell off
PidFile {etc}/pid
ScoreboardFile {etc}/scoreboard
SystemLog {etc}/log
TransferLog {log}
WtmpLog off
DelayEngine off
AllowStoreRestart on
AllowOverwrite on
Umask 022
"""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so; fail when patience ends."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < give_up_at, f"waited in vain: {what}"
        select.select([], [], [], 0.01)


def unpacked(package: str) -> Path:
    """Give the directory that a server has been unpacked to."""
    place = Path(os.environ.get("ETLMON_TEST_SERVERS", "/nonexistent")) / package
    if not (place / "unpacked").exists():
        pytest.skip(f"{package} is not here; ./run test fetches it where apt-get can")
    return place


def libraries(place: Path) -> dict[str, str]:
    found = [str(one) for one in (*place.glob("usr/lib/*-linux-*"), *place.glob("lib/*-linux-*"))]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(found)}


class FtpServer:
    """A server that runs, its users' directories and its logs."""

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self.host = host
        self.log = directory / "xferlog"
        self.native = directory / "vsftpd.log"
        self.etc = directory / "etc"
        self.homes = {name: directory / name for name in ("etl", "partner", "anonymous")}
        for place in (self.etc, self.etc / "empty", *self.homes.values()):
            place.mkdir(parents=True)
        for name in ("etl", "partner"):
            os.chown(self.homes[name], _UID, _UID)
        (self.homes["anonymous"] / "up").mkdir()
        os.chown(self.homes["anonymous"] / "up", _UID + 1, _UID)
        self.port = free_port(host)
        self.clients: list[ftplib.FTP] = []
        self.process: subprocess.Popen[bytes]

    def write_users(self) -> Path:
        """Write a passwd of this host's users and those of the test."""
        lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
        lines = [line for line in lines if line.partition(":")[0] not in ("etl", "partner", "ftp")]
        for name, number in (("etl", _UID), ("partner", _UID), ("ftp", _UID + 1)):
            home = self.homes.get(name, self.homes["anonymous"])
            lines.append(f"{name}:x:{number}:{_UID}::{home}:/bin/sh\n")
        path = self.etc / "passwd"
        path.write_text("".join(lines))
        return path

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        until(self._answers, "the server's answer")

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        try:
            with socket.create_connection((self.host, self.port), timeout=PATIENCE_SECONDS) as one:
                return one.recv(3) == b"220"
        except OSError:
            return False

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)

    def connect(self, user: str = "etl", password: str = "secret") -> ftplib.FTP:
        client = ftplib.FTP(encoding="utf-8")  # noqa: S321 - it is what is tested
        self.clients.append(client)
        client.connect(self.host, self.port, timeout=PATIENCE_SECONDS)
        client.login(user, password)
        return client

    def until(self, condition: Callable[[], object], what: str) -> None:
        until(condition, what)

    def logged(self, count: int, *logs: Path) -> None:
        """Wait until so many lines are in the logs."""

        def enough() -> bool:
            paths = logs or (self.log,)
            texts = [path.read_bytes() for path in paths if path.exists()]
            return sum(text.count(b"\n") for text in texts) >= count

        until(enough, f"{count} lines in the log")


def break_off(transfer: socket.socket, *, reset: bool) -> None:
    """End a transfer in the middle, as a client that dies does, or one whose host does."""
    if reset:
        transfer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transfer.close()


@pytest.fixture
def broken_off() -> Callable[..., None]:
    return break_off


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Give a directory that all users can pass through; pytest's are its own user's alone."""
    with TemporaryDirectory(prefix="etlmon-ftp-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def vsftpd(open_path: Path) -> Iterator[Callable[[str], FtpServer]]:
    """Give what starts a vsftpd on an address."""
    place = unpacked("vsftpd")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root, for a mount namespace of its own")
    made: list[FtpServer] = []

    def start(host: str = "127.0.0.1") -> FtpServer:
        server = FtpServer(open_path / f"vsftpd{len(made)}", host)
        passwd = server.write_users()
        (server.etc / "other").write_text(_PERMIT)
        config = server.etc / "vsftpd.conf"
        is_v6 = ":" in host
        config.write_text(
            _VSFTPD.format(
                v4="NO" if is_v6 else "YES",
                v6="YES" if is_v6 else "NO",
                listen=f"listen_address{'6' if is_v6 else ''}={host}",
                port=server.port,
                anonymous=server.homes["anonymous"],
                empty=server.etc / "empty",
                log=server.log,
                native=server.native,
            )
        )
        script = (
            'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/pam.d/other && exec "$3" "$4"'
        )
        program = place / "usr/sbin/vsftpd"
        server.start(
            [
                "unshare",
                "-m",
                "sh",
                "-c",
                script,
                "sh",
                *map(str, (passwd, server.etc / "other", program, config)),
            ],
            libraries(place),
        )
        made.append(server)
        return server

    yield start
    for server in made:
        server.stop()


@pytest.fixture
def proftpd(open_path: Path) -> Iterator[FtpServer]:
    place = unpacked("proftpd-core")
    if os.geteuid() != 0:
        pytest.skip("needs root, to become the users that log in")
    server = FtpServer(open_path / "proftpd")
    # The password is "secret".
    shadow = "$5$etlmon$FqsNKehNw4G2JVP4v19MhaPjx0.feB9wgGcdcaCc4U6"
    passwd = server.etc / "passwd"
    passwd.write_text(f"etl:{shadow}:{_UID}:{_UID}::{server.homes['etl']}:/bin/sh\n")
    (server.etc / "group").write_text(f"etl:x:{_UID}:\n")
    for path in (passwd, server.etc / "group"):
        path.chmod(0o600)
    config = server.etc / "proftpd.conf"
    config.write_text(
        _PROFTPD.format(
            port=server.port,
            user="nobody",
            group="nogroup",
            passwd=passwd,
            etc=server.etc,
            log=server.log,
        )
    )
    program = place / "usr/sbin/proftpd"
    server.start([str(program), "--nodaemon", "-c", str(config)], libraries(place))
    yield server
    server.stop()
