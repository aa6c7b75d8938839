-- The secret of a webhook endpoint that was replaced before the previous one, until when it signs too. Each holds until its own end, whatever is rotated
-- meanwhile.
ALTER TABLE endpoints ADD COLUMN earlier BLOB;
ALTER TABLE endpoints ADD COLUMN earlier_until INTEGER NOT NULL DEFAULT 0;
