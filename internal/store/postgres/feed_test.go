package postgres_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// stamper gives events their places as an engine does, and remembers what it has seen.
type stamper struct {
	s      *postgres.Store
	leases map[comm.Shard]store.Lease
	seen   store.Seen
}

func (x *stamper) look(t *testing.T) (events int) {
	t.Helper()
	l, err := x.s.Outbox(t.Context(), allShards(), x.seen, 1000)
	must(t, err)
	x.seen = l.Seen
	if len(l.Rows) == 0 {
		return 0
	}
	st := store.Stamping{Node: "node"}
	for _, lease := range x.leases {
		st.Leases = append(st.Leases, lease)
	}
	var apps []comm.ID
	for _, r := range l.Rows {
		st.Rows = append(st.Rows, r.Key)
		for _, e := range r.Events {
			if !slices.Contains(apps, e.App) {
				apps = append(apps, e.App)
			}
		}
	}
	heads, err := x.s.Heads(t.Context(), apps)
	must(t, err)
	for i, app := range apps {
		run := store.Run{App: app, At: l.Rows[0].At}
		for _, r := range l.Rows {
			for _, e := range r.Events {
				if e.App == app {
					run.Events = append(run.Events, e)
				}
			}
		}
		run.Last = heads[i] + int64(len(run.Events))
		events += len(run.Events)
		st.Runs = append(st.Runs, run)
	}
	_, err = x.s.Stamp(t.Context(), st)
	must(t, err)
	return events
}

// While pages of one look are read, a transaction that was open at its beginning ends, and another one that waited for it: the
// pages tell of neither, so that the next look finds both, in their order.
func TestPagesOfALookSeeWhatItsFirstSaw(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	own(t, s, "node", time.Hour)
	a, b := newApp(t, s), newApp(t, s)
	slow := comm.NewID(1)
	held, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = held.Close(context.Background()) })
	say := func(sql string, args ...any) {
		t.Helper()
		_, err := held.Exec(t.Context(), sql, args...)
		must(t, err)
	}
	list := func(sequence int) {
		t.Helper()
		say(sqlstore.PostgreSQL().Outbox, 1, sqlstore.AppendRef(nil, b.ID, slow, sequence), int64(sqlstore.HomeOf(b.ID)))
	}
	const pages, limit = 6, 3
	say(`BEGIN`)
	list(2)
	for n := range pages * limit {
		acceptOne(t, s, submission(t, a, address(n)))
	}
	seen := store.Seen{}
	look := func() (sequences []int, l store.Look) {
		t.Helper()
		l, err := s.Outbox(t.Context(), allShards(), seen, limit)
		must(t, err)
		seen = l.Seen
		for _, r := range l.Rows {
			for _, e := range r.Events {
				if e.Message == slow {
					sequences = append(sequences, e.Sequence)
				}
			}
		}
		return sequences, l
	}
	others := 0
	for n := range pages {
		got, l := look()
		if len(got) != 0 || !l.More {
			t.Fatalf("page %d tells of %v, and %v that there is more", n, got, l.More)
		}
		if others += len(l.Rows); n == 1 {
			say(`COMMIT`)
			list(3)
			acceptOne(t, s, submission(t, a, address(100)))
		}
	}
	if got, l := look(); len(got)+len(l.Rows) != 0 || l.More || others != pages*limit {
		t.Fatalf("the end of %d rows is %+v", others, l)
	}
	if got, l := look(); !slices.Equal(got, []int{2, 3}) || len(l.Rows) != 3 {
		t.Fatalf("the next look finds %v among %+v", got, l.Rows)
	}
}

// Of two transactions of one message the later one has the lower number, because it had written something else before it waited for the other one: and between the two
// there is more than a look reads, or than an engine stamps at once. Wherever a look ends, no event comes before an earlier one of its message.
func TestALookEndsBetweenNoMessagesEvents(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	own(t, s, "node", time.Hour)
	a, b := newApp(t, s), newApp(t, s)
	slow, slower := submission(t, b, address(1)), submission(t, b, address(2))
	acceptOne(t, s, slow)
	acceptOne(t, s, slower)
	connect := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), url)
		must(t, err)
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		return c
	}
	say := func(c *pgx.Conn, sql string, args ...any) {
		t.Helper()
		_, err := c.Exec(t.Context(), sql, args...)
		must(t, err)
	}
	// write stores an event as a turn does.
	write := func(c *pgx.Conn, m comm.ID, sequence int) {
		t.Helper()
		say(c, `INSERT INTO events SELECT app_id, message_id, $3, type, from_status, to_status, at, generation, attempt, epoch, node, actor, provider, provider_id, ref, error_code, detail
			FROM events WHERE app_id = $1 AND message_id = $2 AND sequence = 1`, sqlstore.UUID(b.ID), sqlstore.UUID(m), sequence)
		say(c, sqlstore.PostgreSQL().Outbox, 1, sqlstore.AppendRef(nil, b.ID, m, sequence), int64(sqlstore.HomeOf(b.ID)))
	}
	const limit = 3
	others := func() {
		for range 3 * limit {
			acceptOne(t, s, submission(t, a, address(9)))
		}
	}
	// Numbers in this order: last has the third events, middle one's second and the other's fourth, and the second of that is of a transaction alone.
	last, middle := connect(), connect()
	say(last, `BEGIN; SELECT pg_current_xact_id()`)
	others()
	say(middle, `BEGIN; SELECT pg_current_xact_id()`)
	others()
	acceptOne(t, s, submission(t, a, address(9)))
	_, _, err := s.Cancel(t.Context(), b.ID, slower.ID, "app")
	must(t, err)
	write(middle, slow.ID, 2)
	write(middle, slower.ID, 3)
	say(middle, `COMMIT`)
	write(last, slow.ID, 3)
	write(last, slower.ID, 4)
	say(last, `COMMIT`)
	others()
	next, seen, looks := map[comm.ID]int{}, store.Seen{}, 0
	for more := true; more; looks++ {
		l, err := s.Outbox(t.Context(), allShards(), seen, limit)
		must(t, err)
		var events []store.EventRef
		for _, r := range l.Rows {
			events = append(events, r.Events...)
		}
		// As an engine does within a step.
		slices.SortStableFunc(events, func(a, b store.EventRef) int { return a.Sequence - b.Sequence })
		for _, e := range events {
			if next[e.Message]++; e.Sequence != next[e.Message] {
				t.Fatalf("look %d: event %d of %s follows %d", looks, e.Sequence, e.Message, next[e.Message]-1)
			}
		}
		seen, more = l.Seen, l.More
	}
	if next[slow.ID] != 3 || next[slower.ID] != 4 || len(next) != 2+9*limit+1 || looks < 5 {
		t.Errorf("%d and %d events, of %d messages, in %d looks", next[slow.ID], next[slower.ID], len(next), looks)
	}
}

// A write transaction that stays open brings its own events later: nobody else's wait for it, there is no gap, and it
// is found when it is committed at last, however many looks there were meanwhile.
func TestAHeldTransactionLeavesNoGap(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	x := &stamper{s: s, leases: own(t, s, "node", time.Hour)}
	a, b := newApp(t, s), newApp(t, s)
	slow := submission(t, b, address(1))
	acceptOne(t, s, slow)
	if n := x.look(t); n != 1 {
		t.Fatal(n)
	}
	held, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = held.Close(context.Background()) })
	items := sqlstore.AppendRef(nil, b.ID, slow.ID, 2)
	_, err = held.Exec(t.Context(), `BEGIN`)
	must(t, err)
	_, err = held.Exec(t.Context(), sqlstore.PostgreSQL().Outbox, 1, items, int64(sqlstore.HomeOf(b.ID)))
	must(t, err)
	for n := range 30 {
		acceptOne(t, s, submission(t, a, address(10+n)))
		if n%3 == 0 {
			acceptOne(t, s, submission(t, b, address(100+n)))
		}
		if got, want := x.look(t), 1+(3-n%3)/3; got != want {
			t.Fatalf("look %d found %d events, want %d", n, got, want)
		}
	}
	_, err = held.Exec(t.Context(), `COMMIT`)
	must(t, err)
	if n := x.look(t); n != 1 {
		t.Fatalf("%d events of the transaction that was held", n)
	}
	for app, want := range map[comm.ID]int{a.ID: 30, b.ID: 12} {
		places, err := s.Places(t.Context(), app, 0, 100)
		must(t, err)
		for i, p := range places {
			if p.Position != int64(i+1) {
				t.Fatalf("position %d at %d", p.Position, i)
			}
		}
		if len(places) != want {
			t.Fatalf("%d events, want %d", len(places), want)
		}
	}
	last, err := s.Places(t.Context(), b.ID, 11, 1)
	must(t, err)
	if len(last) != 1 || last[0].Message != slow.ID || last[0].Sequence != 2 {
		t.Fatalf("%+v", last)
	}
}

// With an old snapshot held, rows that were stamped stay where they were: a look steps over none that an earlier one has seen.
func TestAnOldSnapshotDoesNotSlowStamping(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	x := &stamper{s: s, leases: own(t, s, "node", time.Hour)}
	a := newApp(t, s)
	old, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = old.Close(context.Background()) })
	_, err = old.Exec(t.Context(), `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM apps`)
	must(t, err)
	const dead = 50_000
	sql(t, url, `INSERT INTO outbox SELECT pg_current_xact_id()::text::bigint, 1, 1, '' FROM generate_series(1, 50000)`, `DELETE FROM outbox`)
	const rounds = 40
	for i := range rounds {
		acceptOne(t, s, submission(t, a, address(i)))
		if n := x.look(t); n != 1 {
			t.Fatalf("look %d found %d events", i, n)
		}
	}
	must(t, s.Close()) // a session that ends tells what it has counted
	read := func(column string) int64 {
		return scalar(t, url, `SELECT `+column+` FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_xid'`)
	}
	for end := time.Now().Add(30 * time.Second); read("idx_scan") < rounds; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d scans of the index in %d rounds", read("idx_scan"), rounds)
		}
	}
	// The first look begins at the beginning.
	if n := read("idx_tup_read"); n > 2*dead+10*rounds {
		t.Errorf("%d looks stepped over %d rows, of which %d were stamped long ago", rounds, n, dead)
	}
}

// An erasure waits for stampings under way, whose deliveries tell of the person and which it cannot see yet, and takes what they made.
func TestAnErasureTakesWhatIsBeingStamped(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	m := submission(t, a, address(1))
	acceptOne(t, s, m)
	if _, _, err := s.Cancel(t.Context(), a.ID, m.ID, "app"); err != nil {
		t.Fatal(err)
	}
	stamping, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = stamping.Close(context.Background()) })
	_, err = stamping.Exec(t.Context(), `BEGIN`)
	must(t, err)
	_, err = stamping.Exec(t.Context(), `SELECT pg_advisory_xact_lock_shared(`+sqlstore.ToldLock+`, $1::integer)`, int32(sqlstore.HomeOf(a.ID)))
	must(t, err)
	_, err = stamping.Exec(t.Context(), `INSERT INTO deliveries (`+sqlstore.DeliveryColumns+`) VALUES ($1, $1, $2, 1, $2, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, '', 'x')`, sqlstore.UUID(a.ID), sqlstore.UUID(m.ID))
	must(t, err)
	erased := make(chan error, 1)
	go func() {
		_, err := s.Erase(context.Background(), a.ID, []comm.ID{m.ID}, store.Erasing{Mask: "x"})
		erased <- err
	}()
	select {
	case err := <-erased:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	_, err = stamping.Exec(t.Context(), `COMMIT`)
	must(t, err)
	must(t, <-erased)
	if n := scalar(t, url, `SELECT count(*) FROM deliveries`); n != 0 {
		t.Errorf("%d deliveries tell of who was erased", n)
	}
}

// A server that took over without the last transactions numbers the next ones again: what was seen on the one before hides none of them.
func TestTransactionsThatGoBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	x := &stamper{s: s, leases: own(t, s, "node", time.Hour)}
	a := newApp(t, s)
	acceptOne(t, s, submission(t, a, address(1)))
	if n := x.look(t); n != 1 {
		t.Fatal(n)
	}
	x.seen.From += 1_000_000 // as the server before had counted
	acceptOne(t, s, submission(t, a, address(2)))
	if n := x.look(t); n != 1 {
		t.Fatalf("%d events after the take-over", n)
	}
	acceptOne(t, s, submission(t, a, address(3)))
	if n := x.look(t); n != 1 || x.seen.From > 1_000_000_000 {
		t.Fatalf("%d events, seen %+v", n, x.seen)
	}
}
