package alert

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// planned is a change that decide makes of a watch.
type planned struct {
	key
	*watch
	change
	*Finding
	over *Outage // how the one that is over ended
}

// decide takes in what was found of a kind, and raises and clears.
func (s *Service) decide(ctx context.Context, kind *Kind, found Found, now comm.Micros) error {
	var failed []error
	for _, p := range s.plan(kind, found, now) {
		failed = append(failed, s.change(ctx, p, now))
	}
	return errors.Join(failed...)
}

// plan takes in what was found of a kind, and says what is to be changed.
func (s *Service) plan(kind *Kind, found Found, now comm.Micros) (out []planned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raised := 0
	for k, w := range s.watches {
		if k.kind == kind.Word && w.alert.open() && w.alert.raised > now.Add(-raisedWithin) {
			raised++
		}
	}
	at, wrong := time.Now(), map[key]bool{}
	for _, f := range newest(kind, found.All) {
		k := key{f.Kind, f.Subject}
		if wrong[k] {
			continue
		}
		wrong[k] = true
		w := s.watches[k]
		if w == nil {
			w = &watch{alert: stored{Alert: store.Alert{Kind: f.Kind, Subject: f.Subject, ClearedAt: 1}}}
			s.watches[k] = w
		}
		w.met(f.Outage)
		if w.step(s.bounded(kind.Hold), s.bounded(kind.Calm), true, at) == raise && raised < mostRaised {
			raised++
			out = append(out, planned{k, w, raise, &f, nil})
		}
	}
	for k, w := range s.watches {
		switch {
		case k.kind != kind.Word || wrong[k] || found.More && w.alert.open():
		case w.step(s.bounded(kind.Hold), s.bounded(kind.Calm), false, at) == clearIt:
			out = append(out, planned{k, w, clearIt, nil, w.ended(min(now, comm.At(w.since.Add(s.ahead))))})
		case !w.alert.open() && w.alert.Version == 0:
			delete(s.watches, k)
		}
	}
	return out
}

// newest is what was found of a kind, the newest first; what does not say since when is new.
func newest(kind *Kind, found []Finding) (out []Finding) {
	for _, f := range found {
		if f.Kind == kind.Word {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if (a.Since == 0) != (b.Since == 0) {
			return cmp.Compare(a.Since, b.Since)
		}
		return cmp.Compare(b.Since, a.Since)
	})
	return out
}
