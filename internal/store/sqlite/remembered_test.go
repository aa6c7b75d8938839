package sqlite

import (
	"errors"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// accepted is a group of n new messages of so many bytes and its answers.
func accepted(n, size int) (subs []store.Submission, out []store.Accepted, starts []store.Start) {
	for range n {
		sub := submission()
		sub.Payload = make([]byte, size)
		subs = append(subs, sub)
		out = append(out, store.Accepted{Result: store.New, ID: sub.ID, Due: 100})
		starts = append(starts, store.Start{Head: store.Head{ID: sub.ID}})
	}
	return subs, out, starts
}

func known(m *recent, starts []store.Start) (n int) {
	found := make([]content, len(starts))
	m.take(starts, found)
	for _, c := range found {
		if c.found {
			n++
		}
	}
	return n
}

func TestRecentKeepsTheLastOnesWithinBounds(t *testing.T) {
	t.Parallel()
	var m recent
	var last []store.Start
	for range 30 {
		subs, out, starts := accepted(500, 100)
		m.put(subs, out, 100)
		last = starts
		if len(m.rows) > recentKept || len(m.order) > 3*recentKept {
			t.Fatalf("%d rows, %d in order", len(m.rows), len(m.order))
		}
	}
	if n := known(&m, last); n != len(last) {
		t.Fatalf("%d of the last %d are known", n, len(last))
	}
	if n := known(&m, last); n != 0 {
		t.Fatalf("%d are known after they were taken", n)
	}
	for range 10 {
		subs, out, starts := accepted(100, recentBytes/20)
		m.put(subs, out, 100)
		last = starts
	}
	if m.bytes > recentBytes {
		t.Fatalf("%d bytes", m.bytes)
	}
	if n := known(&m, last); n == 0 || n > 20 {
		t.Fatalf("%d large ones are known", n)
	}
}

func TestRecentLeavesOutWhatIsNotStartedSoon(t *testing.T) {
	t.Parallel()
	var m recent
	subs, out, starts := accepted(4, 10)
	out[0].Result = store.Replay
	out[1].Due = 101 // scheduled
	subs[2].Files = []comm.Attachment{{Filename: "a"}}
	subs[3].Payload = make([]byte, recentBytes)
	m.put(subs, out, 100)
	if n := known(&m, starts); n != 0 || m.bytes != 0 {
		t.Fatalf("%d known, %d bytes", n, m.bytes)
	}
}

// starter is a store whose one node owns every shard.
type starter struct {
	*Store
	t      *testing.T
	leases []store.Lease
}

func newStarter(t *testing.T) *starter {
	t.Helper()
	s := &starter{Store: opened(t), t: t}
	if _, err := s.Beat(t.Context(), store.NodeInfo{Node: "n", Role: "all", Lease: minute}); err != nil {
		t.Fatal(err)
	}
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	var err error
	if s.leases, err = s.Take(t.Context(), "n", shards); err != nil {
		t.Fatal(err)
	}
	return s
}

// accept stores a message that is remembered, and answers its start.
func (s *starter) accept() (store.Submission, store.Start) {
	s.t.Helper()
	sub := submission()
	sub.Mode = comm.Sandbox
	out, err := s.Accept(s.t.Context(), []store.Submission{sub})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, ok := s.recent.rows[sub.ID]; !ok {
		s.t.Fatal("not remembered")
	}
	u := comm.Unit{Shard: sub.Shard, App: sub.App, Channel: sub.Channel, Lane: sub.Lane}
	return sub, store.Start{Unit: u, Head: store.Head{Due: out[0].Due, ID: sub.ID}, Provider: "sandbox"}
}

func (s *starter) start(st store.Start) store.Started {
	s.t.Helper()
	r, err := s.Turn(s.t.Context(), store.Turn{Node: "n", Leases: s.leases, Starts: []store.Start{st}})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Started[0]
}

// purge takes a message's content away as retention and erasure do: the event first.
func purge(r *raw, sub *store.Submission, now comm.Micros) error {
	before, _, err := stateOf(r, sub.App, sub.ID)
	if err != nil {
		return err
	}
	c := sqlstore.Change{Before: before, After: before}
	c.After.Sequence++
	c.Events = []comm.Event{{App: sub.App, Message: sub.ID, Sequence: c.After.Sequence, Type: comm.CauseErased, From: before.Status, To: before.Status, At: now}}
	if err := write(r, &c); err != nil {
		return err
	}
	_, err = r.run(qPurge, sub.ID[:], sub.App[:])
	return err
}

var qPurge = &query{`UPDATE content SET payload = NULL WHERE id = ? AND app_id = ?`}

// What is remembered is a guess: the row decides.
func TestAStartFromMemoryMeetsTheRowOfNow(t *testing.T) {
	t.Parallel()
	s := newStarter(t)
	for _, c := range []struct {
		name    string
		change  func(store.Submission) error
		verdict store.Verdict
		status  comm.Status
	}{
		{"nothing", func(store.Submission) error { return nil }, store.Go, comm.Sending},
		{"cancelled", func(sub store.Submission) error {
			_, _, err := s.Cancel(t.Context(), sub.App, sub.ID, "app")
			return err
		}, store.Gone, comm.Cancelled},
		{"suppressed", func(sub store.Submission) error {
			_, err := s.Suppress(t.Context(), store.Suppression{App: sub.App, Channel: sub.Channel, Address: sub.Recipient})
			return err
		}, store.Ended, comm.Suppressed},
		{"erased", func(sub store.Submission) error {
			return s.w.hot(t.Context(), 1, func(r *raw) error { return purge(r, &sub, s.now()) })
		}, store.Ended, comm.Failed},
	} {
		sub, st := s.accept()
		if err := c.change(sub); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := s.start(st)
		m, err := s.Message(t.Context(), sub.App, sub.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Verdict != c.verdict || m.Status != c.status {
			t.Errorf("%s: %+v, row %+v", c.name, got, m.State)
		}
		if sends := c.verdict == store.Go; sends != (string(got.Payload) == string(sub.Payload)) || sends && got.State != m.State {
			t.Errorf("%s: %q is sent, row %+v", c.name, got.Payload, m.State)
		}
	}
}

// A retried message is due again under another sequence, and its row of then is what is started.
func TestARetriedMessageIsReadAgain(t *testing.T) {
	t.Parallel()
	s := newStarter(t)
	sub, st := s.accept()
	app := &comm.App{ID: sub.App, Slug: "one", Name: "One", Active: true, RatePerMinute: 1, ShardSpread: 1, CreatedAt: 1, UpdatedAt: 1}
	if _, err := s.CreateApp(t.Context(), app, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Cancel(t.Context(), sub.App, sub.ID, "app"); err != nil {
		t.Fatal(err)
	}
	again, _, err := s.Retry(t.Context(), sub.App, sub.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.start(st); got.Verdict != store.Gone && again.Due != st.Head.Due {
		t.Fatalf("the head of the first generation: %+v", got)
	}
	st.Head.Due = again.Due
	if got := s.start(st); got.Verdict != store.Go || got.State.Generation != 2 || got.State.Sequence != again.Sequence+1 || string(got.Payload) != string(sub.Payload) {
		t.Fatalf("%+v", got)
	}
}

// A turn that stores nothing takes nothing away: the message is started later, from its row.
func TestAFailedTurnLosesNothingRemembered(t *testing.T) {
	t.Parallel()
	s := newStarter(t)
	_, st := s.accept()
	lost := slices.Clone(s.leases)
	lost[st.Unit.Shard].Epoch++
	var refused *store.LostShards
	if _, err := s.Turn(t.Context(), store.Turn{Node: "n", Leases: lost, Starts: []store.Start{st}}); !errors.As(err, &refused) {
		t.Fatalf("%v", err)
	}
	first := s.start(st)
	if first.Verdict != store.Go || len(first.Payload) == 0 {
		t.Fatalf("after a refused turn: %+v", first)
	}

	// The same for the rows of open attempts, when a commit fails.
	fin := store.Finish{App: first.State.App, ID: first.State.ID, Unit: st.Unit, From: comm.Sending, Attempt: 1, Epoch: first.State.Epoch,
		Want: store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "sandbox"}}
	_, next := s.accept()
	s.w.commit = func(func() error) error { return codeErr(codeFull) }
	if _, err := s.Turn(t.Context(), store.Turn{Node: "n", Leases: s.leases, Finishes: []store.Finish{fin}, Starts: []store.Start{next}}); !unavailable(err) {
		t.Fatalf("%v", err)
	}
	s.w.commit = func(run func() error) error { return run() }
	r, err := s.Turn(t.Context(), store.Turn{Node: "n", Leases: s.leases, Finishes: []store.Finish{fin}, Starts: []store.Start{next}})
	if err != nil || !r.Finished[0] || r.Started[0].Verdict != store.Go || len(r.Started[0].Payload) == 0 {
		t.Fatalf("after a failed commit: %+v, %v", r, err)
	}
}

func TestContentCannotGoWithoutItsEvent(t *testing.T) {
	t.Parallel()
	s := newStarter(t)
	sub, _ := s.accept()
	for _, text := range []string{qPurge.text, `DELETE FROM content WHERE id = ? AND app_id = ?`} {
		err := s.w.hot(t.Context(), 1, func(r *raw) error {
			_, err := r.run(&query{text}, sub.ID[:], sub.App[:])
			return err
		})
		if primary(err) != 19 { // SQLITE_CONSTRAINT
			t.Errorf("%s: %v", text, err)
		}
	}
	err := s.w.hot(t.Context(), 1, func(r *raw) error {
		for _, text := range []string{`DELETE FROM state WHERE id = ? AND app_id = ?`, `DELETE FROM content WHERE id = ? AND app_id = ?`} {
			if _, err := r.run(&query{text}, sub.ID[:], sub.App[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("a whole message: %v", err)
	}
}
