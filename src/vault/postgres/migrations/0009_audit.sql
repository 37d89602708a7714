-- Who, from which request, with which outcome and why. Rows of an earlier release have the defaults.
-- `name`: keyed digest of a login name that nobody has. `times`: number of equal events that the row stands for.
-- `position`, `digest`, `key_id`: place in the chain; NULL until the row is linked.
ALTER TABLE audit
    ADD COLUMN outcome    text   NOT NULL DEFAULT 'success',
    ADD COLUMN actor      text,
    ADD COLUMN name       text,
    ADD COLUMN cause      text,
    ADD COLUMN request_id text,
    ADD COLUMN times      bigint NOT NULL DEFAULT 1,
    ADD COLUMN position   bigint,
    ADD COLUMN digest     bytea,
    ADD COLUMN key_id     text;
CREATE UNIQUE INDEX audit_by_position ON audit (position) WHERE position IS NOT NULL;
CREATE INDEX audit_not_linked ON audit (seq) WHERE position IS NULL;
CREATE INDEX audit_by_user ON audit (user_id, seq) WHERE user_id IS NOT NULL;

-- The chain. Rows before `first_seq` are of an earlier release, which deletes them by itself: they are never linked.
-- anchor: the last row that retention deleted. head: the last row that was linked. Both are sealed by a MAC.
CREATE TABLE audit_chain (
    one             integer PRIMARY KEY CHECK (one = 1),
    first_seq       bigint  NOT NULL,
    key_id          text,
    anchor_position bigint  NOT NULL DEFAULT 0,
    anchor_digest   bytea,
    anchor_mac      bytea,
    head_position   bigint  NOT NULL DEFAULT 0,
    head_digest     bytea,
    head_mac        bytea
);
INSERT INTO audit_chain (one, first_seq) SELECT 1, coalesce(max(seq), 0) + 1 FROM audit;

-- Logins of a user, and sessions that an unusual pattern has ended: a sign-in looks for both.
CREATE INDEX audit_logins ON audit (user_id, seq) WHERE event = 'login';
CREATE INDEX audit_ended_by_pattern ON audit (session_id) WHERE event = 'session_ended_by_pattern';
