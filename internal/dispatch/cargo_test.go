package dispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// freight is a provider that answers after a minute and notes how many bytes it holds at most.
type freight struct {
	s       *stage
	release bool // drops the content at once
	mu      sync.Mutex
	calls   int
	holds   int64
	most    int64
}

func (f *freight) Close() error { return nil }

func (f *freight) add(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.holds += n
	f.most = max(f.most, f.holds)
}

// peak is how many bytes it held at most.
func (f *freight) peak() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// happened is how many events of a kind were written.
func (s *stage) happened(c comm.Cause) int {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.seen[c]
}

func (f *freight) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	n := int64(len(m.Content.Body))
	for _, x := range m.Files {
		n += int64(len(x.Content))
	}
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	f.add(n)
	if f.release {
		f.add(-n)
		m.Release()
		n = 0
	}
	sleep(ctx, time.Minute)
	f.add(-n)
	return provider.Receipt{}, nil
}

// hanging is a provider that never answers.
type hanging struct{}

func (hanging) Close() error { return nil }

func (hanging) Send(ctx context.Context, _ *provider.Message) (provider.Receipt, error) {
	<-ctx.Done()
	return provider.Receipt{}, &provider.Error{Class: provider.PermanentHere, Text: "no answer"}
}

// returned is a freight whose answer is a no for now.
type returned struct{ *freight }

func (r returned) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	_, _ = r.freight.Send(ctx, m) // it has no errors
	return provider.Receipt{}, &provider.Error{Class: provider.Transient, Text: "later"}
}

func (f *freight) called() int { f.mu.Lock(); defer f.mu.Unlock(); return f.calls }

// laden sends a message with files of n bytes in all, or with a body of that size.
func (s *stage) laden(on *simServer, a *comm.App, lane comm.Lane, n int, body bool) comm.ID {
	payload, files := []byte(`{"to":"a@b.example","body":"x"}`), []comm.Attachment(nil)
	if body {
		payload = fmt.Appendf(nil, `{"to":"a@b.example","body":"%s"}`, repeated(n))
	} else {
		files = []comm.Attachment{{Content: repeated(n / 2)}, {Content: repeated(n / 2)}}
	}
	sub := store.Submission{Payload: payload, Files: files}
	id := s.send(nil, a, func(st *comm.State) { st.Lane, st.Bytes = lane, sub.Bytes() })
	s.store.mu.Lock()
	m := s.store.msgs[id]
	m.payload, m.files = payload, files
	w := store.Wake{Unit: unitOfState(&m.state), Due: m.state.Due}
	s.store.mu.Unlock()
	on.d.Wake([]store.Wake{w})
	return id
}

func repeated(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = 'x'
	}
	return out
}

func TestBytesUnderWay(t *testing.T) {
	const size, budget = 256 << 10, 1<<20 + 64<<10
	scene := func(s *stage, f *freight) *simServer {
		f.s = s
		first := s.edit
		s.edit = func(c *Config) {
			first(c)
			c.MaxBytes = budget
			c.Adapters = append(c.Adapters, provider.Adapter{Type: "HANGING", CallTimeout: 20 * time.Minute,
				Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return hanging{}, nil }}, provider.Adapter{Type: "FREIGHT", CallTimeout: 10 * time.Minute,
				Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return f, nil }},
				provider.Adapter{Type: "REFUSED", CallTimeout: 10 * time.Minute,
					Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return returned{f}, nil }})
		}
		srv := s.boot(0)
		time.Sleep(time.Second)
		return srv
	}
	play(t, "large messages wait, small ones go on", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a, b := s.app(nil, emailConfig("FREIGHT", 1)), s.app(nil, emailConfig("FREIGHT", 1))
		for range 20 {
			s.laden(srv, a, comm.Normal, size, false)
		}
		time.Sleep(3 * time.Second)
		if n := f.called(); n != 3 {
			t.Errorf("%d calls at once, want 3: a tenth is for CRITICAL", n)
		}
		s.laden(srv, a, comm.Critical, size, false)
		s.send(srv, b, nil)
		s.send(srv, a, func(st *comm.State) { st.Lane = comm.Bulk })
		time.Sleep(time.Second)
		if n := f.called(); n != 6 {
			t.Errorf("%d calls with a CRITICAL and two small ones", n)
		}
		sched := srv.d.sched
		sched.mu.Lock()
		var reasons []string
		for _, h := range sched.holds(time.Now()) {
			reasons = append(reasons, h.Reason)
		}
		sched.mu.Unlock()
		if len(reasons) != 1 || reasons[0] != chain.WaitMemory {
			t.Errorf("held for %v", reasons)
		}
		time.Sleep(10 * time.Minute)
		if s.open() != 0 || f.peak() > budget {
			t.Errorf("%d are open, at most %d bytes were held", s.open(), f.peak())
		}
		sched.mu.Lock()
		defer sched.mu.Unlock()
		if sched.cargo.used != 0 {
			t.Errorf("%d bytes are still booked", sched.cargo.used)
		}
	})
	play(t, "one app's slow server leaves room for another app", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a, b := s.app(nil, emailConfig("FREIGHT", 1)), s.app(nil, emailConfig("FREIGHT", 1))
		for range 20 {
			s.laden(srv, a, comm.Normal, size/2, false)
		}
		time.Sleep(3 * time.Second)
		before := f.called()
		s.laden(srv, b, comm.Normal, size/2, false)
		time.Sleep(time.Second)
		if n := f.called(); n != before+1 || before < 5 {
			t.Errorf("%d calls of one app, then %d: the other app's mail does not go", before, n)
		}
		time.Sleep(10 * time.Minute)
		if s.open() != 0 || f.peak() > budget {
			t.Errorf("%d are open, at most %d bytes were held", s.open(), f.peak())
		}
	})
	play(t, "what the sender has dropped counts no more", func(t *testing.T, s *stage) {
		f := &freight{release: true}
		srv := scene(s, f)
		a := s.app(nil, emailConfig("FREIGHT", 1))
		for range 20 {
			s.laden(srv, a, comm.Normal, size, false)
		}
		time.Sleep(3 * time.Second)
		if n := f.called(); n != 20 || f.peak() > budget {
			t.Errorf("%d calls at once, at most %d bytes held", n, f.peak())
		}
	})
	play(t, "one that is larger than everything goes alone", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a := s.app(nil, emailConfig("FREIGHT", 1))
		for range 3 {
			s.laden(srv, a, comm.Normal, 2*budget, false)
		}
		time.Sleep(4 * time.Minute)
		if s.open() != 0 || f.peak()/(2*budget) != 1 {
			t.Errorf("%d are open, at most %d bytes were held", s.open(), f.peak())
		}
	})
	play(t, "a stream of smaller ones does not pass a very large one for ever", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		big := s.app(nil, emailConfig("FREIGHT", 1))
		var crowd []*comm.App
		for range 8 {
			crowd = append(crowd, s.app(nil, emailConfig("FREIGHT", 1)))
		}
		var id comm.ID
		for second := range 6 * 60 { // more than fits, all the time
			s.laden(srv, crowd[second%len(crowd)], comm.Normal, size/2, false)
			if second == 30 {
				id = s.laden(srv, big, comm.Normal, 3*size, false)
			}
			time.Sleep(time.Second)
		}
		if st := s.status(id); st.Status != comm.Sent {
			t.Errorf("it is still %v", st.Status)
		}
		if f.peak() > budget {
			t.Errorf("%d bytes were held", f.peak())
		}
		time.Sleep(3 * time.Hour)
	})
	play(t, "one that waits for room stops nobody while calls hang", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		slow, big, other := s.app(nil, emailConfig("HANGING", 1)), s.app(nil, emailConfig("FREIGHT", 1)), s.app(nil, emailConfig("FREIGHT", 1))
		s.laden(srv, slow, comm.Normal, 2*size, false) // takes half of the room, and keeps it
		time.Sleep(time.Second)
		s.laden(srv, big, comm.Normal, 3*size, false)
		time.Sleep(5 * time.Second)
		for range 20 {
			s.laden(srv, other, comm.Normal, size/2, false)
		}
		time.Sleep(10 * time.Minute)
		if n := f.called(); n != 20 {
			t.Errorf("%d calls, want 20: others wait for the room that one cannot use", n)
		}
		time.Sleep(20 * time.Minute) // the hanging call is given up
		if n := f.called(); n != 21 {
			t.Errorf("%d calls: the large one did not go", n)
		}
	})
	play(t, "one that is cancelled while it waits for room keeps none", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		slow, big := s.app(nil, emailConfig("HANGING", 1)), s.app(nil, emailConfig("FREIGHT", 1))
		s.laden(srv, slow, comm.Normal, 2*size, false)
		time.Sleep(time.Second)
		id := s.laden(srv, big, comm.Normal, 3*size, false)
		s.laden(srv, big, comm.Normal, size/2, false)
		time.Sleep(3 * time.Second)
		s.store.cancel(id)
		time.Sleep(2 * rereadAfter)
		if n := f.called(); n != 1 {
			t.Errorf("%d calls: what stood behind the cancelled one waits", n)
		}
	})
	play(t, "large bodies count as files do", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a := s.app(nil, emailConfig("FREIGHT", 1))
		for range 12 {
			s.laden(srv, a, comm.Normal, size, true)
		}
		time.Sleep(time.Second)
		if n := f.called(); n != 3 {
			t.Errorf("%d calls at once, want 3", n)
		}
		time.Sleep(6 * time.Minute)
		if s.open() != 0 || f.peak() > budget {
			t.Errorf("%d are open, at most %d bytes were held", s.open(), f.peak())
		}
	})
	play(t, "a retry is as large as the first attempt", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a := s.app(nil, emailConfig("REFUSED", 1))
		for range 12 {
			s.laden(srv, a, comm.Normal, size, false)
		}
		time.Sleep(8 * time.Minute)
		if f.called() <= 12 || f.peak() > budget {
			t.Errorf("%d calls, at most %d bytes were held", f.called(), f.peak())
		}
	})
	play(t, "a message keeps its room while its round goes on", func(t *testing.T, s *stage) {
		f := &freight{}
		srv := scene(s, f)
		a, b := s.app(nil, emailConfig("REFUSED", 1), emailConfig("FREIGHT", 2)), s.app(nil, emailConfig("FREIGHT", 1))
		time.Sleep(3 * time.Second) // a heartbeat has told of the new apps: nothing is read anew later
		for range 3 {
			s.laden(srv, a, comm.Normal, size, false)
		}
		time.Sleep(30 * time.Second)
		s.laden(srv, b, comm.Critical, size, false) // takes the reserve and what is left
		time.Sleep(40 * time.Second)
		if n := f.called(); n != 7 {
			t.Errorf("%d calls, want 3, the CRITICAL one and 3 by the next provider", n)
		}
		time.Sleep(2 * time.Minute)
		if s.open() != 0 || s.happened(comm.CauseRetryTransient) != 0 || f.peak() > budget {
			t.Errorf("%d are open, %d were put off, at most %d bytes were held", s.open(), s.happened(comm.CauseRetryTransient), f.peak())
		}
	})
	play(t, "one that finds no room for its next provider is tried again later", func(t *testing.T, s *stage) {
		f := &freight{release: true}
		srv := scene(s, f)
		a := s.app(nil, emailConfig("REFUSED", 1), emailConfig("FREIGHT", 2))
		for range 12 {
			s.laden(srv, a, comm.Normal, size, false)
		}
		time.Sleep(8 * time.Minute)
		if s.open() != 0 || s.happened(comm.CauseRetryTransient) == 0 || f.peak() > budget {
			t.Errorf("%d are open, %d were put off, at most %d bytes were held", s.open(), s.happened(comm.CauseRetryTransient), f.peak())
		}
	})
}
