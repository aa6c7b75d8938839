-- What a report of all apps reads of each app's rows: their figures of messages, which stand first (store.MessageBytes). In rows of their own they are read
-- without the pages that the rest of a row takes. Triggers keep them, whoever writes, merges or removes.
CREATE TABLE stats_shares (
  app_id BLOB    NOT NULL,
  span   INTEGER NOT NULL,
  start  INTEGER NOT NULL,
  counts BLOB    NOT NULL,
  PRIMARY KEY (app_id, span, start)
) STRICT, WITHOUT ROWID;
INSERT INTO stats_shares SELECT app_id, span, start, substr(counts, 1, 196) FROM stats;
CREATE TRIGGER stats_share_new AFTER INSERT ON stats BEGIN
  INSERT INTO stats_shares VALUES (NEW.app_id, NEW.span, NEW.start, substr(NEW.counts, 1, 196));
END;
CREATE TRIGGER stats_share_set AFTER UPDATE ON stats BEGIN
  UPDATE stats_shares SET span = NEW.span, counts = substr(NEW.counts, 1, 196) WHERE app_id = OLD.app_id AND span = OLD.span AND start = OLD.start;
END;
CREATE TRIGGER stats_share_gone AFTER DELETE ON stats BEGIN
  DELETE FROM stats_shares WHERE app_id = OLD.app_id AND span = OLD.span AND start = OLD.start;
END;
