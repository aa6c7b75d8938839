package feed

import (
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// progress is how far stamping is, for metrics.
type progress struct {
	stamped atomic.Uint64
	oldest  atomic.Int64 // when the first event was listed that was found and not stamped; 0: there is none
}

func (p *progress) found(rows []store.Listed) {
	for i := range rows {
		if at, was := int64(rows[i].At), p.oldest.Load(); was == 0 || at < was {
			p.oldest.Store(at)
		}
	}
}

// Stats is a snapshot for metrics.
type Stats struct {
	Stamped uint64        // events that got their places since the start
	Lag     time.Duration // for how long the first event that has none has waited for it, on this node's clock; 0: none waits
}

// Stats answers a snapshot.
func (s *Service) Stats() Stats {
	out := Stats{Stamped: s.progress.stamped.Load()}
	if at := s.progress.oldest.Load(); at != 0 {
		out.Lag = max(0, comm.At(time.Now()).Sub(comm.Micros(at)))
	}
	return out
}
