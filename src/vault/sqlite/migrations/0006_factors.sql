-- Authenticator apps. `sealed`: the secret. `last_step`: the newest time step whose code was accepted.
CREATE TABLE totp_factors (
    id          BLOB    NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    sealed      BLOB    NOT NULL,
    last_step   INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX totp_factors_by_user ON totp_factors (user_id);

-- Passkeys. `public_key`: SubjectPublicKeyInfo, DER. `transports`: joined by commas.
CREATE TABLE passkeys (
    credential_id   BLOB    NOT NULL PRIMARY KEY,
    user_id         BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    name            TEXT    NOT NULL,
    public_key      BLOB    NOT NULL,
    algorithm       INTEGER NOT NULL,
    sign_count      INTEGER NOT NULL,
    transports      TEXT    NOT NULL,
    backup_eligible INTEGER NOT NULL,
    backed_up       INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    used_at         INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- SHA-256 of each unused recovery code.
CREATE TABLE recovery_codes (
    user_id     BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    digest      BLOB    NOT NULL,
    PRIMARY KEY (user_id, digest)
) STRICT, WITHOUT ROWID;

-- Tries of codes, as a virtual schedule (GCRA): the time until which earlier tries have used up the rate.
CREATE TABLE factor_tries (
    user_id     BLOB    NOT NULL PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sign-ins whose first factor is proven. `digest`: SHA-256 of the browser's secret.
CREATE TABLE pending_sign_ins (
    digest      BLOB    NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL REFERENCES users ON DELETE CASCADE,
    sealed      BLOB    NOT NULL,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_sign_ins_by_until ON pending_sign_ins (until);

-- Challenges of passkeys that were answered, until they would be refused as too old.
CREATE TABLE spent_challenges (
    digest      BLOB    NOT NULL PRIMARY KEY,
    until       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_challenges_by_until ON spent_challenges (until);

-- factor_due_at: when a second factor is needed at the latest; set at the first sign-in under a policy that needs one.
ALTER TABLE users ADD COLUMN factor_due_at INTEGER;
