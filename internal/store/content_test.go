package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// What cannot be read is not quoted, and leaves nothing half read.
func TestAContentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `secret`, `{"to":"secret","body":secret}`, `{"to":"secret","cc":"secret"}`, `{"to":"secret","templateVersion":"secret"}`, `{"to":"secret"`} {
		var c comm.Content
		err := DecodeContent([]byte(text), &c)
		if !errors.Is(err, ErrContent) || strings.Contains(err.Error(), "secret") || c.To != "" {
			t.Errorf("%s: %v, %+v", text, err, c)
		}
	}
}
