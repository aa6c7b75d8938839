package webhooks

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/simulate"
)

// hooks are the simulator's receivers.
type hooks struct {
	t   *testing.T
	sim *simulate.Server
}

// behave says how a receiver answers, and where it is.
func (h hooks) behave(name string, config map[string]any) (url string) {
	h.t.Helper()
	config["secret"] = secret
	b, err := json.Marshal(config)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), "PUT", h.sim.URL()+"/_simulate/hooks/"+name, bytes.NewReader(b))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		h.t.Fatalf("%s: %s", name, res.Status)
	}
	return h.sim.URL() + "/hooks/" + name
}

// got is what a receiver was posted.
func (h hooks) got(name string) (all []simulate.Delivery) {
	h.t.Helper()
	res, err := http.Get(h.sim.URL() + "/_simulate/hooks/" + name + "?limit=1000")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct{ Data []simulate.Delivery }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		h.t.Fatal(err)
	}
	return list.Data
}

// difficult is a receiver that does not simply say yes, and what is right then of the events that it is to get.
type difficult struct {
	name   string
	config map[string]any // of the simulator's; nil: one of the test's own
	right  func(d delivery) bool
	off    bool // the endpoint is switched off by it
}

// events is how many events each difficult receiver is to get.
const events = 6

func difficulties() []difficult {
	answers := func(a ...string) map[string]any { return map[string]any{"answers": a} }
	flapping := strings.Fields(strings.Repeat("500 ok ", 40))
	first := func(d delivery, status int, fault string) bool {
		return len(d.AttemptLog) > 0 && d.AttemptLog[0].Status == status && d.AttemptLog[0].Fault == fault
	}
	waits := func(status int, fault string) func(delivery) bool {
		return func(d delivery) bool { return d.State == "waiting" && (d.Attempts == 0 || first(d, status, fault)) }
	}
	return []difficult{
		// It has 15 s; on a busy machine two of them go elsewhere.
		{"slow", map[string]any{"answers": []string{"slow"}, "delay": "13s"}, func(d delivery) bool {
			return d.Attempts == 0 || d.State == "delivered" && d.Attempts == 1 && d.AttemptLog[0].TookMs >= 13_000
		}, false},
		{"endless", answers("endless"), func(d delivery) bool { return d.State == "delivered" && d.Attempts == 1 && first(d, 200, "") }, false},
		{"refusing", answers("500"), waits(500, ""), false},
		{"unavailable", answers("503"), waits(503, ""), false},
		{"cutting", answers("reset"), waits(0, "connection_closed"), false},
		{"down", nil, waits(0, "connect_failed"), false},
		{"silent", answers("hang"), func(d delivery) bool { return d.State == "waiting" && (d.Attempts == 0 || first(d, 0, "timeout")) }, false},
		{"throttling", answers("429", "ok"), func(d delivery) bool { return d.State == "delivered" }, false},
		{"flapping", answers(flapping...), func(d delivery) bool { return d.State == "delivered" || d.Attempts > 0 && first(d, 500, "") }, false},
		{"gone", answers("410"), func(d delivery) bool { return d.State == "failed" && first(d, 410, "") || d.State == "waiting" }, true},
		{"moved-301", nil, waits(301, ""), false},
		{"moved-302", map[string]any{"answers": []string{"redirect"}}, waits(302, ""), false},
		{"moved-303", nil, waits(303, ""), false},
		{"moved-307", nil, waits(307, ""), false},
		{"moved-308", nil, waits(308, ""), false},
	}
}

// TestDifficultReceivers: each gets what is right, nobody is led elsewhere, and the others are told as soon as in calm.
func TestDifficultReceivers(t *testing.T) {
	t.Parallel()
	sim, err := simulate.Start(t.Context(), simulate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	h := hooks{t, sim}
	var trapped atomic.Int64
	trap := httptest.NewUnstartedServer(nil)
	trap.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			trapped.Add(1)
		}
	}
	trap.Start()
	t.Cleanup(trap.Close)
	mover := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := map[string]int{"/moved-301": 301, "/moved-303": 303, "/moved-307": 307, "/moved-308": 308}[r.URL.Path]
		w.Header().Set("Location", trap.URL+"/inner")
		w.WriteHeader(status)
	}))
	t.Cleanup(mover.Close)
	down := httptest.NewServer(nil)
	down.Close()
	s := newServer(t)
	good := newClock(t)
	bad, other := s.app("difficult", good.URL), s.app("other", good.URL)
	apps := []*app{bad, other}
	calm, n := good.spell(t, 0, apps, 40*time.Millisecond, 5*time.Second)
	ids := map[string]string{}
	for _, d := range difficulties() {
		url := mover.URL + "/" + d.name
		if d.name == "down" {
			url = down.URL + "/"
		}
		if d.config != nil {
			if d.name == "moved-302" {
				d.config["location"] = trap.URL + "/inner"
			}
			url = h.behave(d.name, d.config)
		}
		ids[d.name] = bad.endpoint(d.name, url, "hard")
	}
	for k := range events {
		bad.send(1_000_000+k, "hard")
	}
	// Long enough for the slow one's 13 s and the silent one's 15.
	beside, more := good.spell(t, n, apps, 40*time.Millisecond, 17*time.Second)
	unhurt(t, "beside difficult receivers", calm, beside)
	t.Logf("%d messages calm, %d beside", n, more)
	for _, d := range difficulties() {
		t.Run(d.name, func(t *testing.T) { judge(t, h, bad, ids[d.name], d) })
	}
	if trapped.Load() > 0 {
		t.Errorf("%d connections were led elsewhere", trapped.Load())
	}
}

// judge holds what became of a receiver's events against what is right.
func judge(t *testing.T, h hooks, a *app, endpoint string, d difficult) {
	all := a.deliveries(endpoint)
	if len(all) != events && (!d.off || len(all) == 0) { // once it is off, new events are not for it
		t.Errorf("%d deliveries, want %d", len(all), events)
	}
	tried := 0
	for _, one := range all {
		if tried += min(one.Attempts, 1); !d.right(one) {
			t.Errorf("%s", one)
		}
	}
	if tried == 0 {
		t.Error("nothing was posted")
	}
	_, out := a.s.call("GET", "/api/v1/webhooks/"+endpoint, a.head, nil)
	if off := strings.Contains(string(out), `"disabledReason":"gone"`) && strings.Contains(string(out), `"isActive":false`); off != d.off {
		t.Errorf("switched off: %t: %s", off, out)
	}
	if d.config == nil {
		return
	}
	bodies := map[string]string{}
	for _, got := range h.got(d.name) {
		if got.CommsSignature != "valid" || got.StandardSignature != "valid" || bodies[got.EventID] != "" && bodies[got.EventID] != got.BodySHA256 {
			t.Errorf("%+v", got)
		}
		bodies[got.EventID] = got.BodySHA256
	}
	if len(bodies) == 0 {
		t.Error("nothing was received")
	}
}
