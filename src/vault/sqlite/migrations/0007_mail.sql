-- Messages to be sent. `sealed`: sender, recipient and the whole message; empty once it was sent or given up. `due_at`: time of the
-- next attempt; the gateway that makes one moves it by its lease.
CREATE TABLE outbox (
    id          BLOB    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL,
    user_id     BLOB    REFERENCES users ON DELETE CASCADE,
    sealed      BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    done_at     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_by_due ON outbox (due_at) WHERE done_at IS NULL;
CREATE INDEX outbox_by_done ON outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_by_user ON outbox (user_id);

-- Links in mails. `digest`: SHA-256 of the token. `browser`: SHA-256 of the secret of the browser that asked. `email`: address that it
-- was sent to, which its use verifies. A link is void once the user has another epoch.
CREATE TABLE links (
    digest      BLOB    NOT NULL PRIMARY KEY,
    purpose     TEXT    NOT NULL,
    user_id     BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    browser     BLOB,
    epoch       INTEGER NOT NULL,
    email       TEXT,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX links_by_user ON links (user_id);
CREATE INDEX links_by_until ON links (until);
