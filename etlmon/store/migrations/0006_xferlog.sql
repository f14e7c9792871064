-- A row for each line of a transfer log, in the order in which they were read.
CREATE TABLE xferlog_entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    log_time INTEGER,               -- ms; when the transfer ended
    remote_host TEXT,
    username TEXT,                  -- an anonymous user's password
    filename TEXT,                  -- as the server wrote it
    bytes INTEGER,                  -- bytes moved in this transfer
    transfer_time_sec INTEGER,      -- s
    direction TEXT,                 -- upload, download, delete
    status TEXT NOT NULL,           -- complete, incomplete, unknown, broken, unparsed, gap, truncated, nul_run
    landing TEXT,                   -- pending, landed, partial, overwritten, vanished, ambiguous, unknown
    landing_reason TEXT,
    landed_path TEXT,
    landed_bytes INTEGER,           -- bytes; size of the file on the disk
    landing_checked_at INTEGER,     -- ms
    transfer_type TEXT,             -- ascii, binary
    action_flags TEXT,              -- _, or some of C U T
    access_mode TEXT,               -- anonymous, guest, real
    service TEXT,                   -- ftp, ftps, sftp, scp
    auth_method TEXT,               -- none, rfc931, other
    auth_user TEXT,
    pid INTEGER,
    rate_bytes_per_second REAL,     -- bytes/s
    log_format TEXT,                -- xferlog, vsftpd
    time_text TEXT,                 -- the time as it stands in the line
    ts_quality TEXT NOT NULL,       -- exact, ambiguous, skewed, unknown
    flags TEXT NOT NULL,            -- JSON list of ambiguous, cut, partial
    reason TEXT,
    line TEXT,                      -- the line itself, where the columns do not hold all of it
    log_path TEXT NOT NULL,         -- as configured
    source_inode INTEGER,
    offset INTEGER,                 -- bytes; where in the file the line begins
    created_at INTEGER NOT NULL     -- ms; when the line was read
) STRICT;
CREATE INDEX xferlog_entries_by_reading ON xferlog_entries (created_at);
-- Where the landing of an upload is brought up to date, and what is not settled.
CREATE INDEX xferlog_entries_landing ON xferlog_entries (log_path, offset, source_inode)
    WHERE landing IS NOT NULL;
CREATE INDEX xferlog_entries_unsettled ON xferlog_entries (log_path)
    WHERE landing IN ('pending', 'partial');

-- A row for each configured transfer log: how far it has been read.
CREATE TABLE xferlog_files (
    path TEXT PRIMARY KEY,
    state TEXT NOT NULL,                -- following, waiting, error
    message TEXT,
    watch_mode TEXT,                    -- inotify, poll and why only that
    offset INTEGER,                     -- bytes read and stored
    size INTEGER,                       -- bytes in the file
    lag_bytes INTEGER,                  -- bytes that wait, those of rotated files too
    lines_total INTEGER NOT NULL,
    transfers_total INTEGER NOT NULL,
    unparsed_total INTEGER NOT NULL,
    events_total INTEGER NOT NULL,      -- lines that tell of no transfer
    skipped_total INTEGER NOT NULL,     -- transfers older than parse_start
    gaps INTEGER NOT NULL,
    last_line_at INTEGER,               -- ms
    updated_at INTEGER NOT NULL,        -- ms
    cursor TEXT                         -- where to go on, in the words of the follower
) STRICT;
