package trial

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// TestNoAppTakesAllPlaces: however many trials one app has under way, another has its own.
func TestNoAppTakesAllPlaces(t *testing.T) {
	t.Parallel()
	var p places
	for n := range maxAtOnce {
		if got := p.take(comm.ID{1}); got != (n < maxOfApp) {
			t.Fatalf("place %d of one app: %v", n, got)
		}
	}
	apps := 1
	for app := byte(2); p.take(comm.ID{app}); app++ {
		for range maxOfApp - 1 {
			if !p.take(comm.ID{app}) {
				t.Fatalf("app %d has too few places", app)
			}
		}
		apps++
	}
	if apps != maxAtOnce/maxOfApp {
		t.Errorf("%d apps at once", apps)
	}
	for range maxOfApp {
		p.leave(comm.ID{1})
	}
	if len(p.byApp) != apps-1 || !p.take(comm.ID{1}) || p.all != maxAtOnce-maxOfApp+1 {
		t.Errorf("after one has left: %d, %v", p.all, p.byApp)
	}
}
