-- What is below each direct subdirectory of a path, as its newest complete scan found it.
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
