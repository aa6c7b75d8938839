package pace

import "sync"

// Places bounds what goes on at one moment in this process: All of it together, and of
// one app OfApp, so that an app whose work does not end takes its share and not
// everybody's. It is safe for concurrent use; its bounds are set before the first use.
type Places[App comparable] struct {
	All, OfApp int

	mu    sync.Mutex
	taken int
	byApp map[App]int
}

// Take takes a place, if there is one for the app.
func (p *Places[App]) Take(app App) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.All || p.byApp[app] >= p.OfApp {
		return false
	}
	if p.byApp == nil {
		p.byApp = map[App]int{}
	}
	p.taken++
	p.byApp[app]++
	return true
}

// Leave gives back what Take took.
func (p *Places[App]) Leave(app App) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.byApp[app]--; p.byApp[app] == 0 {
		delete(p.byApp, app)
	}
}
