package scale

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// TestAReportIsQuickWhateverTheHistory: 400 days of twelve busy apps and of all together, each row with
// sixty buckets of two channels and five providers, those of all with a summary of as many
// apps as are kept. Every window is answered within 50 ms (95 of 100), of one app and of all.
func TestAReportIsQuickWhateverTheHistory(t *testing.T) {
	rounds := size(30, 200)
	onEach(t, func(w *world) {
		var apps []tenant
		var now comm.Micros
		w.open(func(ctx context.Context, s store.Store) (err error) {
			for i := range 12 {
				who, err := newTenant(ctx, s, fmt.Sprint("busy", i))
				if err != nil {
					return err
				}
				apps = append(apps, who)
			}
			now, err = s.Now(ctx)
			return err
		})
		w.t.Logf("%d rows of statistics", w.past(apps, now))
		p := w.serve()
		for _, window := range []string{"1h", "24h", "7d", "30d"} {
			for _, of := range []string{"/api/v1/stats", "/api/admin/stats"} {
				machine := w.meter()
				var took figures
				for range rounds {
					at := time.Now()
					status, answer, err := call(p.url, apps[0], http.MethodGet, of+"?window="+window, nil)
					took = append(took, time.Since(at))
					var got struct {
						Counts struct{ Accepted int64 }
						Apps   []struct{ Slug string }
					}
					if err == nil && status == http.StatusOK {
						err = json.Unmarshal(answer, &got)
					}
					if err != nil || status != http.StatusOK || got.Counts.Accepted == 0 || of == "/api/admin/stats" && len(got.Apps) != 10 {
						w.t.Fatalf("%s: %d %.200s %v", of, status, answer, err)
					}
				}
				w.t.Logf("%s %s: %s", of, window, took)
				if bound := machine.bound(50 * time.Millisecond); took.at(.95) > bound {
					w.t.Errorf("%s %s: p95 %s, the bound is %s", of, window, took.at(.95), bound)
				}
			}
		}
		p.end()
	})
}

// past writes rows of statistics of the apps as they are kept, and answers how many.
func (w *world) past(apps []tenant, now comm.Micros) (rows int) {
	w.t.Helper()
	counts, top := store.Counts{}, store.Top{}
	for _, ch := range comm.Channels() {
		for bucket := range uint8(60) { // from 20 ms to 10 minutes
			counts[store.CountKey{Channel: ch, Counter: comm.WaitAccepted, Bucket: 17 + bucket}] = 1000
		}
		for c := comm.CountAccepted; c <= comm.TriesUnknown; c++ {
			for _, provider := range []string{"smtp", "ses", "resend", "twilio", "sandbox"} {
				if c < comm.TriesStarted {
					provider = ""
				}
				counts[store.CountKey{Channel: ch, Counter: c, Provider: provider}] = 1_000_000
			}
		}
	}
	for i := range apps {
		top[apps[i].app.ID] = 1_000_000_000
	}
	for len(top) < store.TopSize {
		top[comm.NewID(now)] = 1_000_000
	}
	driver, source := "sqlite", "file:"+w.file
	if w.url != "" {
		driver, source = "pgx", w.url
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(w.t.Context(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	packed, summary, end := counts.Encode(), top.Encode(), now
	for _, step := range sqlstore.Aging(now) {
		for at := step.Before; at < end; at += step.Span {
			for i := range 1 + len(apps) {
				id, more := comm.ID{}, any(summary)
				if i > 0 {
					id, more = apps[i-1].app.ID, nil
				}
				var key any = id[:]
				if w.url != "" {
					key = sqlstore.UUID(id)
				}
				if _, err := tx.ExecContext(w.t.Context(), `INSERT INTO stats (app_id, span, start, counts, top) VALUES ($1, $2, $3, $4, $5)`,
					key, int64(step.Span), int64(at), packed, more); err != nil {
					w.t.Fatal(err)
				}
				rows++
			}
		}
		end = step.Before
	}
	if err := tx.Commit(); err != nil {
		w.t.Fatal(err)
	}
	return rows
}
