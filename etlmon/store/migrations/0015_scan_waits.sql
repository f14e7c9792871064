-- Why a scan that was asked for has not begun to count.
ALTER TABLE path_stats ADD COLUMN scan_waits_for TEXT;  -- what it waits for, since when; or null
