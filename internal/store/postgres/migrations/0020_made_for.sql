-- When the endpoint that a delivery was made for was created. An app's endpoint named default has its app's id, each time it is made: what was made for
-- the one before is not for the next. 0: a version before this column made it, and it is of whichever endpoint has the id.
ALTER TABLE deliveries ADD COLUMN made_for bigint NOT NULL DEFAULT 0;
