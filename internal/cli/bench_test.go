package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestBenchRefusesWrongWords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
		text string
	}{
		{"no such workload", []string{"bench", "--only", "speed"}, exitFailed, `no workload is called "speed"`},
		{"no such flag", []string{"bench", "--fast"}, exitUsage, "--fast"},
		{"not PostgreSQL", []string{"bench", "--database-url", "mysql://localhost/x"}, exitFailed, "postgres://"},
		{"words after it", []string{"bench", "quick"}, exitUsage, "quick"},
		{"baseline by hand", []string{"bench", "baseline"}, exitUsage, "BENCH_BASELINE_DATABASE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := Run(t.Context(), tt.args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if code != tt.code || !strings.Contains(errs.String(), tt.text) || out.Len() > 0 {
				t.Errorf("exit code %d, %q, printed %q; want %d and %q", code, errs.String(), out.String(), tt.code, tt.text)
			}
		})
	}
}
