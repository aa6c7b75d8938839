-- What an app's SMS may cost: a cap of segments a day, and the numbers they may go to.

ALTER TABLE apps ADD COLUMN sms_per_day integer NOT NULL DEFAULT 0;
ALTER TABLE apps ADD COLUMN sms_prefixes text NOT NULL DEFAULT '[]';

-- Of apps with a cap: segments of the UTC day, what is usual, and when a day was last out of proportion.
CREATE TABLE sms_use (
  app_id   uuid    PRIMARY KEY,
  day      bigint  NOT NULL,
  used     bigint  NOT NULL,
  usual    bigint  NOT NULL,
  alarm_at bigint  NOT NULL
);
