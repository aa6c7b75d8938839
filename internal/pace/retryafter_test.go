package pace

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"7":                              7 * time.Second,
		" 7 ":                            7 * time.Second,
		"1.5":                            1500 * time.Millisecond,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"99999999999999999999999":        24 * time.Hour,
		strings.Repeat("9", 1000):        24 * time.Hour,
		"-1":                             0,
		"-99999999999":                   0,
		"+5":                             0,
		"1e9":                            0,
		"0x10":                           0,
		"inf":                            0,
		"NaN":                            0,
		"1.2.3":                          0,
		".":                              0,
		"soon":                           0,
		"5 minutes":                      0,
		"\x00":                           0,
		"Fri, 03 Jul 2026 10:00:30 GMT":  30 * time.Second,
		"Friday, 03-Jul-26 10:00:30 GMT": 30 * time.Second,
		"Fri Jul  3 10:00:30 2026":       30 * time.Second,
		"Fri, 03 Jul 2026 09:59:00 GMT":  0,
		"Fri, 03 Jul 2076 10:00:00 GMT":  24 * time.Hour,
		"Fri, 03 Jul 9999 10:00:00 GMT":  24 * time.Hour,
		"2026-07-03T10:00:30Z":           0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, "Retry-After", now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	// A date counts from the answer's own, whatever this machine's clock says.
	skewed := http.Header{"Retry-After": {"Fri, 03 Jul 2026 10:00:30 GMT"}, "Date": {"Fri, 03 Jul 2026 10:00:10 GMT"}}
	if got := RetryAfter(skewed, "Retry-After", now.Add(-3*time.Hour)); got != 20*time.Second {
		t.Errorf("with another clock: %v", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "")
	f.Add("Fri, 03 Jul 2026 10:00:30 GMT", "Fri, 03 Jul 2026 10:00:10 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		got := RetryAfter(http.Header{"Retry-After": {after}, "Date": {date}}, "Retry-After", time.Unix(1_800_000_000, 0))
		if got < 0 || got > MaxRetryAfter {
			t.Errorf("%v", got)
		}
	})
}
