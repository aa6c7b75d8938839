-- Until when an endpoint that fails, or asked for it, is left alone; 0, or an instant that has passed: it is not. A row with since 0 says this alone.
ALTER TABLE endpoint_troubles ADD COLUMN rests_until INTEGER NOT NULL DEFAULT 0;
