-- After a restart uploads are gone on with of which anything may still become: what had vanished may
-- come, and of several files one may be left.
DROP INDEX xferlog_entries_unsettled;
CREATE INDEX xferlog_entries_unsettled ON xferlog_entries (log_path)
    WHERE landing IN ('pending', 'partial', 'vanished', 'ambiguous', 'unknown');
