package webhooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/test/stalls"
)

// clock is a receiver that takes everything at once and notes when it is told that a message was sent.
type clock struct {
	*httptest.Server
	stalls *stalls.Log
	mu     sync.Mutex
	told   map[string]time.Time // by message
}

func newClock(t *testing.T) *clock {
	c := &clock{stalls: stalls.Watch(t), told: map[string]time.Time{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		at := time.Now()
		var e told
		if b, err := io.ReadAll(r.Body); err != nil || json.Unmarshal(b, &e) != nil {
			t.Errorf("%s: %v", b, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.Message.Status == "SENT" && c.told[e.Message.ID].IsZero() {
			c.told[e.Message.ID] = at
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// spell sends a message of each app every so often, for so long, and answers how long it took until each was told of: a
// percentile of it, and how many there were. What the machine stood still does not count.
func (c *clock) spell(t *testing.T, first int, apps []*app, every, long time.Duration, tags ...string) (p99 time.Duration, n int) {
	t.Helper()
	began := map[string]time.Time{}
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(every) {
		for _, a := range apps {
			first++
			at := time.Now()
			began[a.send(first, tags...)] = at
		}
	}
	toldOf := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for id := range began {
			if !c.told[id].IsZero() {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(time.Minute); toldOf() < len(began); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d messages were told of", toldOf(), len(began))
		}
	}
	time.Sleep(100 * time.Millisecond) // a stall is noted when it is over
	var took []time.Duration
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, at := range began {
		took = append(took, c.told[id].Sub(at)-c.stalls.Between(at, c.told[id]))
	}
	slices.Sort(took)
	return took[len(took)*99/100], len(took)
}

// unhurt wants the p99 beside trouble to be that of calm: at full size within half a second of its double, in the usual run, which
// shares the machine, within two. Whoever had to wait for a receiver or a transaction would wait many seconds.
func unhurt(t *testing.T, what string, calm, beside time.Duration) {
	t.Helper()
	t.Logf("p99 until a message is told of: %s calm, %s %s", calm.Round(time.Millisecond), beside.Round(time.Millisecond), what)
	slack := 2 * time.Second
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		slack = 500 * time.Millisecond
	}
	if beside > 2*calm+slack {
		t.Errorf("others are told later: %s, %s calm", beside, calm)
	}
}

// endpoint adds an endpoint and answers its id.
func (a *app) endpoint(name, url string, tags ...string) string {
	a.s.t.Helper()
	body := map[string]any{"name": name, "url": url, "secret": secret}
	if len(tags) > 0 {
		body["tags"] = tags
	}
	status, out := a.s.call("POST", "/api/v1/webhooks", a.head, body)
	var made struct{ ID string }
	if err := json.Unmarshal(out, &made); err != nil || status != http.StatusCreated {
		a.s.t.Fatalf("%d %s %v", status, out, err)
	}
	return made.ID
}

// delivery is what is known of one.
type delivery struct {
	ID, State, EventID string
	Attempts           int
	NextAttemptAt      time.Time
	AttemptLog         []struct {
		Attempt, Status int
		TookMs          int64
		Fault           string
		At              time.Time
	}
}

// deliveries reads what an endpoint was to get, with the attempts, oldest first.
func (a *app) deliveries(endpoint string) (all []delivery) {
	a.s.t.Helper()
	path := "/api/v1/webhooks/" + endpoint + "/deliveries"
	var list struct{ Data []delivery }
	status, out := a.s.call("GET", path+"?limit=100", a.head, nil)
	if err := json.Unmarshal(out, &list); err != nil || status != http.StatusOK {
		a.s.t.Fatalf("%d %s %v", status, out, err)
	}
	for _, d := range slices.Backward(list.Data) {
		status, out := a.s.call("GET", path+"/"+d.ID, a.head, nil)
		if err := json.Unmarshal(out, &d); err != nil || status != http.StatusOK {
			a.s.t.Fatalf("%d %s %v", status, out, err)
		}
		all = append(all, d)
	}
	return all
}

func (d delivery) String() string {
	return fmt.Sprintf("%s after %d: %+v", d.State, d.Attempts, d.AttemptLog)
}
