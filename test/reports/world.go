// Package reports is the world in which reports of providers are tested: a service on a store of its own, with messages
// that were sent, and a provider whose reports have a form of the tests' own.
//
// It promises that both databases are tested alike; the tests of internal/receipt use it too.
package reports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/sandbox"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
	"github.com/commserver/commserver/test/pgtest"
)

const (
	Base  = "https://comms.test"
	Token = "a-token-of-the-test-0123456789"
)

// World is a service on a store of its own, with a provider that reports.
type World struct {
	*testing.T
	Store    store.Store
	Faults   *Faulty // the store as the service has it
	Service  *receipt.Service
	Leads    atomic.Bool // whether the service's node leads
	Log      providertest.Log
	App      *comm.App
	Config   *comm.ProviderConfig // the app's
	Stop     func()               // ends the service
	Patience time.Duration        // of Eventually; 0: the usual
	leases   map[comm.Shard]store.Lease
	due      map[comm.ID]comm.Micros
}

// Faulty is a store that refuses what a test wants it to.
type Faulty struct {
	store.Store
	NoReceive, NoApply atomic.Pointer[error]
	// Poison is refused with all that goes with it, but not where it is only put off.
	Poison  atomic.Pointer[func(*store.Report) bool]
	Refuses atomic.Pointer[func(*store.Report) bool] // reports with which nothing is applied
}

func (f *Faulty) Receive(ctx context.Context, all []store.Receipt) error {
	if err := f.NoReceive.Load(); err != nil {
		return *err
	}
	return f.Store.Receive(ctx, all)
}

func (f *Faulty) Apply(ctx context.Context, b store.ReportBatch) ([]store.ReportResult, error) {
	if err := f.NoApply.Load(); err != nil && len(b.Reports) > 0 {
		return nil, *err
	}
	if poison := f.Poison.Load(); poison != nil {
		for i := range b.Reports {
			if x := &b.Reports[i]; !x.Later && (*poison)(x) {
				return nil, errors.New("the store refuses a report")
			}
		}
	}
	if refuses := f.Refuses.Load(); refuses != nil {
		for i := range b.Reports {
			if (*refuses)(&b.Reports[i]) {
				return nil, errors.New("this one is refused")
			}
		}
	}
	return f.Store.Apply(ctx, b)
}

func OnSQLite(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t)})
	if err == nil {
		err = s.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func OnPostgres(t *testing.T) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: pgtest.Database(t)})
	if err == nil {
		err = s.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// NewService is one whose provider reports in the tests' own form.
func NewService(s receipt.Store, lists receipt.Lists, reporter *providertest.Reporter, leads func() bool, log io.Writer) *receipt.Service {
	adapter := reporter.Adapter(provider.Adapter{Type: "TWILIO", Title: "Test", Channel: comm.SMS})
	return receipt.New(receipt.Config{Store: s, Lists: lists, Adapters: []provider.Adapter{adapter, {Type: "SMTP"}, {Type: "HUBTEL", Reporting: &provider.Reporting{}}}, Sandbox: sandbox.Reporter(),
		OpenSecrets: func(c *comm.ProviderConfig) (map[string]string, error) {
			if c.Name == "sealed" {
				return nil, errors.New("no key")
			}
			return map[string]string{provider.CallbackToken: Token, "authToken": "key of " + c.Name}, nil
		},
		Recipient: func(_ comm.Channel, address string) (string, error) {
			if address == "" {
				return "", errors.New("no address")
			}
			return strings.TrimPrefix(address, "+"), nil
		},
		Env: provider.Env{PublicURL: Base}, Leads: leads, Node: "node-r", Patience: 72 * time.Hour,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
}

func New(t *testing.T, s store.Store, reporter *providertest.Reporter) *World {
	t.Helper()
	w := &World{T: t, Store: s, Faults: &Faulty{Store: s}, leases: map[comm.Shard]store.Lease{}, due: map[comm.ID]comm.Micros{}}
	w.Leads.Store(true)
	w.Service = NewService(w.Faults, s, reporter, w.Leads.Load, &w.Log)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = w.Service.Run(ctx) }()
	w.Stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(w.Stop)
	if _, err := s.Beat(t.Context(), store.NodeInfo{Node: "node-a", Role: "all", Version: "test", Lease: time.Hour.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	all := make([]comm.Shard, comm.ShardCount)
	for i := range all {
		all[i] = comm.Shard(i)
	}
	leases, err := s.Take(t.Context(), "node-a", all)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leases {
		w.leases[l.Shard] = l
	}
	w.App = w.NewApp()
	w.Config = w.NewConfig(w.App.ID, "one")
	return w
}

func NewID() comm.ID { return comm.NewID(comm.At(time.Now())) }

func (w *World) NewApp() *comm.App {
	w.Helper()
	now := comm.At(time.Now())
	a := &comm.App{ID: NewID(), Name: "An app", Active: true, RatePerMinute: 1_000_000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	a.Slug = "app-" + a.ID.String()[10:]
	if _, err := w.Store.CreateApp(w.Context(), a, nil); err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *World) NewConfig(owner comm.ID, name string) *comm.ProviderConfig {
	w.Helper()
	now := comm.At(time.Now())
	c := &comm.ProviderConfig{ID: NewID(), App: owner, Type: "TWILIO", Channel: comm.SMS, Name: name, Active: true, Settings: map[string]string{}, Version: 1, CreatedAt: now, UpdatedAt: now}
	if err := w.Store.CreateProviderConfig(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	return c
}

// Accept stores messages of an app to a number.
func (w *World) Accept(a *comm.App, n int, to string) []store.Submission {
	w.Helper()
	subs := make([]store.Submission, n)
	for i := range subs {
		payload, err := store.EncodeContent(&comm.Content{To: to, Body: "x"})
		if err != nil {
			w.Fatal(err)
		}
		id := NewID()
		subs[i] = store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, 1), Channel: comm.SMS, Lane: comm.Normal, Mode: comm.Live, Recipient: to, Payload: payload, RatePerMinute: 1_000_000}
	}
	accepted, err := w.Store.Accept(w.Context(), subs)
	if err != nil {
		w.Fatal(err)
	}
	for i := range accepted {
		w.due[subs[i].ID] = accepted[i].Due
	}
	return subs
}

func UnitOf(s store.Submission) comm.Unit {
	return comm.Unit{Shard: s.Shard, App: s.App, Channel: s.Channel, Lane: s.Lane}
}

func (w *World) Turn(finishes []store.Finish, starts []store.Start) store.TurnResult {
	w.Helper()
	t := store.Turn{Node: "node-a", Finishes: finishes, Starts: starts}
	seen := map[comm.Shard]bool{}
	for i := range starts {
		seen[starts[i].Unit.Shard] = true
	}
	for i := range finishes {
		seen[finishes[i].Unit.Shard] = true
	}
	for shard := range seen {
		t.Leases = append(t.Leases, w.leases[shard])
	}
	res, err := w.Store.Turn(w.Context(), t)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

// Start begins the first attempts of messages of one app.
func (w *World) Start(c *comm.ProviderConfig, subs []store.Submission) {
	w.Helper()
	starts := make([]store.Start, len(subs))
	for i, s := range subs {
		starts[i] = store.Start{Unit: UnitOf(s), Head: store.Head{Due: w.due[s.ID], ID: s.ID}, Provider: "twilio", ProviderID: c.ID, Live: true}
	}
	for i, r := range w.Turn(nil, starts).Started {
		if r.Verdict != store.Go {
			w.Fatalf("start %d: %+v", i, r)
		}
	}
}

// Finish stores that the provider took messages, each under its id.
func (w *World) Finish(c *comm.ProviderConfig, subs []store.Submission, change ...func(*store.Outcome)) {
	w.Helper()
	finishes := make([]store.Finish, len(subs))
	for i, s := range subs {
		o := store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "twilio", ProviderID: c.ID, Ref: s.ID.String(), Traced: true}
		for _, f := range change {
			f(&o)
		}
		finishes[i] = store.Finish{App: s.App, ID: s.ID, Unit: UnitOf(s), From: comm.Sending, Attempt: 1, Epoch: w.leases[s.Shard].Epoch, Want: o}
	}
	for i, ok := range w.Turn(finishes, nil).Finished {
		if !ok {
			w.Fatalf("finish %d was not applied", i)
		}
	}
}

func (w *World) Sent(c *comm.ProviderConfig, a *comm.App, to string, change ...func(*store.Outcome)) store.Submission {
	w.Helper()
	subs := w.Accept(a, 1, to)
	w.Start(c, subs)
	w.Finish(c, subs, change...)
	return subs[0]
}

// Post delivers a report as the door does, after its address was found right.
func (w *World) Post(c *comm.ProviderConfig, query string, lines ...string) error {
	w.Helper()
	a, err := w.Service.Find(w.Context(), "twilio", c.ID.String(), Token)
	if err != nil {
		return err
	}
	call := &provider.Callback{Method: http.MethodPost, URL: a.URL(query), Header: http.Header{}, Body: []byte(strings.Join(lines, "\n")), At: time.Now()}
	call.Header.Set(providertest.SignatureHeader, providertest.Sign("key of "+c.Name, call.URL.String(), call.Body))
	_, err = w.Service.Take(w.Context(), a, call)
	return err
}

func (w *World) Posted(c *comm.ProviderConfig, lines ...string) {
	w.Helper()
	if err := w.Post(c, "", lines...); err != nil {
		w.Fatal(err)
	}
}

func (w *World) Message(s store.Submission) *comm.Message {
	w.Helper()
	m, err := w.Store.Message(w.Context(), s.App, s.ID)
	if err != nil {
		w.Fatal(err)
	}
	return m
}

// Eventually waits until something is so.
func (w *World) Eventually(what string, so func() bool) {
	w.Helper()
	patience := max(w.Patience, 30*time.Second)
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("%s: not after %s; %+v", what, patience, w.Service.Counts())
		}
	}
}

func (w *World) Becomes(s store.Submission, status comm.Status) {
	w.Helper()
	w.Eventually(fmt.Sprintf("%s is %s", s.ID, status), func() bool { return w.Message(s).Status == status })
}

func (w *World) Listed(a *comm.App, address string) string {
	w.Helper()
	x, err := w.Store.Suppression(w.Context(), a.ID, comm.SMS, address)
	if comm.IsKind(err, comm.Missing) {
		return ""
	}
	if err != nil {
		w.Fatal(err)
	}
	return x.Reason
}

// Left counts stored requests that nobody has applied.
func (w *World) Left() int {
	w.Helper()
	all, err := w.Store.Received(w.Context(), comm.At(time.Now().Add(time.Hour)), comm.ID{}, 1000)
	if err != nil {
		w.Fatal(err)
	}
	return len(all)
}

// Lawful wants a log that keeps invariants I1 to I3 of the reliability page.
func (w *World) Lawful(m *comm.Message) {
	w.Helper()
	last := comm.None
	for i, e := range m.Events {
		if e.Sequence != i+1 || e.From != last || e.From != e.To && !comm.Allowed(e.From, e.To, e.Type) {
			w.Fatalf("%s: event %d of %v", m.ID, i, m.Events)
		}
		last = e.To
	}
	if last != m.Status {
		w.Fatalf("%s: the log ends %s, the row is %s", m.ID, last, m.Status)
	}
}
