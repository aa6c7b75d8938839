package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/pgtest"
)

// TestTheRateIsExactAcrossNodes: three processes on one PostgreSQL take an app's
// messages as fast as they can, across a turn of the database's minute. In each minute of
// the database's clock it gets what its rate allows, within 5 %; so does a batch that
// is larger than what is left, item by item, and replays are answered and not counted.
func TestTheRateIsExactAcrossNodes(t *testing.T) {
	t.Parallel()
	const rate, small, batchSize = 600, 40, 10
	w := onPostgres(t, pgtest.Database(t))
	var who, other tenant
	w.open(func(ctx context.Context, s store.Store) (err error) {
		if who, err = newTenant(ctx, s, "hammer", func(a *comm.App) { a.RatePerMinute = rate }); err == nil {
			other, err = newTenant(ctx, s, "batches", func(a *comm.App) { a.RatePerMinute = small })
		}
		return err
	})
	var nodes []*process
	for range 3 {
		nodes = append(nodes, w.serve("COMMS_ROLE=api"))
	}
	minute, into := w.minute()
	time.Sleep(time.Minute - into - 4*time.Second)

	// Until each has been refused a few times in the new minute. Half of them send one by one, half in batches.
	turn := minute + 1
	var serial, fits atomic.Int64
	var g errgroup.Group
	for i := range 6 {
		g.Go(func() error {
			for refused := 0; refused < 5; {
				n := 1
				if i%2 == 1 {
					n = batchSize
				}
				status, took, err := tryBatch(nodes[i%3].url, who, int(serial.Add(int64(n)))-n, n)
				if err != nil {
					return err
				}
				fits.Add(int64(took))
				if status == http.StatusTooManyRequests {
					now, _ := w.minute()
					if now >= turn {
						refused++
					}
					time.Sleep(50 * time.Millisecond)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	now, _ := w.minute()
	if now != turn {
		t.Fatalf("the machine took until minute %d to use the rate of minute %d up: nothing can be said", now, turn)
	}
	before, in := w.accepted(who, minute), w.accepted(who, turn)
	t.Logf("rate %d: %d in what was left of a minute, %d in the next; %d were tried", rate, before, in, serial.Load())
	if float64(before) > 1.05*rate || float64(in) < 0.95*rate || float64(in) > 1.05*rate {
		t.Errorf("%d and %d messages were accepted in two minutes of the database's clock, the rate is %d", before, in, rate)
	}
	if before+in != fits.Load() {
		t.Errorf("%d are stored, %d were answered with 202", before+in, fits.Load())
	}

	// One item less than fits, then a batch of which one does.
	if status, took, err := tryBatch(nodes[0].url, other, 0, small-1); err != nil || status != http.StatusAccepted || took != small-1 {
		t.Fatalf("%d, %d of %d fit, %v", status, took, small-1, err)
	}
	if status, took, err := tryBatch(nodes[1].url, other, 1000, batchSize); err != nil || status != http.StatusAccepted || took != 1 {
		t.Errorf("a batch of %d where one fits: %d, %d fit, %v", batchSize, status, took, err)
	}
	if status, took, err := tryBatch(nodes[2].url, other, 2000, batchSize); err != nil || status != http.StatusTooManyRequests || took != 0 {
		t.Errorf("a batch of %d where none fits: %d, %d fit, %v", batchSize, status, took, err)
	}
	used := w.used(other)
	for i, node := range nodes {
		status, id, answer, err := post(node.url, other, rated(0))
		if err != nil || status != http.StatusOK || id == "" || !strings.Contains(string(answer), `"deduplicated":true`) {
			t.Errorf("a replay over the rate, on node %d: %d %s %v", i, status, answer, err)
		}
	}
	if after := w.used(other); after != used {
		t.Errorf("replays were counted: %d, then %d", used, after)
	}
	if n := w.accepted(other, turn); n != small {
		t.Errorf("%d messages were accepted, the rate is %d", n, small)
	}
	for _, p := range nodes {
		p.end()
	}
}

// rated is the n-th message of an app.
func rated(n int) []byte { return mail(fmt.Sprint("rated", n), "NORMAL", fmt.Sprint("rated-", n), "") }

// tryBatch sends n messages from a number on, one by itself, and answers how many were taken.
func tryBatch(base string, who tenant, from, n int) (status, took int, err error) {
	if n == 1 {
		status, _, answer, err := post(base, who, rated(from))
		if err == nil && status != http.StatusAccepted && status != http.StatusTooManyRequests {
			err = fmt.Errorf("%d %s", status, answer)
		}
		if status == http.StatusAccepted {
			took = 1
		}
		return status, took, err
	}
	var items []string
	for i := range n {
		items = append(items, string(rated(from+i)))
	}
	status, answer, err := call(base, who, http.MethodPost, "/api/v1/messages/batch", []byte(`{"messages":[`+strings.Join(items, ",")+`]}`))
	if err != nil || status == http.StatusTooManyRequests {
		return status, 0, err
	}
	var got struct {
		Data []struct {
			ID      string
			Details struct{ Code string }
		}
	}
	if err := json.Unmarshal(answer, &got); err != nil || len(got.Data) != n {
		return status, 0, fmt.Errorf("%d %s", status, answer)
	}
	for _, x := range got.Data {
		switch {
		case x.ID != "":
			took++
		case x.Details.Code != "rate_limited":
			return status, 0, fmt.Errorf("%d %s", status, answer)
		}
	}
	return status, took, nil
}

// numbers reads one row of numbers past the processes.
func (w *world) numbers(query string, args []any, into ...any) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.url)
	if err == nil {
		err = conn.QueryRow(w.t.Context(), query, args...).Scan(into...)
		_ = conn.Close(w.t.Context())
	}
	if err != nil {
		w.t.Error(err)
	}
}

// minute is the number of the minute by the database's clock, and how much of it is over.
func (w *world) minute() (n int64, into time.Duration) {
	var now int64
	w.numbers(`SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`, nil, &now)
	const minute = 60_000_000
	return now / minute, time.Duration(now%minute) * time.Microsecond
}

// accepted is how many messages an app has of a minute.
func (w *world) accepted(who tenant, minute int64) (n int64) {
	w.numbers(`SELECT count(*) FROM state WHERE app_id = (SELECT id FROM apps WHERE slug = $1) AND created_at / 60000000 = $2`, []any{who.app.Slug, minute}, &n)
	return n
}

// used is what the database counts in the app's rate.
func (w *world) used(who tenant) (n int64) {
	w.numbers(`SELECT used FROM rates WHERE app_id = (SELECT id FROM apps WHERE slug = $1)`, []any{who.app.Slug}, &n)
	return n
}
