package dispatch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// ledger is what the providers really took: the truth.
type ledger struct {
	mu       sync.Mutex
	rng      *rand.Rand
	calm     bool // accept everything
	accepted map[comm.ID]int
	calls    map[comm.ID]int
	logged   map[comm.ID]int  // by the sandbox logger
	known    map[comm.ID]bool // to the one that takes keys
	at       map[comm.ID]time.Time
	store    *simStore
}

func newLedger(s *simStore, seed uint64) *ledger {
	return &ledger{rng: rand.New(rand.NewPCG(seed, 7)), accepted: map[comm.ID]int{}, calls: map[comm.ID]int{}, logged: map[comm.ID]int{}, known: map[comm.ID]bool{}, at: map[comm.ID]time.Time{}, store: s}
}

// simSender is a provider account as one node sees it.
type simSender struct {
	l      *ledger
	n      *simNode
	chaos  float64 // share of calls that go wrong
	logger bool
	keyed  bool // takes a message only once
}

func (s *simSender) Close() error { return nil }

func (s *simSender) dead() bool {
	s.n.mu.Lock()
	defer s.n.mu.Unlock()
	return s.n.dead
}

// law checks what must hold the moment a call begins.
func (s *simSender) law(m *provider.Message) {
	st := s.l.store
	st.mu.Lock()
	defer st.mu.Unlock()
	rec := st.message(m.ID)
	if rec == nil {
		st.broken("a call for a message that does not exist")
		return
	}
	switch x := &rec.state; {
	case x.ScheduledAt > st.now():
		st.broken("a call before scheduledAt")
	case x.Status == comm.Sent && x.Flags.Has(comm.UnknownInGeneration):
		// proof of an earlier attempt came between the start and this call
	case x.Attempts != m.Attempt || x.Status != comm.Sending:
		st.broken("a call for an attempt that is not open: %v attempt %d, call of attempt %d", x.Status, x.Attempts, m.Attempt)
	case st.owner[x.Shard].Epoch != x.Epoch || st.owner[x.Shard].Node == "":
		st.broken("a call under epoch %d, the shard is at %d", x.Epoch, st.owner[x.Shard].Epoch)
	}
}

func (s *simSender) take(m *provider.Message) {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	if s.logger {
		s.l.logged[m.ID]++
		return
	}
	if s.keyed {
		if s.l.known[m.ID] {
			return
		}
		s.l.known[m.ID] = true
	}
	s.l.accepted[m.ID]++
	if _, ok := s.l.at[m.ID]; !ok {
		s.l.at[m.ID] = time.Now()
	}
}

func (s *simSender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	if s.dead() {
		return provider.Receipt{}, &provider.Error{Class: provider.Transient, Text: "dead"}
	}
	s.law(m)
	s.l.mu.Lock()
	s.l.calls[m.ID]++
	wrong := !s.l.calm && s.l.rng.Float64() < s.chaos
	kind := s.l.rng.IntN(11)
	pause := time.Duration(s.l.rng.IntN(300)) * time.Millisecond
	s.l.mu.Unlock()
	wait := func(d time.Duration) bool {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if !wrong {
		if !wait(pause) {
			return provider.Receipt{}, &provider.Error{Class: provider.Transient, Text: "cut off before the message was sent"}
		}
		if s.dead() {
			return provider.Receipt{}, &provider.Error{Class: provider.Transient, Text: "dead"}
		}
		s.take(m)
		return provider.Receipt{Ref: "r"}, nil
	}
	return provider.Receipt{}, s.misbehave(ctx, m, kind, pause, wait)
}

func (s *simSender) misbehave(ctx context.Context, m *provider.Message, kind int, pause time.Duration, wait func(time.Duration) bool) error {
	wait(pause)
	unknown := &provider.Error{Class: provider.Ambiguous, Code: "timeout", Text: "no answer"}
	switch kind {
	case 0:
		return &provider.Error{Class: provider.PermanentMessage, Code: "550", Text: "no such user", HardBounce: true}
	case 1:
		return &provider.Error{Class: provider.PermanentHere, Text: "sender not approved"}
	case 2:
		return &provider.Error{Class: provider.Account, Text: "no credit"}
	case 3:
		return &provider.Error{Class: provider.RateLimited, Text: "slow down", RetryAfter: pause * 20}
	case 4, 5:
		return &provider.Error{Class: provider.Transient, Code: "451", Text: "later"}
	case 6: // taken, answer lost
		s.take(m)
		return unknown
	case 7: // not taken, nobody knows
		return unknown
	case 8: // hangs, then taken or not
		<-ctx.Done()
		if pause > 150*time.Millisecond && !s.dead() {
			s.take(m)
		}
		return unknown
	case 9:
		if pause > 150*time.Millisecond {
			s.take(m)
		}
		panic("adapter bug")
	}
	return context.DeadlineExceeded // an adapter that forgets to classify
}
