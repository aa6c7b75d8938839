package parity

import (
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/store"
)

// plain is every column that holds bytes, or is named like a secret, and is not sealed, with the reason.
var plain = map[string]string{
	"api_keys.hash":            "SHA-256 of a key with more than 128 random bits",
	"content.payload":          "the message; it is the app's, not a credential",
	"files.content":            "an attachment, likewise",
	"audit.hash":               "SHA-256 of an entry",
	"audit.previous":           "SHA-256 of the entry before",
	"audit_head.hash":          "SHA-256 of the last entry",
	"idempotency.hash":         "SHA-256 of an idempotency key",
	"content.key_hash":         "likewise",
	"erased_suppressions.hash": "HMAC of an address",
	"users.password":           "an argon2id hash",
	"sessions.hash":            "SHA-256 or HMAC of a session's id, which has 256 bits",
	"upkeep_marks.lane":        "an app's id",
	"erasures.lane":            "an app's id",
	"erasures.place":           "a message's id",
	"idempotency.fingerprint":  "SHA-256 of a request",
	"provider_configs.key_id":  "the name of a key",
	"stats.counts":             "figures",
	"stats_shares.counts":      "figures",
	"stats.top":                "ids of apps with figures",
	"receipts.query":           "a provider's report, for moments; without the path, which holds the token",
	"receipts.header":          "likewise, of the headers that provider.KeptHeaders names: no signature",
	"receipts.body":            "likewise",
	"deliveries.body":          "an event as it is posted, whose body nobody seals either",
	"feed.items":               "ids of messages",
	"outbox.items":             "ids of apps and messages",
	"tallies.items":            "ids of apps, types of providers and figures",
}

// TestSealedColumnsAreComplete: a column with bytes or a secret's name is in the table of sealed
// columns, so that the rotation of keys meets it, or here with the reason why it is not sealed.
func TestSealedColumnsAreComplete(t *testing.T) {
	t.Parallel()
	lite := ofSQLite(t)
	var sealed []string
	for _, c := range store.SealedColumns() {
		sealed = append(sealed, c.Name())
		for _, name := range []string{c.Column, c.KeyColumn, c.App, c.ID, c.Stamp} {
			if name != "" && lite.columns[c.Table+"."+name] == "" {
				t.Errorf("%s names the column %s, which does not exist", c.Name(), name)
			}
		}
		if c.Purpose == "" || c.Field == "" {
			t.Errorf("%s has no purpose or no field", c.Name())
		}
	}
	words := []string{"secret", "password", "token", "credential", "sealed", "key_id"}
	for name, kind := range lite.columns {
		_, column, _ := strings.Cut(name, ".")
		isID := column == "id" || column == "app_id" || strings.HasSuffix(column, "_id") && column != "key_id"
		suspect := strings.HasPrefix(kind, "bytes") && !isID || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(column, w) })
		switch {
		case slices.Contains(sealed, name), !suspect:
		case plain[name] == "":
			t.Errorf("%s may hold a secret: add it to store.SealedColumns, or to the list in this test with the reason why it is not sealed", name)
		}
	}
	for name := range plain {
		if lite.columns[name] == "" || slices.Contains(sealed, name) {
			t.Errorf("%s is in the list of what is not sealed, and does not exist or is sealed", name)
		}
	}
}
