package feed

import (
	"cmp"
	"context"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Watch shows what happens now, the newest first, to who looks every few seconds. It is safe for concurrent use.
type Watch struct{ store store.Lately }

// NewWatch makes a Watch.
func NewWatch(s store.Lately) *Watch { return &Watch{s} }

const (
	// rowsWatched bounds how many rows of the feed one look reads, and glimpsed how many events it looks at where it shows some of them only.
	rowsWatched = 200
	glimpsed    = 400
)

// Watching is what somebody wants to see. Zero values do not narrow.
type Watching struct {
	App     comm.ID
	Channel comm.Channel
	Trouble bool        // only what troubles; see comm.Event
	Since   *store.Seen // the Seen of the look before, of the same app or of all; nil: it is the first
	Limit   int
}

// Sight is what a look has seen.
type Sight struct {
	Events []store.Glimpse // the newest first
	Seen   store.Seen
	Looked int  // how many events were looked at
	Passed int  // events since the look before that are not shown although they may be of what is wanted
	More   bool // there may be further ones, which nobody has counted
}

// Look looks once. What it costs follows Limit, and not what happened meanwhile.
func (w *Watch) Look(ctx context.Context, x Watching) (Sight, error) {
	var seen store.Seen
	if x.Since != nil {
		seen = *x.Since
	}
	found, err := w.store.Newest(ctx, x.App, seen, rowsWatched)
	if err != nil {
		return Sight{}, err
	}
	most := x.Limit
	if x.Trouble || x.Channel != 0 {
		most = max(glimpsed, x.Limit)
	}
	looked := found.Events[:min(len(found.Events), most)]
	events, err := w.store.Glimpses(ctx, looked)
	if err != nil {
		return Sight{}, err
	}
	events = slices.DeleteFunc(events, func(g store.Glimpse) bool {
		return x.Trouble && !g.Troubles() || x.Channel != 0 && g.Channel != x.Channel
	})
	slices.SortFunc(events, func(a, b store.Glimpse) int {
		return cmp.Or(cmp.Compare(b.At, a.At), b.Message.Compare(a.Message), cmp.Compare(b.Sequence, a.Sequence))
	})
	out := Sight{Events: events[:min(len(events), x.Limit)], Seen: found.Seen, Looked: len(looked)}
	if x.Since != nil {
		out.Passed, out.More = len(found.Events)-len(looked)+len(events)-len(out.Events), found.More
	}
	return out, w.address(ctx, out.Events)
}

// address says of events whom their messages are to.
func (w *Watch) address(ctx context.Context, events []store.Glimpse) error {
	refs := make([]store.EventRef, len(events))
	for i := range events {
		refs[i] = store.EventRef{App: events[i].App, Message: events[i].Message}
	}
	to, err := w.store.Recipients(ctx, once(refs))
	for i := range events {
		events[i].To = to[events[i].Message]
	}
	return err
}
