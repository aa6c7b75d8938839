-- Who changed what: append-only, each entry holding the hash of the one before (store.AuditEntry).

CREATE TABLE audit (
  sequence   INTEGER NOT NULL PRIMARY KEY,
  at         INTEGER NOT NULL,
  actor      TEXT    NOT NULL,
  actor_name TEXT    NOT NULL,
  address    TEXT    NOT NULL,
  request    TEXT    NOT NULL,
  app_id     BLOB    NOT NULL,
  action     TEXT    NOT NULL,
  target     TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  previous   BLOB    NOT NULL,
  hash       BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_app ON audit (app_id, sequence);
CREATE INDEX audit_target ON audit (target, sequence);

CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- One row: the last entry. Whoever appends changes it first, so that entries follow one another.
CREATE TABLE audit_head (
  id       INTEGER NOT NULL PRIMARY KEY,
  sequence INTEGER NOT NULL,
  hash     BLOB    NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
CREATE TRIGGER audit_head_delete BEFORE DELETE ON audit_head BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_head_update BEFORE UPDATE ON audit_head WHEN NEW.sequence < OLD.sequence
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
