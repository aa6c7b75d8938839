package pace

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter bounds what RetryAfter answers; a day's quota is the longest that makes sense.
const MaxRetryAfter = 24 * time.Hour

// RetryAfter is how long a peer asks to be left alone: seconds or a date in a header
// such as Retry-After (RFC 9110, 10.2.3), at most MaxRetryAfter. What is negative,
// past or not understood is 0. A date counts from the answer's own Date, so that
// clocks need not agree, and from now without one.
func RetryAfter(h http.Header, name string, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get(name))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789.") == "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0
		}
		if seconds >= MaxRetryAfter.Seconds() {
			return MaxRetryAfter
		}
		return time.Duration(seconds * float64(time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
