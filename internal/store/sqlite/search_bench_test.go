//go:build unix

package sqlite_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/store"
)

// BenchmarkAcceptAndIndex accepts groups of 25 into a store that holds COMMS_BENCH_FILL
// messages and waits until the last one can be searched for: the whole cost of both.
func BenchmarkAcceptAndIndex(b *testing.B) {
	fill, _ := strconv.Atoi(os.Getenv("COMMS_BENCH_FILL"))
	w := newBench(b)
	w.fill(fill, 1000)
	w.indexed(fill)
	w.begin()
	var last store.Submission
	for i := 0; i < b.N; i += 25 {
		subs := w.group(fill+i, min(25, b.N-i))
		_, err := w.s.Accept(b.Context(), subs)
		w.must(err)
		last = subs[len(subs)-1]
	}
	accepted := b.Elapsed()
	w.find(last)
	w.end()
	b.ReportMetric(float64(b.N)/accepted.Seconds(), "accepted/s")
}

// indexed waits until one more message, accepted after n others, is searchable.
func (w *bench) indexed(n int) {
	w.b.Helper()
	subs := w.group(n+1<<30, 1)
	_, err := w.s.Accept(w.b.Context(), subs)
	w.must(err)
	w.find(subs[0])
}

func (w *bench) find(sub store.Submission) {
	w.b.Helper()
	for {
		found, err := w.s.Search(w.b.Context(), sub.App, store.Filter{Recipient: sub.Recipient, Limit: 1})
		w.must(err)
		if len(found.Messages) > 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
