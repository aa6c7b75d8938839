-- Since when it is known that nobody answers for a trouble any more; 0: somebody does, or nobody has looked. It is forgotten a week after that, however
-- old it is itself.
ALTER TABLE provider_troubles ADD COLUMN left_at INTEGER NOT NULL DEFAULT 0;
