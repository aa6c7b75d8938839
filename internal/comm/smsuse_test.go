package comm

import (
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
