package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// Counts outlive the process, folded or not, and grow old: minutes become hours,
// hours days, and the oldest go.
func TestStatisticsOutliveTheProcessAndGrowOld(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Now().Unix())
	path := filepath.Join(t.TempDir(), "comm.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(errors.Join(err, s.Close()))
		}
		return s
	}
	now := comm.At(time.Unix(clock.Load(), 0))
	a := &comm.App{ID: comm.NewID(now), Slug: "a", Name: "A", Active: true, RatePerMinute: 1000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	key := store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}
	const messages = 7
	for step, x := range []struct {
		fold bool
		pass time.Duration
		span comm.Micros // of the rows then; 0 for none
	}{
		{false, 0, store.Minute}, // not folded, but read as if it were
		{true, 3 * time.Hour, store.Minute},
		{true, 9 * 24 * time.Hour, store.Hour},
		{true, 401 * 24 * time.Hour, store.Day},
		{true, 0, 0},
	} {
		s := open()
		if step == 0 {
			if _, err := s.CreateApp(t.Context(), a, nil); err != nil {
				t.Fatal(err)
			}
			for range messages {
				id := comm.NewID(now)
				sub := store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, 1), Channel: comm.Email, Mode: comm.Sandbox, Node: "n", Recipient: "a@example.org", Payload: []byte("{}"), RatePerMinute: 1000}
				if out, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil || out[0].Result != store.New {
					t.Fatalf("%+v, %v", out, err)
				}
			}
		}
		for idle := 0; x.fold && idle < 2; { // the first call after a start only looks for tallies
			f, err := s.Fold(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if idle++; f.Rows > 0 {
				idle = 0
			}
		}
		lists, err := s.Periods(t.Context(), []comm.ID{a.ID, {}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, list := range lists {
			n, top := int64(0), int64(0)
			for _, p := range list {
				n, top = n+p.Counts[key], top+p.Top[a.ID]
				if p.Span != x.span {
					t.Errorf("step %d: a row of %v", step, p.Span)
				}
			}
			want := int64(messages)
			if x.span == 0 {
				want = 0
			}
			if n != want || i == 1 && top != want {
				t.Errorf("step %d: %d and %d are counted, want %d", step, n, top, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		clock.Add(int64(x.pass.Seconds()))
	}
}

// What is rolled back is not counted: a group whose second message cannot be stored.
func TestWhatIsRolledBackIsNotCounted(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(t.TempDir(), "comm.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	app, id := comm.NewID(1), comm.NewID(2)
	sub := store.Submission{App: app, ID: id, Channel: comm.Email, Mode: comm.Sandbox, Node: "n", Payload: []byte("{}"), RatePerMinute: 1000}
	if _, err := s.Accept(t.Context(), []store.Submission{sub, sub}); err == nil {
		t.Fatal("one id was stored twice")
	}
	sub.ID = comm.NewID(3)
	if _, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil {
		t.Fatal(err)
	}
	lists, err := s.Periods(t.Context(), []comm.ID{app}, 0)
	if err != nil || len(lists[0]) != 1 || lists[0][0].Counts[store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}] != 1 {
		t.Errorf("%+v, %v", lists, err)
	}
}

// TestAReportIsQuickWhateverTheHistory: 400 days of an app and of all apps, each row
// with sixty buckets of two channels, five providers and a summary of 256 apps.
func TestAReportIsQuickWhateverTheHistory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "comm.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err == nil {
			err = s.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if err := open().Close(); err != nil {
		t.Fatal(err)
	}
	counts, top := store.Counts{}, store.Top{}
	for _, ch := range comm.Channels() {
		for bucket := range uint8(60) { // from 20 ms to 10 minutes
			counts[store.CountKey{Channel: ch, Counter: comm.WaitAccepted, Bucket: 17 + bucket}] = 1000
		}
		for c := comm.CountAccepted; c <= comm.TriesUnknown; c++ {
			for _, provider := range []string{"smtp", "ses", "resend", "twilio", "sandbox"} {
				if c < comm.TriesStarted {
					provider = ""
				}
				counts[store.CountKey{Channel: ch, Counter: c, Provider: provider}] = 1_000_000
			}
		}
	}
	for range store.TopSize {
		top[comm.NewID(1)] = 1_000_000
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	app, now := comm.NewID(1), comm.At(time.Now())
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, span := range []struct{ span, keep comm.Micros }{{store.Minute, store.KeepMinutes + store.Hour}, {store.Hour, store.KeepHours + store.Day}, {store.Day, store.KeepDays}} {
		for at := now - now%span.span - span.keep; at < now; at += span.span {
			for _, x := range []comm.ID{app, {}} {
				if _, err := tx.Exec(`INSERT INTO stats (app_id, span, start, counts, top) VALUES (?, ?, ?, ?, ?)`, x[:], int64(span.span), int64(at), counts.Encode(), top.Encode()); err != nil {
					t.Fatal(err)
				}
				rows++
			}
		}
	}
	if err := errors.Join(tx.Commit(), db.Close()); err != nil {
		t.Fatal(err)
	}
	s := open()
	t.Cleanup(func() { _ = s.Close() })
	best := time.Hour
	for range 10 {
		at := time.Now()
		lists, err := s.Periods(t.Context(), []comm.ID{{}}, now-30*store.Day)
		if err != nil || len(lists[0]) < 400 {
			t.Fatalf("%d periods, %v", len(lists[0]), err)
		}
		best = min(best, time.Since(at))
	}
	t.Logf("%d rows, the longest window read in %v", rows, best)
	bound := time.Second // beside other tests, under the race detector; a scan of what is kept longer would still show
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		bound = 50 * time.Millisecond
	}
	if best > bound {
		t.Errorf("the longest window takes %v", best)
	}
}
