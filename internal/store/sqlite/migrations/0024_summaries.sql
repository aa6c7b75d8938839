-- On PostgreSQL summaries are kept as they are. SQLite never packs a value.
SELECT 1;
