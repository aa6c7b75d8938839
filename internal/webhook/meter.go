package webhook

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Meter is told what happens, for metrics. Its methods must be quick, and never block or call back.
type Meter interface {
	// Called says what a call came to, a word of Results, and how long it took.
	Called(result string, took time.Duration)
	// Ended says that a delivery was taken, or given up, and that this is stored.
	Ended(taken bool)
}

type unmetered struct{}

func (unmetered) Called(string, time.Duration) {}
func (unmetered) Ended(bool)                   {}

// Results lists what a call may come to: a class of statuses, or why there was no answer.
func Results() []string {
	all := []string{"2xx", "3xx", "4xx", "5xx", "other"}
	for _, f := range faults() {
		all = append(all, f.word)
	}
	return all
}

// word is the answer's word of Results.
func (a *answer) word() string {
	const hundreds = 100
	switch {
	case a.fault != "":
		return a.fault
	case a.status/hundreds >= 2 && a.status/hundreds <= 5:
		return Results()[a.status/hundreds-2]
	}
	return "other"
}

// Stats is a snapshot for metrics.
type Stats struct {
	Queued   int   // deliveries in memory that are due
	Bytes    int   // of their bodies
	InFlight int   // calls under way
	Known    int   // endpoints in memory
	Waiting  int   // endpoints of this node with deliveries that wait, also for their next try
	Overdue  int   // of them, those with one that is due
	Oldest   int64 // microseconds for which the one of them that is due longest has been
}

// waits is what a look at the store found.
type waits struct {
	endpoints, overdue int
	oldest             comm.Micros // when the first was due; 0: none is
}

func waitsOf(due []store.DueEndpoint, now comm.Micros) waits {
	w := waits{endpoints: len(due)}
	for i := range due {
		at := due[i].Due
		if at > now {
			continue
		}
		if w.overdue++; w.oldest == 0 || at < w.oldest {
			w.oldest = at
		}
	}
	return w
}

// Stats answers a snapshot. Waiting, Overdue and Oldest are of the last look at the store.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Queued: s.queued, Bytes: s.bytes, InFlight: s.inflight, Known: len(s.targets), Waiting: s.waits.endpoints, Overdue: s.waits.overdue}
	if s.waits.oldest != 0 {
		out.Oldest = max(0, s.now().Sub(s.waits.oldest).Microseconds())
	}
	return out
}
