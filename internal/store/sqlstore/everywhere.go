package sqlstore

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// AllLooked is how many messages a page of all apps' messages looks at where a
// filter leaves some out (docs/decisions/0006-all-apps.md).
const AllLooked = 2000

// AllRecipient is the same where the page is of one recipient: as many ids are read
// of each of as many apps at most.
const AllRecipient = 200

// AllBudget is how many ids a page of all apps' messages looks at.
func AllBudget(f store.Filter, timed bool) int {
	switch {
	case f.Status == comm.None && f.Channel == 0 && !timed:
		return f.Limit + 1
	case f.Recipient != "":
		return AllRecipient
	}
	return AllLooked
}

// Ref is a message of an app.
type Ref struct{ App, ID comm.ID }

// NewestRefs are the newest k of refs, newest first.
func NewestRefs(refs []Ref, k int) []Ref {
	slices.SortFunc(refs, func(a, b Ref) int { return cmp.Or(b.ID.Compare(a.ID), b.App.Compare(a.App)) })
	return refs[:min(k, len(refs))]
}

// SuppressedBySQL is the statement of SuppressedBy. Nothing in it is an equality, so that the order it asks for
// is that of the whole key of its index and of no other one.
const SuppressedBySQL = `SELECT ` + suppressionColumns + ` FROM suppressions WHERE reason <> '' AND (address, channel, app_id) > ($1, $2, $3)
	AND address <= $1 AND channel <= $4 ORDER BY address, channel, app_id LIMIT $5`

// SuppressedBy implements store.Everywhere.
func (c *Cold) SuppressedBy(ctx context.Context, address string, ch comm.Channel, after *store.Suppression, limit int) ([]store.Suppression, error) {
	last := ch
	if ch == 0 {
		last = math.MaxInt8
	}
	if after == nil {
		after = &store.Suppression{Channel: ch} // behind it come those of the channel
	}
	return list(ctx, c.db, "list whose list an address is on", scanSuppression, SuppressedBySQL,
		address, int64(after.Channel), c.d.ID(after.App), int64(last), int64(limit))
}
