BEGIN TRANSACTION;
CREATE TABLE audit_log (
    requested_at INTEGER NOT NULL,      -- ms; when it came
    who TEXT NOT NULL,                  -- name of the token, uid:N, or -
    origin TEXT NOT NULL,               -- IP address, or unix and a pid
    command TEXT NOT NULL,              -- operationId
    target TEXT NOT NULL,               -- path below /api/v1
    arguments TEXT,                     -- JSON of what else was asked for
    reason TEXT,                        -- the caller's
    outcome TEXT NOT NULL,              -- begun, done, refused, failed, interrupted
    status INTEGER,                     -- HTTP
    problem TEXT,                       -- last part of the problem's type
    detail TEXT,
    duration_ms INTEGER,                -- ms
    attempts INTEGER NOT NULL,          -- how many the row stands for
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
INSERT INTO "audit_log" VALUES(1790000000001,'who 1 ; '' ü 한','origin 1 ; '' ü 한','command 1 ; '' ü 한','target 1 ; '' ü 한','arguments 1 ; '' ü 한','reason 1 ; '' ü 한','outcome 1 ; '' ü 한',1,'problem 1 ; '' ü 한','detail 1 ; '' ü 한',1,1,1);
INSERT INTO "audit_log" VALUES(1790000000002,'who 2 ; '' ü 한','origin 2 ; '' ü 한','command 2 ; '' ü 한','target 2 ; '' ü 한','arguments 2 ; '' ü 한','reason 2 ; '' ü 한','outcome 2 ; '' ü 한',2,'problem 2 ; '' ü 한','detail 2 ; '' ü 한',2,2,2);
INSERT INTO "audit_log" VALUES(1790000000003,'who 3 ; '' ü 한','origin 3 ; '' ü 한','command 3 ; '' ü 한','target 3 ; '' ü 한','arguments 3 ; '' ü 한','reason 3 ; '' ü 한','outcome 3 ; '' ü 한',3,'problem 3 ; '' ü 한','detail 3 ; '' ü 한',3,3,3);
CREATE TABLE collector_run (
    collector TEXT NOT NULL,
    instance TEXT NOT NULL,             -- what it watches, empty if it is the only one
    started_at INTEGER NOT NULL,        -- ms
    duration_ms INTEGER NOT NULL,       -- ms
    state TEXT NOT NULL,                -- ok, error
    error_message TEXT,
    records INTEGER NOT NULL            -- records given
) STRICT;
INSERT INTO "collector_run" VALUES('collector 1 ; '' ü 한','instance 1 ; '' ü 한',1790000000001,1,'state 1 ; '' ü 한','error_message 1 ; '' ü 한',1);
INSERT INTO "collector_run" VALUES('collector 2 ; '' ü 한','instance 2 ; '' ü 한',1790000000002,2,'state 2 ; '' ü 한','error_message 2 ; '' ü 한',2);
INSERT INTO "collector_run" VALUES('collector 3 ; '' ü 한','instance 3 ; '' ü 한',1790000000003,3,'state 3 ; '' ü 한','error_message 3 ; '' ü 한',3);
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
INSERT INTO "cron_files" VALUES('path 1 ; '' ü 한','source 1 ; '' ü 한','dialect 1 ; '' ü 한','status 1 ; '' ü 한','reason 1 ; '' ü 한',1,1,'owner 1 ; '' ü 한','mode 1 ; '' ü 한',1790000000001,'[]','visibility 1 ; '' ü 한',1);
INSERT INTO "cron_files" VALUES('path 2 ; '' ü 한','source 2 ; '' ü 한','dialect 2 ; '' ü 한','status 2 ; '' ü 한','reason 2 ; '' ü 한',2,2,'owner 2 ; '' ü 한','mode 2 ; '' ü 한',1790000000002,'[]','visibility 2 ; '' ü 한',2);
INSERT INTO "cron_files" VALUES('path 3 ; '' ü 한','source 3 ; '' ü 한','dialect 3 ; '' ü 한','status 3 ; '' ü 한','reason 3 ; '' ü 한',3,3,'owner 3 ; '' ü 한','mode 3 ; '' ü 한',1790000000003,'[]','visibility 3 ; '' ü 한',3);
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
, recent_runtimes_seconds TEXT NOT NULL DEFAULT '[]') STRICT;
INSERT INTO "cron_jobs" VALUES('job_id 1 ; '' ü 한','schedule 1 ; '' ü 한','command 1 ; '' ü 한','user 1 ; '' ü 한','source 1 ; '' ü 한','file 1 ; '' ü 한',1,1,'next_run_local 1 ; '' ü 한','next_run_kind 1 ; '' ü 한',1,'reason 1 ; '' ü 한','[]','[]','timezone 1 ; '' ü 한',1,'[]','file_status 1 ; '' ü 한','dialect 1 ; '' ü 한',1,1,1,1,'[]',1,1.5,1790000000001,'history_reason 1 ; '' ü 한','[]');
INSERT INTO "cron_jobs" VALUES('job_id 2 ; '' ü 한','schedule 2 ; '' ü 한','command 2 ; '' ü 한','user 2 ; '' ü 한','source 2 ; '' ü 한','file 2 ; '' ü 한',2,2,'next_run_local 2 ; '' ü 한','next_run_kind 2 ; '' ü 한',2,'reason 2 ; '' ü 한','[]','[]','timezone 2 ; '' ü 한',2,'[]','file_status 2 ; '' ü 한','dialect 2 ; '' ü 한',2,2,2,2,'[]',2,2.5,1790000000002,'history_reason 2 ; '' ü 한','[]');
INSERT INTO "cron_jobs" VALUES('job_id 3 ; '' ü 한','schedule 3 ; '' ü 한','command 3 ; '' ü 한','user 3 ; '' ü 한','source 3 ; '' ü 한','file 3 ; '' ü 한',3,3,'next_run_local 3 ; '' ü 한','next_run_kind 3 ; '' ü 한',3,'reason 3 ; '' ü 한','[]','[]','timezone 3 ; '' ü 한',3,'[]','file_status 3 ; '' ü 한','dialect 3 ; '' ü 한',3,3,3,3,'[]',3,3.5,1790000000003,'history_reason 3 ; '' ü 한','[]');
CREATE TABLE cron_log (
    path TEXT PRIMARY KEY,
    cursor TEXT NOT NULL                -- where to go on, as host/cursor.py writes it
) STRICT;
INSERT INTO "cron_log" VALUES('path 1 ; '' ü 한','cursor 1 ; '' ü 한');
INSERT INTO "cron_log" VALUES('path 2 ; '' ü 한','cursor 2 ; '' ü 한');
INSERT INTO "cron_log" VALUES('path 3 ; '' ü 한','cursor 3 ; '' ü 한');
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
INSERT INTO "filesystem_usage" VALUES('mount_point 1 ; '' ü 한','device 1 ; '' ü 한','fs_type 1 ; '' ü 한',1,1,1,1.5,1,1,1,1.5,1,'level 1 ; '' ü 한','level_by 1 ; '' ü 한','state 1 ; '' ü 한','reason 1 ; '' ü 한',1,1790000000001);
INSERT INTO "filesystem_usage" VALUES('mount_point 2 ; '' ü 한','device 2 ; '' ü 한','fs_type 2 ; '' ü 한',2,2,2,2.5,2,2,2,2.5,2,'level 2 ; '' ü 한','level_by 2 ; '' ü 한','state 2 ; '' ü 한','reason 2 ; '' ü 한',2,1790000000002);
INSERT INTO "filesystem_usage" VALUES('mount_point 3 ; '' ü 한','device 3 ; '' ü 한','fs_type 3 ; '' ü 한',3,3,3,3.5,3,3,3,3.5,3,'level 3 ; '' ü 한','level_by 3 ; '' ü 한','state 3 ; '' ü 한','reason 3 ; '' ü 한',3,1790000000003);
CREATE TABLE log_blocks (
    first_id INTEGER PRIMARY KEY,       -- log_lines.id
    last_id INTEGER NOT NULL,           -- log_lines.id
    log_name TEXT NOT NULL,
    log_path TEXT NOT NULL,
    first_at INTEGER NOT NULL,          -- ms; the earliest created_at in it
    last_at INTEGER NOT NULL            -- ms; the latest created_at in it
) STRICT;
INSERT INTO "log_blocks" VALUES(1,1,'log_name 1 ; '' ü 한','log_path 1 ; '' ü 한',1790000000001,1790000000001);
INSERT INTO "log_blocks" VALUES(2,2,'log_name 2 ; '' ü 한','log_path 2 ; '' ü 한',1790000000002,1790000000002);
INSERT INTO "log_blocks" VALUES(3,3,'log_name 3 ; '' ü 한','log_path 3 ; '' ü 한',1790000000003,1790000000003);
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
INSERT INTO "log_files" VALUES('log_name 1 ; '' ü 한','log_path 1 ; '' ü 한','state 1 ; '' ü 한','error_message 1 ; '' ü 한','watch_mode 1 ; '' ü 한',1,1,1,1,1790000000001,'cursor 1 ; '' ü 한',1,1,1790000000001,1);
INSERT INTO "log_files" VALUES('log_name 2 ; '' ü 한','log_path 2 ; '' ü 한','state 2 ; '' ü 한','error_message 2 ; '' ü 한','watch_mode 2 ; '' ü 한',2,2,2,2,1790000000002,'cursor 2 ; '' ü 한',2,2,1790000000002,2);
INSERT INTO "log_files" VALUES('log_name 3 ; '' ü 한','log_path 3 ; '' ü 한','state 3 ; '' ü 한','error_message 3 ; '' ü 한','watch_mode 3 ; '' ü 한',3,3,3,3,1790000000003,'cursor 3 ; '' ü 한',3,3,1790000000003,3);
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
INSERT INTO "log_lines" VALUES(1,'log_name 1 ; '' ü 한','log_path 1 ; '' ü 한','line 1 ; '' ü 한',1790000000001,1,'[]',1790000000001,1,'detail 1 ; '' ü 한');
INSERT INTO "log_lines" VALUES(2,'log_name 2 ; '' ü 한','log_path 2 ; '' ü 한','line 2 ; '' ü 한',1790000000002,2,'[]',1790000000002,2,'detail 2 ; '' ü 한');
INSERT INTO "log_lines" VALUES(3,'log_name 3 ; '' ü 한','log_path 3 ; '' ü 한','line 3 ; '' ü 한',1790000000003,3,'[]',1790000000003,3,'detail 3 ; '' ü 한');
CREATE TABLE log_switches (
    log_name TEXT PRIMARY KEY,
    paused INTEGER NOT NULL,            -- boolean
    switched_at INTEGER NOT NULL        -- ms
) STRICT, WITHOUT ROWID;
INSERT INTO "log_switches" VALUES('log_name 1 ; '' ü 한',1,1790000000001);
INSERT INTO "log_switches" VALUES('log_name 2 ; '' ü 한',2,1790000000002);
INSERT INTO "log_switches" VALUES('log_name 3 ; '' ü 한',3,1790000000003);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('key 1 ; '' ü 한','value 1 ; '' ü 한');
INSERT INTO "meta" VALUES('key 2 ; '' ü 한','value 2 ; '' ü 한');
INSERT INTO "meta" VALUES('key 3 ; '' ü 한','value 3 ; '' ü 한');
CREATE TABLE migrations (
    schema_version INTEGER PRIMARY KEY, -- the migration's number
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL,        -- ms since 1970-01-01T00:00:00Z
    applied_by TEXT NOT NULL            -- version of etlmon
) STRICT
;
INSERT INTO "migrations" VALUES(1,'first_slice',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(2,'processes',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(3,'audit',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(4,'logs',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(5,'scan_progress',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(6,'xferlog',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(7,'cron',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(8,'cron_log',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(9,'path_children',1790000000000,'0.1.0');
INSERT INTO "migrations" VALUES(10,'path_expected',1790000000000,'0.1.0');
CREATE TABLE path_children (
    path_id TEXT NOT NULL,              -- path_stats.id
    place INTEGER NOT NULL,             -- from 0: the largest directory first
    kind TEXT NOT NULL,                 -- directory, rest, itself
    name TEXT,                          -- of the directory; null for the others
    directory_count INTEGER NOT NULL,   -- subdirectories that the row stands for
    file_count INTEGER NOT NULL,        -- regular files below it
    dir_count INTEGER NOT NULL,         -- directories below it
    other_count INTEGER NOT NULL,       -- links, sockets, fifos, devices below it
    collected_at INTEGER NOT NULL,      -- ms; when the scan ended
    PRIMARY KEY (path_id, place)
) STRICT, WITHOUT ROWID;
INSERT INTO "path_children" VALUES('path_id 1 ; '' ü 한',1,'kind 1 ; '' ü 한','name 1 ; '' ü 한',1,1,1,1,1790000000001);
INSERT INTO "path_children" VALUES('path_id 2 ; '' ü 한',2,'kind 2 ; '' ü 한','name 2 ; '' ü 한',2,2,2,2,1790000000002);
INSERT INTO "path_children" VALUES('path_id 3 ; '' ü 한',3,'kind 3 ; '' ü 한','name 3 ; '' ü 한',3,3,3,3,1790000000003);
CREATE TABLE path_expected (
    path_id TEXT NOT NULL,              -- path_stats.id
    place INTEGER NOT NULL,             -- in the configuration, from 0
    pattern TEXT NOT NULL,              -- as configured
    glob TEXT NOT NULL,                 -- with the dates of today
    state TEXT NOT NULL,                -- arrived, waiting, late, empty, small, unknown
    due_at INTEGER NOT NULL,            -- ms
    since INTEGER NOT NULL,             -- ms; older files do not count
    min_count INTEGER NOT NULL,
    min_bytes INTEGER NOT NULL,         -- bytes
    arrived_count INTEGER NOT NULL,     -- files that count
    growing_count INTEGER NOT NULL,     -- files that may still be written to
    small_count INTEGER NOT NULL,       -- files that are too small, but not empty
    empty_count INTEGER NOT NULL,       -- files without a byte
    total_bytes INTEGER NOT NULL,       -- bytes of all these files
    newest_path TEXT,
    newest_bytes INTEGER,               -- bytes
    newest_at INTEGER,                  -- ms; its modification time
    arrived_at INTEGER,                 -- ms; when it was seen first that they had arrived
    checked_at INTEGER NOT NULL,        -- ms
    error_message TEXT,
    previous_due_at INTEGER,            -- ms; of the day before
    previous_state TEXT,                -- of the day before, when last looked
    PRIMARY KEY (path_id, place)
) STRICT, WITHOUT ROWID;
INSERT INTO "path_expected" VALUES('path_id 1 ; '' ü 한',1,'pattern 1 ; '' ü 한','glob 1 ; '' ü 한','state 1 ; '' ü 한',1790000000001,1,1,1,1,1,1,1,1,'newest_path 1 ; '' ü 한',1,1790000000001,1790000000001,1790000000001,'error_message 1 ; '' ü 한',1790000000001,'previous_state 1 ; '' ü 한');
INSERT INTO "path_expected" VALUES('path_id 2 ; '' ü 한',2,'pattern 2 ; '' ü 한','glob 2 ; '' ü 한','state 2 ; '' ü 한',1790000000002,2,2,2,2,2,2,2,2,'newest_path 2 ; '' ü 한',2,1790000000002,1790000000002,1790000000002,'error_message 2 ; '' ü 한',1790000000002,'previous_state 2 ; '' ü 한');
INSERT INTO "path_expected" VALUES('path_id 3 ; '' ü 한',3,'pattern 3 ; '' ü 한','glob 3 ; '' ü 한','state 3 ; '' ü 한',1790000000003,3,3,3,3,3,3,3,3,'newest_path 3 ; '' ü 한',3,1790000000003,1790000000003,1790000000003,'error_message 3 ; '' ü 한',1790000000003,'previous_state 3 ; '' ü 한');
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
INSERT INTO "path_history" VALUES('path_id 1 ; '' ü 한',1790000000001,1,1,1,1,'status 1 ; '' ü 한',1);
INSERT INTO "path_history" VALUES('path_id 2 ; '' ü 한',1790000000002,2,2,2,2,'status 2 ; '' ü 한',2);
INSERT INTO "path_history" VALUES('path_id 3 ; '' ü 한',1790000000003,3,3,3,3,'status 3 ; '' ü 한',3);
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
, scan_file_count INTEGER, scan_dir_count INTEGER, expectation_state TEXT) STRICT;
INSERT INTO "path_stats" VALUES('id 1 ; '' ü 한','path 1 ; '' ü 한',1,1,1,1,1,'status 1 ; '' ü 한','error_message 1 ; '' ü 한',1790000000001,1,1,1,1,1790000000001,1790000000001,1,1,1,'[]',1790000000001,1790000000001,1,1,'expectation_state 1 ; '' ü 한');
INSERT INTO "path_stats" VALUES('id 2 ; '' ü 한','path 2 ; '' ü 한',2,2,2,2,2,'status 2 ; '' ü 한','error_message 2 ; '' ü 한',1790000000002,2,2,2,2,1790000000002,1790000000002,2,2,2,'[]',1790000000002,1790000000002,2,2,'expectation_state 2 ; '' ü 한');
INSERT INTO "path_stats" VALUES('id 3 ; '' ü 한','path 3 ; '' ü 한',3,3,3,3,3,'status 3 ; '' ü 한','error_message 3 ; '' ü 한',1790000000003,3,3,3,3,1790000000003,1790000000003,3,3,3,'[]',1790000000003,1790000000003,3,3,'expectation_state 3 ; '' ü 한');
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
INSERT INTO "process_events" VALUES('watch 1 ; '' ü 한','event 1 ; '' ü 한',1790000000001,1,'process_name 1 ; '' ü 한','identity 1 ; '' ü 한',1.5,'exit_reason 1 ; '' ü 한',1,'exit_signal 1 ; '' ü 한',1,'detail 1 ; '' ü 한',1);
INSERT INTO "process_events" VALUES('watch 2 ; '' ü 한','event 2 ; '' ü 한',1790000000002,2,'process_name 2 ; '' ü 한','identity 2 ; '' ü 한',2.5,'exit_reason 2 ; '' ü 한',2,'exit_signal 2 ; '' ü 한',2,'detail 2 ; '' ü 한',2);
INSERT INTO "process_events" VALUES('watch 3 ; '' ü 한','event 3 ; '' ü 한',1790000000003,3,'process_name 3 ; '' ü 한','identity 3 ; '' ü 한',3.5,'exit_reason 3 ; '' ü 한',3,'exit_signal 3 ; '' ü 한',3,'detail 3 ; '' ü 한',3);
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
INSERT INTO "process_history" VALUES('watch 1 ; '' ü 한',1,'identity 1 ; '' ü 한',1790000000001,1,1.5,1.5,1,1,1);
INSERT INTO "process_history" VALUES('watch 2 ; '' ü 한',2,'identity 2 ; '' ü 한',1790000000002,2,2.5,2.5,2,2,2);
INSERT INTO "process_history" VALUES('watch 3 ; '' ü 한',3,'identity 3 ; '' ü 한',1790000000003,3,3.5,3.5,3,3,3);
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
INSERT INTO "process_stats" VALUES('watch 1 ; '' ü 한',1,'process_name 1 ; '' ü 한','cmdline 1 ; '' ü 한',1,1.5,1.5,1.5,1.5,1,'status 1 ; '' ü 한','state 1 ; '' ü 한',1,'user 1 ; '' ü 한',1,1,'exe 1 ; '' ü 한','cgroup 1 ; '' ü 한',1,1,1,'visibility 1 ; '' ü 한',1,1,1,1790000000001,'exit_reason 1 ; '' ü 한','identity 1 ; '' ü 한',1790000000001);
INSERT INTO "process_stats" VALUES('watch 2 ; '' ü 한',2,'process_name 2 ; '' ü 한','cmdline 2 ; '' ü 한',2,2.5,2.5,2.5,2.5,2,'status 2 ; '' ü 한','state 2 ; '' ü 한',2,'user 2 ; '' ü 한',2,2,'exe 2 ; '' ü 한','cgroup 2 ; '' ü 한',2,2,2,'visibility 2 ; '' ü 한',2,2,2,1790000000002,'exit_reason 2 ; '' ü 한','identity 2 ; '' ü 한',1790000000002);
INSERT INTO "process_stats" VALUES('watch 3 ; '' ü 한',3,'process_name 3 ; '' ü 한','cmdline 3 ; '' ü 한',3,3.5,3.5,3.5,3.5,3,'status 3 ; '' ü 한','state 3 ; '' ü 한',3,'user 3 ; '' ü 한',3,3,'exe 3 ; '' ü 한','cgroup 3 ; '' ü 한',3,3,3,'visibility 3 ; '' ü 한',3,3,3,1790000000003,'exit_reason 3 ; '' ü 한','identity 3 ; '' ü 한',1790000000003);
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
INSERT INTO "process_watches" VALUES('watch 1 ; '' ü 한','state 1 ; '' ü 한','reason 1 ; '' ü 한',1,1,1.5,1.5,1,1,1,1,1,'visibility 1 ; '' ü 한',1790000000001);
INSERT INTO "process_watches" VALUES('watch 2 ; '' ü 한','state 2 ; '' ü 한','reason 2 ; '' ü 한',2,2,2.5,2.5,2,2,2,2,2,'visibility 2 ; '' ü 한',1790000000002);
INSERT INTO "process_watches" VALUES('watch 3 ; '' ü 한','state 3 ; '' ü 한','reason 3 ; '' ü 한',3,3,3.5,3.5,3,3,3,3,3,'visibility 3 ; '' ü 한',1790000000003);
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
INSERT INTO "xferlog_entries" VALUES(1,1,'remote_host 1 ; '' ü 한','username 1 ; '' ü 한','filename 1 ; '' ü 한',1,1,'direction 1 ; '' ü 한','status 1 ; '' ü 한','landing 1 ; '' ü 한','landing_reason 1 ; '' ü 한','landed_path 1 ; '' ü 한',1,1790000000001,'transfer_type 1 ; '' ü 한','action_flags 1 ; '' ü 한','access_mode 1 ; '' ü 한','service 1 ; '' ü 한','auth_method 1 ; '' ü 한','auth_user 1 ; '' ü 한',1,1.5,'log_format 1 ; '' ü 한','time_text 1 ; '' ü 한','ts_quality 1 ; '' ü 한','[]','reason 1 ; '' ü 한','line 1 ; '' ü 한','log_path 1 ; '' ü 한',1,1,1790000000001);
INSERT INTO "xferlog_entries" VALUES(2,2,'remote_host 2 ; '' ü 한','username 2 ; '' ü 한','filename 2 ; '' ü 한',2,2,'direction 2 ; '' ü 한','status 2 ; '' ü 한','landing 2 ; '' ü 한','landing_reason 2 ; '' ü 한','landed_path 2 ; '' ü 한',2,1790000000002,'transfer_type 2 ; '' ü 한','action_flags 2 ; '' ü 한','access_mode 2 ; '' ü 한','service 2 ; '' ü 한','auth_method 2 ; '' ü 한','auth_user 2 ; '' ü 한',2,2.5,'log_format 2 ; '' ü 한','time_text 2 ; '' ü 한','ts_quality 2 ; '' ü 한','[]','reason 2 ; '' ü 한','line 2 ; '' ü 한','log_path 2 ; '' ü 한',2,2,1790000000002);
INSERT INTO "xferlog_entries" VALUES(3,3,'remote_host 3 ; '' ü 한','username 3 ; '' ü 한','filename 3 ; '' ü 한',3,3,'direction 3 ; '' ü 한','status 3 ; '' ü 한','landing 3 ; '' ü 한','landing_reason 3 ; '' ü 한','landed_path 3 ; '' ü 한',3,1790000000003,'transfer_type 3 ; '' ü 한','action_flags 3 ; '' ü 한','access_mode 3 ; '' ü 한','service 3 ; '' ü 한','auth_method 3 ; '' ü 한','auth_user 3 ; '' ü 한',3,3.5,'log_format 3 ; '' ü 한','time_text 3 ; '' ü 한','ts_quality 3 ; '' ü 한','[]','reason 3 ; '' ü 한','line 3 ; '' ü 한','log_path 3 ; '' ü 한',3,3,1790000000003);
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
INSERT INTO "xferlog_files" VALUES('path 1 ; '' ü 한','state 1 ; '' ü 한','message 1 ; '' ü 한','watch_mode 1 ; '' ü 한',1,1,1,1,1,1,1,1,1,1790000000001,1790000000001,'cursor 1 ; '' ü 한');
INSERT INTO "xferlog_files" VALUES('path 2 ; '' ü 한','state 2 ; '' ü 한','message 2 ; '' ü 한','watch_mode 2 ; '' ü 한',2,2,2,2,2,2,2,2,2,1790000000002,1790000000002,'cursor 2 ; '' ü 한');
INSERT INTO "xferlog_files" VALUES('path 3 ; '' ü 한','state 3 ; '' ü 한','message 3 ; '' ü 한','watch_mode 3 ; '' ü 한',3,3,3,3,3,3,3,3,3,1790000000003,1790000000003,'cursor 3 ; '' ü 한');
CREATE INDEX filesystem_usage_by_time ON filesystem_usage (collected_at);
CREATE INDEX filesystem_usage_by_mount ON filesystem_usage (mount_point, state, collected_at);
CREATE INDEX filesystem_usage_hidden ON filesystem_usage (collected_at) WHERE state = 'hidden';
CREATE INDEX path_history_by_time ON path_history (collected_at);
CREATE INDEX path_history_by_path ON path_history (path_id, complete, collected_at);
CREATE INDEX collector_run_by_time ON collector_run (started_at);
CREATE INDEX process_stats_by_pid ON process_stats (pid);
CREATE INDEX process_history_by_time ON process_history (collected_at);
CREATE INDEX process_history_by_watch ON process_history (watch, pid, collected_at);
CREATE INDEX process_events_by_time ON process_events (occurred_at);
CREATE INDEX process_events_by_watch ON process_events (watch, id);
CREATE INDEX process_events_by_pid ON process_events (pid, id);
CREATE INDEX audit_log_by_time ON audit_log (requested_at);
CREATE INDEX log_blocks_by_name ON log_blocks (log_name, first_id);
CREATE INDEX xferlog_entries_by_reading ON xferlog_entries (created_at);
CREATE INDEX xferlog_entries_landing ON xferlog_entries (log_path, offset, source_inode)
    WHERE landing IS NOT NULL;
CREATE INDEX xferlog_entries_unsettled ON xferlog_entries (log_path)
    WHERE landing IN ('pending', 'partial');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('process_events',3);
INSERT INTO "sqlite_sequence" VALUES('audit_log',3);
INSERT INTO "sqlite_sequence" VALUES('log_lines',3);
INSERT INTO "sqlite_sequence" VALUES('xferlog_entries',3);
COMMIT;
