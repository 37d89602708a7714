-- email: in its canonical form, so that two addresses are the same if their texts are. NULL is none, and may occur often.
-- email_verified_at: when it was verified; NULL while it is not.
-- A program that does not know these columns keeps their values, and issues tokens without them.
ALTER TABLE users ADD COLUMN email text COLLATE "C",
                  ADD COLUMN email_verified_at timestamptz,
                  ADD COLUMN name text,
                  ADD CHECK (email_verified_at IS NULL OR email IS NOT NULL);
CREATE UNIQUE INDEX users_by_email ON users (email) WHERE email IS NOT NULL;
