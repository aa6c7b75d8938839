package postgres_test

import (
	"errors"
	"slices"
	"testing"

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
