package comm

import "strings"

// SMSCap is how many segments of live SMS an app may have accepted in a UTC day, to the
// numbers that begin so; "" is every number.
type SMSCap struct {
	Prefix string
	PerDay int
}

// SMSUse is what is counted under a cap: segments of the UTC day, and what is
// usual, so that a day out of proportion is noticed before the bill tells of it.
type SMSUse struct {
	Day     int64 // which Used belongs to, as Micros.Day counts
	Used    int64
	Usual   int64  // a mean of the days before, in which each weighs six sevenths of the next one; 0: there was none
	AlarmAt Micros // when Used last passed alarmTimes of Usual; 0: never
}

const (
	alarmTimes = 5
	// alarmFloor keeps days of a few messages from being out of proportion.
	alarmFloor = 100
	// weight of the mean in its next value; the new day has 1.
	weight = 6
	// maxGap is after how many days without SMS nothing is usual any more.
	maxGap = 60
)

// Turn goes on to a later day.
func (u *SMSUse) Turn(day int64) {
	if day <= u.Day {
		return
	}
	switch gap := day - u.Day; {
	case u.Day == 0: // the first day
	case gap > maxGap:
		u.Usual = 0
	case u.Usual == 0:
		u.Usual = u.Used
	default:
		u.Usual = (weight*u.Usual + u.Used + weight) / (weight + 1)
		for range gap - 1 {
			u.Usual = weight * u.Usual / (weight + 1)
		}
	}
	u.Day, u.Used = day, 0
}

// Fits says whether n more segments stay within a cap.
func (u *SMSUse) Fits(n int64, perDay int) bool { return u.Used+n <= int64(perDay) }

// Add counts n segments at an instant, and answers whether the day is out of proportion
// by them: at most once a day.
func (u *SMSUse) Add(n int64, now Micros) (alarm bool) {
	u.Used += n
	if u.Usual == 0 || u.Used <= max(alarmFloor, alarmTimes*u.Usual) || u.AlarmAt != 0 && u.AlarmAt.Day() == u.Day {
		return false
	}
	u.AlarmAt = now
	return true
}

// Today is how many segments count in the UTC day of an instant.
func (u *SMSUse) Today(now Micros) int64 {
	if u.Day != now.Day() {
		return 0
	}
	return u.Used
}

// Stale says that nothing of it counts any more on a day: it is as if there had never been any.
func (u *SMSUse) Stale(day int64) bool { return day-u.Day > maxGap }

// SMSDays is what is counted under an app's caps, by their prefixes.
type SMSDays map[string]SMSUse

// SMSAlarm says that a day is out of proportion under one of the caps.
type SMSAlarm struct {
	Prefix string
	Use    SMSUse
}

// Over answers the first of the caps under which n more segments do not fit on a day.
func (d SMSDays) Over(caps []SMSCap, n, day int64) (over SMSCap, use SMSUse, exceeded bool) {
	for _, c := range caps {
		use := d[c.Prefix]
		use.Turn(day)
		if !use.Fits(n, c.PerDay) {
			return c, use, true
		}
	}
	return SMSCap{}, SMSUse{}, false
}

// Add counts n segments under each of the caps, and answers the first one's use and which days are out of proportion by them.
func (d SMSDays) Add(caps []SMSCap, n int64, now Micros) (first SMSUse, alarms []SMSAlarm) {
	for i, c := range caps {
		use := d[c.Prefix]
		use.Turn(now.Day())
		if use.Add(n, now) {
			alarms = append(alarms, SMSAlarm{c.Prefix, use})
		}
		if d[c.Prefix] = use; i == 0 {
			first = use
		}
	}
	return first, alarms
}

// Today is how many segments count under a prefix in the UTC day of an instant.
func (d SMSDays) Today(prefix string, now Micros) int64 {
	use := d[prefix]
	return use.Today(now)
}

// LastAlarm is when a day was last out of proportion under any cap; 0: never.
func (d SMSDays) LastAlarm() (at Micros) {
	for _, use := range d {
		at = max(at, use.AlarmAt)
	}
	return at
}

// CapsFor are the caps that an SMS to a number counts under; refused says that one of them is 0.
// The shortest prefix comes first.
func (a *App) CapsFor(number string) (caps []SMSCap, refused bool) {
	if a.SMSPerDay > 0 {
		caps = append(caps, SMSCap{PerDay: a.SMSPerDay})
	}
	for _, c := range a.SMSPrefixCaps {
		if strings.HasPrefix(number, c.Prefix) {
			caps, refused = append(caps, c), refused || c.PerDay == 0
		}
	}
	return caps, refused
}
