package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
)

// SealedColumn is a column of the database that holds values sealed under the key
// ring. SealedColumns is the list of all; who seals and opens takes purpose and
// place from here, so that the rotation of keys can open what they sealed.
type SealedColumn struct {
	Table, Column string
	KeyColumn     string // column of the key's id; "" when it is packed into the value (seal.Sealed.Pack)
	App, ID       string // columns of the owning app and of the record, which find the row; equal where the app is the record
	// Stamp is a column of the row that is counted up whenever the value is sealed
	// again, for rows that are written whole by whoever read them: a change that was
	// read before does not bring the old value back. "" where every writer seals anew, or
	// sees by the key's column that it was sealed again.
	Stamp          string
	Purpose, Field string // of seal.Ring.For and seal.Place
}

// Name is the column's name for people.
func (c SealedColumn) Name() string { return c.Table + "." + c.Column }

// Place is where the value of a record stands; its seal is bound to it.
func (c SealedColumn) Place(app, record comm.ID) seal.Place {
	return seal.Place{App: app.String(), Record: record.String(), Field: c.Field}
}

// ProviderSecrets is the secret fields of provider configurations, as one JSON object.
func ProviderSecrets() SealedColumn {
	return SealedColumn{Table: "provider_configs", Column: "secrets", KeyColumn: "key_id", App: "app_id", ID: "id", Purpose: "provider-config", Field: "secrets"}
}

// WebhookSecrets is the secrets that webhook endpoints are signed with.
func WebhookSecrets() SealedColumn {
	return SealedColumn{Table: "endpoints", Column: "secret", App: "app_id", ID: "id", Stamp: "version", Purpose: "webhook-secret", Field: "webhookSecret"}
}

// PreviousWebhookSecrets is those that were rotated. Their place is the same, so that a rotation moves what is sealed as it is.
func PreviousWebhookSecrets() SealedColumn {
	c := WebhookSecrets()
	c.Column = "previous"
	return c
}

// EarlierWebhookSecrets is those that were rotated before these, likewise.
func EarlierWebhookSecrets() SealedColumn {
	c := WebhookSecrets()
	c.Column = "earlier"
	return c
}

// SecondFactors is the secrets of the users' second factors.
func SecondFactors() SealedColumn {
	return SealedColumn{Table: "users", Column: "factor", App: "id", ID: "id", Stamp: "version", Purpose: "second-factor", Field: "factor"}
}

// SealedColumns is every column that holds sealed values. A test holds it against
// the schema, so that none is forgotten when keys are rotated.
func SealedColumns() []SealedColumn {
	return []SealedColumn{ProviderSecrets(), WebhookSecrets(), PreviousWebhookSecrets(), EarlierWebhookSecrets(), ErasedAddresses(), HashKeys(), SecondFactors()}
}

// SealedValue is one sealed value and where it stands.
type SealedValue struct {
	App, ID comm.ID
	Value   seal.Sealed
}

// Resealed asks to put New in the place of a value, if it is still there as it was read.
type Resealed struct {
	SealedValue
	New seal.Sealed
}

// CanarySetting is the setting that holds a canary for every key that values are sealed
// under, as seal.Canaries writes them.
const CanarySetting = "keyring-canary"

// Sealed reads and replaces sealed values whatever they are, for the rotation of keys.
type Sealed interface {
	// SealsUnder tells the canary of the key that this process seals under. From then on
	// each transaction that stores a value under that key stores the canary too, unless it is
	// there: no value stands without.
	SealsUnder(canary seal.Sealed)
	// DropCanaries removes the canaries of keys other than first that no value is under, in one
	// transaction, which values being stored meanwhile wait for, and the other way round. It
	// answers the other keys that values are under.
	DropCanaries(ctx context.Context, first string) (kept []string, err error)
	// SealedAfter answers up to limit values of the column that stand after that row
	// (zero ids: from the beginning), in the order of app and id. Rows without a value are left out.
	SealedAfter(ctx context.Context, c SealedColumn, app, id comm.ID, limit int) ([]SealedValue, error)
	// Reseal replaces those of the values that are still what was read, in one
	// transaction, and answers how many. Nothing else of the rows changes but the
	// stamp: the configuration is the same one, and senders stay open.
	Reseal(ctx context.Context, c SealedColumn, changes []Resealed) (done int, err error)
}
