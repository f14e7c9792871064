-- A row for each command that came, refused ones too. Rows are added; only one that is begun is
-- changed, once. AUTOINCREMENT: an id is never given twice, not even after the newest rows are gone.
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
CREATE INDEX audit_log_by_time ON audit_log (requested_at);
