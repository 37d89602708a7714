-- used_generation: the highest generation whose access token was used. Its client has the response of that rotation, so
-- the generation before it is not repeated late.
-- late_generation, late_previous: the generation that a late repeat created, and the one that was repeated, which comes
-- before it instead of the number below. They say nothing once the generation is another one.
-- settled_generation, settled_at: a generation that was replaced at that time; written anew once it is a grace ago. Those
-- since then were current a moment ago, so a request that presents one of them was only slow.
-- A program that does not know these columns leaves them behind, and ends a session that repeats late, as before.
ALTER TABLE sessions ADD COLUMN used_generation bigint NOT NULL DEFAULT 0,
                     ADD COLUMN late_generation bigint,
                     ADD COLUMN late_previous   bigint,
                     ADD COLUMN settled_generation bigint NOT NULL DEFAULT 0,
                     ADD COLUMN settled_at timestamptz;
