package intake

import (
	"testing"

	"github.com/go-json-experiment/json"
)

// TestMetadataHoldsNoNeedlessEscapes: an address in metadata is found however its sender's library writes it, numbers
// and the order of members stay, and what JSON must escape stays escaped.
func TestMetadataHoldsNoNeedlessEscapes(t *testing.T) {
	for in, want := range map[string]string{
		`{"user":"ama\u002Bnews@example.org"}`:            `{"user":"ama+news@example.org"}`,
		`{"\u0061\/b":["\u0061ma",1.50,1e300,null]}`:      `{"a/b":["ama",1.50,1e300,null]}`,
		`{"z":"a\nb\"\\\u0000","a":12345678901234567890}`: `{"z":"a\nb\"\\\u0000","a":12345678901234567890}`,
		`{"n": 1.0}`: `{"n": 1.0}`,
	} {
		var m Metadata
		if err := json.Unmarshal([]byte(in), &m); err != nil || m.Raw != want || !m.Given {
			t.Errorf("%s: %s %v, want %s", in, m.Raw, err, want)
		}
	}
}
