-- What the last answer of a provider that does not work meant: the code of its class, which says what can be done about it.
ALTER TABLE provider_troubles ADD COLUMN class text NOT NULL DEFAULT '';
