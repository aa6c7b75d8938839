package sqlstore

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func TestATallySurvivesItsRow(t *testing.T) {
	t.Parallel()
	a, b := comm.ID{1}, comm.ID{2}
	accept := TallyItem{App: a, Channel: comm.SMS, Cause: comm.CauseAccepted, To: comm.Queued}
	started := TallyItem{App: b, Channel: comm.Email, Cause: comm.CauseAttemptStarted, From: comm.Queued, To: comm.Sending, Provider: "smtp"}
	failed := TallyItem{App: b, Channel: comm.Email, Cause: comm.CauseAttemptFailed, From: comm.Sending, To: comm.Sending, Provider: "ses"}
	sent := TallyItem{App: b, Channel: comm.Email, Cause: comm.CauseProviderAccepted, From: comm.Sending, To: comm.Sent, Provider: "smtp"}
	cancelled := TallyItem{App: b, Channel: comm.Email, Cause: comm.CauseCancelledAfterCleanFailure, From: comm.Sending, To: comm.Cancelled, Provider: "smtp"}
	ended := TallyItem{App: b, Channel: comm.Email, Cause: comm.CauseSuppressed, From: comm.Queued, To: comm.Suppressed}
	waited := sent
	waited.Wait = 7
	for _, c := range []struct {
		name string
		fill func(*Tally)
		took []int32
		want map[TallyItem]int64
	}{
		{"certain", func(t *Tally) { t.Add(accept, 1); t.Add(sent, 2); t.Add(accept, 3) }, nil, map[TallyItem]int64{accept: 2, sent: 1}},
		{"all accepted", func(t *Tally) { t.Expect(Accepts, accept, nil); t.Expect(Accepts, accept, nil) }, nil, map[TallyItem]int64{accept: 2}},
		{"some accepted", func(t *Tally) { t.Expect(Accepts, accept, nil); t.Expect(Accepts, accept, nil) }, []int32{1 * orderBits}, map[TallyItem]int64{accept: 1}},
		{"none accepted", func(t *Tally) { t.Expect(Accepts, accept, nil) }, []int32{}, map[TallyItem]int64{}},
		{"all started", func(t *Tally) { t.Expect(Starts, started, nil); t.Expect(Starts, started, &failed) }, nil, map[TallyItem]int64{started: 2, failed: 1}},
		{"one was suppressed", func(t *Tally) { t.Expect(Starts, started, nil); t.Expect(Starts, started, nil) },
			[]int32{0, orderBits + int32(comm.CauseSuppressed)}, map[TallyItem]int64{started: 1, ended: 1}},
		{"finished, with a wait and otherwise", func(t *Tally) { t.Expect(Finishes, sent, nil); t.Expect(Finishes, sent, &cancelled) },
			[]int32{7, orderBits + elseCode}, map[TallyItem]int64{waited: 1, cancelled: 1}},
		{"certain beside all expected", func(t *Tally) { t.Add(ended, 1); t.Expect(Starts, started, &failed); t.Add(started, 2) }, nil, map[TallyItem]int64{ended: 1, started: 2, failed: 1}},
		{"certain beside some expected", func(t *Tally) { t.Expect(Accepts, accept, nil); t.Add(accept, 1); t.Expect(Accepts, accept, nil) }, []int32{1 * orderBits}, map[TallyItem]int64{accept: 2}},
		{"certain beside none expected", func(t *Tally) { t.Add(accept, 1); t.Expect(Finishes, sent, nil) }, []int32{}, map[TallyItem]int64{accept: 1}},
	} {
		var tally Tally
		c.fill(&tally)
		got := map[TallyItem]int64{}
		if err := ReadTally(tally.Encode(), c.took, func(it *TallyItem, n int64) { got[*it] += n }); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
		tally.Reset()
		if !tally.Empty() || tally.At != 0 {
			t.Errorf("%s: not empty after Reset", c.name)
		}
	}
}

// A row that was damaged is an error, never a panic or an endless loop.
func TestADamagedTallyIsAnError(t *testing.T) {
	t.Parallel()
	var tally Tally
	for i := range 9 {
		tally.Expect(Finishes, TallyItem{App: comm.ID{byte(i)}, Channel: comm.Email, Cause: comm.CauseProviderAccepted, From: comm.Sending, To: comm.Sent, Provider: "smtp"}, nil)
	}
	whole := tally.Encode()
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range whole {
		_ = ReadTally(whole[:n], nil, func(*TallyItem, int64) {})
		changed := append([]byte(nil), whole...)
		changed[n] = byte(rnd.Uint32())
		_ = ReadTally(changed, []int32{1 << 20, 3}, func(*TallyItem, int64) {})
		_ = Ledger{}.Tally(1, changed, nil, nil)
		_, _ = Ledger{}.TallyUpTo(2, 1, changed)
	}
	if ReadTally(whole[:len(whole)/2], nil, func(*TallyItem, int64) {}) == nil {
		t.Error("half a row was read")
	}
	added := 0
	add := func(*TallyItem, int64) { added++ }
	for name, took := range map[string][]int32{"an item that does not exist": {0, 9 * orderBits}, "an outcome that does not exist": {0, orderBits + elseCode}, "no item": {0, -1}} {
		if ReadTally(whole, took, add) == nil || added > 0 {
			t.Errorf("%s was read, %d were added", name, added)
		}
	}
	for _, order := range [][2]uint64{{1 << 63, 0}, {0, 1 << 63}} {
		row := binary.AppendUvarint(binary.AppendUvarint(slices.Clip(whole), order[0]), order[1])
		if ReadTally(row, nil, add) == nil || added > 0 {
			t.Errorf("an item at %d was read, %d were added", order, added)
		}
	}
}

// A row that is of many apps is folded in parts, each once.
func TestATallyIsFoldedInParts(t *testing.T) {
	t.Parallel()
	var tally Tally
	for i := range 100 {
		app := comm.ID{1, byte(i % 25)}
		tally.Add(TallyItem{App: app, Channel: comm.SMS, Cause: comm.CauseAccepted, To: comm.Queued}, 1)
		tally.Add(TallyItem{App: app, Channel: comm.SMS, Cause: comm.CauseCancelled, From: comm.Queued, To: comm.Cancelled}, 1)
	}
	whole := Ledger{}
	row := tally.Encode()
	if err := whole.Tally(1, row, nil, nil); err != nil {
		t.Fatal(err)
	}
	sum, parts := Ledger{}, 0
	for rest := row; rest != nil; parts++ {
		part := Ledger{}
		var err error
		if rest, err = part.TallyUpTo(10, 1, rest); err != nil || len(part) > 11 {
			t.Fatalf("%d rows, %v", len(part), err)
		}
		sum.Coarse(part, store.Minute)
	}
	if parts != 3 || len(sum) != 26 {
		t.Errorf("%d parts, %d rows", parts, len(sum))
	}
	for k, p := range whole {
		if q := sum[k]; q == nil || !maps.Equal(p.Counts, q.Counts) || !maps.Equal(p.Top, q.Top) {
			t.Errorf("%v: %v in parts, %v as a whole", k, q, p)
		}
	}
}

func TestCountsAndTopsSurviveTheirRows(t *testing.T) {
	t.Parallel()
	c := store.Counts{{Channel: comm.SMS, Counter: comm.CountSent}: 3, {Channel: comm.Email, Counter: comm.TriesFailed, Provider: "smtp"}: 1 << 40,
		{Channel: comm.Email, Counter: comm.WaitAccepted, Bucket: 160}: 1}
	if got, err := store.DecodeCounts(c.Encode()); err != nil || !maps.Equal(got, c) {
		t.Errorf("%v, %v", got, err)
	}
	for n := range c.Encode() {
		_, _ = store.DecodeCounts(c.Encode()[:n])
	}
	// The figures of messages are whole in the beginning of a row, however large they and whatever is beside them.
	messages := 0
	for _, ch := range comm.Channels() {
		for counter := comm.CountAccepted; counter <= comm.WaitScheduled; counter++ {
			c[store.CountKey{Channel: ch, Counter: counter}] = math.MaxInt64
			if counter <= comm.CountCancelled {
				messages++
			}
		}
	}
	err := store.EachMessageFigure(c.Encode()[:store.MessageBytes()], func(f store.Figure) {
		if messages--; f.Counter > comm.CountCancelled || f.N != math.MaxInt64 {
			t.Errorf("%+v", f)
		}
	})
	if err != nil || messages != 0 {
		t.Errorf("%d figures of messages are missing, %v", messages, err)
	}
	// 1000 apps of which five send a third of everything: they are found, and never shown with too much.
	top, exact := store.Top{}, map[comm.ID]int64{}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 40_000 {
		app := comm.ID{1, byte(rnd.IntN(1000)), byte(rnd.IntN(4))}
		if rnd.IntN(3) == 0 {
			app = comm.ID{2, byte(rnd.IntN(5))}
		}
		exact[app]++
		top[app]++
		top.Reduce()
	}
	again := store.Top{}
	if err := again.Decode(top.Encode()); err != nil || !maps.Equal(again, top) || len(top) > store.TopSize {
		t.Fatalf("%d apps, %v", len(top), err)
	}
	for _, app := range top.First(5) {
		if app[0] != 2 || top[app] > exact[app] || top[app] < exact[app]-40_000/store.TopSize {
			t.Errorf("%v: %d, is %d", app, top[app], exact[app])
		}
	}
}

// BenchmarkTally counts groups of accepts over 100 apps, as the SQLite store does; the unit is one group.
func BenchmarkTally(b *testing.B) {
	for _, size := range []int{1, 25, 200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			var t Tally
			for b.Loop() {
				t.Reset()
				for i := range size {
					t.Add(TallyItem{App: comm.ID{byte(i % 100), 7}, Channel: comm.Email, Cause: comm.CauseAccepted, To: comm.Queued}, 1)
				}
				_ = t.Encode()
			}
		})
	}
}
