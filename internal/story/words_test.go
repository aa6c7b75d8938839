package story

import (
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

func TestEveryCauseHasWords(t *testing.T) {
	t.Parallel()
	seen := map[string]comm.Cause{}
	for _, c := range comm.Causes() {
		words := CauseText(c)
		if words == "" {
			t.Errorf("%s has no words", c)
		}
		if other, twice := seen[words]; twice {
			t.Errorf("%s and %s have the same words", c, other)
		}
		seen[words] = c
	}
}
