-- A row for each job of cron, anacron and systemd's timers: how it is written, when it comes next
-- and how it went.
CREATE TABLE cron_jobs (
    job_id TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,             -- as written
    command TEXT NOT NULL,
    user TEXT,                          -- whom it runs as; null if nobody is named
    source TEXT NOT NULL,               -- crontab, cron.d, user, run-parts, anacron, timer
    file TEXT NOT NULL,
    line INTEGER,                       -- null for scripts and timers
    next_run INTEGER,                   -- ms; of a window its beginning
    next_run_local TEXT,                -- RFC 3339 in the node's zone
    next_run_kind TEXT NOT NULL,        -- exact, window, on_boot, never, unknown
    window_end INTEGER,                 -- ms
    reason TEXT,                        -- why it never runs, or what stands in its way
    next_runs TEXT NOT NULL,            -- JSON list of moments, RFC 3339 UTC
    runs_by_hour TEXT NOT NULL,         -- JSON list of 24 counts, or of none
    timezone TEXT NOT NULL,             -- in which the times are meant
    dst_risk INTEGER NOT NULL,          -- boolean
    lint TEXT NOT NULL,                 -- JSON list of sentences
    file_status TEXT NOT NULL,          -- active, ignored, unknown
    dialect TEXT,                       -- debian, cronie; null for timers
    last_checked INTEGER NOT NULL,      -- ms
    last_start INTEGER,                 -- ms
    last_end INTEGER,                   -- ms
    last_exit INTEGER,                  -- exit status; 128 and more for a signal
    running_pids TEXT,                  -- JSON list of pids
    overlap INTEGER,                    -- boolean
    median_runtime_seconds REAL,        -- s
    missed_at INTEGER,                  -- ms; the newest run that was due and did not begin
    history_reason TEXT                 -- why how it went is not known
) STRICT;

-- A row for each file of cron, and for each directory of it that may not be read.
CREATE TABLE cron_files (
    path TEXT PRIMARY KEY,
    source TEXT NOT NULL,               -- crontab, cron.d, user, run-parts, anacron
    dialect TEXT NOT NULL,              -- debian, cronie
    status TEXT NOT NULL,               -- active, ignored, unknown
    reason TEXT,
    line INTEGER,                       -- the line at fault
    jobs INTEGER NOT NULL,
    owner TEXT,                         -- account, or uid
    mode TEXT,                          -- four octal digits
    changed_at INTEGER,                 -- ms; its mtime
    lint TEXT NOT NULL,                 -- JSON list of sentences
    visibility TEXT NOT NULL,           -- full, partial
    last_checked INTEGER NOT NULL       -- ms
) STRICT;
