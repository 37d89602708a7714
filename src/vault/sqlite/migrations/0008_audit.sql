-- Who, from which request, with which outcome and why. Rows of an earlier release have the defaults.
-- `name`: keyed digest of a login name that nobody has. `times`: number of equal events that the row stands for.
-- `position`, `digest`, `key_id`: place in the chain; NULL until the row is linked. Rows of an earlier release have the
-- key '-': that release deletes them by itself, so they are never linked.
ALTER TABLE audit ADD COLUMN outcome    TEXT    NOT NULL DEFAULT 'success';
ALTER TABLE audit ADD COLUMN actor      TEXT;
ALTER TABLE audit ADD COLUMN name       TEXT;
ALTER TABLE audit ADD COLUMN cause      TEXT;
ALTER TABLE audit ADD COLUMN request_id TEXT;
ALTER TABLE audit ADD COLUMN times      INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit ADD COLUMN position   INTEGER;
ALTER TABLE audit ADD COLUMN digest     BLOB;
ALTER TABLE audit ADD COLUMN key_id     TEXT;
CREATE UNIQUE INDEX audit_by_position ON audit (position) WHERE position IS NOT NULL;
UPDATE audit SET key_id = '-';
CREATE INDEX audit_not_linked ON audit (seq) WHERE key_id IS NULL;
CREATE INDEX audit_by_user ON audit (user_id, seq) WHERE user_id IS NOT NULL;

-- The chain. anchor: the last row that retention deleted. head: the last row that was linked. Both are sealed by a MAC.
CREATE TABLE audit_chain (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    key_id          TEXT,
    anchor_position INTEGER NOT NULL DEFAULT 0,
    anchor_digest   BLOB,
    anchor_mac      BLOB,
    head_position   INTEGER NOT NULL DEFAULT 0,
    head_digest     BLOB,
    head_mac        BLOB
) STRICT;
INSERT INTO audit_chain (one) VALUES (1);

-- Logins of a user, and sessions that an unusual pattern has ended: a sign-in looks for both.
CREATE INDEX audit_logins ON audit (user_id, seq) WHERE event = 'login';
CREATE INDEX audit_ended_by_pattern ON audit (session_id) WHERE event = 'session_ended_by_pattern';
