-- The highest generation whose access token was used: its client has the response of that rotation, so the generation
-- before it is not repeated any more. A program that does not know it leaves it behind, and ends a session that repeats
-- late, as before.
ALTER TABLE sessions ADD COLUMN used_generation bigint NOT NULL DEFAULT 0;
