package bench

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// profile takes a processor profile of the product while it is under load, once
// for each workload. The result waits for it.
func (s *subject) profile(ctx context.Context, title string, who side, p *process) (wait func() error) {
	if s.cfg.Profiles == "" || who != product || p == nil || p.internal == "" {
		return func() error { return nil }
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(s.store + " " + title))
	path := filepath.Join(s.cfg.Profiles, name+".pprof")
	if _, err := os.Stat(path); err == nil {
		return func() error { return nil } // an earlier run has made it
	}
	done := make(chan error, 1)
	go func() {
		q := *p
		q.addr = p.internal
		seconds := max(1, int(s.size.load.Seconds())-1)
		status, body, err := q.call(ctx, http.MethodGet, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), nil, nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("no profile: %d %.100s", status, body)
		}
		if err == nil {
			err = os.WriteFile(path, body, 0o600)
		}
		done <- err
	}()
	return func() error { return <-done }
}
