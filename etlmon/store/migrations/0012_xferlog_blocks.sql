-- Entries of transfer logs whose numbers follow each other, and the times of their transfers: what
-- is asked for by time is looked for in few of them. An index by time would cost a fifth of the
-- rate at which a log is stored, and most of the rows have one time in common: that of reading it.
CREATE TABLE xferlog_blocks (
    first_id INTEGER PRIMARY KEY,       -- xferlog_entries.id
    last_id INTEGER NOT NULL,           -- xferlog_entries.id
    first_time INTEGER,                 -- ms; the earliest log_time in it, null if none has one
    last_time INTEGER                   -- ms; the latest log_time in it
) STRICT;
INSERT INTO xferlog_blocks
    SELECT min(id), max(id), min(log_time), max(log_time) FROM xferlog_entries GROUP BY id / 5000;
DROP INDEX xferlog_entries_by_reading;
