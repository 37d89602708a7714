-- used_generation: the highest generation whose access token was used. Its client has the response of that rotation, so
-- the generation before it is not repeated late.
ALTER TABLE sessions ADD COLUMN used_generation INTEGER NOT NULL DEFAULT 0;
-- The generation that a late repeat created, and the one that was repeated, which comes before it instead of the number
-- below. They say nothing once the generation is another one.
ALTER TABLE sessions ADD COLUMN late_generation INTEGER;
ALTER TABLE sessions ADD COLUMN late_previous INTEGER;
-- A generation that was replaced at that time; written anew once it is a grace ago. Those since then were current a
-- moment ago, so a request that presents one of them was only slow.
ALTER TABLE sessions ADD COLUMN settled_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN settled_at INTEGER;
