package upkeep

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	// mentionsAtOnce is how many contents one reading looks through, and mentionsBytes how large they are together: all
	// of them may hold the address.
	mentionsAtOnce = 200
	mentionsBytes  = 4 << 20
	// readingRest is how many times as long as a reading the rest after it is.
	readingRest = 3
)

// mentions masks the address in the contents of other messages, from where it had come to.
func (f *forgetting) mentions(ctx context.Context) error {
	text, err := inJSON(f.address)
	if err != nil {
		return err
	}
	from, resumed := f.Place, f.Lane
	for after := (comm.ID{}); ; {
		lanes, err := f.s.cfg.Store.UpkeepLanes(ctx, after, pageOf)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			if lane.Compare(resumed) < 0 {
				continue
			}
			place := from
			if !resumed.IsZero() && lane != resumed {
				place = comm.ID{}
			}
			if err := f.lane(ctx, store.Mention{Lane: lane, App: f.App, After: place, Text: text, Limit: mentionsAtOnce, Bytes: mentionsBytes}); err != nil {
				return err
			}
		}
		if len(lanes) < pageOf {
			return nil
		}
		after = lanes[len(lanes)-1]
	}
}

// lane looks through one lane. How far it is is noted with each change, and now and then.
func (f *forgetting) lane(ctx context.Context, m store.Mention) error {
	noted := time.Now()
	for {
		began := time.Now()
		found, next, err := f.s.cfg.Store.Mentions(ctx, m)
		if err != nil {
			return err
		}
		took := time.Since(began)
		changed, missed, err := f.mask(ctx, found)
		if err != nil {
			return err
		}
		if changed || time.Since(noted) > poll {
			f.Lane, f.Place, noted = m.Lane, m.After, time.Now()
			if err := f.save(ctx); err != nil {
				return err
			}
		}
		// Reading does not hold accepts up, but for the processor.
		if err := f.s.erasing.pause(ctx, readingRest*took); err != nil {
			return err
		}
		if missed {
			continue // something happened to one of them meanwhile
		}
		if m.After = next; next.IsZero() {
			return nil
		}
	}
}

// mask masks the address in contents, a slice at a time.
func (f *forgetting) mask(ctx context.Context, found []store.Mentioned) (changed, missed bool, err error) {
	var slice []store.Rewriting
	size := 0
	flush := func() error {
		if len(slice) == 0 {
			return nil
		}
		n, took, err := f.s.cfg.Store.Rewrite(ctx, slice, f.by)
		if err != nil {
			return err
		}
		f.Masked += n
		changed, missed = changed || n > 0, missed || n < len(slice)
		tried := len(slice)
		slice, size = slice[:0], 0
		return f.s.erasing.rest(ctx, tried, took)
	}
	for i := range found {
		m := &found[i]
		if m.Recipient == f.address || m.CreatedAt > f.CreatedAt {
			continue // a message to the address is erased as a whole
		}
		x, mentions, err := rewritten(m, f.address)
		if err != nil || !mentions {
			continue // what cannot be read cannot be sent or shown either
		}
		slice = append(slice, x)
		if size += len(x.Payload); len(slice) >= f.s.slice.Size() || size > store.UpkeepBytes {
			if err := flush(); err != nil {
				return changed, missed, err
			}
		}
	}
	err = flush()
	return changed, missed, err
}
