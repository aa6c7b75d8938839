package all_test

import (
	"strings"
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
		if a.Type != strings.ToUpper(a.Type) {
			t.Errorf("%s is not upper case", a.Type)
		}
	}
	if !seen["SMTP"] {
		t.Error("SMTP is not one of them")
	}
}
