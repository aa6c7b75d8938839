package hold

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// memory is a database with a hold: doubtful messages of units, and attempts that were under way.
type memory struct {
	Store
	mu        sync.Mutex
	value     string
	notes     []store.AuditEntry
	units     []comm.Unit
	doubtful  map[comm.Unit][]store.Head
	onRetry   map[comm.ID]bool // their app's policy is RETRY
	underWay  []store.UnderWay
	cancelled []comm.ID
	ended     []comm.ID
	fault     func(call string) error
}

func (m *memory) call(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return m.fault(name)
	}
	return nil
}

func (m *memory) Setting(context.Context, string) (string, error) {
	err := m.call("Setting")
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value, err
}

func (m *memory) SwapSetting(_ context.Context, _, was, value string) (bool, error) {
	if err := m.call("SwapSetting"); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.value != was {
		return false, nil
	}
	m.value = value
	return true, nil
}

func (m *memory) Now(context.Context) (comm.Micros, error) { return comm.At(time.Now()), m.call("Now") }

func (m *memory) Note(_ context.Context, notes []store.AuditEntry) error {
	if err := m.call("Note"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, notes...)
	return nil
}

func (m *memory) UnitsAfter(_ context.Context, after comm.Unit, limit int) ([]comm.Unit, error) {
	from := slices.Index(m.units, after) + 1
	return m.units[from:min(from+limit, len(m.units))], m.call("UnitsAfter")
}

func (m *memory) Windows(_ context.Context, asks []store.Ask) (out [][]store.Head, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ask := range asks {
		var page []store.Head
		for _, h := range m.doubtful[ask.Unit] {
			if !slices.Contains(m.ended, h.ID) && h.ID.Compare(ask.After.ID) > 0 && len(page) < ask.Limit {
				page = append(page, h)
			}
		}
		out = append(out, page)
	}
	return out, nil
}

// EndDoubtful looks at three at most, as a store that is short of time.
func (m *memory) EndDoubtful(_ context.Context, _ comm.Unit, heads []store.Head, policy bool, _ string) (out store.CancelledSlice, err error) {
	if err := m.call("EndDoubtful"); err != nil {
		return out, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range heads[:min(3, len(heads))] {
		out.Looked++
		if policy && m.onRetry[h.ID] || slices.Contains(m.ended, h.ID) {
			continue
		}
		out.Uncertain++
		m.ended = append(m.ended, h.ID)
	}
	return out, nil
}

func (m *memory) UnderWay(context.Context) ([]store.UnderWay, error) {
	return m.underWay, m.call("UnderWay")
}

func (m *memory) Cancel(_ context.Context, _, id comm.ID, _ string) (s comm.State, r comm.CancelResult, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cancelled = append(m.cancelled, id)
	return s, r, nil
}

// restored is a database of two units with 100 and 5 doubtful messages, every other one of an app that retries, and one under way.
func restored(t *testing.T) *memory {
	t.Helper()
	value, err := New(1)(2, store.Doubts{Queued: 105, Sending: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{value: value, doubtful: map[comm.Unit][]store.Head{}, onRetry: map[comm.ID]bool{}, underWay: []store.UnderWay{{ID: comm.ID{9}}}}
	n := byte(0)
	for shard, size := range []int{100, 5} {
		u := comm.Unit{App: comm.ID{1}, Channel: comm.SMS, Shard: comm.Shard(shard)}
		m.units = append(m.units, u)
		for range size {
			n++
			m.doubtful[u] = append(m.doubtful[u], store.Head{ID: comm.ID{n}})
			m.onRetry[comm.ID{n}] = n%2 == 0
		}
	}
	return m
}

func opened(t *testing.T, m *memory) *Service {
	t.Helper()
	s, err := Open(t.Context(), Config{Store: m, Works: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// state reads the record.
func state(t *testing.T, s *Service) *Record {
	t.Helper()
	r, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestADatabaseThatWasNotRestoredIsNotHeld(t *testing.T) {
	t.Parallel()
	s := opened(t, &memory{})
	ran := false
	if err := s.After(func(context.Context) error { ran = true; return nil })(t.Context()); err != nil || !ran || s.Held() {
		t.Errorf("%v %v", err, ran)
	}
	if _, err := s.Release(t.Context(), Fail); codeOf(err) != "invalid_state" {
		t.Error(err)
	}
}

func TestAHoldThatCannotBeReadIsNoStart(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.Context(), Config{Store: &memory{value: "{"}}); err == nil {
		t.Error("it starts, and sends perhaps what was sent")
	}
}

// Each choice ends what it says, once, and nothing runs before.
func TestAReleaseDoesWhatItsChoiceSays(t *testing.T) {
	t.Parallel()
	for choice, want := range map[Choice]struct {
		ended     int
		cancelled int
	}{Send: {0, 0}, Policy: {53, 0}, Fail: {105, 1}} {
		t.Run(string(choice), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := restored(t)
				s := opened(t, m)
				ctx, stop := context.WithCancel(t.Context())
				var all sync.WaitGroup
				started := time.Time{}
				all.Go(func() { _ = s.Run(ctx) })
				all.Go(func() { _ = s.After(func(context.Context) error { started = time.Now(); return nil })(ctx) })
				time.Sleep(time.Hour)
				synctest.Wait()
				if !s.Held() || !started.IsZero() || len(m.ended) > 0 || len(m.notes) > 0 {
					t.Fatal("something was done before the release")
				}
				if _, err := s.Release(ctx, choice); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * look)
				synctest.Wait()
				r := state(t, s)
				if s.Held() || started.IsZero() || r.State != Released || r.Choice != choice || int(r.Ended) != want.ended || len(m.ended) != want.ended || len(m.cancelled) != want.cancelled {
					t.Errorf("held %v, %+v, %d ended, %d cancelled", s.Held(), r, len(m.ended), len(m.cancelled))
				}
				if len(m.notes) != 1 || m.notes[0].Action != comm.AuditHoldReleased || !strings.Contains(m.notes[0].Detail, string(choice)) {
					t.Errorf("%+v", m.notes)
				}
				if _, err := s.Release(ctx, choice); err != nil || len(m.notes) != 1 {
					t.Errorf("the same order again: %v, %d notes", err, len(m.notes))
				}
				other := map[bool]Choice{true: Fail, false: Send}[choice == Send]
				if _, err := s.Release(ctx, other); codeOf(err) != "invalid_state" {
					t.Errorf("another order: %v", err)
				}
				stop()
				all.Wait()
			})
		})
	}
}

// An order that cannot be noted is none.
func TestAReleaseIsNotedFirst(t *testing.T) {
	t.Parallel()
	m := restored(t)
	s := opened(t, m)
	m.fault = func(call string) error {
		if call == "Note" {
			return errors.New("the disk is full")
		}
		return nil
	}
	if _, err := s.Release(t.Context(), Fail); err == nil || state(t, s).State != Held {
		t.Errorf("%v", err)
	}
}

// A process that ends in the middle leaves the rest to another one, which waits until it is sure that the first is gone.
func TestAReleaseIsGoneOnWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := restored(t)
		one, two := opened(t, m), opened(t, m)
		if _, err := one.Release(t.Context(), Fail); err != nil {
			t.Fatal(err)
		}
		first, kill := context.WithCancel(t.Context())
		calls := 0
		m.fault = func(call string) error {
			if call == "EndDoubtful" {
				if calls++; calls == 10 {
					kill()
				}
			}
			return first.Err()
		}
		_ = one.Run(first) // killed
		if n := len(m.ended); n == 0 || n >= 105 {
			t.Fatalf("%d were ended by the first", n)
		}
		m.fault = nil
		began := time.Now()
		if err := two.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < claimed/2 || took > 2*claimed {
			t.Errorf("the second went on after %v", took)
		}
		if two.Held() || len(m.ended) != 105 || !slices.Equal(m.cancelled, []comm.ID{{9}}) {
			t.Errorf("%d ended, %v", len(m.ended), m.cancelled)
		}
	})
}

// A database that fails now and then only delays it.
func TestAReleaseOutlastsFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := restored(t)
		s := opened(t, m)
		if _, err := s.Release(t.Context(), Policy); err != nil {
			t.Fatal(err)
		}
		calls := 0
		m.fault = func(string) error {
			if calls++; calls%50 == 0 {
				return errors.New("the database is away")
			}
			return nil
		}
		if err := s.Run(t.Context()); err != nil || s.Held() || len(m.ended) != 53 {
			t.Errorf("%v, %d ended", err, len(m.ended))
		}
	})
}

// A node of the role api only looks on.
func TestANodeThatSendsNothingReleasesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := restored(t)
		s, err := Open(t.Context(), Config{Store: m, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _ = s.Run(ctx) })
		if _, err := s.Release(ctx, Fail); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if !s.Held() || len(m.ended) > 0 || state(t, s).State != Releasing {
			t.Errorf("%+v", state(t, s))
		}
		stop()
		all.Wait()
	})
}

func codeOf(err error) string {
	e, ok := errors.AsType[*comm.Error](err)
	if !ok {
		return ""
	}
	return string(e.Code)
}
