-- amr: authentication methods of the login, joined by commas; '' for a session that an earlier release opened.
-- proven_at: the last active proof; NULL in such a session, where it is the login.
ALTER TABLE sessions ADD COLUMN amr text NOT NULL DEFAULT '', ADD COLUMN proven_at timestamptz;
