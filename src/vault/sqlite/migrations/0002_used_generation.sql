-- The highest generation whose access token was used: its client has the response of that rotation, so the generation
-- before it is not repeated any more.
ALTER TABLE sessions ADD COLUMN used_generation INTEGER NOT NULL DEFAULT 0;
