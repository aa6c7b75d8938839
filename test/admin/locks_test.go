package admin

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/test/pgtest"
)

// TestAnOperatorsLockIsAnswered503: while somebody at a prompt has locked what an app's messages count in, its
// callers are answered 503 with Retry-After within seconds, and other apps' messages are accepted.
func TestAnOperatorsLockIsAnswered503(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	d := newDoor(t, node(t, url), newRing(t), nil)
	stuck, _ := d.made("stuck", `"sandboxMode":true,"ratePerMinute":1000000`)
	free, _ := d.made("free", `"sandboxMode":true,"ratePerMinute":1000000`)
	for _, as := range []key{stuck, free} {
		if got := d.do(as, "POST", messagesURL, text(ghana, 1)); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	ctx := context.WithoutCancel(t.Context())
	operator, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = operator.Close(ctx) }()
	tx, err := operator.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM rates WHERE app_id = (SELECT id FROM apps WHERE slug = 'stuck')`); err != nil {
		t.Fatal(err)
	}
	refused, accepted, slowest := 0, 0, time.Duration(0)
	ended := make(chan struct{})
	go func() { // who repeats the refused request as soon as it may, like a client does
		defer close(ended)
		for range 4 {
			began := time.Now()
			got := d.do(stuck, "POST", messagesURL, keyed("k", ghana, 1))
			slowest = max(slowest, time.Since(began))
			seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
			if got.status != http.StatusServiceUnavailable || got.code() != "unavailable" || err != nil || seconds < 1 {
				t.Errorf("%d %s", got.status, got.raw)
				return
			}
			refused++
			time.Sleep(time.Duration(seconds) * time.Second)
		}
	}()
	var delays time.Duration
	for running := true; running; {
		began := time.Now()
		if got := d.do(free, "POST", messagesURL, text(ghana, 1)); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.raw)
		}
		if took := time.Since(began); took > 50*time.Millisecond {
			delays += took
		}
		accepted++
		select {
		case <-ended:
			running = false
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Logf("the locked app was refused %d times in at most %v; meanwhile the other one had %d messages accepted and waited %v for it", refused, slowest, accepted, delays)
	if slowest > 5*time.Second || delays > 6*time.Second {
		t.Errorf("refusals took up to %v, and others waited %v", slowest, delays)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	var last reply
	for end := time.Now().Add(30 * time.Second); last.status != http.StatusAccepted && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		last = d.do(stuck, "POST", messagesURL, keyed("k", ghana, 1))
	}
	if last.status != http.StatusAccepted {
		t.Errorf("after the lock: %d %s", last.status, last.raw)
	}
}
