-- A row for each line of a log that was read, and for what happened between lines (line is null).
-- Numbers have no holes and rise in the order of commits. There is no index: one would cost half
-- the speed of a burst. log_blocks leads to the lines of a log.
CREATE TABLE log_lines (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    log_name TEXT NOT NULL,
    log_path TEXT NOT NULL,             -- the file by the name that is followed
    line TEXT,                          -- without its end; null in a row of gap, truncated, nul_run
    created_at INTEGER NOT NULL,        -- ms; when it was read
    source_inode INTEGER,               -- inode of the file that it stood in
    flags TEXT NOT NULL,                -- JSON list: gap, truncated, nul_run, partial, cut
    logged_at INTEGER,                  -- ms; the time that the line tells, if one is looked for
    length_bytes INTEGER,               -- before it was cut; of a gap or a run of NULs
    detail TEXT                         -- what happened, in words
) STRICT;

-- Lines of one file whose numbers follow each other: every row of log_lines is in one block.
CREATE TABLE log_blocks (
    first_id INTEGER PRIMARY KEY,       -- log_lines.id
    last_id INTEGER NOT NULL,           -- log_lines.id
    log_name TEXT NOT NULL,
    log_path TEXT NOT NULL,
    first_at INTEGER NOT NULL,          -- ms; the earliest created_at in it
    last_at INTEGER NOT NULL            -- ms; the latest created_at in it
) STRICT;
CREATE INDEX log_blocks_by_name ON log_blocks (log_name, first_id);

-- A row for each file of each log: how far it has been read.
CREATE TABLE log_files (
    log_name TEXT NOT NULL,
    log_path TEXT NOT NULL,             -- the configured path while there is no file
    state TEXT NOT NULL,                -- following, waiting, paused, error
    error_message TEXT,
    watch_mode TEXT,                    -- inotify; poll and the reason
    offset INTEGER,                     -- bytes that have been read and stored
    size INTEGER,                       -- bytes, when it was last looked at
    lag_bytes INTEGER,                  -- bytes that wait to be read
    source_inode INTEGER,
    updated_at INTEGER NOT NULL,        -- ms; when it was last looked at
    cursor TEXT,                        -- where to go on, in the words of the collector
    lines_total INTEGER NOT NULL,       -- lines stored
    gaps INTEGER NOT NULL,              -- rows with the flag gap
    last_line_at INTEGER,               -- ms; when the newest line was read
    configured INTEGER NOT NULL,        -- boolean; others keep their cursor for a week
    PRIMARY KEY (log_name, log_path)
) STRICT, WITHOUT ROWID;

-- A row for each log that a command has paused or resumed: it holds over a restart.
CREATE TABLE log_switches (
    log_name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,            -- boolean
    switched_at INTEGER NOT NULL        -- ms
) STRICT, WITHOUT ROWID;
