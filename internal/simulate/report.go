package simulate

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/guard"
)

// Limits of reports.
const (
	maxPlanned  = 100_000
	maxAtOnce   = 32
	reportTime  = 10 * time.Second
	lateTime    = 30 * time.Second
	maxResponse = 64 << 10
)

// Target is where the reports of a type go, and what signs them.
type Target struct {
	URL string `json:"url"`
	// Secret is Resend's whsec_…, or Arkesel's webhook secret; empty: not signed.
	Secret string `json:"secret,omitzero"`
}

// report is one status of a message on its way to a callback URL.
type report struct {
	status string
	id     string    // that it names
	at     time.Time // of the status
	due    time.Time
	event  string // its own id, equal on every repeat
	half   bool   // the rest is missing
	target Target
}

// call is a report as a request.
type call struct {
	method, url, kind string
	body              []byte
	// sign signs the call as it is; nil: not signed.
	sign func(c *call, now time.Time, h http.Header)
}

// halve takes away the half of a report that says what became of the message.
func (c *call) halve() {
	if c.method == http.MethodPost {
		c.body = c.body[:len(c.body)/2]
		return
	}
	c.url, _, _ = strings.Cut(c.url, "&status=")
}

// outcomes are what a message can come to.
func outcomes() []string {
	return []string{"delivered", "failed", "bounced", "complained", "expired", "suppressed"}
}

// stepsOf is what becomes of a message in time: the truth that queries tell.
func (s *Server) stepsOf(taken time.Time, rules []Rule) []step {
	last := "delivered"
	for _, r := range rules {
		if r.Fault == Outcome {
			last = r.Outcome
		}
	}
	all := []string{"sent", last}
	if last == "complained" {
		all = []string{"sent", "delivered", last}
	}
	steps := make([]step, len(all))
	for i, status := range all {
		steps[i] = step{status, taken.Add(s.cfg.ReportDelay * time.Duration(i+1) / time.Duration(len(all)))}
	}
	return steps
}

// planned is a line of reports of one message: each leaves when it is due and the
// one before was answered.
type planned struct {
	m       *message
	reports []report
	tries   int // of the first
	order   int64
}

// reporter sends reports when they are due.
type reporter struct {
	s      *Server
	client *http.Client
	wake   chan struct{}
	places chan struct{}

	mu      sync.Mutex
	queue   schedule
	order   int64
	age     int // counts what was forgotten
	dropped int64
	targets map[string]Target
}

func newReporter(s *Server) *reporter {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	door := &guard.Dialer{Allow: append(loopback, s.cfg.AllowTargets...), OnlyAllowed: true}
	return &reporter{s: s, wake: make(chan struct{}, 1), places: make(chan struct{}, maxAtOnce), targets: map[string]Target{}, client: &http.Client{
		Timeout:       reportTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: door.DialContext, MaxIdleConnsPerHost: maxAtOnce, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: reportTime},
	}}
}

// aim sets where a type's reports go, and what signs them; without either they go nowhere.
func (p *reporter) aim(kind string, t Target) error {
	if !slices.Contains(WebTypes(), kind) {
		return invalid("type", "is none of %s", strings.Join(WebTypes(), ", "))
	}
	if t.URL != "" {
		if u, err := url.Parse(t.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(t.URL) > 2048 {
			return invalid("url", "is no http or https address")
		}
	}
	if len(t.Secret) > 512 {
		return invalid("secret", "is at most 512 characters long")
	}
	if kind == "RESEND" && t.URL != "" && t.Secret == "" {
		t.Secret = p.s.WebhookSecret()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.URL == "" && t.Secret == "" {
		delete(p.targets, kind)
		return nil
	}
	p.targets[kind] = t
	return nil
}

func (p *reporter) aims() map[string]Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.targets)
}

// targetOf is where a message's reports go. Of types that take an address with each
// message, that one; a secret of the type signs it all the same.
func (p *reporter) targetOf(m *message) (Target, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.targets[m.kind]
	if m.callback != "" {
		t.URL = m.callback
	}
	return t, t.URL != ""
}

// plan schedules what is reported of a message, as the rules order.
func (p *reporter) plan(m *message, rules []Rule) {
	target, found := p.targetOf(m)
	if !found {
		return
	}
	var all []report
	for i, one := range m.steps {
		d := draw(p.s.cfg.Seed, "event", m.kind, m.id, strconv.Itoa(i))
		all = append(all, report{status: one.status, id: m.id, at: one.at, due: one.at, event: "msg_" + strings.ReplaceAll(uuid(d), "-", ""), target: target})
	}
	for _, r := range rules {
		all = bend(all, r, p.s.tongueOf(m.kind), p.s.cfg.Seed)
	}
	if len(all) == 0 {
		return
	}
	p.mu.Lock()
	p.put(&planned{m: m, reports: all})
	p.mu.Unlock()
	p.rouse()
}

func (s *Server) tongueOf(kind string) tongue { return tongues()[kind] }

// bend changes planned reports as a rule orders.
func bend(all []report, r Rule, t tongue, seed uint64) []report {
	switch r.Fault {
	case Missing:
		return nil
	case Late:
		delay := orElse(r.Delay, lateTime)
		for i := range all {
			all[i].due = all[i].due.Add(delay)
		}
	case Duplicate:
		count := r.Count
		if count == 0 {
			count = 2
		}
		var out []report
		for _, one := range all {
			for range count {
				out = append(out, one)
			}
		}
		return out
	case Reordered:
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
			all[i].due, all[j].due = all[j].due, all[i].due
		}
	case Garbled:
		for i := range all {
			all[i].half = true
		}
	case OtherID:
		for i := range all {
			all[i].id = otherID(all[i].id)
		}
	case UnknownID:
		for i := range all {
			all[i].id = t.newID(draw(seed, "unknown", all[i].id))
		}
	}
	return all
}

// otherID writes an id as another system might: without dashes, in the other case.
func otherID(id string) string {
	id = strings.ReplaceAll(id, "-", "")
	if upper := strings.ToUpper(id); upper != id {
		return upper
	}
	return strings.ToLower(id)
}

// put adds to the queue; p.mu is held.
func (p *reporter) put(one *planned) {
	if len(p.queue) >= maxPlanned {
		p.dropped++
		return
	}
	p.order++
	one.order = p.order
	heap.Push(&p.queue, one)
}

func (p *reporter) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// forget drops what is planned.
func (p *reporter) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.dropped = nil, 0
	p.age++
}

// waiting is how many messages have reports to come, and how many were dropped
// because there were too many.
func (p *reporter) waiting() (planned int, dropped int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue), p.dropped
}

// run sends until the server stops.
func (p *reporter) run() {
	var under sync.WaitGroup
	defer under.Wait()
	defer p.client.CloseIdleConnections()
	for {
		one, age, wait := p.due()
		if one == nil {
			if !p.pause(wait) {
				return
			}
			continue
		}
		select {
		case p.places <- struct{}{}:
		case <-p.s.ctx.Done():
			return
		}
		under.Go(func() {
			defer func() { <-p.places }()
			p.tell(one, age)
		})
	}
}

// due takes what is due, or says how long to wait; 0: until somebody rouses.
func (p *reporter) due() (one *planned, age int, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, 0, 0
	}
	if wait = p.queue[0].reports[0].due.Sub(p.s.cfg.Now()); wait > 0 {
		return nil, 0, wait
	}
	return heap.Pop(&p.queue).(*planned), p.age, 0
}

func (p *reporter) pause(wait time.Duration) bool {
	var over <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-p.s.ctx.Done():
		return false
	case <-p.wake:
	case <-over:
	}
	return true
}

// again is when a provider repeats a report that was not answered with 2xx.
// Resend's page on retries has these; of the others nothing is documented.
func again(kind string, tries int) time.Duration {
	pauses := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}
	if kind != "RESEND" || tries >= len(pauses) {
		return 0
	}
	return pauses[tries]
}

// tell sends the first report of a line and schedules what follows.
func (p *reporter) tell(one *planned, age int) {
	r := one.reports[0]
	heard, known := p.send(one.m, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.age != age {
		return
	}
	if pause := again(one.m.kind, one.tries); known && !heard && pause > 0 {
		r.due = p.s.cfg.Now().Add(pause)
		p.put(&planned{m: one.m, reports: []report{r}, tries: one.tries + 1})
	}
	if rest := one.reports[1:]; len(rest) > 0 {
		p.put(&planned{m: one.m, reports: rest})
	}
	p.rouse()
}

// send makes the request and enters it in the ledger. known is false for a status
// that the provider does not report.
func (p *reporter) send(m *message, r report) (heard, known bool) {
	c, known := p.s.tongueOf(m.kind).report(m, r)
	if !known {
		return false, false
	}
	if r.half {
		c.halve()
	}
	now := p.s.cfg.Now()
	e := Entry{At: now, Kind: KindReport, Type: m.kind, Port: m.port, Method: c.method, Recipient: m.to, ProviderID: r.id, Token: r.event, Event: r.status, Outcome: Unheard}
	ctx, cancel := context.WithTimeout(p.s.ctx, reportTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, bytes.NewReader(c.body))
	if err == nil {
		if c.kind != "" {
			req.Header.Set("Content-Type", c.kind)
		}
		req.Header.Set("User-Agent", "CommServer-Simulate/1.0 ("+strings.ToLower(m.kind)+")")
		if c.sign != nil {
			c.sign(&c, now, req.Header)
		}
		var res *http.Response
		if res, err = p.client.Do(req); err == nil {
			e.Status = res.StatusCode
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxResponse)) // what it says means nothing
			_ = res.Body.Close()
		}
	}
	if err != nil {
		e.Error = why(err)
	}
	if e.Status >= 200 && e.Status < 300 {
		e.Outcome = Reported
	}
	p.s.ledger.enter(e)
	return e.Outcome == Reported, true
}

// why is the reason of a failed call without its URL, which may hold a secret.
func why(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if n, ok := errors.AsType[*net.OpError](err); ok {
		err = n.Err
	}
	return err.Error()
}

// schedule is a heap by time, then by order.
type schedule []*planned

func (q schedule) Len() int { return len(q) }
func (q schedule) Less(i, j int) bool {
	a, b := q[i], q[j]
	if !a.reports[0].due.Equal(b.reports[0].due) {
		return a.reports[0].due.Before(b.reports[0].due)
	}
	return a.order < b.order
}
func (q schedule) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *schedule) Push(x any) { *q = append(*q, x.(*planned)) }

// Pop implements heap.Interface.
func (q *schedule) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
