package upkeep

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// The two hands take turns step by step, and so do erasures among themselves, however many there are.
func TestHandsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const erasures, steps = 5, 20
	order := make(chan string, (erasures+1)*steps)
	ready := make(chan struct{})
	work := func(name string, h hand) {
		<-ready
		h.take()
		defer h.give()
		for range steps {
			order <- name
			time.Sleep(5 * time.Millisecond) // so that whoever wants a turn is waiting for it
			if err := h.rest(t.Context(), 0, 0); err != nil {
				t.Error(err)
			}
		}
	}
	for i := range erasures {
		w.up.desk.working.Go(func() { work(fmt.Sprint("erasure ", i), w.up.erasing) })
	}
	w.up.desk.working.Go(func() { work("retention", w.up.retaining) })
	close(ready)
	w.up.desk.working.Wait()
	close(order)
	counts, others := map[string]int{}, 0
	for name := range order {
		if counts[name]++; name == "retention" && counts[name] == steps {
			break
		}
		if name != "retention" {
			others++
		}
	}
	if others > steps+erasures || others < steps-erasures {
		t.Errorf("retention did %d steps while erasures did %d", steps, others)
	}
	for i := range erasures {
		if n := counts[fmt.Sprint("erasure ", i)]; n < steps/erasures-2 || n > steps/erasures+2 {
			t.Errorf("erasure %d did %d steps of %d", i, n, others)
		}
	}
}

// running runs the service until the test has seen enough.
func (w *world) running() (stop func()) {
	ctx, cancel := context.WithCancel(w.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.up.Run(ctx) }()
	return func() {
		w.Helper()
		cancel()
		w.must(<-ran)
	}
}

// until waits for something that others bring about.
func (w *world) until(what string, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("still not: %s", what)
		}
	}
}

// asked is an erasure of an address in an app (nil: in all), however many are open already.
func (w *world) asked(a *comm.App, to string) *store.Erasure {
	w.Helper()
	var app comm.ID
	if a != nil {
		app = a.ID
	}
	e, err := w.up.ask(w.Context(), app, comm.Email, to)
	w.must(err)
	return e
}

// untouched is how many of the open erasures nobody has begun with.
func (w *world) untouched() (n int) {
	w.Helper()
	for after := (comm.ID{}); ; {
		open, err := w.s.OpenErasures(w.Context(), after, 500)
		w.must(err)
		for i := range open {
			if open[i].Stage == store.ErasureMarked {
				n++
			}
		}
		if len(open) < 500 {
			return n
		}
		after = open[len(open)-1].ID
	}
}

// slowly makes each step take a while.
func slowly(c *Config) { c.TransactionDone = func(time.Duration) { time.Sleep(2 * time.Millisecond) } }

// A flood of erasures does not keep retention from its round.
func TestErasuresDoNotHoldRetentionUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowly)
	a := w.app()
	var ended []comm.ID
	for range 20 {
		ended = append(ended, w.message(a, comm.Content{To: "kofi@example.org", Body: "x"}, false))
	}
	const flood = 200
	for i := range flood {
		w.asked(a, fmt.Sprintf("user%d@example.org", i))
	}
	w.later(31 * day)
	stop := w.running()
	w.until("the contents are purged", func() bool { return w.look(a, ended[len(ended)-1]) == "purged" })
	if n := w.untouched(); n < flood/2 {
		t.Errorf("contents were purged after %d of %d erasures had been begun with", flood-n, flood)
	}
	stop()
}

// An app's flood of erasures, even more than are looked at together, does not keep other apps' waiting, nor those of the server.
func TestErasuresOfAppsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowly)
	flooding, other := w.app(), w.app()
	id := w.message(other, comm.Content{To: "ama@example.org", Body: "x"}, false)
	const flood = openMost + 50
	for i := range flood {
		w.asked(flooding, fmt.Sprintf("user%d@example.org", i))
	}
	mine, server := w.asked(other, "ama@example.org"), w.asked(nil, "esi@example.org")
	stop := w.running()
	w.until("the other app's erasure is done", func() bool {
		got, err := w.up.AnyErasure(t.Context(), mine.ID)
		w.must(err)
		of, err := w.up.AnyErasure(t.Context(), server.ID)
		w.must(err)
		return got.FinishedAt != 0 && of.FinishedAt != 0
	})
	if n := w.untouched(); n < flood/2 {
		t.Errorf("done after %d of the %d of the other app had been begun with", flood-n, flood)
	}
	if m, err := w.s.Message(t.Context(), other.ID, id); err != nil || !m.ContentGone || m.To != "a***@example.org" {
		t.Errorf("%+v %v", m, err)
	}
	stop()
}

// A long round does not keep an erasure waiting.
func TestRetentionDoesNotHoldErasuresUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowly, func(c *Config) { c.Gentle.Aim = time.Microsecond }) // four messages at a time
	a := w.app()
	mine := w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, true)
	const n = 400
	for range n {
		w.message(a, comm.Content{To: "kofi@example.org", Body: "x"}, false)
	}
	w.later(31 * day)
	stop := w.running()
	w.until("a round is under way", func() bool { return w.up.began.Load() != 0 })
	e := w.asked(a, "ama@example.org")
	w.until("the erasure is done", func() bool {
		got, err := w.up.Erasure(t.Context(), a.ID, e.ID)
		w.must(err)
		return got.FinishedAt != 0
	})
	if w.up.began.Load() == 0 {
		t.Error("the round was over before the erasure")
	}
	if got := w.look(a, mine); got != "purged" {
		t.Errorf("the message is %s", got)
	}
	stop()
}

// Opt-outs that were put back are looked at in one round, all of them, and none that cannot be put away keeps others from it.
func TestReturnedOptOutsDoNotStarve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	hash := func(to string) []byte { return w.book.Hash(a.ID, comm.Email, to) }
	since := comm.At(time.Now().Add(-100 * day))
	const stuck, more = 110, 30
	for i := range stuck + more {
		to := fmt.Sprintf("user%d@example.org", i)
		_, err := w.s.Suppress(t.Context(), store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, CreatedAt: since})
		w.must(err)
		w.must(w.s.EraseSuppression(t.Context(), a.ID, comm.Email, to, hash(to)))
		w.must(w.s.DropSuppression(t.Context(), a.ID, comm.Email, to, hash(to), comm.At(time.Now())))
		w.must(w.book.Return(t.Context(), a.ID, comm.Email, to))
		if i < stuck { // its hash goes, as with an app of an older version
			_, err := w.s.UnsuppressErased(t.Context(), a.ID, comm.Email, "", hash(to))
			w.must(err)
		}
	}
	if got, err := w.book.Suppression(t.Context(), a.ID, comm.Email, "user120@example.org"); err != nil || got.CreatedAt != since || got.Source != comm.SuppressReturned {
		t.Errorf("%+v %v", got, err)
	}
	w.later(31 * day)
	size := w.up.slice.Size()
	w.must(w.up.Round(t.Context()))
	if got := w.task(TaskReturned); got.Done != stuck+more || got.Busy == 0 {
		t.Errorf("%+v", got)
	}
	if w.up.slice.Size() < size {
		t.Errorf("slices shrank from %d to %d messages", size, w.up.slice.Size())
	}
	list, err := w.s.SuppressionList(t.Context(), a.ID, store.SuppressionFilter{Limit: 1000})
	w.must(err)
	if len(list) != stuck {
		t.Errorf("%d are on the list, want those that have no hash", len(list))
	}
	if back, err := w.s.Returned(t.Context(), comm.At(time.Now().Add(100*day)), 10); err != nil || len(back) != 0 {
		t.Errorf("%d are looked at again and again, %v", len(back), err)
	}
}

// A person who is named in large messages, and in many, is masked in all of them, a bounded part at a time.
func TestLargeContentsAreMaskedInSlices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	var ids []comm.ID
	for i := range 12 {
		body := "of ama@example.org " + string(bytes.Repeat([]byte{'x'}, i%3*700_000))
		ids = append(ids, w.message(a, comm.Content{To: "kofi@example.org", Body: body}, i%2 == 0))
	}
	before := map[comm.ID]comm.Micros{}
	for _, id := range ids {
		m, err := w.s.Message(t.Context(), a.ID, id)
		w.must(err)
		before[id] = m.UpdatedAt
	}
	e := w.asked(a, "ama@example.org")
	w.until("it is done", func() bool {
		w.erasures()
		got, err := w.up.Erasure(t.Context(), a.ID, e.ID)
		w.must(err)
		return got.FinishedAt != 0
	})
	if got, err := w.up.Erasure(t.Context(), a.ID, e.ID); err != nil || got.Masked != len(ids) {
		t.Errorf("%+v %v", got, err)
	}
	for _, id := range ids {
		m, err := w.s.Message(t.Context(), a.ID, id)
		w.must(err)
		if m.Body[:20] != "of a***@example.org " || m.UpdatedAt != before[id] {
			t.Errorf("%.30q, updated at %d, before at %d", m.Body, m.UpdatedAt, before[id])
		}
	}
}
