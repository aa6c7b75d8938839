package upkeep

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

const day = 24 * time.Hour

// world is a service on a store whose clock can be set forward.
type world struct {
	*testing.T
	s     *sqlite.Store
	book  *erased.Book
	up    *Service
	ahead atomic.Int64
	leads atomic.Bool
	steps atomic.Int64
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{T: t}
	w.leads.Store(true)
	var err error
	w.s, err = sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t), Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
	w.must(err)
	t.Cleanup(func() { w.must(w.s.Close()) })
	w.must(w.s.Migrate(t.Context()))
	text, err := seal.GenerateRing("k1")
	w.must(err)
	ring, err := seal.ParseRing(text)
	w.must(err)
	w.book, err = erased.Open(t.Context(), w.s, ring)
	w.must(err)
	cfg := Config{Store: w.s, Book: w.book, Ring: ring, Leads: w.leads.Load, Content: 30 * day, Messages: 400 * day, Settle: time.Millisecond, Gentle: Pace{4 * time.Millisecond, 0.9},
		Log: slog.New(slog.DiscardHandler), TransactionDone: func(time.Duration) { w.steps.Add(1) }}
	for _, f := range change {
		f(&cfg)
	}
	w.up = New(cfg)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) later(d time.Duration) { w.ahead.Add(int64(d)) }

func (w *world) app() *comm.App {
	w.Helper()
	now := comm.At(time.Now())
	a := &comm.App{ID: comm.NewID(now), Slug: comm.NewID(now).String(), Active: true, Sandbox: true, RatePerMinute: 1_000_000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	_, err := w.s.CreateApp(w.Context(), a, nil)
	w.must(err)
	return a
}

// message accepts one and, unless it waits, ends it.
func (w *world) message(a *comm.App, c comm.Content, waits bool) comm.ID {
	w.Helper()
	return w.minted(a, c, waits, 0)
}

// minted is message with an id that a node mints whose clock is ahead.
func (w *world) minted(a *comm.App, c comm.Content, waits bool, ahead time.Duration) comm.ID {
	w.Helper()
	payload, err := store.EncodeContent(&c)
	w.must(err)
	now, err := w.s.Now(w.Context())
	w.must(err)
	id := comm.NewID(now.Add(ahead))
	_, err = w.s.Accept(w.Context(), []store.Submission{{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, 1), Channel: comm.Email, Lane: comm.Normal, Mode: comm.Sandbox, OnUnknown: a.OnUnknown,
		Recipient: c.To, Terms: store.ContentTerms(&c), Payload: payload, RatePerMinute: 1_000_000}})
	w.must(err)
	if !waits {
		_, _, err := w.s.Cancel(w.Context(), a.ID, id, "app")
		w.must(err)
	}
	return id
}

// erasures works on those that are open as far as it can now.
func (w *world) erasures() {
	w.Helper()
	w.must(w.up.beginErasures(w.Context()))
	w.up.desk.working.Wait()
}

// look answers whether the message is there, and whether its content is.
func (w *world) look(a *comm.App, id comm.ID) string {
	w.Helper()
	m, err := w.s.Message(w.Context(), a.ID, id)
	switch {
	case comm.IsKind(err, comm.Missing):
		return "removed"
	case err != nil:
		w.Fatal(err)
	case m.ContentGone:
		return "purged"
	}
	return "whole"
}

func (w *world) task(name string) store.Task {
	w.Helper()
	all, err := w.s.Tasks(w.Context())
	w.must(err)
	for _, t := range all {
		if t.Name == name {
			return t
		}
	}
	w.Fatalf("no task %s in %+v", name, all)
	return store.Task{}
}

func TestRoundsFollowTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, gone := w.app(), w.app()
	ended, waits := w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, false), w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, true)
	of := w.message(gone, comm.Content{To: "kofi@example.org", Body: "x"}, false)
	w.must(w.s.DeleteApp(w.Context(), gone.ID, comm.At(time.Now())))
	is := func(when, one, two, three string) {
		t.Helper()
		w.must(w.up.Round(w.Context()))
		if got := []string{w.look(a, ended), w.look(a, waits), w.look(gone, of)}; strings.Join(got, " ") != one+" "+two+" "+three {
			t.Errorf("%s: %v", when, got)
		}
	}
	is("at once", "whole", "whole", "whole")
	w.later(time.Hour)
	is("after an hour", "whole", "whole", "removed")
	if ids, err := w.s.DeletedApps(w.Context(), comm.ID{}, 10); err != nil || len(ids) > 0 {
		t.Errorf("%v %v", ids, err)
	}
	w.later(29 * day)
	is("after 29 days", "whole", "whole", "removed")
	w.later(2 * day)
	is("after 31 days", "purged", "whole", "removed")
	if got := w.task(TaskContent); got.Done != 1 || got.Total != 1 || got.Failed != "" || got.FinishedAt < got.StartedAt || got.StartedAt-got.Reached < comm.Micros((30*day).Microseconds()) {
		t.Errorf("%+v", got)
	}
	is("again", "purged", "whole", "removed")
	w.later(370 * day)
	is("after 401 days", "removed", "whole", "removed")
	_, _, err := w.s.Cancel(w.Context(), a.ID, waits, "app")
	w.must(err)
	w.later(29 * day)
	is("29 days after its late end", "removed", "whole", "removed")
	w.later(40 * day)
	is("69 days after its late end", "removed", "removed", "removed")
	report, err := w.up.Status(w.Context())
	if err != nil || len(report.Tasks) != 7 || report.OpenErasures != 0 {
		t.Errorf("%+v %v", report, err)
	}
}

// What stops in the middle, or on another node, goes on where it was.
func TestARoundThatStopsGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Gentle.Aim = 200 * time.Microsecond })
	a := w.app()
	const n = 120
	for range n {
		w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, false)
	}
	w.later(31 * day)
	w.up.cfg.TransactionDone = func(time.Duration) {
		if w.steps.Add(1) == 3 {
			w.leads.Store(false)
		}
	}
	w.must(w.up.Round(w.Context()))
	first := w.task(TaskContent)
	if first.Done == 0 || first.Done == n || first.Failed == "" || w.steps.Load() != 3 {
		t.Fatalf("%+v after %d transactions", first, w.steps.Load())
	}
	w.leads.Store(true)
	w.must(w.up.Round(w.Context()))
	if got := w.task(TaskContent); got.Done+first.Done != n || got.Total != n || got.Failed != "" {
		t.Errorf("%+v after %+v", got, first)
	}
	if w.steps.Load() < 6 {
		t.Errorf("only %d transactions", w.steps.Load())
	}
}

// TestOnlyTheLeaderWorks: a node that does not lead neither rounds nor erases.
func TestOnlyTheLeaderWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.leads.Store(false)
	a := w.app()
	id := w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- w.up.Run(ctx) }()
	e, err := w.up.Erase(ctx, a.ID, comm.Email, "ama@example.org")
	w.must(err)
	time.Sleep(1500 * time.Millisecond) // Run has looked
	if got, err := w.up.Erasure(ctx, a.ID, e.ID); err != nil || got.Stage != store.ErasureMarked {
		t.Errorf("%+v %v", got, err)
	}
	w.leads.Store(true)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, err := w.up.Erasure(ctx, a.ID, e.ID)
		w.must(err)
		if got.FinishedAt != 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", got)
		}
	}
	if m, err := w.s.Message(ctx, a.ID, id); err != nil || !m.ContentGone || m.To != "a***@example.org" {
		t.Errorf("%+v %v", m, err)
	}
	cancel()
	w.must(<-ran)
}

// forgotten makes an opt-out of which only the hash is kept.
func (w *world) forgotten(a *comm.App, to string) {
	w.Helper()
	_, err := w.book.Suppress(w.Context(), store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, CreatedAt: comm.At(time.Now())})
	w.must(err)
	_, err = w.up.Erase(w.Context(), a.ID, comm.Email, to)
	w.must(err)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		w.erasures()
		if open, err := w.s.OpenErasures(w.Context(), comm.ID{}, 1); err != nil || len(open) == 0 {
			break
		}
	}
	if n := w.listed(a); n != 0 {
		w.Fatalf("%d addresses are listed", n)
	}
}

// listed is how many addresses the app's list holds.
func (w *world) listed(a *comm.App) int {
	w.Helper()
	list, err := w.s.SuppressionList(w.Context(), a.ID, store.SuppressionFilter{Limit: 10})
	w.must(err)
	return len(list)
}

// An opt-out that came back for a message goes to its hash again when nothing waits for it, and a RETRY of the
// message brings it back: it is started as any other is.
func TestARetryBringsTheOptOutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	const to = "ama@example.org"
	w.forgotten(a, to)
	w.must(w.book.Return(t.Context(), a.ID, comm.Email, to))
	id := w.message(a, comm.Content{To: to, Body: "x"}, true)
	w.later(20 * day)
	_, _, err := w.s.Cancel(t.Context(), a.ID, id, "app")
	w.must(err)
	w.later(11 * day)
	w.must(w.up.Round(t.Context()))
	if got := w.look(a, id); got != "whole" || w.listed(a) != 0 {
		t.Fatalf("%s, %d listed", got, w.listed(a))
	}
	if _, got, err := w.book.Messages(w.s).Retry(t.Context(), a.ID, id, "app"); err != nil || got != comm.RetryDone {
		t.Fatalf("%v %v", got, err)
	}
	if on, err := w.s.Suppressed(t.Context(), a.ID, comm.Email, to); err != nil || !on {
		t.Errorf("a start does not find the opt-out: %v", err)
	}
	if _, _, err := w.book.Messages(w.s).Retry(t.Context(), a.ID, comm.NewID(1), "app"); !comm.IsKind(err, comm.Missing) {
		t.Errorf("%v", err)
	}
}

// TestCopiesToErasedPersonsAreKnown: whoever asks about many addresses finds those that are kept as hashes too.
func TestCopiesToErasedPersonsAreKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	w.forgotten(a, "ama@example.org")
	_, err := w.book.Suppress(t.Context(), store.Suppression{App: a.ID, Channel: comm.Email, Address: "esi@example.org", Reason: comm.SuppressComplaint, CreatedAt: 1})
	w.must(err)
	got, err := w.book.SuppressedOf(t.Context(), a.ID, comm.Email, []string{"ama@example.org", "kofi@example.org", "esi@example.org"})
	slices.Sort(got)
	if want := []string{"ama@example.org", "esi@example.org"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if got, err := w.book.SuppressedOf(t.Context(), w.app().ID, comm.Email, []string{"ama@example.org"}); err != nil || len(got) != 0 {
		t.Errorf("of another app: %v %v", got, err)
	}
}

// An opt-out that came back for a message goes to its hash again when nothing of it is kept.
func TestReturnedOptOutsGoAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	const to = "ama@example.org"
	w.forgotten(a, to)
	plain := func() int { return w.listed(a) }
	if on, err := w.book.Suppressed(t.Context(), a.ID, comm.Email, to); err != nil || !on || plain() != 0 {
		t.Fatalf("%v %v, %d shown", on, err, plain())
	}
	if on, err := w.book.Suppressed(t.Context(), w.app().ID, comm.Email, to); err != nil || on {
		t.Fatalf("of another app: %v %v", on, err)
	}
	w.must(w.book.Return(t.Context(), a.ID, comm.Email, to))
	id := w.message(a, comm.Content{To: to, Body: "x"}, true)
	for { // searchable a moment later
		found, err := w.s.Search(t.Context(), a.ID, store.Filter{Recipient: to, Limit: 1})
		w.must(err)
		if len(found.Messages) == 1 {
			break
		}
	}
	w.later(31 * day)
	w.must(w.up.Round(t.Context()))
	if plain() != 1 {
		t.Error("gone although a message waits")
	}
	_, _, err := w.s.Cancel(t.Context(), a.ID, id, "app")
	w.must(err)
	w.later(31 * day)
	w.must(w.up.Round(t.Context()))
	if on, err := w.book.Suppressed(t.Context(), a.ID, comm.Email, to); err != nil || !on || plain() != 0 {
		t.Errorf("%v %v, %d shown", on, err, plain())
	}
}

// TestAFailingErasureKeepsNothingElse: an erasure whose address cannot be opened any more is tried again and again, and retention goes on.
func TestAFailingErasureKeepsNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // a failed erasure and a round both come again after a minute
	a := w.app()
	ended := w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, false)
	now, err := w.s.Now(w.Context())
	w.must(err)
	w.must(w.s.CreateErasure(w.Context(), &store.Erasure{App: a.ID, ID: comm.NewID(now), Channel: comm.Email, Sealed: &seal.Sealed{KeyID: "lost", Box: []byte("x")},
		Actor: comm.ActorApp, Stage: store.ErasureMarked, CreatedAt: now, UpdatedAt: now}))
	w.later(31 * day)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.up.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); w.look(a, ended) != "purged" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	w.must(<-ran)
	if got := w.look(a, ended); got != "purged" {
		t.Errorf("the content is %s", got)
	}
	if report, err := w.up.Status(t.Context()); err != nil || report.OpenErasures != 1 {
		t.Errorf("%+v %v", report, err)
	}
}

// TestMessagesThatAreGoneHoldNobodyUp: what was set aside and has gone with its app leaves places behind which others' turn comes in the same round.
func TestMessagesThatAreGoneHoldNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, a := w.app(), w.app()
	var open []comm.ID
	for range 2 * store.UpkeepMost { // more than one transaction looks at
		open = append(open, w.message(gone, comm.Content{To: "kofi@example.org", Body: "x"}, true))
	}
	late := w.message(a, comm.Content{To: "ama@example.org", Body: "x"}, true)
	w.later(31 * day)
	w.must(w.up.Round(t.Context())) // none has ended: all are set aside for thirty days
	for _, id := range append(open, late) {
		_, _, err := w.s.Cancel(t.Context(), gone.ID, id, "app")
		if id == late {
			_, _, err = w.s.Cancel(t.Context(), a.ID, id, "app")
		}
		w.must(err)
	}
	w.must(w.s.DeleteApp(t.Context(), gone.ID, comm.At(time.Now())))
	w.later(time.Hour)
	w.must(w.up.Round(t.Context()))
	if got := w.look(gone, open[0]); got != "removed" {
		t.Fatalf("a message of the deleted app is %s", got)
	}
	w.later(31 * day)
	w.must(w.up.Round(t.Context()))
	if got := w.look(a, late); got != "purged" {
		t.Errorf("the content is %s", got)
	}
}

// No app fills the line, however many erasures of others are open before its own.
func TestAnAppHasSomeErasuresOpenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, others := w.app(), w.app(), w.app()
	for range openMost {
		w.asked(others, "ama@example.org")
	}
	for i := range openOfApp {
		_, err := w.up.Erase(t.Context(), a.ID, comm.SMS, fmt.Sprintf("23324%07d", i))
		w.must(err)
	}
	if _, err := w.up.Erase(t.Context(), a.ID, comm.SMS, "233249999999"); !comm.IsKind(err, comm.Unavailable) {
		t.Errorf("one more: %v", err)
	}
	_, err := w.up.Erase(t.Context(), b.ID, comm.SMS, "233249999999")
	w.must(err)
}

// TestAClockAheadHidesNoMention: whether a message was there when the erasure was asked for is what the database says, not its id.
func TestAClockAheadHidesNoMention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app()
	const to = "ama@example.org"
	mention := comm.Content{To: "kofi@example.org", Body: "Write to " + to}
	before := []comm.ID{w.message(a, mention, false), w.minted(a, mention, false, time.Second), w.minted(a, mention, true, time.Hour)}
	asked := w.asked(a, to)
	for now := comm.Micros(0); now <= asked.CreatedAt; { // the next one is accepted later
		var err error
		now, err = w.s.Now(t.Context())
		w.must(err)
	}
	after := w.message(a, mention, false)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		w.erasures()
		e, err := w.up.Erasure(t.Context(), a.ID, asked.ID)
		w.must(err)
		if e.FinishedAt != 0 {
			if e.Masked != len(before) {
				t.Errorf("%d are masked, want %d", e.Masked, len(before))
			}
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the erasure has not ended: %+v", e)
		}
	}
	for i, id := range append(before, after) {
		m, err := w.s.Message(t.Context(), a.ID, id)
		w.must(err)
		if shown := strings.Contains(m.Body, to); shown != (id == after) {
			t.Errorf("message %d: %s", i, m.Body)
		}
	}
}
