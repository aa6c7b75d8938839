package comm

import (
	"slices"
	"testing"
	"time"
)

// TestSMSUse follows an app through days: what fits, what is usual, and when a day is out of proportion.
func TestSMSUse(t *testing.T) {
	t.Parallel()
	first := At(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	day := func(n int) Micros { return first.Add(time.Duration(n) * 24 * time.Hour) }
	var u SMSUse
	u.Turn(first.Day())
	if u.Usual != 0 || u.Add(10_000, first) || !u.Fits(5, 10_005) || u.Fits(6, 10_005) || u.Today(first) != 10_000 || u.Today(day(1)) != 0 {
		t.Fatalf("on the first day nothing is usual: %+v", u)
	}
	u = SMSUse{Day: first.Day(), Used: 70}
	u.Turn(day(1).Day())
	if u.Usual != 70 || u.Used != 0 {
		t.Fatalf("%+v", u)
	}
	if u.Add(350, day(1)) {
		t.Error("five times the usual is not more than it")
	}
	if !u.Add(1, day(1)) || u.AlarmAt != day(1) {
		t.Errorf("one more is: %+v", u)
	}
	if u.Add(1000, day(1)) {
		t.Error("a second alarm on one day")
	}
	u.Turn(day(2).Day())
	if u.Usual < 250 || u.Usual > 260 { // (6*70 + 1351) / 7
		t.Errorf("usual is %d", u.Usual)
	}
	was := u.Usual
	u.Turn(day(2).Day())
	if u.Usual != was {
		t.Error("the same day turned twice")
	}
	u.Turn(day(9).Day())
	if u.Usual >= was/2 || u.Usual == 0 {
		t.Errorf("after a week without: %d", u.Usual)
	}
	u.Turn(day(100).Day())
	if u.Usual != 0 || u.Add(1_000_000, day(100)) {
		t.Errorf("after three months nothing is usual: %+v", u)
	}
	small := SMSUse{Day: first.Day(), Usual: 2}
	if small.Add(alarmFloor, first) || !small.Add(1, first) {
		t.Errorf("the floor: %+v", small)
	}
}

// TestCapsByPrefix: a number counts under every cap whose digits it begins with, and has to fit all of them.
func TestCapsByPrefix(t *testing.T) {
	t.Parallel()
	now := At(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	tomorrow := now.Add(24 * time.Hour)
	app := App{SMSPerDay: 10, SMSPrefixCaps: []SMSCap{{"1", 6}, {"1876", 2}, {"1900", 0}, {"44", 4}}}
	caps := func(number string, want ...string) []SMSCap {
		t.Helper()
		got, refused := app.CapsFor(number)
		var names []string
		for _, c := range got {
			names = append(names, c.Prefix)
		}
		if !slices.Equal(names, want) || refused != slices.Contains(want, "1900") {
			t.Fatalf("%s counts under %q, refused %v", number, names, refused)
		}
		return got
	}
	jamaica, usa, ghana := caps("18761234567", "", "1", "1876"), caps("12025550123", "", "1"), caps("233241234567", "")
	caps("19001234567", "", "1", "1900")
	days := SMSDays{}
	fits := func(caps []SMSCap, n int64, want string, at Micros) {
		t.Helper()
		over, use, exceeded := days.Over(caps, n, at.Day())
		switch {
		case exceeded != (want != "-") || exceeded && over.Prefix != want:
			t.Fatalf("%d under %+v: over %+v (%v), want %q", n, caps, over, exceeded, want)
		case exceeded && use.Used+n <= int64(over.PerDay):
			t.Fatalf("%+v is not over %+v", use, over)
		case !exceeded:
			if first, alarms := days.Add(caps, n, at); first != days[caps[0].Prefix] || len(alarms) != 0 {
				t.Fatalf("%+v %+v", first, alarms)
			}
		}
	}
	fits(jamaica, 2, "-", now)
	fits(jamaica, 1, "1876", now)
	fits(usa, 4, "-", now)
	fits(usa, 1, "1", now)
	fits(ghana, 4, "-", now)
	fits(ghana, 1, "", now)
	fits(jamaica, 1, "", now) // the first that is full
	for prefix, want := range map[string]int64{"": 10, "1": 6, "1876": 2, "44": 0} {
		if got := days.Today(prefix, now); got != want {
			t.Errorf("%d under %q, want %d", got, prefix, want)
		}
	}
	fits(jamaica, 2, "-", tomorrow)
	if days.Today("1", tomorrow) != 2 || days.Today("1", now) != 0 {
		t.Errorf("%+v", days)
	}
	// Each is out of proportion by itself.
	days = SMSDays{"": {Day: now.Day(), Usual: 1000}, "1": {Day: now.Day(), Usual: 30}}
	_, alarms := days.Add(usa, 151, now)
	if len(alarms) != 1 || alarms[0].Prefix != "1" || alarms[0].Use.Used != 151 || days.LastAlarm() != now {
		t.Errorf("%+v %+v", alarms, days)
	}
}
