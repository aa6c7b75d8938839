package comm

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestAnErrorRepeatsLittleOfWhatAClientMadeUp: names of members, headers and
// parameters reach error answers and may be a megabyte long or no text at all.
func TestAnErrorRepeatsLittleOfWhatAClientMadeUp(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"to", strings.Repeat("a", maxPath), strings.Repeat("a", maxPath+1), "x" + strings.Repeat("é", 5000), "a\xffb"} {
		for got, why := range E("invalid_field").Field("headers."+path, "why").Fields {
			if len(got) > maxPath+len("…") || !utf8.ValidString(got) || !strings.HasPrefix(got, "headers.") || why != "why" {
				t.Errorf("%.20q… became %q: %q", path, got, why)
			}
		}
	}
	many := E("invalid_field")
	for n := range 100_000 {
		many.Field(fmt.Sprint("config.", n), "why")
	}
	if many.Field("config.0", "known"); len(many.Fields) != maxFields+1 || many.Fields["config.0"] != "known" || many.Fields["…"] == "" {
		t.Errorf("%d fields: %v", len(many.Fields), many.Fields)
	}
	if got := ClipPath(strings.Repeat("a", maxPath)); len(got) != maxPath {
		t.Errorf("cut without need: %q", got)
	}
}

func TestIsKind(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("read: %w", E("not_found"))
	if !IsKind(wrapped, Missing) || IsKind(wrapped, Conflict) || IsKind(errors.New("x"), Internal) || IsKind(nil, Internal) {
		t.Error("the kind is not that of the error inside")
	}
}
