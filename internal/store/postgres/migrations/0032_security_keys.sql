-- The security keys of those who sign in by name (WebAuthn), as JSON: '' for none. Public keys; nothing in it is secret.
ALTER TABLE users ADD COLUMN security_keys text NOT NULL DEFAULT '';
