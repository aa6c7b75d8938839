package simulate

import (
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/provider/all"
)

// TestEveryAdapterIsStoodInFor finds the type that the simulator does not know, and the one that nobody sends with.
func TestEveryAdapterIsStoodInFor(t *testing.T) {
	t.Parallel()
	var adapters []string
	for _, a := range all.Adapters() {
		adapters = append(adapters, a.Type)
		if _, found := refusal(a.Type, ""); !found || !slices.Contains(Types(), a.Type) {
			t.Errorf("%s is not stood in for", a.Type)
		}
	}
	for _, kind := range Types() {
		if !slices.Contains(adapters, kind) {
			t.Errorf("%s has no adapter", kind)
		}
	}
}
