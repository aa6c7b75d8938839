-- What an app's SMS may cost by the beginning of the number: {"233":5000}, segments a day.
ALTER TABLE apps ADD COLUMN sms_prefix_caps text NOT NULL DEFAULT '{}';

-- The same four values by prefix, {"233":[day,used,usual,alarm_at]}: one row is locked and written, however many caps there are.
ALTER TABLE sms_use ADD COLUMN prefixes text NOT NULL DEFAULT '{}';
