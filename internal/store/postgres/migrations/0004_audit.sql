-- Who changed what: append-only, each entry holding the hash of the one before (store.AuditEntry).

CREATE TABLE audit (
  sequence   bigint PRIMARY KEY,
  at         bigint NOT NULL,
  actor      text   NOT NULL,
  actor_name text   NOT NULL,
  address    text   NOT NULL,
  request    text   NOT NULL,
  app_id     uuid   NOT NULL,
  action     text   NOT NULL,
  target     text   NOT NULL,
  detail     text   NOT NULL,
  previous   bytea  NOT NULL,
  hash       bytea  NOT NULL
);
CREATE INDEX audit_app ON audit (app_id, sequence);
CREATE INDEX audit_target ON audit (target, sequence);

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();

-- One row: the last entry. Whoever appends locks it first, so that entries follow one
-- another; it is the last lock of every transaction that takes it.
CREATE TABLE audit_head (
  id       smallint PRIMARY KEY,
  sequence bigint   NOT NULL,
  hash     bytea    NOT NULL
);
INSERT INTO audit_head VALUES (1, 0, decode(repeat('00', 32), 'hex'));
CREATE TRIGGER audit_head_kept BEFORE DELETE OR TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_head_rises BEFORE UPDATE ON audit_head FOR EACH ROW WHEN (NEW.sequence < OLD.sequence) EXECUTE FUNCTION audit_refuse();
