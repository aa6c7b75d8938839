package all_test

import (
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/provider"
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
	for _, kind := range []string{"RESEND", "SMTP", "ARKESEL", "HUBTEL", "NALO", "MNOTIFY"} { // the guide's
		if !seen[kind] {
			t.Errorf("%s is not one of them", kind)
		}
	}
	early := all.Adapters() // a version that cannot send with the first of them yet
	early[0].Open = nil
	cannot := provider.CannotSend(early)
	if cannot("SMTP") || cannot("A_LATER_TYPE") || !cannot(early[0].Type) {
		t.Error("what a version cannot send with")
	}
}
