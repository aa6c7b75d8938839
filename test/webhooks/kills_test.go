package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// receiver takes what is posted, and checks the signature as the guide says.
type receiver struct {
	t    *testing.T
	mu   sync.Mutex
	got  map[string][]string // bodies by event id
	sent map[string]bool     // messages whose SENT was told
	// before is called with a post that is not answered yet, after when it was.
	before, after func()
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender was killed
	}
	timestamp := req.Header.Get("X-Comms-Timestamp")
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(timestamp + "." + string(body)))
	if at, err := strconv.ParseInt(timestamp, 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute ||
		req.Header.Get("X-Comms-Signature") != hex.EncodeToString(h.Sum(nil)) {
		r.t.Errorf("a post of %q is not signed", timestamp)
	}
	id := req.Header.Get("X-Comms-Event-Id")
	r.mu.Lock()
	r.got[id] = append(r.got[id], string(body))
	var e told
	if err := json.Unmarshal(body, &e); err != nil || e.EventID != id {
		r.t.Errorf("%s: %v", body, err)
	}
	if e.Message.Status == "SENT" {
		r.sent[e.Message.ID] = true
	}
	before, after := r.before, r.after
	r.mu.Unlock()
	if before != nil {
		before()
	}
	w.WriteHeader(http.StatusNoContent)
	if after != nil {
		after()
	}
}

// The program is killed while it posts (H1: nothing recorded; H2: answered, and perhaps recorded): no event is lost, no
// body is another one under the same id, and the feed has no gap and every message's events in order.
func TestKillsDuringDelivery(t *testing.T) {
	lite, pg := 12, 4 // on PostgreSQL each start waits for the lease of the process before
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		lite, pg = 300, 300
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		killsDuringDelivery(t, lite)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		ring, err := seal.GenerateRing("k1")
		if err != nil {
			t.Fatal(err)
		}
		killsDuringDelivery(t, pg, "COMMS_DATABASE_URL="+pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS="+ring.Reveal(),
			"COMMS_LEASE=1500ms", "COMMS_HEARTBEAT=300ms")
	})
}

func killsDuringDelivery(t *testing.T, kills int, env ...string) {
	r := &receiver{t: t, got: map[string][]string{}, sent: map[string]bool{}}
	hook := httptest.NewServer(r)
	defer hook.Close()
	s := newServer(t, env...)
	a := s.app("flowbase", hook.URL)
	killed := make(chan struct{}, 1)
	arm := func(early bool) {
		var once sync.Once // of this arming: a timer of an earlier one must not strike again
		strike := func() {
			once.Do(func() {
				go func() { s.kill(); killed <- struct{}{} }()
			})
		}
		r.mu.Lock()
		r.before, r.after = nil, nil
		if early {
			r.before = func() { strike(); time.Sleep(20 * time.Millisecond) }
		} else {
			wait := rand.N(5 * time.Millisecond)
			r.after = func() { time.AfterFunc(wait, strike) }
		}
		r.mu.Unlock()
	}
	messages := map[string]bool{}
	for n := range kills {
		for k := range 4 {
			messages[a.send(n*10+k)] = true
		}
		arm(n%2 == 0)
		// What was sent before may bring the kill before this one is accepted; it is sent until it is.
		last := make(chan string, 1)
		go func() { last <- a.send(n*10 + 9) }()
		select {
		case <-killed:
		case <-time.After(time.Minute):
			t.Fatal("nothing is posted within a minute")
		}
		r.mu.Lock()
		r.before, r.after = nil, nil
		r.mu.Unlock()
		s.start()
		messages[<-last] = true
	}
	if t.Failed() {
		return
	}
	sent := func() (n int, missing string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		for id := range messages {
			if r.sent[id] {
				n++
			} else {
				missing = id
			}
		}
		return n, missing
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, missing := sent()
		if n == len(messages) {
			break
		}
		if time.Now().After(deadline) {
			_, out := s.call("GET", "/api/v1/messages/"+missing, a.head, nil)
			t.Fatalf("%d of %d messages were told of; %s is not: %s", n, len(messages), missing, out)
		}
	}
	events, raw := a.feed()
	next := map[string]int{}
	for _, e := range events {
		if next[e.Message.ID]++; e.Sequence != next[e.Message.ID] {
			t.Errorf("event %d of %s follows %d in the feed", e.Sequence, e.Message.ID, next[e.Message.ID]-1)
		}
	}
	for id := range messages {
		if next[id] < 3 {
			t.Errorf("the feed has %d events of %s", next[id], id)
		}
	}
	posts := 0
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		if e.Message.Status == "SENT" && r.got[e.EventID] == nil {
			t.Errorf("nobody was told of %+v", e)
		}
	}
	for id, bodies := range r.got {
		posts += len(bodies)
		for _, b := range bodies {
			if b != bodies[0] {
				t.Errorf("%s has two bodies:\n%s\n%s", id, bodies[0], b)
			}
		}
		if raw[id] != bodies[0] {
			t.Errorf("the feed has\n%s\nposted was\n%s", raw[id], bodies[0])
		}
	}
	t.Logf("%d kills, %d messages, %d events in the feed, %d posted in %d posts", kills, len(messages), len(events), len(r.got), posts)
}
