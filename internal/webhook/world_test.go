package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// memory is store.Deliveries and Endpoints as far as the engine uses them.
type memory struct {
	store.Deliveries
	mu        sync.Mutex
	rows      map[comm.ID]*store.Delivery
	made      map[comm.ID][]*store.Delivery // for each endpoint, also those that are removed since: it is asked for all the time
	endpoints []comm.Endpoint
	troubles  map[comm.ID]store.Trouble
	notes     int // calls of SetTrouble
	off       map[comm.ID]string
	recorded  int
	fail      error                                               // of Record
	refuse    func(ctx context.Context, a *store.Attempted) error // of Record, for one
	unnoted   error                                               // of SetTrouble
	read      func()                                              // after a reading of deliveries, before it is handed over
	looked    func()                                              // after one of endpoints
}

func (m *memory) DueEndpoints(_ context.Context, shards []comm.Shard) (out []store.DueEndpoint, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := map[comm.ID]store.DueEndpoint{}
	for _, d := range m.rows {
		e, there := due[d.Endpoint]
		if d.State == store.DeliveryWaiting && slices.Contains(shards, d.Shard) && (!there || d.Due < e.Due) {
			due[d.Endpoint] = store.DueEndpoint{Shard: d.Shard, App: d.App, Endpoint: d.Endpoint, Due: d.Due}
		}
	}
	for _, e := range due {
		out = append(out, e)
	}
	return out, nil
}

// add stores a delivery; from here on it is the store's. The lock is held.
func (m *memory) add(d *store.Delivery) {
	m.rows[d.ID] = d
	m.made[d.Endpoint] = append(m.made[d.Endpoint], d)
}

func (m *memory) DueDeliveries(_ context.Context, e store.DueEndpoint, by comm.Micros, limit int) (out []store.Delivery, err error) {
	m.mu.Lock()
	if m.read != nil {
		defer m.read()
	}
	defer m.mu.Unlock()
	for _, d := range m.made[e.Endpoint] {
		if d.State == store.DeliveryWaiting && d.Due <= by && m.rows[d.ID] == d {
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b store.Delivery) int { return cmp.Or(cmp.Compare(a.Due, b.Due), a.ID.Compare(b.ID)) })
	return out[:min(limit, len(out))], nil
}

// DeliveryList lists everything of an endpoint that is in a state, in any order.
func (m *memory) DeliveryList(_ context.Context, _, endpoint comm.ID, f store.DeliveryFilter) (out []store.Delivery, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.rows {
		if d.Endpoint == endpoint && (f.State == 0 || d.State == f.State) {
			out = append(out, *d)
		}
	}
	return out, nil
}

func (m *memory) Delivery(_ context.Context, _, _, id comm.ID) (store.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.rows[id], nil
}

func (m *memory) Record(ctx context.Context, all []store.Attempted) error {
	m.mu.Lock()
	refuse := m.refuse
	m.mu.Unlock()
	for i := range all {
		if refuse == nil {
			break
		}
		if err := refuse(ctx, &all[i]); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, a := range all {
		m.recorded++
		d := m.rows[a.ID]
		if d == nil {
			continue // it was removed meanwhile
		}
		if a.Message != d.Message || a.Sequence != d.Sequence {
			return fmt.Errorf("a call of %s %d was recorded as one of %s %d", d.Message, d.Sequence, a.Message, a.Sequence)
		}
		if d.Attempts+1 == a.Attempt && d.Tries+1 == a.Try || a.State == store.DeliveryDone {
			d.State, d.Due = a.State, a.Due
		}
		if d.Attempts++; d.Tries+1 >= a.Try && !a.Cut {
			d.Tries++
		}
		d.Log += a.Line
	}
	return nil
}

func (m *memory) RemoveDeliveries(_ context.Context, app, endpoint comm.ID, limit int) (removed int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, d := range m.rows {
		if removed < limit && d.App == app && d.Endpoint == endpoint && m.foreign(d) {
			delete(m.rows, id)
			removed++
		}
	}
	return removed, nil
}

func (m *memory) DropForeign(_ context.Context, app, endpoint comm.ID, ids []comm.ID) (removed int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if d := m.rows[id]; d != nil && d.App == app && d.Endpoint == endpoint && m.foreign(d) {
			delete(m.rows, id)
			removed++
		}
	}
	return removed, nil
}

// foreign says that a delivery was not made for the endpoint that is there.
func (m *memory) foreign(d *store.Delivery) bool {
	return !slices.ContainsFunc(m.endpoints, func(e comm.Endpoint) bool {
		return e.App == d.App && e.ID == d.Endpoint && (d.MadeFor == 0 || d.MadeFor == e.CreatedAt)
	})
}

func (m *memory) Troubles(context.Context, []comm.ID) (out []store.Trouble, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.troubles)), nil
}

func (m *memory) SetTrouble(_ context.Context, t store.Trouble) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes++; m.unnoted != nil {
		return m.unnoted
	}
	if was := m.troubles[t.Endpoint].Since; was != 0 && t.Since != 0 {
		t.Since = was
	}
	if m.troubles[t.Endpoint] = t; t.Since == 0 && t.RestsUntil == 0 {
		delete(m.troubles, t.Endpoint)
	}
	return nil
}

func (m *memory) EndpointsOf(_ context.Context, apps []comm.ID) (out []comm.Endpoint, err error) {
	m.mu.Lock()
	if m.looked != nil {
		defer m.looked()
	}
	defer m.mu.Unlock()
	for _, e := range m.endpoints {
		if slices.Contains(apps, e.App) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (m *memory) SwitchOff(_ context.Context, e *comm.Endpoint, why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.endpoints {
		if m.endpoints[i].ID == e.ID && m.endpoints[i].Version == e.Version {
			m.off[e.ID] = why
			m.endpoints[i].Active, m.endpoints[i].Disabled = false, why
			m.endpoints[i].Version++
		}
	}
	return nil
}

func (m *memory) switchOn(id comm.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.off, id)
	delete(m.troubles, id)
	for i := range m.endpoints {
		if e := &m.endpoints[i]; e.ID == id {
			e.Active, e.Disabled = true, ""
			e.Version++
		}
	}
}

// post is a request that a receiver got.
type post struct {
	at   time.Time
	head http.Header
	body string
}

// receiver is an endpoint's server: it answers as its mood is.
type receiver struct {
	mu    sync.Mutex
	posts []post
	conns int
	mood  func(w http.ResponseWriter, r *http.Request)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.posts = append(r.posts, post{time.Now(), req.Header.Clone(), string(b)})
	mood := r.mood
	r.mu.Unlock()
	if mood == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	mood(w, req)
}

func (r *receiver) got() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.posts)
}

// edit changes an endpoint as its owner does; with anew false as a rotation of keys does, which leaves its trouble alone.
func (m *memory) edit(i int, anew bool, change func(e *comm.Endpoint)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := &m.endpoints[i]
	change(e)
	if e.Version++; anew {
		delete(m.troubles, e.ID)
	}
}

// bubble is a service in a synctest bubble, with receivers behind pipes.
type bubble struct {
	*testing.T
	cfg       Config
	s         *Service
	m         *memory
	receivers map[string]*receiver // by host
	stop      func()
	mu        sync.Mutex
	servers   []*http.Server
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// inBubble runs a test with n endpoints, each an app's own, at hosts "hook-<i>".
func inBubble(t *testing.T, n int, change func(*Config), run func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{T: t, m: &memory{rows: map[comm.ID]*store.Delivery{}, made: map[comm.ID][]*store.Delivery{}, troubles: map[comm.ID]store.Trouble{}, off: map[comm.ID]string{}}, receivers: map[string]*receiver{}}
		now := comm.At(time.Now())
		for i := range n {
			host := "hook-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			b.m.endpoints = append(b.m.endpoints, comm.Endpoint{ID: comm.NewID(now), App: comm.NewID(now), URL: "http://" + host + "/", Active: true, Version: 1})
			b.receivers[host] = &receiver{}
		}
		cfg := Config{Store: b.m, Endpoints: b.m, DialPlain: b.dial, Dial: b.dial, Owned: func() (string, []store.Lease) {
			leases := make([]store.Lease, comm.ShardCount)
			for i := range leases {
				leases[i] = store.Lease{Shard: comm.Shard(i), Epoch: 1}
			}
			return "node", leases
		}, Now: func(context.Context) (comm.Micros, error) { return comm.At(time.Now()), nil },
			Secrets: func(*comm.Endpoint) ([]string, error) { return []string{secret}, nil }}
		if change != nil {
			change(&cfg)
		}
		b.cfg = cfg
		b.run()
		defer func() { b.stop() }()
		run(b)
	})
}

// run starts a service; again after a stop it is another one, which knows what is stored.
func (b *bubble) run() {
	b.s = New(b.cfg)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { _ = b.s.Run(ctx); close(ended) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, s := range b.servers {
			_ = s.Close()
		}
	})
}

// dial connects to a receiver by a pipe that its server accepts.
func (b *bubble) dial(_ context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	b.mu.Lock()
	r := b.receivers[host]
	b.mu.Unlock()
	if r == nil {
		return nil, &net.DNSError{Name: host}
	}
	r.mu.Lock()
	r.conns++
	r.mu.Unlock()
	ours, theirs := net.Pipe()
	server := &http.Server{Handler: r}
	b.mu.Lock()
	b.servers = append(b.servers, server)
	b.mu.Unlock()
	go func() { _ = server.Serve(&oneConn{conn: theirs}) }()
	return ours, nil
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn net.Conn
	once bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	if l.once {
		return nil, errors.New("there is no other one")
	}
	l.once = true
	return l.conn, nil
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// made stores a delivery for an endpoint and hands it over.
func (b *bubble) made(i int) comm.ID { return b.madeOf(i, nil) }

// madeOf does so with a body; nil is a small one.
func (b *bubble) madeOf(i int, body []byte) comm.ID {
	b.m.mu.Lock()
	e, now := b.m.endpoints[i], comm.At(time.Now())
	b.m.mu.Unlock()
	d := store.Delivery{EventRef: store.EventRef{App: e.App, Message: comm.NewID(now), Sequence: 3}, Endpoint: e.ID, ID: comm.NewID(now), Shard: comm.ShardOf(e.App, comm.ID{}, 1),
		Status: comm.Sent, State: store.DeliveryWaiting, Due: now, CreatedAt: now, MadeFor: e.CreatedAt, EventAt: now - 1_000_000}
	if d.Body = body; body == nil {
		d.Body = []byte(`{"eventId":"` + d.EventID() + `"}`)
	}
	handed := d
	handed.Body = bytes.Clone(d.Body)
	b.m.mu.Lock()
	b.m.add(&d)
	b.m.mu.Unlock()
	b.s.Made([]store.Delivery{handed})
	return handed.ID
}

// endpoint is one as it is stored now.
func (b *bubble) endpoint(i int) comm.Endpoint {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return b.m.endpoints[i]
}

// off are the endpoints that were switched off, and why.
func (b *bubble) off() map[comm.ID]string {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return maps.Clone(b.m.off)
}

// troubles are the endpoints that are stored as failing, with since when.
func (b *bubble) troubles() map[comm.ID]comm.Micros {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	since := map[comm.ID]comm.Micros{}
	for id, t := range b.m.troubles {
		if t.Since != 0 {
			since[id] = t.Since
		}
	}
	return since
}

func (b *bubble) delivery(id comm.ID) store.Delivery {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	return *b.m.rows[id]
}

// another opens a receiver at a host that nobody has yet.
func (b *bubble) another(host string) *receiver {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &receiver{}
	b.receivers[host] = r
	return r
}

func (b *bubble) receiver(i int) *receiver {
	return b.receivers[b.m.endpoints[i].URL[len("http://"):len(b.m.endpoints[i].URL)-1]]
}

// answer makes a receiver answer so from now on; 0 is as it should be.
func (b *bubble) answer(i, status int, head ...string) {
	r := b.receiver(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mood = nil; status != 0 {
		r.mood = func(w http.ResponseWriter, _ *http.Request) {
			for k := 0; k < len(head); k += 2 {
				w.Header().Set(head[k], head[k+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte("what went wrong"))
		}
	}
}
