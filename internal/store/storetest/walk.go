package storetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// walkCases are random walks: the same generated calls against the store and
// against a small model of the contract, every answer compared.
func walkCases() []testCase {
	seeds := uint64(3)
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		seeds = 40
	}
	var cases []testCase
	for seed := range seeds {
		cases = append(cases, testCase{fmt.Sprintf("seed %d", seed), func(w *world) { walk(w, seed, 250) }})
	}
	return cases
}

// modelMessage is what the contract says of one message.
type modelMessage struct {
	sub        store.Submission
	status     comm.Status
	generation int
	attempts   int
	events     int
	epoch      int64
	flags      comm.Flags
	filed      map[string]bool // late results, by attempt and answer
}

type model struct {
	*world
	rnd        *rand.Rand
	apps       []*comm.App
	messages   []*modelMessage
	keys       map[string]*modelMessage
	suppressed map[string]bool
}

func walk(w *world, seed uint64, steps int) {
	m := &model{world: w, rnd: rand.New(rand.NewPCG(seed, 7)), keys: map[string]*modelMessage{}, suppressed: map[string]bool{}}
	m.apps = []*comm.App{w.app(true), w.app(true), w.app(true)}
	w.own()
	ops := []func(*model) string{(*model).opAccept, (*model).opAccept, (*model).opStart, (*model).opStart, (*model).opFinish, (*model).opFinish,
		(*model).opCancel, (*model).opRetry, (*model).opLate, (*model).opSuppress, (*model).opRestart, (*model).opFold}
	var trace []string
	for range steps {
		trace = append(trace, ops[m.rnd.IntN(len(ops))](m))
		if len(m.messages) == 0 {
			continue
		}
		if why := m.compare(m.pick()); why != "" {
			w.Fatalf("seed %d: %s\n%v", seed, why, trace)
		}
	}
	for _, x := range m.messages {
		if why := m.compare(x); why != "" {
			w.Fatalf("seed %d, at the end: %s\n%v", seed, why, trace)
		}
	}
	m.compareStats()
	m.compareSearches()
}

// compareSearches holds searches with random filters to the model.
func (m *model) compareSearches() {
	m.Helper()
	if len(m.messages) == 0 {
		return
	}
	m.searchable(m.messages[len(m.messages)-1].sub)
	for range 60 {
		a, f := m.apps[m.rnd.IntN(len(m.apps))], store.Filter{Limit: 1 + m.rnd.IntN(7)}
		f.Status = append(comm.Statuses(), comm.None)[m.rnd.IntN(len(comm.Statuses())+1)]
		if m.rnd.IntN(2) == 0 {
			f.Recipient = m.pick().sub.Recipient
		}
		if f.Recipient == "" || m.rnd.IntN(2) == 0 {
			f.Terms = []store.Term{tag([]string{"x", "y"}[m.rnd.IntN(2)])}
		}
		var want []comm.ID
		for _, x := range m.messages {
			if x.sub.App == a.ID && passes(f, &x.sub, &comm.Message{State: comm.State{Status: x.status}}) {
				want = append(want, x.sub.ID)
			}
		}
		if got, _ := m.search(a.ID, f); !slices.Equal(got, newestFirst(want)) {
			m.Fatalf("search %+v answered %v, the model says %v", f, got, want)
		}
	}
}

func (m *model) pick() *modelMessage { return m.messages[m.rnd.IntN(len(m.messages))] }

// compare reads a message and holds it, its log and its queue row to the model.
func (m *model) compare(x *modelMessage) string {
	m.Helper()
	got := m.message(x.sub)
	if got.Status != x.status || got.Attempts != x.attempts || got.Generation != x.generation || got.Flags != x.flags || len(got.Events) != x.events {
		return fmt.Sprintf("%s is %s, attempts %d, generation %d, flags %b, events %v; the model says %+v", got.ID, got.Status, got.Attempts, got.Generation, got.Flags, causes(got), *x)
	}
	if want := x.status == comm.Queued || x.status == comm.Sending; m.queued(x.sub) != want {
		return fmt.Sprintf("%s is %s: queue row %v, want %v", got.ID, got.Status, !want, want)
	} else if want && m.head(x.sub) != store.HeadOf(&got.State) || got.Bytes != x.sub.Bytes() {
		return fmt.Sprintf("%s is %s: %d bytes and due %d, the queue row differs or the size is not %d", got.ID, got.Status, got.Bytes, got.Due, x.sub.Bytes())
	}
	return ""
}

func (m *model) opAccept() string {
	a := m.apps[m.rnd.IntN(len(m.apps))]
	key := fmt.Sprintf("%s/%d", a.Slug, m.rnd.IntN(40))
	s := m.keyed(a, key)
	s.Recipient = fmt.Sprintf("user%d.%s@example.org", m.rnd.IntN(12), a.Slug)
	tagged([][]string{nil, {"x"}, {"y"}, {"x", "y"}}[m.rnd.IntN(4)]...)(&s)
	for range m.rnd.IntN(3) {
		s.Files = append(s.Files, comm.Attachment{Filename: "a", ContentType: "text/plain", Content: make([]byte, m.rnd.IntN(1000))})
	}
	out, err := m.s.Accept(m.ctx, []store.Submission{s})
	m.must(err)
	if old := m.keys[key]; old != nil {
		if out[0].Result != store.Replay || out[0].ID != old.sub.ID || out[0].Status != old.status {
			m.Fatalf("replay answered %+v, the model says %+v", out[0], *old)
		}
		return "replay"
	}
	if out[0].Result != store.New {
		m.Fatalf("%+v", out[0])
	}
	x := &modelMessage{sub: s, status: comm.Queued, generation: 1, events: 1, filed: map[string]bool{}}
	m.keys[key] = x
	m.messages = append(m.messages, x)
	return "accept"
}

func (m *model) opStart() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	start := store.Start{Unit: unitOf(x.sub), Provider: "sandbox"}
	continuing := x.status == comm.Sending && m.rnd.IntN(2) == 0
	switch {
	case x.status == comm.Queued:
		start.Head = m.head(x.sub)
	case continuing:
		start.Head, start.Attempt, start.Epoch = m.head(x.sub), x.attempts, x.epoch
		start.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, ErrorCode: "550"}
	default:
		start.Head = store.Head{Due: 1, ID: x.sub.ID}
	}
	got := m.turn(nil, []store.Start{start}).Started[0]
	if x.status != comm.Queued && !continuing {
		if got.Verdict != store.Gone {
			m.Fatalf("start of a %s message: %+v", x.status, got)
		}
		return "start refused"
	}
	check := comm.Check{Continuing: continuing, Cancelled: x.flags.Has(comm.CancelWanted), Unknown: x.flags.Has(comm.UnknownInGeneration), Suppressed: m.suppressed[x.sub.App.String()+x.sub.Recipient]}
	if continuing {
		x.events++
	}
	x.events++
	if to, cause := check.End(); to != comm.None {
		if got.Verdict != store.Ended {
			m.Fatalf("start answered %d, the model says %s by %s", got.Verdict, to, cause)
		}
		x.status = to
		return "start ended"
	}
	if got.Verdict != store.Go {
		m.Fatalf("start answered %+v, the model says go", got)
	}
	x.status, x.attempts, x.epoch = comm.Sending, x.attempts+1, m.leases[x.sub.Shard].Epoch
	return "start"
}

func (m *model) opFinish() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	outcomes := []store.Outcome{sentOutcome(), unknownOutcome(m.now() + 1),
		{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: m.now() + 1, Round: 1},
		{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "550"},
		{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Set: comm.UnknownInGeneration | comm.UnknownEver, ErrorCode: "outcome_unknown"}}
	want := outcomes[m.rnd.IntN(len(outcomes))]
	alt := store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Set: comm.UnknownInGeneration | comm.UnknownEver}
	f := m.finishOf(x.sub, x.attempts, want)
	f.Epoch, f.IfCancelled = x.epoch, &alt
	took := m.turn([]store.Finish{f}, nil).Finished[0]
	if took != (x.status == comm.Sending) {
		m.Fatalf("finish of a %s message: %v", x.status, took)
	}
	if !took {
		return "finish refused"
	}
	if x.flags.Has(comm.CancelWanted) {
		want = alt
	}
	x.status, x.flags, x.events = want.To, x.flags&^comm.RepeatOwed|want.Set, x.events+1
	return "finish " + want.Cause.String()
}

func (m *model) opCancel() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	want := comm.CancelVerdict(&comm.State{Status: x.status, Flags: x.flags})
	_, got := m.cancel(x.sub)
	if got != want {
		m.Fatalf("cancel answered %d, the model says %d", got, want)
	}
	switch want {
	case comm.CancelDone:
		x.status, x.events = comm.Cancelled, x.events+1
	case comm.CancelMaybe:
		x.status, x.events = comm.Failed, x.events+1
	case comm.CancelFlight:
		if !x.flags.Has(comm.CancelWanted) {
			x.flags, x.events = x.flags|comm.CancelWanted, x.events+1
		}
	}
	return "cancel"
}

func (m *model) opRetry() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	want := comm.RetryVerdict(&comm.State{Status: x.status}, false, m.now())
	_, got, err := m.s.Retry(m.ctx, x.sub.App, x.sub.ID, "app")
	m.must(err)
	if got != want {
		m.Fatalf("retry answered %d, the model says %d", got, want)
	}
	if want == comm.RetryDone {
		x.status, x.generation, x.events = comm.Queued, x.generation+1, x.events+1
		x.flags &^= comm.CancelWanted | comm.UnknownInGeneration | comm.RepeatOwed
	}
	return "retry"
}

func (m *model) opLate() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	if x.attempts == 0 {
		return "-"
	}
	r := lateAccepted(x.sub, x.attempts)
	if r.Accepted = m.rnd.IntN(2) == 0; !r.Accepted {
		r.Outcome.Detail = "550 no"
	}
	m.must(m.s.Late(m.ctx, "node-old", []store.LateResult{r}))
	name := fmt.Sprint(r.Attempt, r.Outcome.Detail)
	if x.filed[name] {
		return "late again"
	}
	x.filed[name] = true
	x.events++
	if _, settles := comm.ProofSettles(&comm.State{Status: x.status, Flags: x.flags}); settles && r.Accepted {
		x.status, x.events = comm.Sent, x.events+1
		if x.attempts == 1 && x.generation == 1 {
			x.flags &^= comm.PossibleDuplicate // its only attempt
		}
	}
	return "late"
}

func (m *model) opSuppress() string {
	if len(m.messages) == 0 {
		return "-"
	}
	x := m.pick()
	k := x.sub.App.String() + x.sub.Recipient
	if m.suppressed[k] {
		_, err := m.s.Unsuppress(m.ctx, x.sub.App, x.sub.Channel, x.sub.Recipient)
		m.must(err)
	} else {
		_, err := m.s.Suppress(m.ctx, store.Suppression{App: x.sub.App, Channel: x.sub.Channel, Address: x.sub.Recipient, Reason: "manual", CreatedAt: m.now()})
		m.must(err)
	}
	m.suppressed[k] = !m.suppressed[k]
	return "suppress"
}

// opRestart is a new process: new epochs everywhere, open attempts are recovered as unknown.
func (m *model) opRestart() string {
	m.must(m.s.Leave(m.ctx, m.node))
	m.node = fmt.Sprintf("node-%d", m.rnd.Uint64())
	m.own()
	for _, x := range m.messages {
		if x.status != comm.Sending {
			continue
		}
		f := m.finishOf(x.sub, x.attempts, unknownOutcome(m.now()+1))
		f.Epoch = x.epoch
		alt := store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown, Set: comm.UnknownInGeneration | comm.UnknownEver}
		f.IfCancelled = &alt
		if !m.turn([]store.Finish{f}, nil).Finished[0] {
			m.Fatal("recovery refused")
		}
		if x.events++; x.flags.Has(comm.CancelWanted) {
			x.status, x.flags = comm.Failed, x.flags|alt.Set
		} else {
			x.status, x.flags = comm.Queued, x.flags&^comm.RepeatOwed|f.Want.Set
		}
	}
	return "restart"
}
