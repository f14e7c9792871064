r"""The child: does what may hang or burn CPU, one request after the other.

It is run as a program, never imported by the parent, and uses the standard library only::

    python -I -S -E -X utf8 worker.py [LIMITS]

This file only finds the folder ``jobs`` beside it, where all else is. LIMITS is an object in JSON;
what is not given stays as the parent's: ``nice`` (added), ``memory_bytes`` (RLIMIT_AS),
``descriptors`` (RLIMIT_NOFILE), ``idle_io`` (whether its reads and writes wait for those of all
others, where the disk's scheduler knows such a class).

**Wire format.** One JSON object a line, requests on standard input, answers on standard output,
ASCII only. Names and paths are text by ``surrogateescape``, so every byte of them survives. A
request has an ``id`` and an ``op``; every line of its answer repeats the ``id``::

    {"id": 1, "op": "statvfs", "path": "/data"}
    {"id": 1, "answer": {"blocks": .., "bfree": .., "bavail": .., "frsize": .., "files": ..,
                         "ffree": .., "read_only": false, "st_dev": ..}}

    {"id": 2, "op": "scan", "path": "/data", "max_depth": null, "exclude": null,
     "max_files": null, "timeout_seconds": 600.0, "skip": ["mnt/nfs"],
     "max_ops_per_second": null, "remember_as": null or "..", "scan_id": 7, "generation": 0,
     "settle_seconds": 2.0, "parts": [""], "apart": [], "parallelism": 1}
    {"id": 2, "progress": {"files": .., "dirs": .., "others": .., "listed": .., "reused": ..,
                           "directory": ".."}}
    {"id": 2, "given": ["a/b", "c"]}
    {"id": 2, "answer": {"files": .., "dirs": .., "others": .., "listed": .., "reused": ..,
                         "children": [["a", FILES, DIRS, OTHERS], ..],
                         "children_rest": [CHILDREN, FILES, DIRS, OTHERS],
                         "skipped_mounts": .., "newest_mtime_ns": .. or null,
                         "stopped": null or "timeout" or "max_files",
                         "troubles": [{"kind": "EACCES", "count": 3, "example": "a/b"}],
                         "duration_seconds": ..}}

    {"id": 3, "op": "top", "path": "/data", "count": 20, "exclude": null,
     "timeout_seconds": 600.0, "skip": [], "max_ops_per_second": null}
    {"id": 3, "progress": {"entries": .., "allocated_bytes": .., "directory": ".."}}
    {"id": 3, "answer": {"entries": .., "allocated_bytes": .., "apparent_bytes": ..,
                         "links_exact": true, "files": [BY_ALLOCATED, BY_APPARENT],
                         "directories": [BY_ALLOCATED, BY_APPARENT], ..as for scan..}}

    {"id": 4, "op": "find", "path": "/data", "exclude": null, "timeout_seconds": 60.0,
     "skip": [], "max_ops_per_second": null,
     "patterns": [{"parts": ["in", null, ".*\\.csv"], "since_ns": null, "min_bytes": null}]}
    {"id": 4, "progress": {"entries": .., "directory": ".."}}
    {"id": 4, "answer": {"entries": .., "found": [{"matched": .., "recent": .., "arrived": ..,
                         "empty": .., "recent_bytes": .., "links": ..,
                         "files": [[PATH, BYTES, MTIME_NS], ..]}, ..], ..as for scan..}}

    {"id": 5, "error": {"errno": "ENOENT" or null, "text": "/data: No such file or directory"}}

Exactly one ``answer`` or ``error`` ends a request; ``progress`` lines come before it, a few a
second. ``exclude`` is the source of a regular expression that must match the whole path relative
to the directory, with ``/`` at the end of directories; ``skip`` are relative paths of directories
that are counted and never opened. A request that makes no sense is an error answer.

**Children.** What is below each direct subdirectory that was entered, it itself not counted; at
most 1,000, the largest by entries, and those of which other workers count a part (``apart``). The
others are summed up, with their number.

**Several calls at a time.** With ``parallelism`` that many threads look into the directories that
come next. ``progress`` is told only while the file system answers, with or without them.

**The largest.** Rows of files are [path, allocated, apparent, mtime_ns], of directories [path,
allocated, apparent, files below]; ``""`` is the path itself. Both are bytes. A file with several
names counts once; ``links_exact`` is false if there were too many of them to be told apart.

**Found files.** A pattern is a glob, part by part: regular expressions of names, and null for any
number of directories (hidden ones excepted). A link that matches counts as the file that it leads
to, if that is below the directory, on its file system, and does not match itself; else it is one of
``links``, or nothing. Of the regular files that match, ``recent`` are those
whose mtime is not before ``since_ns``, ``empty`` those of them that have no bytes and ``arrived``
those that have at least ``min_bytes``. The newest 100 are listed (fewer with many patterns).

**Sharing a scan.** While a worker scans, the parent may write ``{"id": 2, "op": "share"}``: it
answers ``given``, directories that it has counted and leaves to others from now on, or none; and
``{"id": 2, "op": "stop"}``: it ends the scan as at ``max_files``. Either is ignored if it comes
too late. ``parts`` are the directories whose content is this worker's share, ``""`` the scanned
one; ``apart`` are those that others have, and are not entered.

**Scanning again.** What a scan with ``remember_as`` found is kept under that name, which must
change with whatever changes the counts. A scan of the same name does not list a directory again
whose device, inode, mtime and ctime are what they were, if those times were ``settle_seconds``
old when it was listed: a change so soon after another may get the same times. (mtime alone would
not do: rsync, tar and touch set it back.) What was kept in another ``generation`` is forgotten: so
all is listed anew, by one scan or, where that was cut short, by those that follow. ``scan_id``
tells requests of one scan from those of the next.

**Its end.** Standard input at its end ends the worker, at the next directory while it walks. ^C
is the parent's business.
"""

import sys


def main() -> None:
    """Serve standard input to its end."""
    # The folder that holds etlmon, as the last place to look: nothing there can stand for a
    # module of the library. (-I leaves the folder of this file out.)
    sys.path.append(__file__.rsplit("/", 3)[0])
    from etlmon.fsworker.jobs.server import main as serve

    serve()


if __name__ == "__main__":
    main()
