package comm

// SMSUse is what is counted of an app with SMSPerDay: segments of the UTC day, and what is
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
