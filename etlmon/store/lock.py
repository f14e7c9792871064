"""Keeps a second node, or a restore, off a database that is in use."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from etlmon.errors import StoreError
from etlmon.host.mounts import covering, read_mounts, resolve

if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

# Another host may write there too: its locks may not be ours, its shared memory never is.
NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs beegfs ceph cifs coda fuse.ceph fuse.glusterfs fuse.sshfs gfs2 glusterfs gpfs lustre "
    "ncpfs nfs nfs4 ocfs2 orangefs pvfs2 smb3 smbfs".split()
)
_HELD = (errno.EAGAIN, errno.EACCES)


def lock(path: Path, proc: Path = Path("/proc")) -> DatabaseLock:
    """Take the lock of a database, which need not be there yet. Blocks.

    Raises StoreError, naming the process that has it.
    """
    make_directory(path.parent)
    real = path.resolve()  # by whatever name a node knows the database, there is one lock
    lock_path = real.with_name(real.name + ".lock")
    try:
        file = _opened(lock_path)
    except OSError as error:
        raise StoreError(f"cannot open the lock {lock_path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read(20).decode("ascii", "replace").strip() or "unknown"
        file.close()
        if error.errno not in _HELD:
            raise StoreError(f"cannot lock {lock_path}: {error.strerror}") from error
        raise StoreError(
            f"the database {path} is in use by another node (pid {owner}); stop that one, "
            "or name another node.db_path"
        ) from error
    held = DatabaseLock(file, path, proc)
    try:
        held.hold()
    except BaseException:
        held.close()
        raise
    with suppress(OSError):  # on a full disk the lock holds all the same
        file.truncate(0)
        file.write(b"%d\n" % os.getpid())
    return held


def _opened(path: Path) -> IO[bytes]:
    """Open the lock's file, which is made where there is none.

    As with the database, others may not open it, whatever the umask: who can may take the lock.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640)
    with suppress(OSError):  # of another user, who sees to it himself
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_mode & 0o137:
            os.fchmod(descriptor, 0o640)
    return os.fdopen(descriptor, "a+b", buffering=0)


class DatabaseLock:
    """The lock, until it is closed or this process ends.

    It is on a file beside the database, which stays while that is replaced, and on the database's
    own file: somebody may remove the one beside it, who takes it for a left-over.
    """

    def __init__(self, file: IO[bytes], path: Path, proc: Path) -> None:
        self._file = file
        self._path = path
        self._proc = proc
        self._database: int | None = None

    def hold(self) -> None:
        """Lock the file that is the database now, if there is one. Blocks.

        Only while this process has no connection to it: closing a descriptor of a file takes the
        locks from it that SQLite has by others. Raises StoreError where another process has it.
        """
        if network_filesystem(self._path, self._proc) is not None:
            return  # there SQLite's own locks would meet this one
        try:
            found = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return  # not there yet; or opening it says what is wrong
        try:
            fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            is_other = not self._has(found)
            status = os.fstat(found)
            os.close(found)
            if is_other and error.errno in _HELD:
                raise StoreError(
                    f"the database {self._path} is in use by another node (pid "
                    f"{_holder(status, self._proc)}), whose lock {self._path.name}.lock was "
                    "removed; stop that one, or name another node.db_path"
                ) from error
            return
        self._release()
        self._database = found

    def close(self) -> None:
        """Give it up; after the last connection has been closed."""
        self._release()
        self._file.close()

    def _has(self, descriptor: int) -> bool:
        return self._database is not None and os.path.samestat(
            os.fstat(descriptor), os.fstat(self._database)
        )

    def _release(self) -> None:
        if self._database is not None:
            os.close(self._database)
            self._database = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it up."""
        self.close()


def _holder(status: os.stat_result, proc: Path) -> str:
    """Give the process that has locked a file, as far as the kernel tells."""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with suppress(OSError):
        for line in (proc / "locks").read_text("ascii", "replace").splitlines():
            fields = line.split()
            if fields[1:2] == ["FLOCK"] and place in fields:
                return fields[fields.index(place) - 1]
    return "unknown"


def make_directory(directory: Path) -> None:
    """Make a directory with those above it, 0750. Raises StoreError, with the remedy."""
    try:
        for one in (*reversed(directory.parents), directory):
            if not one.exists():
                one.mkdir(mode=0o750, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot make the database's directory {directory}: {error.strerror}; "
            "make it, or name another node.db_path"
        ) from error


def network_filesystem(path: Path, proc: Path) -> str | None:
    """Give the type of the network file system that a file is on, or would be; else None.

    Nothing on it is touched: it may be one that does not answer.
    """
    try:
        mounts = read_mounts(proc)
        mount = covering(mounts, resolve(mounts, os.fsencode(path.absolute())))
    except OSError:
        return None  # without /proc nothing can be said
    return mount.fs_type if mount is not None and mount.fs_type in NETWORK_FILE_SYSTEMS else None
