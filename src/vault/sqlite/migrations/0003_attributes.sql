-- email: in its canonical form, so that two addresses are the same if their texts are. NULL is none, and may occur often.
-- email_verified_at: when it was verified; NULL while it is not.
ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN email_verified_at INTEGER CHECK (email_verified_at IS NULL OR email IS NOT NULL);
ALTER TABLE users ADD COLUMN name TEXT;
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE email IS NOT NULL;
