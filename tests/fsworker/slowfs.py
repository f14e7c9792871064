"""A FUSE file system that answers each call late, and any number of them at the same time.

    python slowfs.py MOUNT_POINT MILLISECONDS DIRECTORIES SUBDIRECTORIES FILES [untyped]

It needs root. Below its root are directories, below each of them subdirectories, and in each of
these files. An untyped one does not tell the types of entries with their names, as some do not.
It writes ``ready`` when it is mounted, and for each line of its standard input how many calls have
waited for an answer at one time, at the most; at the end of its standard input it ends.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import stat
import struct
import sys
import time

import hungfs
from hungfs import DESTROY, GETATTR, INIT, LOOKUP, OPENDIR, READDIR, RELEASEDIR, STATFS

SILENT = (hungfs.FORGET, hungfs.BATCH_FORGET, hungfs.INTERRUPT)
PARALLEL_DIROPS = 1 << 18
ROOT = 1


def attributes(number: int, kind: int) -> bytes:
    """Give a fuse_attr: a directory or a file of the first second of the epoch."""
    mode = kind | (0o755 if kind == stat.S_IFDIR else 0o644)
    return struct.pack("<QQQQQQ10I", number, 0, 0, 1, 1, 1, 0, 0, 0, mode, 2, 0, 0, 0, 512, 0)


class Server:
    def __init__(self, point: str, delay_seconds: float, *counts: int, typed: bool) -> None:
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        self.delay_seconds = delay_seconds
        self.typed = typed
        self.due: list[tuple[float, int, bytes]] = []
        self.most_at_once = 0
        # The entries of each directory, by its number: name, number and kind of each.
        self.entries: dict[int, list[tuple[bytes, int, int]]] = {}
        self.last = ROOT
        self.grow(ROOT, counts)
        hungfs.mount(point, self.fd)

    def grow(self, number: int, counts: tuple[int, ...]) -> None:
        kind = stat.S_IFDIR if len(counts) > 1 else stat.S_IFREG
        entries = self.entries[number] = []
        for place in range(counts[0]):
            self.last += 1
            entries.append((b"%d" % place, self.last, kind))
        if len(counts) > 1:
            for _, below, _ in entries:
                self.grow(below, counts[1:])

    def serve(self) -> None:
        hungfs.say("ready")
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            ready, _, _ = select.select([0, self.fd], [], [], wait)
            if 0 in ready:
                if not os.read(0, 1024):
                    return
                hungfs.say(str(self.most_at_once))
            if self.fd in ready and not self.take_all():
                return
            while self.due and self.due[0][0] <= time.monotonic():
                _, unique, answer = heapq.heappop(self.due)
                self.send(unique, answer)

    def take_all(self) -> bool:
        """Take all requests that there are; False at the end of the mount."""
        while True:
            try:
                request = os.read(self.fd, 1 << 18)
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                return False
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in SILENT:
                continue
            answer = self.answer(opcode, node, request[40:])
            late = 0.0 if opcode in (INIT, DESTROY, RELEASEDIR) else self.delay_seconds
            now = time.monotonic()
            heapq.heappush(self.due, (now + late, unique, answer))
            self.most_at_once = max(self.most_at_once, sum(at > now for at, _, _ in self.due))

    def send(self, unique: int, answer: bytes) -> None:
        code = -int.from_bytes(answer[:1]) if len(answer) == 1 else 0
        payload = b"" if code else answer
        os.write(self.fd, struct.pack("<IiQ", 16 + len(payload), code, unique) + payload)

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        """Give the answer's content, or one byte: an error."""
        if opcode == INIT:
            flags = PARALLEL_DIROPS
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, flags, 64, 48, 4096, 1, 1, 0, 0)
        if opcode == GETATTR:
            return struct.pack("<QII", 60, 0, 0) + attributes(node, stat.S_IFDIR)
        if opcode == LOOKUP:
            for name, number, kind in self.entries.get(node, ()):
                if name == body.rstrip(b"\0"):
                    times = struct.pack("<QQQQII", number, 0, 0, 60, 0, 0)
                    return times + attributes(number, kind)
            return bytes([errno.ENOENT])
        if opcode == OPENDIR:
            return bytes(16)
        if opcode == READDIR:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self.listing(self.entries[node], offset, size)
        if opcode == STATFS:
            return struct.pack("<5Q4I24x", 1000, 500, 400, 100, 50, 4096, 255, 4096, 0)
        return b"" if opcode in (RELEASEDIR, DESTROY) else bytes([errno.ENOSYS])

    def listing(self, entries: list[tuple[bytes, int, int]], offset: int, size: int) -> bytes:
        packed = b""
        for name, number, kind in entries[offset:]:
            offset += 1
            told = kind >> 12 if self.typed else 0
            one = struct.pack("<QQII", number, offset, len(name), told) + name
            one += bytes(-len(one) % 8)
            if len(packed) + len(one) > size:
                break
            packed += one
        return packed


def main() -> None:
    point, milliseconds, *counts = sys.argv[1:]
    typed = counts[-1] != "untyped"
    numbers = map(int, counts if typed else counts[:-1])
    server = Server(point, float(milliseconds) / 1000, *numbers, typed=typed)
    try:
        server.serve()
    finally:
        os.close(server.fd)
        hungfs.libc.umount2(os.fsencode(point), hungfs.MNT_DETACH)


if __name__ == "__main__":
    main()
