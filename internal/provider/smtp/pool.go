package smtp

import (
	"sync"
	"time"
)

// How long and how often a session is used. Servers close idle sessions after
// some minutes at best and often limit the mails per session.
const (
	idleTime    = 30 * time.Second
	maxMails    = 100
	defaultIdle = 16
)

// pool keeps idle sessions, the last used first, and closes those that stay idle.
type pool struct {
	max int

	mu     sync.Mutex
	idle   []*session // oldest first
	timer  *time.Timer
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

// put takes a session back, or ends it if it has served enough or there are enough.
func (p *pool) put(s *session) {
	if s.sent < maxMails && p.keep(s) {
		return
	}
	s.quit()
}

func (p *pool) keep(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.max {
		return false
	}
	s.idleSince = time.Now()
	p.idle = append(p.idle, s)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTime, p.sweep)
	}
	return true
}

// sweep ends sessions that have been idle too long and runs again while there are others.
func (p *pool) sweep() {
	p.mu.Lock()
	limit := time.Now().Add(-idleTime)
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.After(limit) {
		n++
	}
	old := append([]*session(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.timer = nil
	if len(p.idle) > 0 && !p.closed {
		p.timer = time.AfterFunc(max(p.idle[0].idleSince.Sub(limit), time.Millisecond), p.sweep)
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
		p.timer = nil
	}
	idle := p.idle
	p.idle = nil
	return idle
}
