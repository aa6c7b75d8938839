-- What an operator asks next of a provider that does not work: the breaker's state, what it answered last (redacted), when it is called again at the
-- earliest (0: with the next message), and what others of the chain took meanwhile, as JSON.
ALTER TABLE provider_troubles ADD COLUMN breaker text NOT NULL DEFAULT '';
ALTER TABLE provider_troubles ADD COLUMN answer text NOT NULL DEFAULT '';
ALTER TABLE provider_troubles ADD COLUMN next_at bigint NOT NULL DEFAULT 0;
ALTER TABLE provider_troubles ADD COLUMN carried text NOT NULL DEFAULT '';
