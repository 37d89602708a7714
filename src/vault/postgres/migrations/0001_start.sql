-- Roles are comma-joined and sorted; addresses are text; the family is a SHA-256.

CREATE TABLE users (
    id          uuid        NOT NULL PRIMARY KEY,
    -- In the order of its bytes, so that pages are the same whatever the database's language.
    login       text        NOT NULL COLLATE "C" UNIQUE,
    password    text        NOT NULL,
    roles       text        NOT NULL,
    disabled    boolean     NOT NULL DEFAULT false,
    epoch       bigint      NOT NULL DEFAULT 0,
    rights      bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL
) WITH (fillfactor = 90);

-- No foreign key to users: an ended session outlives its user, so that its revocation can be applied again.
--
-- Room is left on every page, and no index has a column that a rotation changes: its new row version then lies on the
-- same page and no index is touched (HOT). `idle_until` moves with every rotation, so the sweep looks for the day of
-- it, which moves once a day; a plain index on `idle_until` would double the write of every refresh, and a BRIN
-- one prevents HOT just the same before Postgres 16.
CREATE TABLE sessions (
    place       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid        NOT NULL UNIQUE,
    family      bytea       NOT NULL UNIQUE CHECK (octet_length(family) = 32),
    user_id     uuid        NOT NULL,
    client_id   text        NOT NULL,
    epoch       bigint      NOT NULL,
    generation  bigint      NOT NULL DEFAULT 0,
    -- How often the current generation was handed out again; it tells a repeat from a rotation.
    repeats     integer     NOT NULL DEFAULT 0,
    refresh_kid smallint    NOT NULL,
    created_at  timestamptz NOT NULL,
    rotated_at  timestamptz NOT NULL,
    idle_until  timestamptz NOT NULL CHECK (idle_until <= expires_at),
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    end_reason  text,
    address     text,
    user_agent  text,
    idle_day    date        NOT NULL GENERATED ALWAYS AS ((idle_until AT TIME ZONE 'UTC')::date) STORED,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX sessions_by_user ON sessions (user_id);
-- The two ways a session ends, for the sweep: idle_until is never after expires_at.
CREATE INDEX sessions_by_idle_day ON sessions (idle_day);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- `xid` is the transaction that wrote the row. A reader goes on from the oldest transaction that was still running when
-- it last looked, so it misses no row that is committed late; `seq` is given before the commit and would.
CREATE TABLE revocations (
    seq         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    session_id  uuid,
    user_id     uuid,
    rights      bigint,
    until       timestamptz NOT NULL,
    CHECK ((session_id IS NULL) = (user_id IS NOT NULL)),
    CHECK ((user_id IS NULL) = (rights IS NULL))
);
CREATE INDEX revocations_by_xid ON revocations (xid);
CREATE INDEX revocations_by_until ON revocations (until);

CREATE TABLE keys (
    key_use        text        NOT NULL,
    kid            text        NOT NULL,
    algorithm      text        NOT NULL,
    sealed         bytea       NOT NULL,
    signs_from     timestamptz NOT NULL,
    verifies_until timestamptz,
    PRIMARY KEY (key_use, kid)
);

CREATE TABLE keys_version (
    one         integer PRIMARY KEY CHECK (one = 1),
    version     bigint NOT NULL
);
INSERT INTO keys_version (one, version) VALUES (1, 0);

CREATE TABLE audit (
    seq         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    event       text        NOT NULL,
    user_id     uuid,
    session_id  uuid,
    address     text
);
CREATE INDEX audit_by_time ON audit (at);
