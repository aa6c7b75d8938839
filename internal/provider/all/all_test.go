package all_test

import (
	"testing"

	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/provider/providertest"
)

func TestAdapters(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, a := range all.Adapters() {
		providertest.Fields(t, a)
		if seen[a.Type] {
			t.Errorf("%s is registered twice", a.Type)
		}
		seen[a.Type] = true
		if found, ok := all.Find(a.Type); !ok || found.Title != a.Title {
			t.Errorf("%s is not found", a.Type)
		}
	}
	if _, ok := all.Find("smtp"); ok || !seen["SMTP"] {
		t.Error("types are upper case, and SMTP is one")
	}
}
