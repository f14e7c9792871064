-- The runs that the median runtime of a job is of.
ALTER TABLE cron_jobs ADD COLUMN recent_runtimes_seconds TEXT NOT NULL DEFAULT '[]'; -- JSON list

-- How far the log of cron has been read: one row.
CREATE TABLE cron_log (
    path TEXT PRIMARY KEY,
    cursor TEXT NOT NULL                -- where to go on, as host/cursor.py writes it
) STRICT;
