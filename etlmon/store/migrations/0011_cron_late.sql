-- A run that was due, has not begun and still may.
ALTER TABLE cron_jobs ADD COLUMN late_since INTEGER; -- ms; when it was due
