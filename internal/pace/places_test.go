package pace

import "testing"

// TestNoAppTakesAllPlaces: however much one app has under way, another has its own.
func TestNoAppTakesAllPlaces(t *testing.T) {
	t.Parallel()
	p := Places[int]{All: 32, OfApp: 4}
	for n := range p.All {
		if got := p.Take(1); got != (n < p.OfApp) {
			t.Fatalf("place %d of one app: %v", n, got)
		}
	}
	apps := 1
	for app := 2; p.Take(app); app++ {
		for range p.OfApp - 1 {
			if !p.Take(app) {
				t.Fatalf("app %d has too few places", app)
			}
		}
		apps++
	}
	if apps != p.All/p.OfApp {
		t.Errorf("%d apps at once", apps)
	}
	for range p.OfApp {
		p.Leave(1)
	}
	if len(p.byApp) != apps-1 || !p.Take(1) || p.taken != p.All-p.OfApp+1 {
		t.Errorf("after one has left: %d, %v", p.taken, p.byApp)
	}
}
