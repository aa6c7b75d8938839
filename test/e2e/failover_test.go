package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/pgtest"
	"github.com/commserver/commserver/test/stalls"
)

// outage says when what goes wrong, from the start of the stream.
type outage struct {
	messages             int           // of each channel
	stream               time.Duration // the messages are spread over it
	down, up             time.Duration // of the first provider
	throttled            time.Duration // how long, from down on, the second one asks to slow down
	retryAfter           string        // what the second one asks for
	back                 time.Duration // from then on everything goes through the first one again
	deadCalls, slowCalls int           // most messages that meet the dead provider, and the throttled one
	opened               int           // how often a breaker may open, failed probes included
	pin, unpin           time.Duration // between them the operator has pinned the second one
}

const (
	decided   = 2 * time.Second // the promise, for every lane
	senders   = 16
	drillMore = 3 * time.Minute // the drill's own bound, beyond the stream
)

func outageOf(t *testing.T) outage {
	t.Helper()
	if os.Getenv("COMMS_TEST_FULL") == "" {
		return outage{messages: 1500, stream: 20 * time.Second, down: 2 * time.Second, up: 9 * time.Second, throttled: 4 * time.Second,
			retryAfter: "1", back: 15 * time.Second, deadCalls: 40, slowCalls: 40, opened: 1, pin: 17 * time.Second, unpin: 19 * time.Second}
	}
	return outage{messages: 25_000, stream: 4 * time.Minute, down: 40 * time.Second, up: 85 * time.Second, throttled: 30 * time.Second,
		retryAfter: "5", back: 2 * time.Minute, deadCalls: 60, slowCalls: 120, opened: 3, pin: 3 * time.Minute, unpin: 200 * time.Second}
}

// row is a chain of three for one channel.
type row struct {
	channel  string
	chain    [3]string // types
	app      tenant
	at       [3]int // ports that the simulator takes their messages by
	stalls   *stalls.Log
	mu       sync.Mutex
	sends    map[string]*drilled // by recipient
	lines    map[string][]simulate.Entry
	second   string // the second configuration's id
	pinned   change // until unpinned
	unpinned change
}

// change is when the operator asked for one, and when the server had answered.
type change struct{ asked, made time.Time }

// drilled is one message of the drill.
type drilled struct {
	lane    string
	id      string
	created time.Time // asked for
	view    drilledView
}

type drilledView struct {
	Status            string
	PossibleDuplicate bool
	Events            []struct {
		Type, Provider, ProviderID, Detail, ErrorCode string
		At                                            time.Time
		Attempt                                       int
	}
}

// TestFailover is the drill: of three providers the first dies and the second asks to slow down while messages
// of all lanes stream in; then both come back, and the second is pinned for a moment. All have rates per second and per day and a
// concurrency. The simulator's ledger is the truth.
func TestFailover(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel() // the drill is slow by design: a stream, an outage and its end
		failover(t)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		failover(t, "COMMS_DATABASE_URL="+pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS="+newKeys(t, "k1")["k1"])
	})
}

// failover plays the drill on one store.
func failover(t *testing.T, store ...string) {
	o := outageOf(t)
	rows := []*row{{channel: "SMS", chain: [3]string{"ARKESEL", "HUBTEL", "TWILIO"}}, {channel: "EMAIL", chain: [3]string{"SMTP", "RESEND", "SMTP"}}}
	still := stalls.Watch(t)
	for _, r := range rows {
		r.stalls, r.sends, r.lines = still, map[string]*drilled{}, map[string][]simulate.Entry{}
	}
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Own: map[string]string{"ARKESEL": "127.0.0.1:0"},
		Entries: 4 * o.messages, ReportDelay: time.Hour, Entered: func(e simulate.Entry) {
			for _, r := range rows {
				r.enter(e)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	p := serveMail(t, t.TempDir(), store...)
	ctx, cancel := context.WithTimeout(t.Context(), o.stream+drillMore)
	defer cancel()
	for _, r := range rows {
		r.open(p, sim)
	}
	began := time.Now()
	var work sync.WaitGroup
	work.Go(func() { o.play(ctx, t, sim, rows, began) })
	for _, r := range rows {
		work.Go(func() { r.stream(ctx, t, p, &o, began) })
		work.Go(func() { r.pin(ctx, t, p, &o, began) })
	}
	work.Wait()
	t.Log("streamed in ", time.Since(began))
	unknown := 0
	for _, r := range rows {
		t.Run(r.channel, func(t *testing.T) {
			r.settle(ctx, t, p)
			unknown += r.check(t, p, &o, began)
		})
	}
	if unknown == 0 && !t.Failed() {
		t.Error("no call was under way when the providers died: the drill shows nothing of unknown ones")
	}
}

// pin has the second configuration pinned for a while.
func (r *row) pin(ctx context.Context, t *testing.T, p *process, o *outage, began time.Time) {
	for _, step := range []struct {
		at     time.Duration
		pinned bool
		note   *change
	}{{o.pin, true, &r.pinned}, {o.unpin, false, &r.unpinned}} {
		until(ctx, began.Add(step.at))
		step.note.asked = time.Now()
		var out any
		if err := r.ask(ctx, http.DefaultClient, http.MethodPatch, p.url+"/api/v1/provider-configs/"+r.second, map[string]any{"pinned": step.pinned}, &out); err != nil {
			t.Error(err)
		}
		step.note.made = time.Now()
	}
}

// enter keeps a line of the ledger that is a message of this channel.
func (r *row) enter(e simulate.Entry) {
	mail := strings.Contains(e.Recipient, "@")
	if e.Kind != simulate.KindSend || mail != (r.channel == "EMAIL") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	to := strings.TrimPrefix(e.Recipient, "+")
	r.lines[to] = append(r.lines[to], e)
}

// open makes the app with its chain.
func (r *row) open(p *process, sim *simulate.Server) {
	p.t.Helper()
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": r.channel, "slug": strings.ToLower(r.channel), "ratePerMinute": 1_000_000, "scopes": []string{"SEND", "READ", "PROVIDERS"}})
	r.app = tenant{id: strings.ToLower(r.channel), key: fmt.Sprint(made["apiKey"])}
	relays := sim.Relays()
	for i, kind := range r.chain {
		config := configsFor(p.t, sim)[kind]
		if kind == "SMTP" {
			_, text, err := net.SplitHostPort(relays[min(i, 1)])
			if err != nil {
				p.t.Fatal(err)
			}
			if r.at[i], err = strconv.Atoi(text); err != nil {
				p.t.Fatal(err)
			}
			config = maps.Clone(config)
			config["port"] = r.at[i]
		}
		made := p.call(r.app, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": kind, "name": []string{"first", "second", "third"}[i], "priority": i + 1, "config": config,
			"ratePerSecond": 400, "ratePerDay": 1_000_000, "maxConcurrency": 64})
		if i == 1 {
			r.second = fmt.Sprint(made["id"])
		}
	}
	p.call(r.app, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
}

// play makes things go wrong and well again.
func (o *outage) play(ctx context.Context, t *testing.T, sim *simulate.Server, rows []*row, began time.Time) {
	add := func(rule simulate.Rule) {
		rule.From = time.Now()
		if _, err := sim.Add(rule); err != nil {
			t.Errorf("order a fault: %s", simulate.Explain(err))
		}
	}
	for _, r := range rows { // so that there are calls under way when it dies, which nobody can tell about then
		add(simulate.Rule{Type: r.chain[0], Port: r.at[0], Fault: "slow", Share: 0.1, Delay: simulate.Span(500 * time.Millisecond), For: simulate.Span(o.up)})
	}
	until(ctx, began.Add(o.down))
	for _, r := range rows {
		add(simulate.Rule{Type: r.chain[0], Port: r.at[0], Fault: "down", For: simulate.Span(o.up - o.down)})
		add(simulate.Rule{Type: r.chain[1], Fault: "throttle", RetryAfter: o.retryAfter, For: simulate.Span(o.throttled)})
	}
}

func until(ctx context.Context, at time.Time) {
	select {
	case <-time.After(time.Until(at)):
	case <-ctx.Done():
	}
}

// stream sends the messages at a steady rate, of all lanes.
func (r *row) stream(ctx context.Context, t *testing.T, p *process, o *outage, began time.Time) {
	lanes := []string{"CRITICAL", "NORMAL", "BULK", "NORMAL"}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var work sync.WaitGroup
	for n := range senders {
		work.Go(func() {
			for i := n; i < o.messages; i += senders {
				until(ctx, began.Add(o.stream*time.Duration(i)/time.Duration(o.messages)))
				to, body := "23324"+fmt.Sprintf("%07d", 1_000_000+i), map[string]any{"channel": r.channel, "body": fmt.Sprint("Number ", i)}
				if r.channel == "EMAIL" {
					to = fmt.Sprintf("n%d@example.com", i)
					body["subject"], body["body"] = "Hello", fmt.Sprintf("<p>Number %d</p>", i)
				}
				body["to"], body["lane"] = to, lanes[i%len(lanes)]
				m := &drilled{lane: lanes[i%len(lanes)], created: time.Now()}
				var answer struct{ ID string }
				if err := r.ask(ctx, client, http.MethodPost, p.url+"/api/v1/messages", body, &answer); err != nil {
					t.Error(err)
					return
				}
				m.id = answer.ID
				r.mu.Lock()
				r.sends[to] = m
				r.mu.Unlock()
			}
		})
	}
	work.Wait()
}

// ask is process.call for goroutines other than the test's own.
func (r *row) ask(ctx context.Context, client *http.Client, method, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-App-ID", r.app.id)
	req.Header.Set("X-API-Key", r.app.key)
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode > 299 {
		return fmt.Errorf("%s %s: %d %s", method, url, res.StatusCode, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read %s: %w", text, err)
	}
	return nil
}

// settle reads every message once it has ended.
func (r *row) settle(ctx context.Context, t *testing.T, p *process) {
	t.Helper()
	for _, m := range r.sends {
		for ; ; until(ctx, time.Now().Add(50*time.Millisecond)) {
			var v drilledView
			if err := r.ask(ctx, http.DefaultClient, http.MethodGet, p.url+"/api/v1/messages/"+m.id, nil, &v); err != nil {
				t.Fatalf("%v; the last answer was %+v", err, m.view)
			}
			m.view = v
			if s := m.view.Status; s != "QUEUED" && s != "SENDING" {
				break
			}
		}
	}
}

// figures is what the drill came to.
type figures struct {
	copies, extra, unknown int
	dead, slow, late       int // refusals of the dead and of the throttled provider; messages of the end that went elsewhere
	failover               map[string][]time.Duration
	whole                  []time.Duration // from asked for to taken, without unknown ones
	calm                   []time.Duration // of these, what met no refusal
	opened, closed         int
	story                  string
	both                   int // messages refused by both
	worst                  time.Duration
	worstStory, lateStory  string
	pinned                 int // through the second one while it was pinned
	firstBack              time.Duration
}

func (r *row) check(t *testing.T, p *process, o *outage, began time.Time) (unknown int) {
	t.Helper()
	if len(r.sends) != o.messages {
		t.Fatalf("%d of %d messages were accepted", len(r.sends), o.messages)
	}
	f := figures{failover: map[string][]time.Duration{}}
	for to, m := range r.sends {
		r.judge(t, o, began, to, m, &f)
	}
	for to := range r.lines {
		if r.sends[to] == nil {
			t.Errorf("a message to %s went out that nobody asked for", to)
		}
	}
	said := ""
	f.opened, f.closed, said = r.breakers(p)
	most := bound(f.calm)
	met := int(min(p99(f.calm), decided) * time.Duration(o.messages) / o.stream) // what comes until an answer is known, which is next to nothing where nobody else is busy
	for lane, all := range f.failover {
		slices.Sort(all)
		worst := all[len(all)-1]
		t.Logf("%s: %d bypassed, p50 %v, p99 %v, worst %v", lane, len(all), all[len(all)/2], all[len(all)*99/100], worst)
		if worst > most {
			t.Errorf("%s: decided after %v, want %v at most", lane, worst, most)
		}
	}
	slices.Sort(f.whole)
	t.Logf("%d messages, %d copies, %d extra by %d unknown attempts; accepted to taken p50 %v, p99 %v, worst %v", len(r.sends), f.copies, f.extra, f.unknown,
		f.whole[len(f.whole)/2], f.whole[len(f.whole)*99/100], f.whole[len(f.whole)-1])
	t.Logf("refused by the dead one %d, by the throttled one %d, by both %d; breakers opened %d, closed %d; the first one has taken messages again since %v", f.dead, f.slow, f.both, f.opened, f.closed, f.firstBack)
	t.Logf("%d through the second one while it was pinned, %d elsewhere than they should have gone after %v", f.pinned, f.late, o.back)
	t.Log(f.story)
	if f.late > 0 || f.pinned == 0 {
		t.Errorf("%d messages after %v went elsewhere than through the first provider, or the pinned one; %d through that; the last one %s", f.late, o.back, f.pinned, f.lateStory)
	}
	switch {
	case len(f.failover) != 3 || f.both == 0:
		t.Errorf("lanes that were bypassed: %d; by both: %d", len(f.failover), f.both)
	case f.whole[len(f.whole)-1] > most:
		t.Errorf("a message waited %v although somebody could carry it: %s", f.worst, f.worstStory)
	case f.dead > o.deadCalls+met || f.slow > o.slowCalls+met:
		t.Errorf("%d messages met the dead provider and %d the throttled one, want %d and %d at most", f.dead, f.slow, o.deadCalls+met, o.slowCalls+met)
	case f.opened < 1 || f.opened > o.opened || f.closed != 1:
		t.Errorf("breakers opened %d times and closed %d times: they flap, or never came back:\n%s", f.opened, f.closed, said)
	}
	return f.unknown
}

// bound is the promise, and what this machine takes for three attempts at present, by messages that met no trouble: next to nothing, or where
// it is very busy as much again at most.
func bound(calm []time.Duration) time.Duration {
	return decided + min(3*p99(calm), decided)
}

// judge holds one message against the ledger.
func (r *row) judge(t *testing.T, o *outage, began time.Time, to string, m *drilled, f *figures) {
	t.Helper()
	var taken []simulate.Entry
	for _, e := range r.lines[to] {
		if e.Outcome == simulate.Accepted {
			taken = append(taken, e)
		}
	}
	unknown, refused, story := 0, map[string]bool{}, ""
	var started time.Time
	for _, e := range m.view.Events {
		story += fmt.Sprintf("\n  %s %s %s: %s", e.At.Format("15:04:05.000"), e.Type, e.Provider, e.Detail)
		switch e.Type {
		case "attempt_started":
			if started.IsZero() {
				started = e.At
			}
		case "attempt_failed":
			refused[e.Provider] = true
			if e.ErrorCode == "rate_limited" || strings.EqualFold(e.Provider, r.chain[1]) {
				f.slow++
			} else {
				f.dead++
			}
			if e.Detail == "" {
				t.Errorf("a refusal without words:%s", story)
			}
		case "retry_unknown", "attempt_unknown", "outcome_unknown":
			unknown++
		}
	}
	f.copies, f.unknown = f.copies+len(taken), f.unknown+unknown
	if m.view.Status != "SENT" || len(taken) == 0 || len(taken) > 1+unknown || unknown > 0 != m.view.PossibleDuplicate {
		t.Errorf("%s: %s, %d copies, %d unknown, possibleDuplicate %t:%s", to, m.view.Status, len(taken), unknown, m.view.PossibleDuplicate, story)
		return
	}
	f.extra += len(taken) - 1
	if unknown > 0 {
		return
	}
	at, by := taken[0].At, taken[0]
	whole := r.between(m.created, at)
	if len(refused) == 0 {
		f.calm = append(f.calm, whole)
	}
	if f.whole = append(f.whole, whole); whole > f.worst {
		f.worst, f.worstStory = whole, fmt.Sprintf("asked for after %v:%s", m.created.Sub(began), story)
	}
	if len(refused) > 0 {
		f.failover[m.lane] = append(f.failover[m.lane], r.between(started, at))
	}
	if len(refused) == 2 {
		f.both++
		f.story = story
	}
	first := by.Type == r.chain[0] && (r.at[0] == 0 || by.Port == r.at[0])
	const heard = time.Second // what a change of settings may take to be obeyed, from its answer on
	// A message is begun at some time between being asked for and being taken.
	maybe := at.After(r.pinned.asked) && r.between(r.unpinned.made, m.created) < heard
	surely := r.between(r.pinned.made, m.created) > heard && at.Before(r.unpinned.asked)
	since, late := r.between(began, m.created), false
	switch {
	case maybe && by.Type == r.chain[1]:
		f.pinned++
	case maybe:
		late = surely
	case first && since > o.up:
		if f.firstBack == 0 || since < f.firstBack {
			f.firstBack = since
		}
	default:
		late = since > o.back
	}
	if late {
		f.late++
		f.lateStory = fmt.Sprintf("asked for after %v:%s", m.created.Sub(began), story)
	}
}

// between is the time from one instant to another, without what the machine stood still; negative the other way round.
func (r *row) between(from, to time.Time) time.Duration {
	return to.Sub(from) - r.stalls.Between(from, to)
}

// breakers counts what the server's log says of the app's providers.
func (r *row) breakers(p *process) (opened, closed int, said string) {
	for line := range strings.Lines(p.errors()) {
		var e struct{ Msg, Provider string }
		if json.Unmarshal([]byte(line), &e) != nil || !slices.Contains(r.chain[:], strings.ToUpper(e.Provider)) {
			continue
		}
		if strings.Contains(e.Msg, "breaker ") {
			said += line
		}
		switch {
		case strings.Contains(e.Msg, "breaker opened"):
			opened++
		case strings.Contains(e.Msg, "breaker closed"):
			closed++
		}
	}
	return opened, closed, said
}
