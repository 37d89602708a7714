-- When the generation before the current one was made: how old tokens are when they are refreshed. A program that
-- does not know it leaves it behind, and reads nothing of it.
ALTER TABLE sessions ADD COLUMN rotated_before timestamptz;
