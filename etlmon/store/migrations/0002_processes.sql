-- A row for each watch and process that it selects, as seen in the newest look, and for those that
-- have ended and were not replaced.
CREATE TABLE process_stats (
    watch TEXT,                         -- the watch's label
    pid INTEGER NOT NULL,
    process_name TEXT NOT NULL,
    cmdline TEXT,                       -- secrets redacted; null if unreadable
    start_time INTEGER NOT NULL,        -- ms
    runtime_sec REAL NOT NULL,          -- seconds
    cpu_percent REAL,                   -- 100 is one core; null in the first sample
    cpu_share REAL,                     -- of all cores, 0 to 1
    cpu_seconds REAL NOT NULL,          -- seconds since its start
    mem_rss_bytes INTEGER NOT NULL,     -- bytes
    status TEXT NOT NULL,               -- RUNNING, STOPPED
    state TEXT,                         -- the kernel's letter; null once it is gone
    threads INTEGER NOT NULL,
    user TEXT,
    parent_pid INTEGER NOT NULL,
    container_pid INTEGER,              -- its pid in its own container
    exe TEXT,
    cgroup TEXT,
    open_files INTEGER,
    io_read_bytes INTEGER,              -- bytes from disks
    io_written_bytes INTEGER,           -- bytes to disks
    visibility TEXT NOT NULL,           -- full, partial
    is_kernel_thread INTEGER NOT NULL,  -- boolean
    is_child INTEGER NOT NULL,          -- boolean; below one that meets the criteria
    restarts INTEGER NOT NULL,
    ended_at INTEGER,                   -- ms
    exit_reason TEXT,
    identity TEXT NOT NULL,             -- boot:pid:start
    collected_at INTEGER NOT NULL       -- ms
) STRICT;
CREATE INDEX process_stats_by_pid ON process_stats (pid);

-- A row for each watch: how it is.
CREATE TABLE process_watches (
    watch TEXT PRIMARY KEY,
    state TEXT NOT NULL,                -- ok, down, low, high, young, unknown
    reason TEXT,
    since INTEGER NOT NULL,             -- ms; when it came into this state
    process_count INTEGER NOT NULL,
    cpu_percent REAL,                   -- of all its processes, 100 is one core
    cpu_share REAL,                     -- of all cores, 0 to 1
    mem_rss_bytes INTEGER NOT NULL,     -- bytes
    threads INTEGER NOT NULL,
    open_files INTEGER,
    restarts INTEGER NOT NULL,
    flapping INTEGER NOT NULL,          -- boolean
    visibility TEXT NOT NULL,           -- full, partial
    collected_at INTEGER NOT NULL       -- ms
) STRICT;

-- A row for each look and watch (pid is null), and for each look and process.
CREATE TABLE process_history (
    watch TEXT NOT NULL,
    pid INTEGER,                        -- null: the whole watch
    identity TEXT,                      -- boot:pid:start
    collected_at INTEGER NOT NULL,      -- ms
    process_count INTEGER NOT NULL,
    cpu_percent REAL,                   -- 100 is one core
    cpu_share REAL,                     -- of all cores, 0 to 1
    mem_rss_bytes INTEGER NOT NULL,     -- bytes
    threads INTEGER NOT NULL,
    open_files INTEGER
) STRICT;
CREATE INDEX process_history_by_time ON process_history (collected_at);
CREATE INDEX process_history_by_watch ON process_history (watch, pid, collected_at);

-- A row for each thing that became of a watched process, or of a watch.
CREATE TABLE process_events (
    watch TEXT NOT NULL,
    event TEXT NOT NULL,                -- started, exited, restarted, left, flapping, ...
    occurred_at INTEGER NOT NULL,       -- ms
    pid INTEGER,                        -- null: about the watch
    process_name TEXT,
    identity TEXT,                      -- boot:pid:start
    runtime_sec REAL,                   -- seconds that it had run
    exit_reason TEXT,
    exit_status INTEGER,
    exit_signal TEXT,
    replaces_pid INTEGER,
    detail TEXT,
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
CREATE INDEX process_events_by_time ON process_events (occurred_at);
CREATE INDEX process_events_by_watch ON process_events (watch, id);
CREATE INDEX process_events_by_pid ON process_events (pid, id);
