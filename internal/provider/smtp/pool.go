package smtp

import (
	"slices"
	"sync"
	"time"
)

// How long and how often a session is used. Servers close idle sessions after
// some minutes at best and often limit the mails per session.
const (
	idleTime    = 30 * time.Second
	burstTime   = time.Second // for sessions beyond the number that is kept
	maxMails    = 100
	defaultIdle = 16
)

// pool keeps idle sessions, the last used first, and closes those that stay idle.
// While mails come in bursts it keeps more than max for a moment: there are never
// more than were in use at once, and opening one costs more than a mail.
type pool struct {
	max int

	mu     sync.Mutex
	idle   []*session // oldest first
	timer  *time.Timer
	armed  bool
	closed bool
}

// take gives the most recently used session, or nil.
func (p *pool) take() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	s := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return s
}

// put takes a session back, or ends it if it has served enough.
func (p *pool) put(s *session) {
	if s.sent < maxMails && p.keep(s) {
		return
	}
	s.quit()
}

func (p *pool) keep(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	s.idleSince = time.Now()
	p.idle = append(p.idle, s)
	if !p.armed || len(p.idle) == p.max+1 {
		p.arm(s.idleSince)
	}
	return true
}

// ends is when the n-th idle session ends unless it is used again.
func (p *pool) ends(n int) time.Time {
	if len(p.idle)-n > p.max {
		return p.idle[n].idleSince.Add(burstTime)
	}
	return p.idle[n].idleSince.Add(idleTime)
}

// arm makes sweep run when the next session ends.
func (p *pool) arm(now time.Time) {
	wait := max(p.ends(0).Sub(now), time.Millisecond)
	if p.armed = true; p.timer == nil {
		p.timer = time.AfterFunc(wait, p.sweep)
	} else {
		p.timer.Reset(wait)
	}
}

// sweep ends sessions that have been idle too long and runs again while there are others.
func (p *pool) sweep() {
	p.mu.Lock()
	now := time.Now()
	n := 0
	for n < len(p.idle) && !p.ends(n).After(now) {
		n++
	}
	old := append([]*session(nil), p.idle[:n]...)
	p.idle = slices.Delete(p.idle, 0, n)
	if p.armed = false; len(p.idle) > 0 {
		p.arm(now)
	}
	p.mu.Unlock()
	for _, s := range old {
		s.quit()
	}
}

// dropIdle forgets all idle sessions: when one is found dead, the server has probably restarted.
func (p *pool) dropIdle() {
	for _, s := range p.empty(false) {
		s.drop()
	}
}

// close ends the idle sessions; those in use end when they come back.
func (p *pool) close() {
	for _, s := range p.empty(true) {
		s.quit()
	}
}

func (p *pool) empty(closing bool) []*session {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = p.closed || closing
	if p.timer != nil {
		p.timer.Stop()
		p.armed = false
	}
	idle := p.idle
	p.idle = nil
	return idle
}
