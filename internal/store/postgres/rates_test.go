package postgres_test

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// A transaction that begins in a minute may count in the rate only after one that
// began in the next: another node's, whose row it had to wait for. It once set the new
// minute's count back, so that the app got what had been counted twice.
func TestALateCountDoesNotSetTheNextMinuteBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	const inMinute = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint % 60000`
	for scalar(t, url, inMinute) > 50_000 {
		time.Sleep(100 * time.Millisecond) // the case is in one minute
	}
	for _, keys := range []bool{false, true} {
		a := newApp(t, s)
		a.RatePerMinute = 10
		sql(t, url, `INSERT INTO rates (app_id, minute, used, before) VALUES ('`+hexOf(a.ID)+`', floor(extract(epoch FROM now()) / 60)::bigint + 1, 5, 8)`)
		subs := []store.Submission{submission(t, a, address(1)), submission(t, a, address(2)), submission(t, a, address(3))}
		if keys {
			for i := range subs {
				subs[i] = keyed(t, a, address(i))
				subs[i].RatePerMinute = 10
			}
		}
		out, err := s.Accept(t.Context(), subs)
		must(t, err)
		if out[0].Result != store.New || out[0].RateUsed != 9 || out[1].Result != store.New || out[2].Result != store.RateLimited {
			t.Errorf("with 8 of 10 used in the minute, keys %v: %+v", keys, out)
		}
		if n := scalar(t, url, `SELECT used * 1000 + before FROM rates WHERE app_id = '`+hexOf(a.ID)+`'`); n != 5011 {
			t.Errorf("the next minute has %d, its predecessor %d; want 5 and 11", n/1000, n%1000)
		}
		// One alone, by the statement for it.
		if got := acceptOne(t, s, submission(t, newAppIn(t, s, url, 3), address(9))); got.RateUsed != 4 {
			t.Errorf("one alone is number %d of its minute, want 4", got.RateUsed)
		}
	}
	// The next minute begins with nothing, and knows what the one before had.
	a := newApp(t, s)
	sql(t, url, `INSERT INTO rates (app_id, minute, used, before) VALUES ('`+hexOf(a.ID)+`', floor(extract(epoch FROM now()) / 60)::bigint - 1, 7, 3)`)
	if got := acceptOne(t, s, submission(t, a, address(1))); got.RateUsed != 1 {
		t.Errorf("%+v", got)
	}
	if n := scalar(t, url, `SELECT used * 1000 + before FROM rates WHERE app_id = '`+hexOf(a.ID)+`'`); n != 1007 {
		t.Errorf("a new minute after one with 7 is %d", n)
	}
}

// newAppIn is an app that used some of this minute, while another node has begun the next.
func newAppIn(t *testing.T, s *postgres.Store, url string, used int) *comm.App {
	t.Helper()
	a := newApp(t, s)
	sql(t, url, `INSERT INTO rates (app_id, minute, used, before) VALUES ('`+hexOf(a.ID)+`', floor(extract(epoch FROM now()) / 60)::bigint + 1, 1, `+string(rune('0'+used))+`)`)
	return a
}
