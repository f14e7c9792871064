"""A FUSE file system that hangs when it is told to; raw protocol, standard library only.

    python hungfs.py MOUNT_POINT

It needs root. It serves one directory, which either holds three files or, after ``endless``, any
number of them. It writes ``ready`` when it is mounted, and takes commands on standard input, each
answered by a line:

- ``hang``: from now on requests for data (statfs, opendir, readdir) are read and not answered, so
  that their callers cannot even be killed; each writes ``parked``;
- ``release``: answer them, and all that follow;
- ``endless``: the directory never ends.

Its end (or that of its standard input) aborts the connection: whoever hangs gets an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
import struct
import sys

GETATTR, STATFS, INIT, OPENDIR, READDIR, RELEASEDIR, DESTROY = 3, 17, 26, 27, 28, 29, 38
LOOKUP, FORGET, INTERRUPT, BATCH_FORGET = 1, 2, 36, 42
PARKABLE = (STATFS, OPENDIR, READDIR)
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True)


def mount(point: str, fd: int) -> None:
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hungfs", os.fsencode(point), b"fuse", 0, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), point)


def attributes() -> bytes:
    mode = stat.S_IFDIR | 0o755
    return struct.pack(
        "<QIIQQQQQQ10I", 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, mode, 2, 0, 0, 0, 512, 0
    )


def entry(offset: int, name: bytes) -> bytes:
    kind = stat.S_IFREG >> 12
    packed = struct.pack("<QQII", offset + 1, offset, len(name), kind) + name
    return packed + bytes(-len(packed) % 8)


class Server:
    def __init__(self, point: str) -> None:
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        self.hanging = False
        self.endless = False
        self.parked: list[tuple[int, int, bytes]] = []
        mount(point, self.fd)

    def serve(self) -> None:
        say("ready")
        half = b""
        while True:
            ready, _, _ = select.select([0, self.fd], [], [])
            if 0 in ready:
                told = os.read(0, 1024)
                if not told:
                    return
                *commands, half = (half + told).split(b"\n")
                for command in commands:
                    self.obey(command)
            if self.fd in ready:
                try:
                    request = os.read(self.fd, 1 << 18)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                        continue  # The request has been taken back.
                    return
                _, opcode, unique = struct.unpack_from("<IIQ", request)
                self.take(opcode, unique, request[40:])

    def obey(self, command: bytes) -> None:
        if command == b"hang":
            self.hanging = True
        elif command == b"release":
            self.hanging = False
            parked, self.parked = self.parked, []
            for request in parked:
                self.take(*request)
        elif command == b"endless":
            self.endless = True
        say(command.decode())

    def take(self, opcode: int, unique: int, body: bytes) -> None:
        if self.hanging and opcode in PARKABLE:
            self.parked.append((opcode, unique, body))
            say("parked")
            return
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        answer = self.answer(opcode, body)
        payload, error = (b"", answer) if isinstance(answer, int) else (answer, 0)
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(payload), -error, unique) + payload)
        except OSError as failure:
            if failure.errno != errno.ENOENT:  # Its caller is gone.
                raise

    def answer(self, opcode: int, body: bytes) -> bytes | int:
        if opcode == INIT:
            _, _, readahead, _ = struct.unpack_from("<IIII", body)
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, readahead, 0, 12, 9, 4096, 1, 1, 0, 0)
        if opcode == GETATTR:
            return attributes()
        if opcode == OPENDIR:
            return bytes(16)
        if opcode == READDIR:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.listing(offset, size)
        if opcode == STATFS:
            return struct.pack("<5Q4I24x", 1000, 500, 400, 100, 50, 4096, 255, 4096, 0)
        if opcode == LOOKUP:
            return errno.ENOENT
        return b"" if opcode in (RELEASEDIR, DESTROY) else errno.ENOSYS

    def listing(self, offset: int, size: int) -> bytes:
        entries = b""
        while self.endless or offset < 3:
            offset += 1
            one = entry(offset, b"file-%d" % offset)
            if len(entries) + len(one) > size:
                break
            entries += one
        return entries


def say(word: str) -> None:
    os.write(1, word.encode() + b"\n")


def main() -> None:
    point = sys.argv[1]
    server = Server(point)
    try:
        server.serve()
    finally:
        os.close(server.fd)
        libc.umount2(os.fsencode(point), MNT_DETACH)


if __name__ == "__main__":
    main()
