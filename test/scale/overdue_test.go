package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestWhatWaitsTooLongEnds: messages with ttlSeconds behind many others of a paused
// queue end FAILED expired within two seconds after their time, and only they are written.
func TestWhatWaitsTooLongEnds(t *testing.T) {
	t.Parallel()
	const many = 600 // more than one batch
	n := size(20_000, 1_000_000)
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		t.Run(kind, func(t *testing.T) {
			w := closedWorld(t, kind)
			var who tenant
			w.open(func(ctx context.Context, s store.Store) (err error) {
				if who, err = newTenant(ctx, s, "waiting", func(a *comm.App) { a.QueuePaused = true }); err != nil {
					return err
				}
				return preload(ctx, s, n, func(i int) (store.Submission, error) {
					return submission(&who, fmt.Sprintf("w%07d", i), comm.Normal, 0)
				})
			})
			p := w.serve()
			before, busy := w.events(), w.meter()
			if err := within(numbers(many), func(i int) error {
				status, _, answer, err := post(p.url, who, mail(fmt.Sprintf("ttl%04d", i), "NORMAL", fmt.Sprint(i), `,"ttlSeconds":3`))
				if err == nil && status != http.StatusAccepted {
					err = fmt.Errorf("%d %s", status, answer)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			promised := busy.bound(2 * time.Second)
			time.Sleep(promised - 2*time.Second)
			type item struct {
				Status, ErrorCode string
				ExpiresAt         time.Time
				UpdatedAt         time.Time
				Attempts          int
			}
			var ended []item
			for cursor := ""; ; {
				status, answer, err := call(p.url, who, http.MethodGet, "/api/v1/messages?status=FAILED&limit=100"+cursor, nil)
				var page struct {
					Data       []item
					NextCursor *string
				}
				if err == nil {
					err = json.Unmarshal(answer, &page)
				}
				if err != nil || status != http.StatusOK {
					t.Fatalf("%d %v %.300s", status, err, answer)
				}
				ended = append(ended, page.Data...)
				if page.NextCursor == nil {
					break
				}
				cursor = "&cursor=" + *page.NextCursor
			}
			var late figures
			for _, m := range ended {
				if m.ErrorCode != "expired" || m.Attempts != 0 {
					t.Errorf("%+v", m)
				}
				late = append(late, m.UpdatedAt.Sub(m.ExpiresAt))
			}
			t.Logf("%d of %d ended behind %d messages: %s after their time", len(ended), many, n, late)
			if len(ended) != many || slices.Min(late) < 0 || slices.Max(late) > promised {
				t.Errorf("%d of %d ended, first %s, last %s after their time", len(ended), many, slices.Min(late), slices.Max(late))
			}
			if events := w.events() - before; events != 2*many {
				t.Errorf("%d events written, want one at acceptance and one at the end of each", events)
			}
			p.end()
		})
	}
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
