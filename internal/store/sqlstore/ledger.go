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

// LedgerRow is a row of statistics as it is added up.
type LedgerRow struct {
	Counts store.Counts
	Top    store.Top // of all apps only
}

// Encode writes both parts as they are stored; top is nil where there is none.
func (r *LedgerRow) Encode() (counts, top []byte) {
	if r.Top != nil {
		top = r.Top.Encode()
	}
	return r.Counts.Encode(), top
}

// Ledger is rows of statistics by their names, as they are added up.
type Ledger map[PeriodKey]*LedgerRow

// Of is a row, an empty one if there is none yet.
func (l Ledger) Of(k PeriodKey) *LedgerRow {
	p := l[k]
	if p == nil {
		p = &LedgerRow{Counts: store.Counts{}}
		if k.App.IsZero() {
			p.Top = store.Top{}
		}
		l[k] = p
	}
	return p
}

// Tally adds a row of tallies, of the apps that want names, all of them if it is nil, and of all together. An error says
// that the row cannot be read; nothing is added then, by TallyUpTo neither.
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

// TallyUpTo adds a row of tallies whose items are certain, as far as the ledger comes
// to no more than most rows, and that of all apps; rest is a row of what is left, nil if
// there is nothing. A group may be of a thousand apps, which are a thousand rows.
func (l Ledger) TallyUpTo(most int, at comm.Micros, row []byte) (rest []byte, err error) {
	start := at - at%store.Minute
	var left Tally
	err = ReadTally(row, nil, func(it *TallyItem, n int64) {
		k := PeriodKey{it.App, store.Minute, start}
		if len(l) > most && l[k] == nil {
			left.counts[left.place(*it)] += uint64(n)
			return
		}
		l.count(k, it, n)
		l.count(PeriodKey{comm.ID{}, store.Minute, start}, it, n)
	})
	if err != nil {
		return nil, fmt.Errorf("add up statistics: %w", err)
	}
	if !left.Empty() {
		rest = left.Encode()
	}
	return rest, nil
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
		p.Top[it.App] += n
	}
	if message == comm.CountSent && it.Wait != 0 {
		wait := store.CountKey{Channel: it.Channel, Counter: comm.WaitAccepted, Bucket: uint8((it.Wait - 1) % scheduledCode)}
		if it.Wait > scheduledCode {
			wait.Counter = comm.WaitScheduled
		}
		p.Counts[wait] += n
	}
}

// Stored adds a row as it is stored. An error says that it cannot be read; nothing is added then, and it is to be kept aside, under the span that AsideAt
// makes of its own.
func (l Ledger) Stored(k PeriodKey, counts, top []byte) error {
	if err := store.EachFigure(counts, func(store.Figure) {}); err != nil {
		return err
	}
	if k.App.IsZero() {
		if err := (store.Top{}).Decode(top); err != nil {
			return err
		}
	}
	p := l.Of(k)
	_ = store.EachFigure(counts, func(f store.Figure) { // it can be read
		p.Counts[store.CountKey{Channel: f.Channel, Counter: f.Counter, Bucket: f.Bucket, Provider: string(f.Provider)}] += f.N
	})
	if p.Top != nil {
		_ = p.Top.Decode(top) // likewise
	}
	return nil
}

// Coarse adds another ledger's rows, each to the span that contains it.
func (l Ledger) Coarse(fine Ledger, span comm.Micros) {
	for k, p := range fine {
		into := l.Of(PeriodKey{k.App, span, k.Start - k.Start%span})
		into.Counts.Add(p.Counts)
		for app, n := range p.Top {
			into.Top[app] += n
		}
	}
}

// Keys lists the names of the rows in one order, that of the table.
func (l Ledger) Keys() []PeriodKey {
	return slices.SortedFunc(maps.Keys(l), func(a, b PeriodKey) int {
		return cmp.Or(a.App.Compare(b.App), cmp.Compare(a.Span, b.Span), cmp.Compare(a.Start, b.Start))
	})
}

// Periods is lists of what is stored, by app, to which Append adds.
type Periods map[comm.ID][]store.Period

// Append adds a row as it is stored; the slices are kept.
func (p Periods) Append(k PeriodKey, counts, top []byte) {
	p[k.App] = append(p[k.App], store.Period{Start: k.Start, Span: k.Span, Counts: counts, Top: top})
}

// Lists answers the rows of each of these apps, with those of a ledger.
func (p Periods) Lists(apps []comm.ID, l Ledger) [][]store.Period {
	for _, k := range l.Keys() {
		counts, top := l[k].Encode()
		p.Append(k, counts, top)
	}
	out := make([][]store.Period, len(apps))
	for i, app := range apps {
		out[i] = p[app]
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
