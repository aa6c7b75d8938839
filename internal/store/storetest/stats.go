package storetest

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func statsCases() []testCase {
	return []testCase{
		{"what is stored is counted, what is not is not", countsWhatIsStored},
		{"waits are counted in their buckets", countsWaits},
		{"ends without a call are counted", countsEnds},
		{"many nodes fold at once", foldsAtOnce},
		{"what is folded late brings no removed app back", foldsAfterRemoval},
	}
}

// counts is what is counted of an app since the beginning, waits apart.
func (w *world) counts(app comm.ID) (counts, waits store.Counts, top store.Top) {
	w.Helper()
	lists, err := w.s.Periods(w.ctx, []comm.ID{app}, 0)
	w.must(err)
	counts, waits, top = store.Counts{}, store.Counts{}, store.Top{}
	for _, p := range lists[0] {
		if p.Start%p.Span != 0 || p.Start > w.now() {
			w.Fatalf("a period of %d begins at %d", p.Span, p.Start)
		}
		figures, err := store.DecodeCounts(p.Counts)
		w.must(err)
		for k, n := range figures {
			if k.Counter == comm.WaitAccepted || k.Counter == comm.WaitScheduled {
				waits[k] += n
			} else {
				counts[k] += n
			}
		}
		w.must(top.Decode(p.Top))
	}
	w.sharesAgree(app, counts)
	return counts, waits, top
}

// sharesAgree holds what is answered of messages alone to all that is counted.
func (w *world) sharesAgree(app comm.ID, counts store.Counts) {
	w.Helper()
	lists, err := w.s.Shares(w.ctx, []comm.ID{app}, 0)
	w.must(err)
	got, want := store.Counts{}, maps.Clone(counts)
	maps.DeleteFunc(want, func(k store.CountKey, _ int64) bool { return k.Counter > comm.CountCancelled })
	for _, p := range lists[0] {
		w.must(store.EachMessageFigure(p.Counts, func(f store.Figure) {
			got[store.CountKey{Channel: f.Channel, Counter: f.Counter, Bucket: f.Bucket, Provider: string(f.Provider)}] += f.N
		}))
	}
	if !maps.Equal(got, want) {
		w.Fatalf("of messages alone %v has %v, of everything %v", app, got, counts)
	}
}

func (w *world) foldAll() {
	w.Helper()
	for range 1000 {
		f, err := w.s.Fold(w.ctx)
		w.must(err)
		if !f.More {
			return
		}
	}
	w.Fatal("folding does not come to an end")
}

// countsOfLogs is what logs say, told apart without the table that stores count by.
func countsOfLogs(logs []*comm.Message) (counts store.Counts) {
	counts = store.Counts{}
	for _, m := range logs {
		for _, e := range m.Events {
			message, attempt := comm.Counter(0), comm.Counter(0)
			switch {
			case e.From == e.To:
			case e.To == comm.Queued && e.From == comm.None:
				message = comm.CountAccepted
			case e.To == comm.Queued && e.From.Final():
				message = comm.CountRetried
			case e.To == comm.Sent:
				message = comm.CountSent
			case e.To == comm.Failed:
				message = comm.CountFailed
			case e.To == comm.Suppressed:
				message = comm.CountSuppressed
			case e.To == comm.Cancelled:
				message = comm.CountCancelled
			}
			name := e.Type.String()
			switch {
			case e.Provider == "":
			case name == "attempt_started":
				attempt = comm.TriesStarted
			case e.From != e.To && e.To == comm.Sent:
				attempt = comm.TriesSent
			case name == "throttled":
				attempt = comm.TriesThrottled
			case strings.Contains(name, "unknown"):
				attempt = comm.TriesUnknown
			case name == "attempt_failed", name == "retry_transient", name == "provider_rejected", name == "exhausted":
				attempt = comm.TriesFailed
			}
			if message != 0 {
				counts[store.CountKey{Channel: m.Channel, Counter: message}]++
			}
			if attempt != 0 {
				counts[store.CountKey{Channel: m.Channel, Counter: attempt, Provider: e.Provider}]++
			}
		}
	}
	return counts
}

func (m *model) opFold() string {
	_, err := m.s.Fold(m.ctx)
	m.must(err)
	return "fold"
}

// compareStats holds what is counted to the logs: as it is, and when all of it is folded.
func (m *model) compareStats() {
	m.Helper()
	for _, state := range []string{"before folding", "folded"} {
		all, accepted := store.Counts{}, store.Top{}
		for _, a := range m.apps {
			var logs []*comm.Message
			for _, x := range m.messages {
				if x.sub.App == a.ID {
					logs = append(logs, m.message(x.sub))
				}
			}
			want := countsOfLogs(logs)
			if got, _, _ := m.counts(a.ID); !maps.Equal(got, want) {
				m.Fatalf("%s: app %s has %v, its log says %v", state, a.ID, got, want)
			}
			all.Add(want)
			if len(logs) > 0 {
				accepted[a.ID] = int64(len(logs))
			}
		}
		if got, _, top := m.counts(comm.ID{}); !maps.Equal(got, all) || !maps.Equal(top, accepted) {
			m.Fatalf("%s: all apps have %v and %v, the logs say %v and %v", state, got, top, all, accepted)
		}
		m.foldAll()
	}
}

func countsWhatIsStored(w *world) {
	a, b := w.app(true), w.app(true)
	b.RatePerMinute = 2
	first := w.keyed(a, "one")
	w.accept(first)
	// A replay, a conflict, two new ones of different channels and three of an app that may have two.
	again, other := w.keyed(a, "one"), w.keyed(a, "one")
	other.Fingerprint = sum("another request")
	sms := w.keyed(a, "two")
	sms.Channel = comm.SMS
	group := []store.Submission{again, sms, w.submission(b), other, w.submission(a), w.submission(b), w.submission(b)}
	out, err := w.s.Accept(w.ctx, group)
	w.must(err)
	if out[6].Result != store.RateLimited || out[0].Result != store.Replay || out[3].Result != store.Conflict {
		w.Fatalf("%+v", out)
	}
	files := w.submission(a)
	files.Files = []comm.Attachment{{Filename: "a", ContentType: "text/plain", Content: []byte("a")}}
	w.accept(files)
	email, text := store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}, store.CountKey{Channel: comm.SMS, Counter: comm.CountAccepted}
	want := map[comm.ID]store.Counts{a.ID: {email: 3, text: 1}, b.ID: {email: 2}, {}: {email: 5, text: 1}}
	for _, state := range []string{"before folding", "folded"} {
		for app, want := range want {
			if got, _, _ := w.counts(app); !maps.Equal(got, want) {
				w.Errorf("%s: %v has %v, want %v", state, app, got, want)
			}
		}
		w.foldAll()
	}
	// Later periods only.
	for _, app := range []comm.ID{a.ID, {}} {
		lists, err := w.s.Periods(w.ctx, []comm.ID{app, comm.NewID(w.now())}, w.now()+store.Minute)
		w.must(err)
		if len(lists) != 2 || len(lists[0])+len(lists[1]) != 0 {
			w.Errorf("from the next minute on: %+v", lists)
		}
	}
}

func countsWaits(w *world) {
	a := w.app(true)
	w.own()
	now := w.one(a)
	later := w.one(a, func(s *store.Submission) { s.ScheduledAt = w.now().Add(60 * time.Millisecond) })
	again := w.one(a)
	w.waitPast(w.message(later).ScheduledAt)
	var fin []store.Finish
	for _, s := range []store.Submission{now, later, again} {
		fin = append(fin, w.finishOf(s, w.start(s).State.Attempts, sentOutcome()))
	}
	// A message that failed and was retried does not count as waiting since it was accepted.
	fin[2].Want = store.Outcome{To: comm.Failed, Cause: comm.CauseProviderRejected, ErrorCode: "550"}
	time.Sleep(30 * time.Millisecond)
	w.turn(fin, nil)
	_, _, err := w.s.Retry(w.ctx, a.ID, again.ID, "app")
	w.must(err)
	w.turn([]store.Finish{w.finishOf(again, w.start(again).State.Attempts, sentOutcome())}, nil)

	want := store.Counts{}
	for _, s := range []store.Submission{now, later} {
		m := w.message(s)
		k := store.CountKey{Channel: comm.Email, Counter: comm.WaitAccepted, Bucket: comm.WaitBucket(m.SentAt.Sub(m.CreatedAt))}
		if m.ScheduledAt != 0 {
			k.Counter, k.Bucket = comm.WaitScheduled, comm.WaitBucket(m.SentAt.Sub(m.ScheduledAt))
		}
		want[k]++
	}
	for _, state := range []string{"before folding", "folded"} {
		if counts, got, _ := w.counts(a.ID); !maps.Equal(got, want) || counts[store.CountKey{Channel: comm.Email, Counter: comm.CountSent}] != 3 {
			w.Errorf("%s: %v and %v, want waits of %v and three sent", state, got, counts, want)
		}
		w.foldAll()
	}
}

// countsEnds has a turn in which each start ends otherwise, one of them after a failed attempt of its round.
func countsEnds(w *world) {
	a := w.app(true)
	w.own()
	var subs []store.Submission
	for range 5 {
		subs = append(subs, w.one(a))
	}
	expired := w.one(a, func(s *store.Submission) { s.TTL = 1 })
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: comm.Email, Address: subs[1].Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	open := w.start(subs[2])
	_, _, err = w.s.Cancel(w.ctx, a.ID, subs[2].ID, "app")
	w.must(err)
	_, _, err = w.s.Cancel(w.ctx, a.ID, subs[3].ID, "app")
	w.must(err)
	next := w.startOf(subs[2])
	next.Attempt, next.Epoch = open.State.Attempts, open.State.Epoch
	next.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "ses", ErrorCode: "550"}
	w.waitPast(w.message(expired).ExpiresAt)
	w.turn(nil, []store.Start{w.startOf(subs[0]), w.startOf(subs[1]), next, w.startOf(expired), w.startOf(subs[4])})
	var logs []*comm.Message
	for _, s := range append(subs, expired) {
		logs = append(logs, w.message(s))
	}
	want := countsOfLogs(logs)
	for key, n := range map[store.CountKey]int64{
		{Channel: comm.Email, Counter: comm.CountSuppressed}: 1, {Channel: comm.Email, Counter: comm.CountCancelled}: 2, {Channel: comm.Email, Counter: comm.CountFailed}: 1,
		{Channel: comm.Email, Counter: comm.TriesFailed, Provider: "ses"}: 1,
	} {
		if want[key] != n {
			w.Fatalf("the case is not what it should be: %v", want)
		}
	}
	if got, _, _ := w.counts(a.ID); !maps.Equal(got, want) {
		w.Errorf("%v, the logs say %v", got, want)
	}
}

func foldsAtOnce(w *world) {
	apps := make([]*comm.App, 20)
	for i := range apps {
		apps[i] = w.app(true)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	errs := make(chan error, 8)
	for range 3 {
		wg.Go(func() {
			for {
				if _, err := w.s.Fold(w.ctx); err != nil {
					errs <- fmt.Errorf("fold: %w", err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	key := store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}
	accepted := int64(0)
	for round := range 20 {
		var subs []store.Submission
		for i := range apps[:1+round] {
			subs = append(subs, w.submission(apps[i]))
		}
		w.accept(subs...)
		accepted += int64(len(subs))
		if got, _, _ := w.counts(comm.ID{}); got[key] != accepted {
			w.Errorf("after %d messages %d are counted", accepted, got[key])
			break
		}
	}
	close(done)
	wg.Wait()
	select {
	case err := <-errs:
		w.Fatal(err)
	default:
	}
	w.foldAll()
	if got, _, top := w.counts(comm.ID{}); got[key] != accepted || top[apps[0].ID] != 20 || top[apps[19].ID] != 1 {
		w.Errorf("%d messages are counted as %v, %v", accepted, got, top)
	}
}

func foldsAfterRemoval(w *world) {
	a, b := w.app(true), w.app(true)
	one := w.one(a)
	w.one(b)
	w.foldAll()
	_, _, err := w.s.Cancel(w.ctx, a.ID, one.ID, "app")
	w.must(err)
	w.must(w.s.DeleteApp(w.ctx, a.ID, 1))
	for gone := false; !gone; {
		got, err := w.s.RemoveApp(w.ctx, a.ID, w.now(), 100)
		w.must(err)
		if gone = got.Gone; got.Rows == 0 {
			w.Fatal("the app is not removed")
		}
	}
	w.foldAll()
	accepted, cancelled := store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}, store.CountKey{Channel: comm.Email, Counter: comm.CountCancelled}
	for app, want := range map[comm.ID]store.Counts{a.ID: {}, b.ID: {accepted: 1}, {}: {accepted: 2, cancelled: 1}} {
		if got, _, _ := w.counts(app); !maps.Equal(got, want) {
			w.Errorf("%v has %v, want %v", app, got, want)
		}
	}
}
