-- Accounts at providers. Issuer and subject are compared byte for byte. `roles`: those that the provider gave last, which it
-- may take away again. `is_origin`: the account created the user.
CREATE TABLE identities (
    provider    text        NOT NULL COLLATE "C",
    issuer      text        NOT NULL COLLATE "C",
    subject     text        NOT NULL COLLATE "C",
    user_id     uuid        NOT NULL REFERENCES users ON DELETE CASCADE,
    roles       text        NOT NULL DEFAULT '',
    is_origin   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL,
    used_at     timestamptz NOT NULL,
    PRIMARY KEY (provider, issuer, subject)
);
CREATE INDEX identities_by_user ON identities (user_id);

-- The provider's part of a session. `claimed_until`: a gateway makes the recheck.
CREATE TABLE session_providers (
    session_id    uuid        NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    provider      text        NOT NULL COLLATE "C",
    issuer        text        NOT NULL COLLATE "C",
    subject       text        NOT NULL COLLATE "C",
    sid           text        COLLATE "C",
    refresh       bytea,
    id_token      bytea,
    confirmed_at  timestamptz NOT NULL,
    check_at      timestamptz,
    claimed_until timestamptz
) WITH (fillfactor = 80);
CREATE INDEX session_providers_by_account ON session_providers (issuer, subject);
CREATE INDEX session_providers_by_sid ON session_providers (issuer, sid) WHERE sid IS NOT NULL;

-- Logout tokens that were accepted, and sessions at providers that have ended, for some minutes.
CREATE TABLE provider_logouts (
    name        text        NOT NULL COLLATE "C" PRIMARY KEY,
    until       timestamptz NOT NULL
);
CREATE INDEX provider_logouts_by_until ON provider_logouts (until);

-- The user waits for an operator's approval; it is disabled until then.
ALTER TABLE users ADD COLUMN waits_for_approval boolean NOT NULL DEFAULT false;
