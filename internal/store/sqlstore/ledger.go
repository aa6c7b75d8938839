package sqlstore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// PeriodKey names a row of statistics.
type PeriodKey struct {
	App         comm.ID
	Span, Start comm.Micros
}

// Ledger is rows of statistics by their names, as they are added up.
type Ledger map[PeriodKey]*store.Period

// Of is a row, an empty one if there is none yet.
func (l Ledger) Of(k PeriodKey) *store.Period {
	p := l[k]
	if p == nil {
		p = &store.Period{Start: k.Start, Span: k.Span, Counts: store.Counts{}}
		if k.App.IsZero() {
			p.Top = store.Top{}
		}
		l[k] = p
	}
	return p
}

// Tally adds a row of tallies, of the apps that want names, all of them if it is nil, and of all together.
func (l Ledger) Tally(at comm.Micros, row []byte, took []int32, want map[comm.ID]bool) error {
	start := at - at%store.Minute
	err := ReadTally(row, took, func(it *TallyItem, n int64) {
		for _, app := range [2]comm.ID{it.App, {}} {
			if want == nil || want[app] {
				l.count(PeriodKey{app, store.Minute, start}, it, n)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("add up statistics: %w", err)
	}
	return nil
}

func (l Ledger) count(k PeriodKey, it *TallyItem, n int64) {
	message, attempt := comm.Counted(it.Cause, it.From, it.To)
	if message == 0 && (attempt == 0 || it.Provider == "") || n == 0 {
		return
	}
	p := l.Of(k)
	if message != 0 {
		p.Counts[store.CountKey{Channel: it.Channel, Counter: message}] += n
	}
	if attempt != 0 && it.Provider != "" {
		p.Counts[store.CountKey{Channel: it.Channel, Counter: attempt, Provider: it.Provider}] += n
	}
	if message == comm.CountAccepted && p.Top != nil {
		p.Top.Add(store.Top{it.App: n})
	}
	if message == comm.CountSent && it.Wait != 0 {
		wait := store.CountKey{Channel: it.Channel, Counter: comm.WaitAccepted, Bucket: uint8((it.Wait - 1) % scheduledCode)}
		if it.Wait > scheduledCode {
			wait.Counter = comm.WaitScheduled
		}
		p.Counts[wait] += n
	}
}

// Stored adds a row as it is stored.
func (l Ledger) Stored(k PeriodKey, counts, top []byte) error {
	c, err := store.DecodeCounts(counts)
	if err != nil {
		return err
	}
	t, err := store.DecodeTop(top)
	if err != nil {
		return err
	}
	if l[k] == nil { // the usual case of a report: nothing is copied
		p := &store.Period{Start: k.Start, Span: k.Span, Counts: c}
		if k.App.IsZero() {
			p.Top = t
		}
		l[k] = p
		return nil
	}
	l[k].Counts.Add(c)
	if k.App.IsZero() {
		l[k].Top.Add(t)
	}
	return nil
}

// Coarse adds another ledger's rows, each to the span that contains it.
func (l Ledger) Coarse(fine Ledger, span comm.Micros) {
	for k, p := range fine {
		into := l.Of(PeriodKey{k.App, span, k.Start - k.Start%span})
		into.Counts.Add(p.Counts)
		if into.Top != nil {
			into.Top.Add(p.Top)
		}
	}
}

// Keys lists the names of the rows in one order, that of the table.
func (l Ledger) Keys() []PeriodKey {
	return slices.SortedFunc(maps.Keys(l), func(a, b PeriodKey) int {
		return cmp.Or(a.App.Compare(b.App), cmp.Compare(a.Span, b.Span), cmp.Compare(a.Start, b.Start))
	})
}

// Lists answers the rows of each of these apps.
func (l Ledger) Lists(apps []comm.ID) [][]store.Period {
	by := make(map[comm.ID][]store.Period, len(apps))
	for _, k := range l.Keys() {
		by[k.App] = append(by[k.App], *l[k])
	}
	out := make([][]store.Period, len(apps))
	for i, app := range apps {
		out[i] = by[app]
	}
	return out
}

// AgingStep says what becomes of the rows of a span that begin before an instant:
// they are merged into rows of the span Into, or removed if that is 0.
type AgingStep struct{ Span, Before, Into comm.Micros }

// Aging is what has become old by now. What is merged is whole hours and whole days, so
// that a row is written again seldom.
func Aging(now comm.Micros) []AgingStep {
	whole := func(at, span comm.Micros) comm.Micros { return at - at%span }
	return []AgingStep{
		{store.Minute, whole(now-store.KeepMinutes, store.Hour), store.Hour},
		{store.Hour, whole(now-store.KeepHours, store.Day), store.Day},
		{store.Day, whole(now-store.KeepDays, store.Day), 0},
	}
}
