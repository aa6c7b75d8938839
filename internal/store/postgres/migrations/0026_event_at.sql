-- When the event of a delivery happened: it is in the event's id. 0: a version before this column made it, and its body has an id without.
ALTER TABLE deliveries ADD COLUMN event_at bigint NOT NULL DEFAULT 0;
