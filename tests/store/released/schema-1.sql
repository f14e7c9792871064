BEGIN TRANSACTION;
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
) STRICT;
INSERT INTO "path_stats" VALUES('id 1 ; '' ü 한','path 1 ; '' ü 한',1,1,1,1,1,'status 1 ; '' ü 한','error_message 1 ; '' ü 한',1790000000001,1,1,1,1,1790000000001,1790000000001,1,1,1,'[]',1790000000001,1790000000001);
INSERT INTO "path_stats" VALUES('id 2 ; '' ü 한','path 2 ; '' ü 한',2,2,2,2,2,'status 2 ; '' ü 한','error_message 2 ; '' ü 한',1790000000002,2,2,2,2,1790000000002,1790000000002,2,2,2,'[]',1790000000002,1790000000002);
INSERT INTO "path_stats" VALUES('id 3 ; '' ü 한','path 3 ; '' ü 한',3,3,3,3,3,'status 3 ; '' ü 한','error_message 3 ; '' ü 한',1790000000003,3,3,3,3,1790000000003,1790000000003,3,3,3,'[]',1790000000003,1790000000003);
CREATE INDEX filesystem_usage_by_time ON filesystem_usage (collected_at);
CREATE INDEX filesystem_usage_by_mount ON filesystem_usage (mount_point, state, collected_at);
CREATE INDEX filesystem_usage_hidden ON filesystem_usage (collected_at) WHERE state = 'hidden';
CREATE INDEX path_history_by_time ON path_history (collected_at);
CREATE INDEX path_history_by_path ON path_history (path_id, complete, collected_at);
CREATE INDEX collector_run_by_time ON collector_run (started_at);
COMMIT;
