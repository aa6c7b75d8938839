-- When an opt-out whose person was erased was put back, because the app wrote to the address again; 0 for
-- all others. It was written into created_at, which now says since when the person has opted out.
ALTER TABLE suppressions ADD COLUMN returned_at INTEGER NOT NULL DEFAULT 0;
UPDATE suppressions SET returned_at = created_at WHERE source = 'returned';
DROP INDEX suppressions_returned;
CREATE INDEX suppressions_returned ON suppressions (returned_at) WHERE returned_at <> 0;
