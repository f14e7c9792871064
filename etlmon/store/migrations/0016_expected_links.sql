-- Links among the files that are expected, which lead to no file there.
ALTER TABLE path_expected ADD COLUMN link_count INTEGER NOT NULL DEFAULT 0;  -- they do not count
