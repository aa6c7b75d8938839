package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/store"
)

// What is recorded says whether any of the body may have left: what was never posted may still be told otherwise.
func TestWhatWasNotPostedIsRecordedSo(t *testing.T) {
	failing := func(err error) Dial {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for name, c := range map[string]struct {
		dial   Dial // nil: it reaches the receiver
		mood   func(w http.ResponseWriter, r *http.Request)
		fault  string
		unsent bool
	}{
		"refused":      {dial: failing(&net.OpError{Op: "dial", Err: errors.New("refused")}), fault: faultConnect, unsent: true},
		"no name":      {dial: failing(&net.DNSError{Name: "hook"}), fault: faultDNS, unsent: true},
		"blocked":      {dial: (&guard.Dialer{Ports: guard.WebPorts()}).DialContext, fault: faultBlocked, unsent: true},
		"taken":        {},
		"server error": {mood: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		"cut":          {mood: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault: faultCut},
		"no answer":    {mood: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, fault: faultTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var got []store.Attempted
			inBubble(t, 1, func(cfg *Config) {
				if c.dial != nil {
					cfg.DialPlain = c.dial
				}
			}, func(b *bubble) {
				if b.receiver(0).mood = c.mood; c.fault == faultBlocked {
					b.m.edit(0, true, func(e *comm.Endpoint) { e.URL = "http://127.0.0.1/" })
				}
				b.m.refuse = func(_ context.Context, a *store.Attempted) error {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, *a)
					return nil
				}
				id := b.made(0)
				time.Sleep(usualTimeout + time.Second)
				mu.Lock()
				defer mu.Unlock()
				if len(got) == 0 || got[0].ID != id || got[0].Attempt != 1 || got[0].Unsent != c.unsent {
					b.Fatalf("%+v", got)
				}
				if c.fault != "" && !strings.Contains(got[0].Line, `"fault":"`+c.fault+`"`) {
					b.Errorf("%s", got[0].Line)
				}
			})
		})
	}
	var unsent []string
	for _, word := range Results() {
		if (&answer{fault: word}).unsent() {
			unsent = append(unsent, word)
		}
	}
	if want := []string{faultBlocked, faultDNS, faultConnect, faultSecret}; !slices.Equal(unsent, want) {
		t.Errorf("%q, want %q", unsent, want)
	}
}
