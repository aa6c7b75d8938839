package storetest

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func intakeCases() []testCase {
	return []testCase{
		{"a new message has content, state, queue row and event 1", acceptNew},
		{"attachments come back byte for byte", acceptFiles},
		{"a repeated key is a replay with the status of now", acceptReplay},
		{"a repeated key with another request is a conflict and stores nothing", acceptConflict},
		{"one key twice in one group is one message", acceptTwiceInGroup},
		{"keys are per app and mode", acceptKeyScope},
		{"many goroutines with one key make one message", acceptRace},
		{"the schedule decides the due time, ttl counts from it", acceptSchedule},
		{"a schedule in the past is due now", acceptPastSchedule},
		{"over the rate nothing is stored, replays still pass", acceptRate},
		{"over the day's cap of SMS nothing is stored or counted, replays still pass", acceptCap},
		{"the cap is exact for many callers", acceptCapRace},
		{"caps of prefixes hold together with the whole one", acceptPrefixCap},
		{"what the rate refuses takes no place under a cap", acceptCapBehindRate},
		{"of one key at the edge of a cap or rate one is new and the others are replays", acceptOneKeyAtTheEdge},
		{"a group that cannot be stored stores none of it", acceptAllOrNothing},
		{"a key can be looked up before anything is stored", knownKey},
		{"a suppressed recipient is warned of, not refused", acceptSuppressed},
		{"an empty group is answered", func(w *world) {
			out, err := w.s.Accept(w.ctx, nil)
			w.must(err)
			if len(out) != 0 {
				w.Fatal(out)
			}
		}},
	}
}

func acceptNew(w *world) {
	a := w.app(false)
	before := w.now()
	s := w.one(a, func(s *store.Submission) { s.Lane, s.Channel = comm.Critical, comm.SMS })
	m := w.message(s)
	if m.Status != comm.Queued || m.Channel != comm.SMS || m.Lane != comm.Critical || m.Mode != comm.Live || m.Shard != s.Shard || m.Generation != 1 || m.Attempts != 0 || m.Sequence != 1 {
		w.Fatalf("state %+v", m.State)
	}
	if m.CreatedAt < before || m.CreatedAt > w.now() || m.Due != m.CreatedAt || m.ExpiresAt != 0 {
		w.Fatalf("times: created %d due %d, now %d", m.CreatedAt, m.Due, before)
	}
	if m.Subject != "Hello" || m.To == "" || m.Body == "" || m.ContentGone {
		w.Fatalf("content %+v", m.Content)
	}
	e := m.Events[0]
	if e.Type != comm.CauseAccepted || e.From != comm.None || e.To != comm.Queued || e.At != m.CreatedAt || e.Node != w.node || e.Generation != 1 {
		w.Fatalf("event %+v", e)
	}
	if h := w.head(s); h != store.HeadOf(&m.State) || m.Bytes != int64(len(s.Payload)) {
		w.Fatalf("queue row %+v, %d bytes of %d", h, m.Bytes, len(s.Payload))
	}
}

func acceptFiles(w *world) {
	a := w.app(true)
	w.own()
	files := []comm.Attachment{{Filename: "a.bin", ContentType: "application/octet-stream", Content: bytes.Repeat([]byte{0, 255, '\r', '\n'}, 5000)}, {Filename: "näme.txt", ContentType: "text/plain", Content: []byte{}}}
	s := w.submission(a)
	var err error
	s.Files = files
	s.Payload, err = store.EncodeContent(&comm.Content{To: "x@example.org", Subject: "s", Body: "b", Files: len(files)})
	w.must(err)
	plain := w.submission(a)
	w.accept(s, plain)
	w.size(s, int64(len(s.Payload))+20_000)
	w.size(plain, int64(len(plain.Payload)))
	for _, c := range []struct {
		app, id comm.ID
		n       int
	}{{a.ID, s.ID, 2}, {a.ID, plain.ID, 0}, {comm.NewID(1), s.ID, 0}} {
		read, err := w.s.Files(w.ctx, c.app, c.id)
		w.must(err)
		if len(read) != c.n || c.n == 2 && (read[1].Filename != "näme.txt" || !bytes.Equal(read[0].Content, files[0].Content) || read[0].ContentType != files[0].ContentType) {
			w.Fatalf("%d files of app %s, message %s", len(read), c.app, c.id)
		}
		heads, err := w.s.FileHeads(w.ctx, c.app, c.id)
		w.must(err)
		if want := []store.FileHead{{Filename: "a.bin", ContentType: "application/octet-stream", Bytes: 20_000}, {Filename: "näme.txt", ContentType: "text/plain"}}[:c.n]; !slices.Equal(heads, want) {
			w.Fatalf("of app %s, message %s: %+v", c.app, c.id, heads)
		}
	}
	got := w.start(s)
	if len(got.Files) != 2 || got.Files[0].Filename != "a.bin" || !bytes.Equal(got.Files[0].Content, files[0].Content) || got.Files[1].Filename != "näme.txt" || len(got.Files[1].Content) != 0 {
		w.Fatalf("files differ: %d", len(got.Files))
	}
	if got := w.start(plain); len(got.Files) != 0 {
		w.Fatalf("%d files of another message", len(got.Files))
	}
}

func acceptReplay(w *world) {
	a := w.app(true)
	w.own()
	first := w.keyed(a, "order-1")
	w.accept(first)
	again := w.keyed(a, "order-1")
	again.Payload = nil // a replay must not need it
	out, err := w.s.Accept(w.ctx, []store.Submission{again})
	w.must(err)
	if out[0].Result != store.Replay || out[0].ID != first.ID || out[0].Status != comm.Queued {
		w.Fatalf("%+v", out[0])
	}
	w.start(first)
	w.turn([]store.Finish{w.finishOf(first, 1, sentOutcome())}, nil)
	out, err = w.s.Accept(w.ctx, []store.Submission{w.keyed(a, "order-1")})
	w.must(err)
	if out[0].Result != store.Replay || out[0].Status != comm.Sent {
		w.Fatalf("%+v", out[0])
	}
}

func acceptConflict(w *world) {
	a := w.app(true)
	w.accept(w.keyed(a, "order-1"))
	other := w.keyed(a, "order-1")
	other.Fingerprint = sum("another request")
	fresh := w.keyed(a, "order-2")
	out, err := w.s.Accept(w.ctx, []store.Submission{other, fresh})
	w.must(err)
	if out[0].Result != store.Conflict || out[1].Result != store.New {
		w.Fatalf("%+v", out)
	}
	_, err = w.s.Message(w.ctx, a.ID, other.ID)
	w.wantCode(err, "not_found")
}

func acceptTwiceInGroup(w *world) {
	a := w.app(true)
	x, y, z := w.keyed(a, "k"), w.keyed(a, "k"), w.keyed(a, "k")
	z.Fingerprint = sum("different")
	out, err := w.s.Accept(w.ctx, []store.Submission{x, y, z})
	w.must(err)
	if out[0].Result != store.New || out[1].Result != store.Replay || out[1].ID != x.ID || out[2].Result != store.Conflict {
		w.Fatalf("%+v", out)
	}
}

func acceptKeyScope(w *world) {
	a, b := w.app(true), w.app(true)
	w.accept(w.keyed(a, "k"), w.keyed(b, "k"))
	live := w.keyed(a, "k")
	live.Mode = comm.Live
	w.accept(live)
}

func acceptRace(w *world) {
	a := w.app(true)
	const clients = 24
	results := make([]store.Accepted, clients)
	errs := make([]error, clients)
	subs := make([]store.Submission, clients)
	for i := range subs {
		subs[i] = w.keyed(a, "race")
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			out, err := w.s.Accept(w.ctx, []store.Submission{subs[i]})
			if errs[i] = err; err == nil {
				results[i] = out[0]
			}
		})
	}
	wg.Wait()
	var fresh int
	ids := map[comm.ID]bool{}
	for i, r := range results {
		w.must(errs[i])
		ids[r.ID] = true
		if r.Result == store.New {
			fresh++
		} else if r.Result != store.Replay {
			w.Fatalf("%+v", r)
		}
	}
	if fresh != 1 || len(ids) != 1 {
		w.Fatalf("%d new messages, %d ids", fresh, len(ids))
	}
}

func acceptSchedule(w *world) {
	a := w.app(true)
	at := w.now().Add(time.Hour)
	s := w.one(a, func(s *store.Submission) { s.ScheduledAt, s.TTL = at, time.Minute.Microseconds() })
	m := w.message(s)
	if m.Due != at || m.ScheduledAt != at || m.ExpiresAt != at.Add(time.Minute) {
		w.Fatalf("due %d scheduled %d expires %d", m.Due, m.ScheduledAt, m.ExpiresAt)
	}
}

func acceptPastSchedule(w *world) {
	a := w.app(true)
	s := w.one(a, func(s *store.Submission) {
		s.ScheduledAt, s.TTL = w.now().Add(-time.Hour), time.Minute.Microseconds()
	})
	m := w.message(s)
	if m.Due != m.CreatedAt || m.ExpiresAt != m.CreatedAt.Add(time.Minute) {
		w.Fatalf("due %d created %d expires %d", m.Due, m.CreatedAt, m.ExpiresAt)
	}
}

func acceptRate(w *world) {
	a := w.app(true)
	// The minute may turn between two calls: give the case a whole one.
	if now := w.now(); now%60_000_000 > 55_000_000 {
		time.Sleep(time.Duration(60_000_000-now%60_000_000+1000) * time.Microsecond)
	}
	limited := func(n int) (subs []store.Submission) {
		for range n {
			s := w.submission(a)
			s.RatePerMinute = 5
			subs = append(subs, s)
		}
		return subs
	}
	first := w.keyed(a, "k")
	first.RatePerMinute = 5
	out, err := w.s.Accept(w.ctx, append(limited(3), first))
	w.must(err)
	for i, r := range out {
		if r.Result != store.New || r.RateUsed == 0 || r.RateReset <= w.now() || r.RateReset > w.now().Add(time.Minute) {
			w.Fatalf("%d: %+v", i, r)
		}
	}
	subs := limited(3)
	replay := w.keyed(a, "k")
	replay.RatePerMinute = 5
	out, err = w.s.Accept(w.ctx, append(slices.Clone(subs), replay))
	w.must(err)
	var fresh, refused int
	for i, r := range out[:3] {
		switch r.Result {
		case store.New:
			fresh++
			w.size(subs[i], int64(len(subs[i].Payload)))
		case store.RateLimited:
			refused++
			_, err := w.s.Message(w.ctx, a.ID, subs[i].ID)
			w.wantCode(err, "not_found")
		}
	}
	if fresh != 1 || refused != 2 || out[3].Result != store.Replay {
		w.Fatalf("%+v", out)
	}
	other := w.app(true)
	s := w.submission(other)
	s.RatePerMinute = 5
	w.accept(s)
}

func acceptAllOrNothing(w *world) {
	a := w.app(true)
	good, taken := w.submission(a), w.submission(a)
	w.accept(taken)
	poison := w.submission(a)
	poison.ID = taken.ID // its rows exist: it cannot be stored
	if _, err := w.s.Accept(w.ctx, []store.Submission{good, poison}); err == nil {
		w.Fatal("a group with a message id that exists was stored")
	}
	_, err := w.s.Message(w.ctx, a.ID, good.ID)
	w.wantCode(err, "not_found")
	w.accept(good)
}

func knownKey(w *world) {
	a, b := w.app(true), w.app(true)
	s := w.keyed(a, "k")
	_, err := w.s.KnownKey(w.ctx, a.ID, s.Mode, s.KeyHash)
	w.wantCode(err, "not_found")
	w.accept(s)
	w.cancel(s)
	got, err := w.s.KnownKey(w.ctx, a.ID, s.Mode, s.KeyHash)
	w.must(err)
	if got.ID != s.ID || got.Status != comm.Cancelled || got.Fingerprint != s.Fingerprint {
		w.Fatalf("%+v", got)
	}
	_, err = w.s.KnownKey(w.ctx, b.ID, s.Mode, s.KeyHash)
	w.wantCode(err, "not_found")
	_, err = w.s.KnownKey(w.ctx, a.ID, comm.Live, s.KeyHash)
	w.wantCode(err, "not_found")
}

func acceptSuppressed(w *world) {
	a := w.app(true)
	s, free := w.submission(a), w.submission(a)
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: s.Channel, Address: s.Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	out := w.accept(s, free)
	if !out[0].Suppressed || out[1].Suppressed {
		w.Fatalf("%+v", out)
	}
}
