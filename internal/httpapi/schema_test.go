package httpapi

import (
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/openapi"
)

// contract is what the answers of every test are held against.
type contract struct{ *openapi.Contract }

var readOnce = sync.OnceValues(openapi.Read)

func readContract(t testing.TB) *contract {
	t.Helper()
	c, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return &contract{c}
}

func dig(v any, names ...string) map[string]any { return openapi.Dig(v, names...) }
