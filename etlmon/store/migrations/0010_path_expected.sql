-- What is expected below a path today, and how it is: a row for each entry of `expect`.
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
-- The worst state of its rows above; null where nothing is expected.
ALTER TABLE path_stats ADD COLUMN expectation_state TEXT;
