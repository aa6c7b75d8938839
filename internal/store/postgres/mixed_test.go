package postgres_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
)

// TestWhatIsRefusedForItsCapFailsNobodyElse: of a group, what counts towards a cap is stored first. If the
// database refuses that, nothing of the group is stored, and the caller, who is told so, takes the group apart:
// an error that nobody could tell the meaning of would fail those of other apps, whose messages are sent all the same.
func TestWhatIsRefusedForItsCapFailsNobodyElse(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	capped, free := newApp(t, s), newApp(t, s)
	plain := []store.Submission{submission(t, free, address(1)), keyed(t, free, "key"), submission(t, capped, address(2))}
	sms := submission(t, capped, "233241234567")
	sms.Channel, sms.Mode, sms.Segments, sms.Caps = comm.SMS, comm.Live, 1, []comm.SMSCap{{PerDay: 10}}
	// Such as one whose day cannot be locked in time.
	sql(t, url, `CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'this day cannot be counted'; END $$`,
		`CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON sms_use FOR EACH ROW EXECUTE FUNCTION refused()`)
	for at := range len(plain) + 1 { // wherever it stands in the group
		group := slices.Insert(slices.Clone(plain), at, sms)
		if _, err := s.Accept(t.Context(), group); err == nil || errors.Is(err, store.ErrUncertain) {
			t.Fatalf("at %d: %v", at, err)
		}
		if n := scalar(t, url, `SELECT count(*) FROM state`); n != 0 {
			t.Fatalf("at %d: %d messages of a group that was refused are stored", at, n)
		}
	}
	out, err := s.Accept(t.Context(), plain)
	must(t, err)
	for i := range out {
		if out[i].Result != store.New {
			t.Errorf("%d: %+v", i, out[i])
		}
	}
	sql(t, url, `DROP TRIGGER refused ON sms_use`)
	group := []store.Submission{submission(t, free, address(3)), sms}
	if out, err = s.Accept(t.Context(), group); err != nil || out[0].Result != store.New || out[1].Result != store.New || out[1].Use.Used != 1 {
		t.Errorf("%+v %v", out, err)
	}
}

// wantResults compares what became of a group, and what of it is stored.
func wantResults(t *testing.T, s *postgres.Store, group []store.Submission, want ...store.AcceptResult) {
	t.Helper()
	out, err := s.Accept(t.Context(), group)
	must(t, err)
	for i, x := range group {
		if out[i].Result != want[i] {
			t.Errorf("%d: %+v, want %d", i, out[i], want[i])
		}
		if _, err := s.Message(t.Context(), x.App, x.ID); (out[i].Result == store.New) != (err == nil) && out[i].Result != store.Uncertain {
			t.Errorf("%d: %+v, and looking answers %v", i, out[i], err)
		}
		if out[i].Result == store.New && (out[i].RateUsed == 0 || out[i].RateReset == 0) {
			t.Errorf("%d: nothing is known of its rate: %+v", i, out[i])
		}
	}
}

// TestAPoisonRowBesideALockFailsAlone: where an app has to be tried apart, because it or another one is locked, or was
// within the last minute, a row that cannot be stored costs nobody else the answer, in its own app or another.
func TestAPoisonRowBesideALockFailsAlone(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	lockedApp, sick, free, late := newApp(t, s), newApp(t, s), newApp(t, s), newApp(t, s)
	const n, b, poison = store.New, store.Busy, "poison@example.org"
	sql(t, url, `ALTER TABLE content ADD CHECK (recipient <> '`+poison+`')`) // it is met after the lock
	m := func(a *comm.App) store.Submission { return submission(t, a, address(1)) }
	wantResults(t, s, []store.Submission{m(lockedApp), m(sick)}, n, n)
	end := locked(t, url, `UPDATE rates SET used = used WHERE app_id = '`+hexOf(lockedApp.ID)+`'`)
	wantResults(t, s, []store.Submission{m(free), m(sick), submission(t, sick, poison), m(sick), m(lockedApp), m(late)}, n, n, b, n, b, n)
	end("ROLLBACK")
	time.Sleep(1100 * time.Millisecond)
	wantResults(t, s, []store.Submission{m(free), m(lockedApp), m(lockedApp), submission(t, lockedApp, poison), m(late), m(lockedApp)}, n, n, n, b, n, n)
	sms := cappedSMS(t, lockedApp)
	sms.Recipient = poison
	wantResults(t, s, []store.Submission{cappedSMS(t, free), sms, cappedSMS(t, lockedApp), m(late)}, n, b, n, n)
	// Of a group of which nothing is stored the caller finds out what is wrong with the row.
	if _, err := s.Accept(t.Context(), []store.Submission{m(lockedApp), submission(t, lockedApp, poison)}); err == nil || errors.Is(err, store.ErrUncertain) {
		t.Error(err)
	}
}

// TestAPoisonRowBesideWhatIsStoredFailsAlone: what counts towards a cap is stored before the others of its group, and
// what repeats a key after them.
func TestAPoisonRowBesideWhatIsStoredFailsAlone(t *testing.T) {
	t.Parallel()
	s := opened(t, postgres.Options{URL: migrated(t)})
	sick, free, limited := newApp(t, s), newApp(t, s), newApp(t, s)
	const n, b, poison = store.New, store.Busy, "nul\x00@example.org"
	wantResults(t, s, []store.Submission{
		submission(t, free, address(1)), submission(t, sick, address(1)), submission(t, sick, poison), cappedSMS(t, sick), submission(t, sick, address(2)),
	}, n, n, b, n, n)
	limited.RatePerMinute = 0
	first, second := keyed(t, limited, "k"), keyed(t, limited, "k")
	second.Recipient = poison
	wantResults(t, s, []store.Submission{submission(t, free, address(2)), first, second}, n, store.RateLimited, b)
}

// TestALostAnswerIsUncertainForItsAppAlone: if the connection is lost on which an app is tried apart, nobody knows what
// became of its messages; the others have their answers.
func TestALostAnswerIsUncertainForItsAppAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, to string
		stored   int64
	}{{"the request was lost", cutBefore, 0}, {"the answer was lost", cutAfter, 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			direct := migrated(t)
			s := opened(t, postgres.Options{URL: through(t, direct, &proxy{})})
			cut, other, free := newApp(t, s), newApp(t, s), newApp(t, s)
			const n, u, b = store.New, store.Uncertain, store.Busy
			m := func(a *comm.App) store.Submission { return submission(t, a, address(1)) }
			wantResults(t, s, []store.Submission{m(cut), m(other)}, n, n)
			end := locked(t, direct, `UPDATE rates SET used = used`)
			wantResults(t, s, []store.Submission{m(free), m(cut), m(other)}, n, b, b)
			end("ROLLBACK")
			time.Sleep(1100 * time.Millisecond)
			group := []store.Submission{m(cut), m(free), submission(t, cut, c.to), m(other)}
			wantResults(t, s, group, u, n, u, n)
			if n := scalar(t, direct, `SELECT count(*) FROM state WHERE id IN ($1, $2)`, uuid(group[0].ID), uuid(group[2].ID)); n != c.stored {
				t.Errorf("%d are stored, want %d", n, c.stored)
			}
		})
	}
}
