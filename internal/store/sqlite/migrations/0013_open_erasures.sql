-- How many erasures of an app are open is counted before another one is taken.
CREATE INDEX erasures_open_of ON erasures (app_id) WHERE finished_at = 0;
