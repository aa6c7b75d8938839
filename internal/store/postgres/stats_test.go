package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// Rows grow old: minutes become hours, hours days, and the oldest go; nothing is lost or doubled on the way.
func TestStatisticsGrowOld(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	for i := range 5 {
		acceptOne(t, s, submission(t, a, address(i)))
		sql(t, url, `UPDATE tallies SET at = at - 7200000000 - 3600000000 WHERE at > (extract(epoch FROM now()) * 1000000)::bigint - 60000000`)
	}
	fold := func() {
		for more := true; more; {
			f, err := postgres.FoldAnew(t.Context(), s)
			must(t, err)
			more = f.Rows > 0
		}
	}
	total := func() (n int64) {
		for _, app := range []comm.ID{a.ID, {}} {
			lists, err := s.Periods(t.Context(), []comm.ID{app}, 0)
			must(t, err)
			for _, p := range lists[0] {
				counts, err := store.DecodeCounts(p.Counts)
				must(t, err)
				n += counts[store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}]
			}
		}
		return n
	}
	const spans = `SELECT coalesce(sum(span), 0)::bigint FROM (SELECT DISTINCT span FROM stats) s`
	for step, want := range []int64{int64(store.Hour), int64(store.Day), 0} {
		fold()
		if got := scalar(t, url, spans); got != want || scalar(t, url, `SELECT count(*) FROM tallies`) != 0 {
			t.Errorf("step %d: rows of %d, want %d", step, got, want)
		}
		if n := total(); n != 10 && want != 0 {
			t.Errorf("step %d: %d messages, accepted were 5 of one app and of all", step, n)
		}
		sql(t, url, `UPDATE stats SET start = start - CASE span WHEN 3600000000 THEN 9 ELSE 402 END * 86400000000`)
	}
}

// With an old snapshot held, rows that were folded stay where they were: folding and reading do
// not step over all of them. What an index scan steps over is counted by the server, so that
// this does not depend on the machine.
func TestAnOldSnapshotDoesNotSlowStatistics(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	acceptOne(t, s, submission(t, a, address(1)))
	old, err := pgx.Connect(t.Context(), url)
	must(t, err)
	t.Cleanup(func() { _ = old.Close(context.Background()) })
	_, err = old.Exec(t.Context(), `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM apps`)
	must(t, err)
	// An hour of transactions that are long over, and were folded.
	const dead = 100_000
	sql(t, url, `INSERT INTO tallies (at, items) SELECT (extract(epoch FROM now()) * 1000000)::bigint - 3600000000 + i * 10000, '\x00000000' FROM generate_series(1, 100000) i`,
		`DELETE FROM tallies WHERE items = '\x00000000'`)
	_, err = s.Fold(t.Context()) // the first one looks everywhere
	must(t, err)
	const rounds = 20
	for i := range rounds {
		acceptOne(t, s, submission(t, a, address(2+i)))
		_, err := s.Periods(t.Context(), []comm.ID{a.ID, {}}, 0)
		must(t, err)
		_, err = s.Fold(t.Context())
		must(t, err)
	}
	must(t, s.Close()) // a session that ends tells what it has counted
	read := func(column string) int64 {
		return scalar(t, url, `SELECT `+column+` FROM pg_stat_user_indexes WHERE indexrelname = 'tallies_at'`)
	}
	for end := time.Now().Add(30 * time.Second); read("idx_scan") < 3*rounds; time.Sleep(50 * time.Millisecond) { // to read, to look and to fold
		if time.Now().After(end) {
			t.Fatalf("%d scans of the index in %d rounds", read("idx_scan"), rounds)
		}
	}
	// Looking everywhere once, the first time, is what is allowed; each round would do so twice. Plans may look a little, too.
	if n := read("idx_tup_read"); n < dead || n > 10*dead {
		t.Errorf("%d scans stepped over %d rows, of which %d were folded long ago", read("idx_scan"), n, dead)
	}
}

// Tallies that cannot be read stay in the database, set aside, and what was counted before and after them is folded.
func TestATallyThatCannotBeReadIsSetAside(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	acceptOne(t, s, submission(t, a, address(1)))
	now := comm.At(time.Now())
	sql(t, url, fmt.Sprintf(`INSERT INTO tallies (at, items, took) VALUES (%d, '\xff01', NULL), (%d, (SELECT items FROM tallies LIMIT 1), '{4096}')`, now, now+1))
	acceptOne(t, s, submission(t, a, address(2)))
	report := func(when string) {
		t.Helper()
		lists, err := s.Periods(t.Context(), []comm.ID{a.ID}, 0)
		must(t, err)
		n := int64(0)
		for _, p := range lists[0] {
			counts, err := store.DecodeCounts(p.Counts)
			must(t, err)
			n += counts[store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}]
		}
		if n != 2 {
			t.Errorf("%s: %d are counted, want 2", when, n)
		}
	}
	report("before")
	f, err := postgres.FoldAnew(t.Context(), s)
	if err != nil || f.Aside != 2 || f.Rows == 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	report("after")
	acceptOne(t, s, submission(t, a, address(3))) // they are met once
	if f, err := postgres.FoldAnew(t.Context(), s); err != nil || f.Aside != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	whole := fmt.Sprintf(`SELECT count(*) FROM tallies WHERE at = %d AND items = '\xff01' AND took IS NULL OR at = %d AND took = '{4096}'`, -1-now, -2-now)
	if n := scalar(t, url, whole); n != 2 || scalar(t, url, `SELECT count(*) FROM tallies`) != 2 {
		t.Errorf("%d rows are aside", n)
	}
}
