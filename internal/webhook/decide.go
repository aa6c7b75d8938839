package webhook

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

// answer is how a call ended.
type answer struct {
	status     int    // 0: there was no answer
	fault      string // why not, a word for the log; "" with an answer
	snippet    string // of the body
	retryAfter time.Duration
	began      time.Time
	took       time.Duration
}

func (a *answer) good() bool { return a.status >= 200 && a.status < 300 }

// unsent says that certainly no byte of the body has left.
func (a *answer) unsent() bool {
	return a.status == 0 && slices.Contains(faults(), fault{a.fault, true})
}

// Patience is the waits between the tries of a delivery: eleven tries over 91 hours and a half, and over 73 where chance
// makes every wait as short as it can be. An event is tried for three days at least.
func Patience() pace.Backoff {
	return pace.Backoff{Steps: []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour,
		20 * time.Hour, 20 * time.Hour, 20 * time.Hour}, Jitter: 0.2}
}

// maxRetryAfter bounds how long an endpoint may put us off.
const maxRetryAfter = time.Hour

// policy is how failures are answered.
type policy struct {
	patience pace.Backoff
	random   func() float64
}

// all is how long a delivery is tried.
func (p policy) all() (d time.Duration) {
	for _, step := range p.patience.Steps {
		d += step
	}
	return d
}

// decide is what becomes of a delivery after a call; current says that the endpoint is still the one that was called. It is pure.
func (p policy) decide(d *store.Delivery, a *answer, now comm.Micros, current bool) (state store.DeliveryState, due comm.Micros) {
	if plant.Active(plant.NoJitter) {
		p.patience.Jitter = 0
	}
	switch {
	case a.good():
		return store.DeliveryDone, 0
	case a.fault == faultStopping: // we cut it off, not the endpoint
		return store.DeliveryWaiting, now
	case a.status == http.StatusGone && current, d.Tries+1 > len(p.patience.Steps):
		return store.DeliveryExhausted, 0
	}
	return store.DeliveryWaiting, now.Add(max(p.patience.Delay(d.Tries+1, p.random), a.putOff()))
}

// putOff is how long the endpoint wants to be left alone.
func (a *answer) putOff() time.Duration {
	if a.status != http.StatusTooManyRequests && a.status != http.StatusServiceUnavailable {
		return 0
	}
	return min(a.retryAfter, maxRetryAfter)
}

// result is what the breaker makes of it.
func (a *answer) result() pace.Result {
	switch {
	case a.good():
		return pace.Success
	case a.status == http.StatusTooManyRequests:
		return pace.Neutral
	}
	return pace.Failure
}

// maxSnippet bounds what is kept of an answer, in bytes.
const maxSnippet = 256

// snippet is what is kept of an answer's body, without anything secret that was sent.
func snippet(b []byte, secrets ...string) string {
	s := strings.ToValidUTF8(string(b), "")
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "…")
		}
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	for s = s[:min(len(s), maxSnippet)]; !utf8.ValidString(s); {
		s = s[:len(s)-1]
	}
	return s
}

// line is an attempt as the delivery's log keeps it.
func line(attempt int, a *answer) string {
	var l struct {
		Attempt int    `json:"attempt"`
		At      string `json:"at"`
		Took    int64  `json:"tookMs"`
		Status  int    `json:"status,omitempty"`
		Fault   string `json:"fault,omitempty"`
		Answer  string `json:"answer,omitempty"`
	}
	l.Attempt, l.At, l.Took, l.Status, l.Fault, l.Answer = attempt, comm.At(a.began).String(), a.took.Milliseconds(), a.status, a.fault, a.snippet
	b, err := json.Marshal(l)
	if err != nil {
		return "" // it is made of what can be written
	}
	return string(b) + "\n"
}
