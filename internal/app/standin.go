package app

import (
	"context"
	"sync"
	"time"
)

const (
	// vacantFor is how long nobody leads until a node that owns no shards stands in: longer than any change of owners takes.
	vacantFor = 30 * time.Second
	// vacantLook is how often it looks.
	vacantLook = 5 * time.Second
)

// standIn says when a node that owns no shards should tell the operator what is wrong: when all workers are gone nobody else
// does. Several may stand in at once: of what the store keeps they tell once between them. That the store takes no writes has no row meanwhile, and each of them
// tells it, with an id of its own, as more than one alert of the same kind and subject.
type standIn struct {
	led  func(context.Context) (bool, error) // whether a living node leads
	wait time.Duration

	mu     sync.Mutex
	vacant time.Time // since when nobody leads; zero: somebody does
}

func newStandIn(led func(context.Context) (bool, error), patience time.Duration) *standIn {
	return &standIn{led: led, wait: min(vacantFor, patience)}
}

func (s *standIn) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.vacant.IsZero() && time.Since(s.vacant) >= s.wait
}

func (s *standIn) run(ctx context.Context) error {
	timer := time.NewTicker(min(vacantLook, s.wait))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		s.look(ctx)
	}
}

// look asks the store. While that does not answer, what it said last holds: of an outage of the store those tell who led before.
func (s *standIn) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, vacantLook)
	defer cancel()
	led, err := s.led(limited)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case led:
		s.vacant = time.Time{}
	case s.vacant.IsZero():
		s.vacant = time.Now()
	}
}
