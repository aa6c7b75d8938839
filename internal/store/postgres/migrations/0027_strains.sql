-- What nodes say of provider configurations that work and whose calls go badly of late: until when the provider asked for a pause (0: it did not), and how
-- many calls ended in the last minute, and failed. A few rows that nodes write again every few seconds; none while all is well.
CREATE TABLE provider_strains (
  app_id          uuid NOT NULL,
  id              uuid NOT NULL,
  node            text NOT NULL,
  throttled_until bigint NOT NULL,
  calls           bigint NOT NULL,
  failed          bigint NOT NULL,
  PRIMARY KEY (app_id, id, node)
);
