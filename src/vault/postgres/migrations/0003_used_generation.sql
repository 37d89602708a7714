-- used_generation: the highest generation whose access token was used. Its client has the response of that rotation, so
-- the generation before it is not repeated late.
-- late_generation, late_previous: the generation that a late repeat created, and the one that was repeated, which comes
-- before it instead of the number below. They say nothing once the generation is another one.
-- A program that does not know these columns leaves them behind, and ends a session that repeats late, as before.
ALTER TABLE sessions ADD COLUMN used_generation bigint NOT NULL DEFAULT 0,
                     ADD COLUMN late_generation bigint,
                     ADD COLUMN late_previous   bigint;
