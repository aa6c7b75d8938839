package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// locked runs statements in a transaction of a second connection, as an operator at a prompt
// does, and answers what ends it.
func locked(t *testing.T, url string, statements ...string) (end func(how string)) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	c, err := pgx.Connect(ctx, url)
	must(t, err)
	t.Cleanup(func() { _ = c.Close(ctx) })
	for _, x := range append([]string{"BEGIN"}, statements...) {
		if _, err := c.Exec(ctx, x); err != nil {
			t.Fatalf("%s: %v", x, err)
		}
	}
	return func(how string) {
		t.Helper()
		_, err := c.Exec(ctx, how)
		must(t, err)
	}
}

// cappedSMS is a submission of one segment under a cap.
func cappedSMS(t *testing.T, a *comm.App) store.Submission {
	t.Helper()
	s := submission(t, a, "233241234567")
	s.Channel, s.Mode, s.Segments, s.Caps = comm.SMS, comm.Live, 1, []comm.SMSCap{{PerDay: 1000}}
	return s
}

// waiting says that a connection of the test's database waits for a lock.
func waiting(t *testing.T, url string) bool {
	t.Helper()
	return scalar(t, url, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
}

// An accept that has to wait for somebody's open transaction is refused for now, in bounded
// time; nothing of it is stored or counted, and the other apps of its group go on.
func TestALockedAppHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		for _, c := range []struct {
			name, lock string             // of the app $app
			sms        store.AcceptResult // of its SMS when the lock is met
		}{
			{"its rate", `UPDATE rates SET used = used WHERE app_id = '$app'`, store.Busy},
			{"its day of SMS", `UPDATE sms_use SET used = used WHERE app_id = '$app'`, store.Busy},
			{"a key", `DELETE FROM idempotency WHERE app_id = '$app'`, store.New}, // which the mail has
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				url := migrated(t)
				s := opened(t, postgres.Options{URL: url, Pooled: pooled})
				lockedApp, free := newApp(t, s), newApp(t, s)
				group := func() []store.Submission {
					return []store.Submission{keyed(t, lockedApp, "k"), submission(t, free, address(1)), cappedSMS(t, lockedApp), cappedSMS(t, free), submission(t, free, address(2))}
				}
				accept := func(most time.Duration, want ...store.AcceptResult) {
					t.Helper()
					began := time.Now()
					out, err := s.Accept(t.Context(), group())
					must(t, err)
					for i := range out {
						if out[i].Result != want[i] {
							t.Errorf("%d: %+v, want %d", i, out[i], want[i])
						}
					}
					if took := time.Since(began); took > most {
						t.Errorf("it took %v", took)
					}
				}
				const n, r, b = store.New, store.Replay, store.Busy
				accept(10*time.Second, n, n, n, n, n)
				end := locked(t, url, strings.ReplaceAll(c.lock, "$app", hexOf(lockedApp.ID)))
				accept(5*time.Second, b, n, c.sms, n, n) // the group waits, then each app by itself
				accept(time.Second, b, n, b, n, n)       // what rests is not asked for
				time.Sleep(1100 * time.Millisecond)
				accept(time.Second, b, n, c.sms, n, n) // it is asked for again, apart
				end("ROLLBACK")
				eventually(t, "the app's messages are accepted again", func() bool {
					out, err := s.Accept(t.Context(), group())
					must(t, err)
					return out[0].Result == r && out[2].Result == n
				})
				counted := scalar(t, url, `SELECT used FROM sms_use WHERE app_id = '`+hexOf(lockedApp.ID)+`'`)
				if stored := scalar(t, url, `SELECT count(*) FROM state WHERE channel = 2 AND app_id = '`+hexOf(lockedApp.ID)+`'`); counted != stored {
					t.Errorf("%d counted, %d stored", counted, stored)
				}
			})
		}
	}
}

// When a whole table is locked every group ends in bounded time, however many apps it holds.
func TestALockedTableIsBusyForAll(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	var apps []*comm.App
	for range 60 {
		apps = append(apps, newApp(t, s))
	}
	accept := func() (busy int) {
		t.Helper()
		var subs []store.Submission
		for i, a := range apps {
			subs = append(subs, submission(t, a, address(i)))
		}
		began := time.Now()
		out, err := s.Accept(t.Context(), subs)
		must(t, err)
		for i := range out {
			if out[i].Result == store.Busy {
				busy++
			} else if out[i].Result != store.New {
				t.Errorf("%d: %+v", i, out[i])
			}
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %v", took)
		}
		return busy
	}
	end := locked(t, url, `LOCK TABLE rates`)
	for range 2 {
		if n := accept(); n != len(apps) {
			t.Errorf("%d of %d were refused", n, len(apps))
		}
	}
	end("ROLLBACK")
	eventually(t, "all are accepted again", func() bool { return accept() == 0 })
}

// Two nodes are asked with the same key at the same instant, while one place is left in the
// app's minute or day: whoever waited for the other one's transaction answers a replay.
func TestTheLoserOfAKeyAtTheEdgeIsAReplay(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	const inMinute = `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint % 60000`
	for scalar(t, url, inMinute) > 50_000 {
		time.Sleep(100 * time.Millisecond) // the case is in one minute
	}
	a := newApp(t, s)
	app := hexOf(a.ID)
	a.RatePerMinute = 2
	limited := func(key string) store.Submission {
		x := keyed(t, a, key)
		x.RatePerMinute = a.RatePerMinute
		return x
	}
	// The store knows that the app is over its rate, and looks at each of its submissions.
	out, err := s.Accept(t.Context(), []store.Submission{limited("one"), limited("two"), limited("three")})
	must(t, err)
	if out[2].Result != store.RateLimited {
		t.Fatalf("%+v", out)
	}
	// Another node has stored the key in the last place of the minute, and its commit is under way.
	k := limited("k")
	key := fmt.Sprintf(`\x%x`, k.KeyHash)
	end := locked(t, url, `UPDATE rates SET used = 2 WHERE app_id = '`+app+`'`,
		`INSERT INTO idempotency (app_id, mode, hash, id, fingerprint) SELECT app_id, mode, '`+key+`', '`+hexOf(k.ID)+`', fingerprint FROM idempotency LIMIT 1`)
	done := make(chan []store.Accepted, 1)
	go func() {
		out, err := s.Accept(t.Context(), []store.Submission{limited("other"), limited("k")})
		if err != nil {
			t.Error(err)
		}
		done <- out
	}()
	eventually(t, "the accept waits", func() bool { return waiting(t, url) })
	end("COMMIT")
	if out = <-done; len(out) != 2 || out[0].Result != store.RateLimited || out[1].Result != store.Replay || out[1].ID != k.ID {
		t.Errorf("%+v", out)
	}
}

// A message that somebody has locked costs a turn that it is in little, and others' turns nothing: who schedules finds it by halving.
func TestALockedMessageHoldsATurnUpForLittle(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		t.Run(fmt.Sprint("pooled ", pooled), func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			s := opened(t, postgres.Options{URL: url, Pooled: pooled})
			a := newApp(t, s)
			subs := []store.Submission{submission(t, a, address(1)), submission(t, a, address(2))}
			out, err := s.Accept(t.Context(), subs)
			must(t, err)
			due := []comm.Micros{out[0].Due, out[1].Due}
			leases := own(t, s, "a", time.Minute)
			turn := func(from, to int) (time.Duration, error) {
				began := time.Now()
				res, err := s.Turn(t.Context(), startAll(t, s, "a", leases, subs[from:to], due[from:to]))
				if err == nil && res.Started[0].Verdict != store.Go {
					t.Errorf("%+v", res.Started)
				}
				return time.Since(began), err
			}
			end := locked(t, url, `SELECT 1 FROM state WHERE id = '`+hexOf(subs[0].ID)+`' FOR UPDATE`)
			took, err := turn(0, 2)
			if undone, ok := errors.AsType[*store.RolledBack](err); !ok || store.Away(undone) || took > 3*time.Second { // the halving of it is dispatch's
				t.Errorf("%v, after %v", err, took)
			}
			if _, err := turn(1, 2); err != nil {
				t.Error("a turn without it:", err)
			}
			end("ROLLBACK")
			if _, err := turn(0, 1); err != nil {
				t.Error("afterwards:", err)
			}
		})
	}
}
