// Package storetest is the conformance suite of the store contract: both
// databases run every case, so that what an engine may rely on is tested once.
//
// It promises that a store which passes keeps the contract's comments, item by
// item. It does not test what differs for good reasons: connections, files,
// notifications and query plans are tested beside each implementation.
package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Opener makes a migrated store on a database of its own; it closes it by itself when the test ends.
type Opener func(t *testing.T) store.Store

// Run runs the suite. Each case opens its own store.
func Run(t *testing.T, open Opener) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Intake", intakeCases()},
		{"Turn", turnCases()},
		{"Days", dayCases()},
		{"Bounces", bounceCases()},
		{"Suppressions", suppressionCases()},
		{"Checks", checkCases()},
		{"Scheduling", scheduleCases()},
		{"Ownership", ownershipCases()},
		{"Overdue", overdueCases()},
		{"Late", lateCases()},
		{"Receipts", receiptCases()},
		{"Tagged", taggedCases()},
		{"Left", leftCases()},
		{"Messages", messageCases()},
		{"Lists", listCases()},
		{"Search", searchCases()},
		{"Everywhere", everywhereCases()},
		{"Cold", coldCases()},
		{"Endpoints", endpointCases()},
		{"Templates", templateCases()},
		{"Tenancy", tenancyCases()},
		{"Audit", auditCases()},
		{"Sealed", sealedCases()},
		{"Upkeep", upkeepCases()},
		{"Persons", personCases()},
		{"Stats", statsCases()},
		{"Feed", feedCases()},
		{"Lately", latelyCases()},
		{"Alerts", alertCases()},
		{"Users", userCases()},
		{"Deliveries", deliveryCases()},
		{"Damaged", damagedCases()},
		{"Isolation", isolationCases()},
		{"Walk", walkCases()},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newWorld(t, open))
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(w *world)
}

// world is one case's store with what most cases need.
type world struct {
	*testing.T
	open   Opener
	s      store.Store
	ctx    context.Context
	node   string
	leases map[comm.Shard]store.Lease
	serial atomic.Int64
}

func newWorld(t *testing.T, open Opener) *world {
	return &world{T: t, open: open, s: open(t), ctx: t.Context(), node: "node-a", leases: map[comm.Shard]store.Lease{}}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) now() comm.Micros {
	w.Helper()
	now, err := w.s.Now(w.ctx)
	w.must(err)
	return now
}

// app makes an active app in the given mode.
func (w *world) app(sandbox bool) *comm.App {
	w.Helper()
	now := comm.At(time.Now())
	id := comm.NewID(now)
	a := &comm.App{ID: id, Slug: fmt.Sprintf("app-%d-%s", w.serial.Add(1), id.String()[18:]), Name: "An app", Active: true, Sandbox: sandbox,
		RatePerMinute: 1_000_000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	created, err := w.s.CreateApp(w.ctx, a, nil)
	w.must(err)
	if !created {
		w.Fatal("app not created")
	}
	return a
}

// submission is a valid one for the app; change what the case is about.
func (w *world) submission(a *comm.App) store.Submission {
	w.Helper()
	n := w.serial.Add(1)
	c := comm.Content{To: fmt.Sprintf("user%d@example.org", n), Subject: "Hello", Body: fmt.Sprintf("<p>Body %d</p>", n)}
	payload, err := store.EncodeContent(&c)
	w.must(err)
	id := comm.NewID(comm.At(time.Now()))
	return store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, a.ShardSpread), Channel: comm.Email, Lane: comm.Normal, Mode: a.Mode(),
		OnUnknown: a.OnUnknown, Node: w.node, Recipient: c.To, Payload: payload, RatePerMinute: a.RatePerMinute,
		Fingerprint: sum(string(payload))}
}

func (w *world) keyed(a *comm.App, key string) store.Submission {
	w.Helper()
	s := w.submission(a)
	s.HasKey, s.KeyHash, s.Fingerprint = true, sum(key), sum("same request")
	return s
}

func sum(s string) (h [16]byte) {
	full := sha256.Sum256([]byte(s))
	copy(h[:], full[:])
	return h
}

// accept stores submissions and wants them all new.
func (w *world) accept(subs ...store.Submission) []store.Accepted {
	w.Helper()
	out, err := w.s.Accept(w.ctx, subs)
	w.must(err)
	if len(out) != len(subs) {
		w.Fatalf("%d answers for %d submissions", len(out), len(subs))
	}
	for i, a := range out {
		if a.Result != store.New || a.ID != subs[i].ID || a.Status != comm.Queued || a.Due == 0 {
			w.Fatalf("submission %d: %+v", i, a)
		}
	}
	return out
}

// one accepts a message of the app.
func (w *world) one(a *comm.App, change ...func(*store.Submission)) store.Submission {
	w.Helper()
	s := w.submission(a)
	for _, f := range change {
		f(&s)
	}
	w.accept(s)
	return s
}

// own makes the world's node owner of every shard and remembers the leases.
func (w *world) own() {
	w.Helper()
	w.ownAs(w.node)
}

func (w *world) ownAs(node string) {
	w.Helper()
	w.beat(node, time.Minute)
	all := make([]comm.Shard, comm.ShardCount)
	for i := range all {
		all[i] = comm.Shard(i)
	}
	leases, err := w.s.Take(w.ctx, node, all)
	w.must(err)
	for _, l := range leases {
		w.leases[l.Shard] = l
	}
}

func (w *world) beat(node string, lease time.Duration) store.Cluster {
	w.Helper()
	c, err := w.s.Beat(w.ctx, store.NodeInfo{Node: node, Role: "all", Version: "test", Lease: lease.Microseconds()})
	w.must(err)
	return c
}

func unitOf(s store.Submission) comm.Unit {
	return comm.Unit{Shard: s.Shard, App: s.App, Channel: s.Channel, Lane: s.Lane}
}

// window reads one unit's queue rows.
func (w *world) window(u comm.Unit, after store.Head, limit int) []store.Head {
	w.Helper()
	got, err := w.s.Windows(w.ctx, []store.Ask{{Unit: u, After: after, Limit: limit}})
	w.must(err)
	return got[0]
}

// head reads the message's queue row through Windows.
func (w *world) head(s store.Submission) store.Head {
	w.Helper()
	heads := w.window(unitOf(s), store.Head{}, 1000)
	for _, h := range heads {
		if h.ID == s.ID {
			return h
		}
	}
	w.Fatalf("no queue row of %s among %d", s.ID, len(heads))
	return store.Head{}
}

// size wants the bytes of a message that is QUEUED or SENDING, in its state and in its queue row.
func (w *world) size(s store.Submission, want int64) {
	w.Helper()
	m := w.message(s)
	if h := w.head(s); m.Bytes != want || h != store.HeadOf(&m.State) {
		w.Fatalf("%s has %d bytes, its queue row is %+v, want %d", s.ID, m.Bytes, h, want)
	}
}

func (w *world) queued(s store.Submission) bool {
	w.Helper()
	heads := w.window(unitOf(s), store.Head{}, 1000)
	for _, h := range heads {
		if h.ID == s.ID {
			return true
		}
	}
	return false
}

// turn runs one turn under the leases of the shards that its items touch.
func (w *world) turn(finishes []store.Finish, starts []store.Start) store.TurnResult {
	w.Helper()
	res, err := w.tryTurn(w.node, finishes, starts)
	w.must(err)
	return res
}

func (w *world) tryTurn(node string, finishes []store.Finish, starts []store.Start) (store.TurnResult, error) {
	t := store.Turn{Node: node, Finishes: finishes, Starts: starts}
	seen := map[comm.Shard]bool{}
	for _, s := range starts {
		seen[s.Unit.Shard] = true
	}
	for _, f := range finishes {
		seen[f.Unit.Shard] = true
	}
	for shard := range seen {
		t.Leases = append(t.Leases, w.leases[shard])
	}
	return w.s.Turn(w.ctx, t)
}

func (w *world) startOf(s store.Submission) store.Start {
	w.Helper()
	return store.Start{Unit: unitOf(s), Head: w.head(s), Provider: "sandbox", Live: false}
}

// start begins an attempt and wants it to go.
func (w *world) start(s store.Submission) store.Started {
	w.Helper()
	res := w.turn(nil, []store.Start{w.startOf(s)})
	if len(res.Started) != 1 || res.Started[0].Verdict != store.Go {
		w.Fatalf("start: %+v", res.Started)
	}
	if got := res.Started[0].State.Bytes; got != s.Bytes() {
		w.Fatalf("start: %d bytes, want %d", got, s.Bytes())
	}
	return res.Started[0]
}

// finishOf ends an attempt that was started under the current lease.
func (w *world) finishOf(s store.Submission, attempt int, want store.Outcome) store.Finish {
	return store.Finish{App: s.App, ID: s.ID, Unit: unitOf(s), From: comm.Sending, Attempt: attempt, Epoch: w.leases[s.Shard].Epoch, Want: want}
}

func sentOutcome() store.Outcome {
	return store.Outcome{To: comm.Sent, Cause: comm.CauseProviderAccepted, Provider: "sandbox", Ref: "ref-1", Detail: "accepted"}
}

func unknownOutcome(due comm.Micros) store.Outcome {
	return store.Outcome{To: comm.Queued, Cause: comm.CauseRetryUnknown, Due: due, Round: 1, Provider: "sandbox",
		Set: comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "no_answer", Detail: "no answer"}
}

func (w *world) message(s store.Submission) *comm.Message {
	w.Helper()
	m, err := w.s.Message(w.ctx, s.App, s.ID)
	w.must(err)
	w.checkLog(m)
	w.showsAsItIs(m)
	return m
}

// checkLog holds a message's log to invariants I1 to I3 of the reliability page.
func (w *world) checkLog(m *comm.Message) {
	w.Helper()
	last := comm.None
	for i, e := range m.Events {
		if e.Sequence != i+1 || e.Message != m.ID || e.App != m.App || e.At == 0 {
			w.Fatalf("event %d: %+v", i, e)
		}
		if e.From != last {
			w.Fatalf("event %d comes from %s, the log stands at %s: %+v", i, e.From, last, m.Events)
		}
		if e.From != e.To && !comm.Allowed(e.From, e.To, e.Type) {
			w.Fatalf("no edge %s -> %s by %s", e.From, e.To, e.Type)
		}
		last = e.To
	}
	if last != m.Status || m.Sequence != len(m.Events) {
		w.Fatalf("row is %s with sequence %d, log ends %s with %d", m.Status, m.Sequence, last, len(m.Events))
	}
}

func causes(m *comm.Message) []comm.Cause {
	out := make([]comm.Cause, len(m.Events))
	for i, e := range m.Events {
		out[i] = e.Type
	}
	return out
}

// wantCode wants a *comm.Error with the code.
func (w *world) wantCode(err error, code string) {
	w.Helper()
	var e *comm.Error
	if !errors.As(err, &e) || e.Code != code {
		w.Fatalf("error %v, want code %s", err, code)
	}
}
