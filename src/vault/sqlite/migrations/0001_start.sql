-- Ids are the 16 raw bytes, times are milliseconds since the Unix epoch, roles are comma-joined and sorted.

CREATE TABLE users (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    login       TEXT    NOT NULL UNIQUE,
    password    TEXT    NOT NULL,
    roles       TEXT    NOT NULL,
    disabled    INTEGER NOT NULL DEFAULT 0,
    epoch       INTEGER NOT NULL DEFAULT 0,
    rights      INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign key to users: an ended session outlives its user, so that its revocation can be applied again.
CREATE TABLE sessions (
    place       INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    family      BLOB    NOT NULL UNIQUE CHECK (length(family) = 32),
    user_id     BLOB    NOT NULL,
    client_id   TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    generation  INTEGER NOT NULL DEFAULT 0,
    refresh_kid INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    rotated_at  INTEGER NOT NULL,
    idle_until  INTEGER NOT NULL CHECK (idle_until <= expires_at),
    expires_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    end_reason  TEXT,
    address     TEXT,
    user_agent  TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user_id);
-- The two ways a session ends, for the sweep: idle_until is never after expires_at.
CREATE INDEX sessions_by_idle ON sessions (idle_until);
CREATE INDEX sessions_by_end ON sessions (ended_at) WHERE ended_at IS NOT NULL;

-- AUTOINCREMENT: a number is never used twice, whatever the sweep has deleted. SQLite has one writer at a time,
-- so a larger number is always committed later: a reader that has seen n has seen everything up to n.
CREATE TABLE revocations (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id  BLOB,
    user_id     BLOB,
    rights      INTEGER,
    until       INTEGER NOT NULL,
    CHECK ((session_id IS NULL) = (user_id IS NOT NULL)),
    CHECK ((user_id IS NULL) = (rights IS NULL))
) STRICT;
CREATE INDEX revocations_by_until ON revocations (until);

CREATE TABLE keys (
    key_use        TEXT    NOT NULL,
    kid            TEXT    NOT NULL,
    algorithm      TEXT    NOT NULL,
    sealed         BLOB    NOT NULL,
    signs_from     INTEGER NOT NULL,
    verifies_until INTEGER,
    PRIMARY KEY (key_use, kid)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys_version (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    version     INTEGER NOT NULL
) STRICT;
INSERT INTO keys_version (one, version) VALUES (1, 0);

CREATE TABLE audit (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    event       TEXT    NOT NULL,
    user_id     BLOB,
    session_id  BLOB,
    address     TEXT
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
