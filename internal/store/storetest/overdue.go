package storetest

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func overdueCases() []testCase {
	return []testCase{
		{"what is expired is listed, once it is, until it ends", overdueExpired},
		{"what was retried for too long is listed", overdueExhausted},
		{"a listing is bounded and of the shards asked for", overdueBounded},
	}
}

const day = 24 * int64(time.Hour/time.Microsecond)

func (w *world) overdue(horizon int64, limit int, shards ...comm.Shard) (ids []comm.ID) {
	w.Helper()
	list, err := w.s.Overdue(w.ctx, shards, horizon, limit)
	w.must(err)
	for i := range list {
		got := w.message(store.Submission{App: list[i].App, ID: list[i].ID}).State
		if list[i] != got {
			w.Fatalf("listed %+v, the row is %+v", list[i], got)
		}
		ids = append(ids, list[i].ID)
	}
	return ids
}

func overdueExpired(w *world) {
	a := w.app(true)
	w.own()
	short := w.one(a, func(s *store.Submission) { s.TTL = 50_000 })
	w.one(a, func(s *store.Submission) { s.TTL = int64(time.Hour / time.Microsecond) })
	w.one(a)
	later := w.one(a, func(s *store.Submission) { s.TTL, s.ScheduledAt = 1, w.now().Add(time.Hour) })
	open := w.one(a, func(s *store.Submission) { s.TTL = int64(2 * time.Second / time.Microsecond) })
	w.start(open)
	for len(w.overdue(day, 10, short.Shard)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if now := w.now(); now < w.message(short).ExpiresAt {
		w.Fatalf("listed before its time")
	}
	time.Sleep(2100 * time.Millisecond) // the attempt under way is over its time, too, but not waiting
	if got := w.overdue(day, 10, short.Shard); !slices.Equal(got, []comm.ID{short.ID}) {
		w.Fatalf("listed %v, want %s alone (scheduled %s, open %s)", got, short.ID, later.ID, open.ID)
	}
	end := store.Finish{App: a.ID, ID: short.ID, Unit: unitOf(short), From: comm.Queued, Due: w.message(short).Due,
		Want: store.Outcome{To: comm.Failed, Cause: comm.CauseExpired, ErrorCode: "expired"}}
	if res := w.turn([]store.Finish{end}, nil); !res.Finished[0] {
		w.Fatal("the end was not stored")
	}
	if got := w.overdue(day, 10, short.Shard); len(got) != 0 || w.queued(short) {
		w.Fatalf("after the end: %v listed, queued %v", got, w.queued(short))
	}
}

func overdueExhausted(w *world) {
	a := w.app(true)
	w.own()
	tried, never := w.one(a), w.one(a)
	w.start(tried)
	if got := w.overdue(1, 10, tried.Shard); len(got) != 0 {
		w.Fatalf("an attempt under way is listed: %v", got)
	}
	w.turn([]store.Finish{w.finishOf(tried, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: w.now().Add(time.Hour), Round: 1, ErrorCode: "transient"})}, nil)
	if got := w.overdue(day, 10, tried.Shard); len(got) != 0 {
		w.Fatalf("listed before its time: %v", got)
	}
	time.Sleep(20 * time.Millisecond)
	if got := w.overdue(1000, 10, tried.Shard); !slices.Equal(got, []comm.ID{tried.ID}) {
		w.Fatalf("listed %v, want %s and not %s, which was never tried", got, tried.ID, never.ID)
	}
}

func overdueBounded(w *world) {
	apps := []*comm.App{w.app(true), w.app(true)}
	for comm.ShardOf(apps[1].ID, comm.ID{}, 1) == comm.ShardOf(apps[0].ID, comm.ID{}, 1) {
		apps[1] = w.app(true)
	}
	w.own()
	var want []comm.ID
	var shards []comm.Shard
	for _, a := range apps {
		for range 3 {
			s := w.one(a, func(s *store.Submission) { s.TTL = 1 })
			want, shards = append(want, s.ID), append(shards, s.Shard)
		}
	}
	time.Sleep(5 * time.Millisecond)
	if got := w.overdue(day, 10, shards[0]); !slices.Equal(got, want[:3]) {
		w.Fatalf("one shard: %v, want %v", got, want[:3])
	}
	if got := w.overdue(day, 100, shards...); len(got) != 6 {
		w.Fatalf("both shards: %v, want %v", got, want)
	}
	if got := w.overdue(day, 4, shards...); len(got) != 4 {
		w.Fatalf("limit 4: %v", got)
	}
	if got := w.overdue(day, 4); len(got) != 0 {
		w.Fatalf("no shards: %v", got)
	}
}
