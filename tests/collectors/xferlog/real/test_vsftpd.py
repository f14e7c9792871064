"""vsftpd as it is: every transfer once, with what it was, and what became of it on the disk."""

from __future__ import annotations

import ftplib
import io
import os
import time
from contextlib import suppress
from typing import Any

import pytest

LARGE_BYTES = 20 << 20


def upload(client: ftplib.FTP, name: str, content: bytes) -> None:
    client.storbinary(f"STOR {name}", io.BytesIO(content))


def download(client: ftplib.FTP, name: str) -> bytes:
    got: list[bytes] = []
    client.retrbinary(f"RETR {name}", got.append)
    return b"".join(got)


def said(entry: Any) -> tuple[Any, ...]:
    return (entry.direction, entry.filename, entry.bytes, entry.status)


@pytest.fixture
def follow(make):
    """Give what follows the log of a server, in the zone of this host, at this very time."""

    async def begin(server: Any, **settings: Any) -> Any:
        harness = make(path=str(server.log), **settings)
        harness.timezone = None
        harness.times.wall = time.time()
        harness.begin_anew()
        await harness.run()
        return harness

    return begin


async def look(harness: Any) -> list[Any]:
    """Make a run as if the last one had been a few seconds ago."""
    harness.times.monotonic += 5
    harness.times.wall = time.time()
    await harness.run()
    return await harness.entries()


async def test_every_transfer_once(follow, vsftpd) -> None:
    server = vsftpd()
    home = server.homes["etl"]
    harness = await follow(server, roots={"etl": str(home)})
    began = time.time()
    client = server.connect()
    upload(client, "empty", b"")
    upload(client, "large.bin", bytes(LARGE_BYTES))
    upload(client, "my file  two.txt", b"hello")
    upload(client, "한글.csv", b"hello")
    client.storbinary("APPE my file  two.txt", io.BytesIO(b" again"))
    client.storlines("STOR lines.txt", io.BytesIO(b"a\nb\n"))
    assert download(client, "my file  two.txt") == b"hello again"
    assert len(download(client, "large.bin")) == LARGE_BYTES
    download(client, "empty")
    with pytest.raises(ftplib.error_perm):
        download(client, "missing.txt")
    upload(client, "gone.txt", b"x")
    client.delete("gone.txt")
    client.mkd("sub")
    upload(client, "sub/same.csv", b"1")
    upload(client, "sub/same.csv", b"1")
    client.quit()
    server.logged(13)
    ended = time.time()
    entries = await look(harness)
    assert [said(entry) for entry in entries] == [
        ("upload", "/empty", 0, "complete"),
        ("upload", "/large.bin", LARGE_BYTES, "complete"),
        ("upload", "/my_file__two.txt", 5, "complete"),
        ("upload", "/??????.csv", 5, "complete"),
        ("upload", "/my_file__two.txt", 6, "complete"),
        ("upload", "/lines.txt", 6, "complete"),
        ("download", "/my_file__two.txt", 11, "complete"),
        ("download", "/large.bin", LARGE_BYTES, "complete"),
        ("download", "/empty", 0, "complete"),
        ("download", "/missing.txt", 0, "incomplete"),
        ("upload", "/gone.txt", 1, "complete"),
        ("upload", "/sub/same.csv", 1, "complete"),
        ("upload", "/sub/same.csv", 1, "complete"),
    ]
    for entry in entries:
        assert entry.log_time is not None
        assert began - 1 <= entry.log_time.timestamp() <= ended + 1
        assert (entry.username, entry.remote_host, entry.access_mode) == (
            "etl",
            "127.0.0.1",
            "real",
        )
        assert (entry.service, entry.action_flags, entry.log_format) == ("ftp", "_", "xferlog")
        assert (entry.ts_quality, entry.flags) == ("exact", [])
        assert entry.transfer_time_sec is not None
        assert entry.transfer_time_sec >= 1
    assert [entry.filename for entry in entries if entry.transfer_type == "ascii"] == ["/lines.txt"]
    # Root sees who writes: all is settled at once, but for what is not there.
    landed = [(entry.landing, entry.landed_path) for entry in entries]
    assert landed == [
        ("landed", f"{home}/empty"),
        ("landed", f"{home}/large.bin"),
        # Appended to since, in the same second: more than was sent.
        ("landed", f"{home}/my file  two.txt"),
        ("landed", f"{home}/한글.csv"),
        ("landed", f"{home}/my file  two.txt"),
        ("landed", f"{home}/lines.txt"),
        (None, None),
        (None, None),
        (None, None),
        (None, None),
        ("vanished", None),
        ("overwritten", f"{home}/sub/same.csv"),
        ("landed", f"{home}/sub/same.csv"),
    ]
    found = await harness.file()
    assert (found.lines_total, found.transfers_total, found.unparsed_total) == (13, 13, 0)


async def test_transfers_that_broke_off(follow, vsftpd, broken_off) -> None:
    server = vsftpd()
    harness = await follow(server, roots={"etl": str(server.homes["etl"])})
    client = server.connect()
    upload(client, "large.bin", bytes(LARGE_BYTES))
    server.logged(1)
    for count, (command, reset) in enumerate(
        [("STOR died.bin", False), ("STOR reset.bin", True), ("RETR large.bin", True)], start=2
    ):
        client = server.connect()
        transfer = client.transfercmd(command)
        if command.startswith("STOR"):
            transfer.sendall(bytes(1000))
            name = command.removeprefix("STOR ")
            server.until(
                lambda name=name: (server.homes["etl"] / name).stat().st_size == 1000, "the bytes"
            )
        else:
            transfer.recv(1)
        broken_off(transfer, reset=reset)
        server.logged(count)
        with suppress(*ftplib.all_errors):
            client.voidresp()
        client.close()
    _, died, reset, fetched = await look(harness)
    # A client that dies in an orderly way looks as if it were done: only the sender knows better.
    assert said(died) == ("upload", "/died.bin", 1000, "complete")
    assert said(reset) == ("upload", "/reset.bin", 1000, "incomplete")
    assert (reset.landing, reset.landing_reason) == ("partial", "the transfer broke off")
    assert (fetched.direction, fetched.status) == ("download", "incomplete")
    assert 0 < (fetched.bytes or 0) < LARGE_BYTES


async def test_an_upload_that_goes_on_is_no_landing(follow, vsftpd) -> None:
    """A second upload of the same name, under way when the line of the first one is read."""
    server = vsftpd()
    path = server.homes["etl"] / "a.csv"
    harness = await follow(server, roots={"etl": str(server.homes["etl"])})
    client, other = server.connect(), server.connect()
    upload(client, "a.csv", b"12345")
    server.logged(1)
    transfer = other.transfercmd("STOR a.csv")
    transfer.sendall(b"123")
    server.until(lambda: path.stat().st_size == 3, "the bytes")
    (entry,) = await look(harness)
    assert entry.landing == "partial"
    assert entry.landing_reason.endswith("has it open for writing")
    transfer.sendall(b"45")
    transfer.close()
    other.voidresp()
    server.logged(2)
    assert [entry.landing for entry in await look(harness)] == ["overwritten", "landed"]


async def test_an_upload_that_is_renamed(follow, vsftpd) -> None:
    """As many clients do, so that nobody picks up half a file."""
    server = vsftpd()
    home = server.homes["etl"]
    harness = await follow(server, roots={"etl": str(home)})
    client = server.connect()
    upload(client, "my file.csv.tmp", b"12345")
    client.rename("my file.csv.tmp", "my file.csv")
    server.logged(1)
    # To the second that the log tells, however long this machine took.
    ended = time.mktime(time.strptime(server.log.read_text()[:24]))
    os.utime(home / "my file.csv", (ended, ended))
    (entry,) = await look(harness)
    assert said(entry) == ("upload", "/my_file.csv.tmp", 5, "complete")
    assert (entry.landing, entry.landing_reason) == ("landed", "renamed to my file.csv")
    assert entry.landed_path == f"{home}/my file.csv"


async def test_a_log_in_another_zone_than_is_said(follow, vsftpd) -> None:
    server = vsftpd()
    server.connect().quit()
    here = time.localtime().tm_gmtoff
    harness = await follow(server, timezone="Asia/Seoul" if here != 9 * 3_600 else "Asia/Dubai")
    client = server.connect()
    began = time.time()
    upload(client, "a.csv", b"12345")
    server.logged(1)
    (entry,) = await look(harness)
    assert entry.ts_quality == "skewed"
    assert entry.log_time is not None
    assert began - 1 <= entry.log_time.timestamp() <= time.time() + 1
    assert "; set timezone: " in (await harness.file()).message


async def test_anonymous_users(follow, vsftpd) -> None:
    server = vsftpd()
    home = server.homes["anonymous"]
    harness = await follow(server, roots={"anonymous": str(home)})
    client = server.connect("anonymous", "fake ftp 0 * i")
    upload(client, "up/a.csv", b"12345")
    client.quit()
    server.logged(1)
    (entry,) = await look(harness)
    assert said(entry) == ("upload", "/up/a.csv", 5, "complete")
    assert (entry.username, entry.access_mode) == ("fake_ftp_0_*_i", "anonymous")
    assert (entry.landing, entry.landed_path) == ("landed", f"{home}/up/a.csv")


async def test_the_native_log_says_the_same(make, vsftpd) -> None:
    server = vsftpd()
    client = server.connect()
    upload(client, "my file.csv", b"12345")
    download(client, "my file.csv")
    client.delete("my file.csv")
    client.mkd("sub")
    client.quit()
    server.until(lambda: b"MKDIR" in server.native.read_bytes(), "the native log")
    harness = make(path=str(server.native), timezone=None)
    await harness.run()
    entries = await harness.entries()
    assert [said(entry) for entry in entries] == [
        ("upload", "/my file.csv", 5, "complete"),
        ("download", "/my file.csv", 5, "complete"),
        ("delete", "/my file.csv", 0, "complete"),
    ]
    assert {entry.username for entry in entries} == {"etl"}
    assert all(entry.pid for entry in entries)
    found = await harness.file()
    assert (found.unparsed_total, found.events_total > 0) == (0, True)


async def test_ipv6(follow, vsftpd) -> None:
    server = vsftpd("::1")
    harness = await follow(server)
    client = server.connect()
    upload(client, "a.csv", b"12345")
    server.logged(1)
    (entry,) = await look(harness)
    assert entry.remote_host == "::1"


async def test_ipv4_on_a_listener_of_both(follow, vsftpd) -> None:
    server = vsftpd("::ffff:127.0.0.1")
    harness = await follow(server)
    client = server.connect()
    upload(client, "a.csv", b"12345")
    server.logged(1)
    (entry,) = await look(harness)
    assert b"::ffff:127.0.0.1" in server.log.read_bytes()
    assert entry.remote_host == "127.0.0.1"


async def test_a_session_writes_on_into_the_log_that_it_began_with(follow, vsftpd) -> None:
    server = vsftpd()
    harness = await follow(server)
    old_log = server.log.with_name("xferlog.1")
    old = server.connect()
    upload(old, "1", b"1")
    server.logged(1)
    await look(harness)
    os.rename(server.log, old_log)  # noqa: PTH104 - as logrotate does
    new = server.connect()
    upload(new, "2", b"2")
    server.logged(1)
    await look(harness)
    upload(old, "3", b"3")
    server.logged(2, old_log)
    await look(harness)
    upload(new, "4", b"4")
    upload(old, "5", b"5")
    server.logged(5, server.log, old_log)
    old.quit()
    new.quit()
    entries = await look(harness)
    assert sorted(str(entry.filename) for entry in entries) == ["/1", "/2", "/3", "/4", "/5"]
    inodes = {entry.filename: entry.source_inode for entry in entries}
    assert inodes["/1"] == inodes["/3"] == inodes["/5"] != inodes["/2"] == inodes["/4"]
