ALTER TABLE process_stats ADD COLUMN signals TEXT;  -- JSON: names of those that it may be sent
