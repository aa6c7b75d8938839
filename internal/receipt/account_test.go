package receipt

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// A configuration whose token does not fit is read again, but not for every guess.
func TestTokensThatDoNotFitAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	var c accounts
	c.init()
	now, id := time.Now(), comm.ID{1}
	c.put(id, &Account{}, now)
	if c.outdated(id, now.Add(900*time.Millisecond)) || c.outdated(comm.ID{2}, now) {
		t.Error("it is read again at once")
	}
	if _, ok := c.get(id, now.Add(900*time.Millisecond)); !ok {
		t.Error("it is forgotten")
	}
	if !c.outdated(id, now.Add(time.Second)) {
		t.Error("it is not read again after a second")
	}
	if _, ok := c.get(id, now.Add(time.Second)); ok {
		t.Error("it is not forgotten")
	}
}
