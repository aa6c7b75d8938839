package dispatch

import (
	"context"
	"time"
)

// A report that is stored may say what became of an attempt that nobody could tell about: then another one would be a second copy.
// Whoever stored it, or leads, may be dead. So the owner has all reports applied before it tries such a message again.

// caughtUp is how long a message may start after that; a report that comes later is applied by whoever takes it.
const caughtUp = 2 * time.Second

// hearing are messages in doubt, and those for which reports are being applied.
type hearing struct {
	waiting []*job // for the next time that reports are applied
	busy    bool   // they are being applied
}

// careful says whether the start of a job is to be refused if its message is in doubt.
func (s *scheduler) careful(j *job) bool {
	at, ok := j.shard.heard[j.head.ID]
	return s.reporting && j.failed == nil && !(ok && s.clock.now().Sub(at) < caughtUp)
}

// inDoubt keeps a message from starting until reports have been applied.
func (s *scheduler) inDoubt(j *job) {
	s.refund(j)
	s.hearing.waiting = append(s.hearing.waiting, j)
	s.hearReports()
}

// hearReports has reports applied, for all messages that wait for it together.
func (s *scheduler) hearReports() {
	if t := &s.hearing; !t.busy && len(t.waiting) > 0 {
		t.busy = true
		s.reads.start(task{doubted: t.waiting})
		t.waiting = nil
	}
}

// catchUp has all reports applied that are stored, and lets the jobs' messages start. While that fails they wait.
func (d *Dispatcher) catchUp(ctx context.Context, jobs []*job) {
	limited, cancel := context.WithTimeout(ctx, d.cfg.Lease)
	err := d.cfg.CatchUp(limited)
	cancel()
	switch {
	case err == nil:
		d.outages.reports.Worked()
	case ctx.Err() == nil:
		d.outages.reports.Failed(err, "messages", len(jobs))
		sleep(ctx, readRetry)
	}
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range jobs {
		if err == nil {
			j.shard.heard[j.head.ID] = s.clock.now()
		}
		s.comeBack(j)
	}
	s.hearing.busy = false
	s.hearReports()
	s.poke()
}
