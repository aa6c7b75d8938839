-- On PostgreSQL a row of the feed says which transaction wrote it. On SQLite the rows are in the order of their writing by themselves.
SELECT 1;
