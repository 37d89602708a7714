-- Messages to be sent. `sealed`: sender, recipient and the whole message; empty once it was sent or given up. `due_at`: time of the
-- next attempt; the gateway that makes one moves it by its lease.
CREATE TABLE outbox (
    id          uuid        NOT NULL PRIMARY KEY,
    kind        text        NOT NULL,
    user_id     uuid        REFERENCES users ON DELETE CASCADE,
    sealed      bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    until       timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    attempts    bigint      NOT NULL DEFAULT 0,
    done_at     timestamptz
);
CREATE INDEX outbox_by_due ON outbox (due_at) WHERE done_at IS NULL;
CREATE INDEX outbox_by_done ON outbox (done_at) WHERE done_at IS NOT NULL;
CREATE INDEX outbox_by_user ON outbox (user_id);

-- Links in mails. `digest`: SHA-256 of the token. `browser`: SHA-256 of the secret of the browser that asked. `email`: address that it
-- was sent to, which its use verifies. A link is void once the user has another epoch.
CREATE TABLE links (
    digest      bytea       NOT NULL PRIMARY KEY,
    purpose     text        NOT NULL,
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    browser     bytea,
    epoch       bigint      NOT NULL,
    email       text,
    until       timestamptz NOT NULL
);
CREATE INDEX links_by_user ON links (user_id);
CREATE INDEX links_by_until ON links (until);
