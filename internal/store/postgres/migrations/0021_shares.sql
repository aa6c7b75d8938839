-- On SQLite an index for reports of all apps. PostgreSQL reads the beginning of a long value without the rest.
SELECT 1;
