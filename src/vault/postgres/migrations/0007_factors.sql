-- Authenticator apps. `sealed`: the secret. `last_step`: the newest time step whose code was accepted.
CREATE TABLE totp_factors (
    id          uuid        NOT NULL PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    name        text        NOT NULL,
    sealed      bytea       NOT NULL,
    last_step   bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    used_at     timestamptz
);
CREATE INDEX totp_factors_by_user ON totp_factors (user_id);

-- Passkeys. `public_key`: SubjectPublicKeyInfo, DER. `transports`: joined by commas.
CREATE TABLE passkeys (
    credential_id   bytea       NOT NULL PRIMARY KEY,
    user_id         uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    name            text        NOT NULL,
    public_key      bytea       NOT NULL,
    algorithm       integer     NOT NULL,
    sign_count      bigint      NOT NULL,
    transports      text        NOT NULL,
    backup_eligible boolean     NOT NULL,
    backed_up       boolean     NOT NULL,
    created_at      timestamptz NOT NULL,
    used_at         timestamptz
);
CREATE INDEX passkeys_by_user ON passkeys (user_id);

-- SHA-256 of each unused recovery code.
CREATE TABLE recovery_codes (
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    digest      bytea       NOT NULL,
    PRIMARY KEY (user_id, digest)
);

-- Tries of codes, as a virtual schedule (GCRA): the time until which earlier tries have used up the rate.
CREATE TABLE factor_tries (
    user_id     uuid        NOT NULL PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    until       timestamptz NOT NULL
);

-- Sign-ins whose first factor is proven. `digest`: SHA-256 of the browser's secret.
CREATE TABLE pending_sign_ins (
    digest      bytea       NOT NULL PRIMARY KEY,
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    sealed      bytea       NOT NULL,
    until       timestamptz NOT NULL
);
CREATE INDEX pending_sign_ins_by_until ON pending_sign_ins (until);

-- Challenges of passkeys that were answered, until they would be refused as too old.
CREATE TABLE spent_challenges (
    digest      bytea       NOT NULL PRIMARY KEY,
    until       timestamptz NOT NULL
);
CREATE INDEX spent_challenges_by_until ON spent_challenges (until);

-- factor_due_at: when a second factor is needed at the latest; set at the first sign-in under a policy that needs one.
ALTER TABLE users ADD COLUMN factor_due_at timestamptz;
