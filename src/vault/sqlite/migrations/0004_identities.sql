-- Accounts at providers. Issuer and subject are compared byte for byte. `roles`: those that the provider gave last, which it
-- may take away again. `is_origin`: the account created the user.
CREATE TABLE identities (
    provider    TEXT    NOT NULL,
    issuer      TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    user_id     BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    roles       TEXT    NOT NULL DEFAULT '',
    is_origin   INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    PRIMARY KEY (provider, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_user ON identities (user_id);

-- The provider's part of a session. `claimed_until`: a gateway makes the recheck.
CREATE TABLE session_providers (
    session_id    BLOB    NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    provider      TEXT    NOT NULL,
    issuer        TEXT    NOT NULL,
    subject       TEXT    NOT NULL,
    sid           TEXT,
    refresh       BLOB,
    id_token      BLOB,
    confirmed_at  INTEGER NOT NULL,
    check_at      INTEGER,
    claimed_until INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX session_providers_by_account ON session_providers (issuer, subject);
CREATE INDEX session_providers_by_sid ON session_providers (issuer, sid) WHERE sid IS NOT NULL;

-- Logout tokens that were accepted, and sessions at providers that have ended, for some minutes.
CREATE TABLE provider_logouts (
    name        TEXT    NOT NULL PRIMARY KEY,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_logouts_by_until ON provider_logouts (until);

-- The user waits for an operator's approval; it is disabled until then.
ALTER TABLE users ADD COLUMN waits_for_approval INTEGER NOT NULL DEFAULT 0;
