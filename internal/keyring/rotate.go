package keyring

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Sizes of a step. One transaction of that many updates takes about a millisecond.
const (
	slice = 50
	// passes is how often the values are gone through: a value that somebody changes
	// while it is sealed again is met in the next one.
	passes = 3
	// maxNamed bounds how many values that cannot be opened are named.
	maxNamed = 100
)

// Rotation is what Rotate needs.
type Rotation struct {
	Values  store.Sealed
	Ring    *seal.Ring
	Columns []store.SealedColumn
	Pause   time.Duration // between two transactions
	DryRun  bool          // count, change nothing
	// Progress is told after each transaction how many values of the column are done; nil: nobody asks.
	Progress func(column string, done int)
}

// Report is what a rotation did and found.
type Report struct {
	Primary string // the key that seals now
	Columns []ColumnReport
	// ByKey is how many values stand under each key now, those of a dry run as they are.
	ByKey map[string]int
	// Late are the keys that a value was stored under behind the rotation's back, by a node that still seals under them.
	Late []string
}

// ColumnReport is the part of one column.
type ColumnReport struct {
	Name   string
	Done   int // sealed again; in a dry run: that would be
	Fresh  int // that stood under the first key already
	Closed []ClosedValue
	// MoreClosed is how many further values cannot be opened.
	MoreClosed int
}

// ClosedValue is a value that no key of the ring opens where it stands.
type ClosedValue struct {
	App, ID comm.ID
	KeyID   string
}

// Unopened is how many values cannot be opened, under whatever key.
func (r *Report) Unopened() (n int) {
	for i := range r.Columns {
		n += len(r.Columns[i].Closed) + r.Columns[i].MoreClosed
	}
	return n
}

// Old lists the keys other than the first that still have values, sorted.
func (r *Report) Old() []string {
	var out []string
	for id := range r.ByKey {
		if id != r.Primary {
			out = append(out, id)
		}
	}
	out = append(out, r.Late...)
	slices.Sort(out)
	return slices.Compact(out)
}

// Rotate seals every value again that is not sealed under the ring's first key. It
// is safe beside nodes that hold all keys of the ring, beside another rotation, and to
// run again after it was stopped anywhere: what is done stays done. A value that
// cannot be opened is named and left as it is. Unless it is a dry run, canaries of
// keys without values are removed at the end. On an error the report holds what was done.
func Rotate(ctx context.Context, r Rotation) (Report, error) {
	out := Report{Primary: r.Ring.Primary(), ByKey: map[string]int{}}
	for _, col := range r.Columns {
		c, err := r.column(ctx, col, &out)
		out.Columns = append(out.Columns, c)
		if err != nil {
			return out, fmt.Errorf("%s: %w", col.Name(), err)
		}
	}
	if r.DryRun {
		return out, nil
	}
	kept, err := r.Values.DropCanaries(ctx, out.Primary)
	for _, id := range kept {
		if out.ByKey[id] == 0 {
			out.Late = append(out.Late, id)
		}
	}
	return out, err
}

// column goes through one column until nothing is left to be done in it.
func (r *Rotation) column(ctx context.Context, col store.SealedColumn, out *Report) (ColumnReport, error) {
	report := ColumnReport{Name: col.Name()}
	for pass := 1; ; pass++ {
		once := walk{Rotation: r, col: col, sealer: r.Ring.For(col.Purpose), report: &report, byKey: map[string]int{}, first: pass == 1}
		err := once.run(ctx)
		if err == nil && once.missed > 0 && pass < passes && !r.DryRun {
			continue
		}
		for id, n := range once.byKey {
			out.ByKey[id] += n
		}
		return report, err
	}
}

// walk is one pass over a column.
type walk struct {
	*Rotation
	col    store.SealedColumn
	sealer *seal.Sealer
	report *ColumnReport
	byKey  map[string]int
	first  bool // what is met unchanged or closed is counted once
	missed int  // changed by somebody else between reading and writing
}

func (w *walk) run(ctx context.Context) error {
	if !w.first {
		w.report.Closed, w.report.MoreClosed = nil, 0
	}
	var app, id comm.ID
	for {
		values, err := w.Values.SealedAfter(ctx, w.col, app, id, slice)
		if err != nil || len(values) == 0 {
			return err
		}
		changes, err := w.seal(values)
		if err != nil {
			return err
		}
		if err := w.store(ctx, changes); err != nil {
			return err
		}
		last := values[len(values)-1]
		app, id = last.App, last.ID
	}
}

// seal opens every value, and seals again what is under another key than the first.
func (w *walk) seal(values []store.SealedValue) (changes []store.Resealed, err error) {
	for _, v := range values {
		plain, err := w.sealer.Open(v.Value, w.col.Place(v.App, v.ID))
		if err != nil {
			w.closed(v)
			continue
		}
		if v.Value.KeyID == w.Ring.Primary() {
			clear(plain)
			w.byKey[v.Value.KeyID]++
			if w.first {
				w.report.Fresh++
			}
			continue
		}
		sealed, err := w.sealer.Seal(plain, w.col.Place(v.App, v.ID))
		clear(plain)
		if err != nil {
			return nil, err
		}
		changes = append(changes, store.Resealed{SealedValue: v, New: sealed})
	}
	return changes, nil
}

func (w *walk) closed(v store.SealedValue) {
	w.byKey[v.Value.KeyID]++
	if len(w.report.Closed) >= maxNamed {
		w.report.MoreClosed++
		return
	}
	w.report.Closed = append(w.report.Closed, ClosedValue{App: v.App, ID: v.ID, KeyID: v.Value.KeyID})
}

// store writes a slice in one transaction and gives way to others for a moment.
func (w *walk) store(ctx context.Context, changes []store.Resealed) error {
	if len(changes) == 0 {
		return nil
	}
	if w.DryRun {
		for _, c := range changes {
			w.byKey[c.Value.KeyID]++
		}
		w.report.Done += len(changes)
		return nil
	}
	done, err := w.Values.Reseal(ctx, w.col, changes)
	if err != nil {
		return err
	}
	w.report.Done += done
	w.byKey[w.Ring.Primary()] += done
	if left := len(changes) - done; left > 0 {
		w.missed += left
		for _, c := range changes[:left] { // under which key they stand now, only the next pass sees
			w.byKey[c.Value.KeyID]++
		}
	}
	if w.Progress != nil {
		w.Progress(w.col.Name(), w.report.Done)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.Pause):
		return nil
	}
}
