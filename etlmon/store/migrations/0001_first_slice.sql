-- Moments are INTEGER milliseconds since 1970-01-01T00:00:00Z. Booleans are 0 or 1.

-- A row when a database is made: created_at, created_by.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A row for each mount at each run of the disk collector. Hidden mounts are kept for the newest
-- run only: nothing about them changes that a history could tell.
CREATE TABLE filesystem_usage (
    mount_point TEXT NOT NULL,
    device TEXT NOT NULL,
    fs_type TEXT NOT NULL,
    total_bytes INTEGER,            -- bytes
    used_bytes INTEGER,             -- bytes, total less free
    avail_bytes INTEGER,            -- bytes that an ordinary user can still write
    used_percent REAL,              -- used / (used + avail), 0 to 100
    reserved_bytes INTEGER,         -- bytes kept for root
    inodes_total INTEGER,           -- null where the file system makes them at need
    inodes_used INTEGER,
    inodes_used_percent REAL,       -- 0 to 100
    read_only INTEGER NOT NULL,     -- boolean
    level TEXT NOT NULL,            -- ok, warning, critical
    level_by TEXT,                  -- space, inodes; null when ok
    state TEXT NOT NULL,            -- ok, stale, hidden
    reason TEXT,                    -- why it is stale or hidden
    stale_since INTEGER,            -- ms; when it last answered, if stale
    collected_at INTEGER NOT NULL   -- ms; when the run began
) STRICT;
CREATE INDEX filesystem_usage_by_time ON filesystem_usage (collected_at);
CREATE INDEX filesystem_usage_by_mount ON filesystem_usage (mount_point, state, collected_at);
CREATE INDEX filesystem_usage_hidden ON filesystem_usage (collected_at) WHERE state = 'hidden';

-- A row for each configured path: its newest counts.
CREATE TABLE path_stats (
    id TEXT NOT NULL UNIQUE,            -- hash of the path
    path TEXT PRIMARY KEY,              -- as configured
    file_count INTEGER,                 -- regular files
    dir_count INTEGER,                  -- directories below the path
    other_count INTEGER,                -- links, sockets, fifos, devices
    file_count_change INTEGER,          -- files more than the complete scan before found
    scan_duration_ms INTEGER,           -- ms
    status TEXT NOT NULL,               -- OK, SCANNING, ERROR, PARTIAL
    error_message TEXT,
    collected_at INTEGER,               -- ms; when the scan behind the counts ended
    complete INTEGER NOT NULL,          -- boolean
    last_complete_file_count INTEGER,
    last_complete_dir_count INTEGER,
    last_complete_other_count INTEGER,
    last_complete_at INTEGER,           -- ms; when the last complete scan ended
    newest_change_at INTEGER,           -- ms; newest mtime of the directories counted
    scanned_dirs INTEGER,               -- directories listed
    reused_dirs INTEGER,                -- directories not listed, for they had not changed
    skipped_mounts INTEGER,             -- other file systems below the path
    troubles TEXT NOT NULL,             -- JSON list of {kind, count, example}
    scan_started_at INTEGER,            -- ms; when the newest scan began
    next_scan_at INTEGER                -- ms; when the next scan is due
) STRICT;

-- A row for each scan of a path that has ended.
CREATE TABLE path_history (
    path_id TEXT NOT NULL,              -- path_stats.id
    collected_at INTEGER NOT NULL,      -- ms; when the scan ended
    file_count INTEGER,                 -- regular files, so far if it is not complete
    dir_count INTEGER,                  -- directories below the path, likewise
    other_count INTEGER,                -- links, sockets, fifos, devices, likewise
    complete INTEGER NOT NULL,          -- boolean
    status TEXT NOT NULL,               -- OK, ERROR, PARTIAL
    scan_duration_ms INTEGER NOT NULL   -- ms
) STRICT;
CREATE INDEX path_history_by_time ON path_history (collected_at);
CREATE INDEX path_history_by_path ON path_history (path_id, complete, collected_at);

-- A row for each finished run of a collector.
CREATE TABLE collector_run (
    collector TEXT NOT NULL,
    instance TEXT NOT NULL,             -- what it watches, empty if it is the only one
    started_at INTEGER NOT NULL,        -- ms
    duration_ms INTEGER NOT NULL,       -- ms
    state TEXT NOT NULL,                -- ok, error
    error_message TEXT,
    records INTEGER NOT NULL            -- records given
) STRICT;
CREATE INDEX collector_run_by_time ON collector_run (started_at);
