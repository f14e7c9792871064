-- How far a scan is that is under way; null while none is, or before it has told.
ALTER TABLE path_stats ADD COLUMN scan_file_count INTEGER;  -- regular files so far
ALTER TABLE path_stats ADD COLUMN scan_dir_count INTEGER;   -- directories so far
