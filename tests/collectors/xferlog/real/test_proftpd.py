"""ProFTPD as it is: it keeps names, and logs deletions."""

from __future__ import annotations

import io
import time


async def test_every_transfer_once(make, proftpd) -> None:
    client = proftpd.connect()
    home = proftpd.homes["etl"]
    client.storbinary("STOR 한글 2.csv", io.BytesIO(b"12345"))
    client.storbinary("STOR empty", io.BytesIO(b""))
    client.storbinary("APPE 한글 2.csv", io.BytesIO(b"678"))
    client.retrbinary("RETR 한글 2.csv", lambda _data: None)
    client.delete("empty")
    client.quit()
    proftpd.logged(5)
    harness = make(path=str(proftpd.log), roots={"etl": "/"})
    harness.timezone = None
    harness.times.wall = time.time()
    harness.begin_anew()
    await harness.run()
    entries = await harness.entries()
    name = f"{home}/한글_2.csv"
    assert [(one.direction, one.filename, one.bytes, one.status) for one in entries] == [
        ("upload", name, 5, "complete"),
        ("upload", f"{home}/empty", 0, "complete"),
        ("upload", name, 3, "complete"),
        ("download", name, 8, "complete"),
        ("delete", f"{home}/empty", 0, "complete"),
    ]
    assert {(one.username, one.access_mode, one.service) for one in entries} == {
        ("etl", "real", "ftp")
    }
    assert [one.landing for one in entries] == ["landed", "vanished", "landed", None, None]
    assert entries[2].landed_path == f"{home}/한글 2.csv"
    assert entries[2].landing_reason == "5 bytes more than were sent: resumed or appended to"
