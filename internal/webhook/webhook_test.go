package webhook

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/signature"
	"github.com/commserver/commserver/internal/store"
)

// poll is how often tests of many hours look for what is due: days pass in seconds, and each look costs some.
const poll = 10 * time.Second

func seldom(c *Config) { c.Poll = poll }

func TestADeliveryIsSignedBothWays(t *testing.T) {
	inBubble(t, 1, func(c *Config) {
		c.Secrets = func(e *comm.Endpoint) ([]string, error) {
			keys := []string{secret}
			for _, r := range e.Replaced {
				keys = append(keys, string(r.Secret))
			}
			return keys, nil
		}
	}, func(b *bubble) {
		b.m.edit(0, false, func(e *comm.Endpoint) {
			now := comm.At(time.Now())
			e.Replaced = []comm.Replaced[[]byte]{{Secret: []byte("the-secret-before-it"), Until: now.Add(2 * time.Hour)}, {Secret: []byte("the-first-secret"), Until: now.Add(time.Hour)}}
		})
		id := b.made(0)
		time.Sleep(time.Second)
		d, posts := b.delivery(id), b.receiver(0).got()
		if len(posts) != 1 || d.State != store.DeliveryDone || d.Attempts != 1 {
			b.Fatalf("%d posts, %+v", len(posts), d)
		}
		p := posts[0]
		stamp := p.head.Get("X-Comms-Timestamp")
		if at, err := strconv.ParseInt(stamp, 10, 64); err != nil || p.at.Unix()-at > 1 || p.head.Get("Webhook-Timestamp") != stamp {
			b.Errorf("timestamp %q at %v", stamp, p.at)
		}
		event := d.EventID()
		if p.head.Get("X-Comms-Event-Id") != event || p.head.Get("Webhook-Id") != event || p.head.Get("Content-Type") != "application/json" || p.body != string(d.Body) {
			b.Errorf("%v %s", p.head, p.body)
		}
		if got := p.head.Get("X-Comms-Signature"); got != signature.Guide(secret, stamp, d.Body) {
			b.Errorf("the guide's signature is %s", got)
		}
		if got := p.head.Get("Webhook-Signature"); got != signature.Standard(event, stamp, d.Body, secret, "the-secret-before-it", "the-first-secret") || strings.Count(got, "v1,") != 3 {
			b.Errorf("the standard's signature is %s", got)
		}
		for hours, want := range []int{2, 1} {
			time.Sleep(time.Hour)
			b.made(0)
			time.Sleep(time.Second)
			if got := b.receiver(0).got()[1+hours].head.Get("Webhook-Signature"); strings.Count(got, "v1,") != want {
				b.Errorf("%d hours later the standard's signature is %s", 1+hours, got)
			}
		}
	})
}

// F31: a receiver is down for three hours. What was made meanwhile arrives when it is back, the same bytes with a fresh timestamp, none of it lost, and not all at once.
func TestThreeHoursDown(t *testing.T) {
	inBubble(t, 2, seldom, func(b *bubble) {
		b.answer(0, 503)
		var ids []comm.ID
		for range 60 {
			ids = append(ids, b.made(0))
			b.made(1)
			time.Sleep(3 * time.Minute)
		}
		down := len(b.receiver(0).got())
		if down > 60*5 {
			b.Errorf("it was called %d times while it was down", down)
		}
		if len(b.troubles()) != 1 {
			b.Errorf("%d endpoints are known to fail", len(b.troubles()))
		}
		b.answer(0, 0)
		time.Sleep(8 * time.Hour)
		bodies := map[string]string{}
		for _, p := range b.receiver(0).got() {
			id := p.head.Get("Webhook-Id")
			if was, there := bodies[id]; there && was != p.body {
				b.Errorf("%s has two bodies", id)
			}
			if bodies[id] = p.body; p.head.Get("X-Comms-Timestamp") != strconv.FormatInt(p.at.Unix(), 10) {
				b.Errorf("the timestamp of %v is %s", p.at, p.head.Get("X-Comms-Timestamp"))
			}
		}
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone || bodies[d.EventID()] != string(d.Body) {
				b.Errorf("%+v", d)
			}
		}
		if len(b.troubles()) != 0 || len(b.off()) != 0 {
			b.Errorf("troubles %v, off %v", b.troubles(), b.off())
		}
		for i, p := range b.receiver(1).got() {
			if want := b.receiver(1).got()[0].at.Add(time.Duration(i) * 3 * time.Minute); p.at.Sub(want) > time.Second {
				b.Errorf("the other endpoint waited %v", p.at.Sub(want))
			}
		}
	})
}

// However short chance makes the waits, an event is tried for 72 hours.
func TestTriesLastThreeDays(t *testing.T) {
	for _, least := range []float64{0, 0.5, 1} {
		p, at := policy{Patience(), func() float64 { return least }}, comm.Micros(0)
		for tries := 0; ; tries++ {
			state, due := p.decide(&store.Delivery{Tries: tries}, &answer{status: 500}, at, true)
			if state == store.DeliveryExhausted {
				break
			}
			at = due
		}
		if lasted := at.Sub(0); lasted < 72*time.Hour || lasted > 5*24*time.Hour {
			t.Errorf("with %v the last try is after %v", least, lasted)
		}
	}
}

// Eleven tries over 91 hours, each wait within a fifth of the schedule; then it is exhausted, and an endpoint that answered nothing else is off.
func TestExhausted(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		b.answer(0, 500)
		id := b.made(0)
		time.Sleep(120 * time.Hour)
		d, posts := b.delivery(id), b.receiver(0).got()
		if d.State != store.DeliveryExhausted || d.Attempts != 11 || len(posts) != 11 || strings.Count(d.Log, "\n") != 11 || !strings.Contains(d.Log, `"status":500,"answer":"what went wrong"`) {
			b.Fatalf("%d posts, %+v", len(posts), d)
		}
		for i, step := range Patience().Steps {
			if wait := posts[i+1].at.Sub(posts[i].at); wait < step*8/10 || wait > step*12/10+2*poll {
				b.Errorf("wait %d is %v", i, wait)
			}
		}
		for range 5 {
			b.made(0)
			time.Sleep(2 * poll)
		}
		if b.off()[b.endpoint(0).ID] != comm.EndpointFailed {
			b.Errorf("off: %v", b.off())
		}
		calls := len(b.receiver(0).got())
		b.made(0)
		time.Sleep(time.Hour)
		if n := len(b.receiver(0).got()); n != calls {
			b.Errorf("%d calls of an endpoint that is off", n-calls)
		}
		// Somebody switches it on again: it has all the time again.
		b.m.switchOn(b.endpoint(0).ID)
		for range 5 {
			b.made(0)
			time.Sleep(time.Minute)
		}
		if n := len(b.receiver(0).got()); n < calls+5 || b.off()[b.endpoint(0).ID] != "" {
			b.Errorf("%d calls, off: %v", n-calls, b.off())
		}
	})
}

func TestAnswersOfEverySort(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		one := func(want store.DeliveryState, calls int, wait time.Duration) store.Delivery {
			b.Helper()
			before := len(b.receiver(0).got())
			id := b.made(0)
			time.Sleep(wait)
			d := b.delivery(id)
			if n := len(b.receiver(0).got()) - before; d.State != want || n != calls {
				b.Errorf("state %d after %d calls, want %d after %d: %s", d.State, n, want, calls, d.Log)
			}
			d.State = store.DeliveryDone
			b.m.mu.Lock()
			*b.m.rows[id] = d // what comes later is no matter here
			b.m.mu.Unlock()
			return d
		}
		for _, status := range []int{200, 201, 299} {
			b.answer(0, status)
			one(store.DeliveryDone, 1, time.Second)
		}
		trap := &receiver{}
		b.receivers["trap"] = trap
		for _, status := range []int{301, 302, 303, 307, 308} {
			b.answer(0, status, "Location", "http://trap/")
			one(store.DeliveryWaiting, 1, time.Second)
			b.answer(0, 200)
			one(store.DeliveryDone, 1, time.Second) // between, so that it does not count as down
			time.Sleep(2 * time.Minute)
		}
		if trap.conns != 0 {
			b.Errorf("%d redirects were followed", trap.conns)
		}
		b.answer(0, 429, "Retry-After", "120")
		one(store.DeliveryWaiting, 1, 110*time.Second)
		b.answer(0, 0)
		one(store.DeliveryDone, 1, 30*time.Second) // it wanted to be left alone for ten more seconds
		b.answer(0, 503, "Retry-After", "999999999")
		one(store.DeliveryWaiting, 1, 50*time.Minute)
		b.answer(0, 0)
		one(store.DeliveryDone, 1, 20*time.Minute) // an hour, and no more
		slow := func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Hour):
			}
		}
		b.receiver(0).mood = slow
		if d := one(store.DeliveryWaiting, 1, 16*time.Second); !strings.Contains(d.Log, `"tookMs":15000,"fault":"timeout"`) {
			b.Errorf("%s", d.Log)
		}
		endless := func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}
		b.receiver(0).mood = endless
		if d := one(store.DeliveryDone, 1, time.Second); len(d.Log) > 2*maxSnippet+200 {
			b.Errorf("%d bytes are kept of an endless answer", len(d.Log))
		}
		b.receiver(0).mood = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = w.Write([]byte("your secret is " + secret + "\x00\x1b[0m"))
		}
		if d := one(store.DeliveryWaiting, 1, time.Second); strings.Contains(d.Log, secret) || !strings.Contains(d.Log, "your secret is") {
			b.Errorf("%s", d.Log)
		}
		b.answer(0, 410)
		one(store.DeliveryExhausted, 1, time.Second)
		if b.off()[b.endpoint(0).ID] != comm.EndpointGone {
			b.Errorf("off: %v", b.off())
		}
	})
}

// F32: of a hundred endpoints one takes 14 seconds for every answer. The others do not notice, and it has no more than its four calls.
func TestOneSlowOfAHundred(t *testing.T) {
	inBubble(t, 100, func(c *Config) { c.Slots = 64 }, func(b *bubble) {
		under, most := 0, 0
		slow := b.receiver(0)
		slow.mood = func(w http.ResponseWriter, _ *http.Request) {
			slow.mu.Lock()
			under++
			most = max(most, under)
			slow.mu.Unlock()
			time.Sleep(14 * time.Second)
			slow.mu.Lock()
			under--
			slow.mu.Unlock()
			w.WriteHeader(200)
		}
		made := map[string]time.Time{}
		for range 20 {
			for i := range 100 {
				id := b.made(i)
				made[new(b.delivery(id)).EventID()] = time.Now()
			}
			time.Sleep(time.Second)
		}
		time.Sleep(5 * time.Minute)
		var waits []time.Duration
		for i := 1; i < 100; i++ {
			for _, p := range b.receiver(i).got() {
				waits = append(waits, p.at.Sub(made[p.head.Get("Webhook-Id")]))
			}
		}
		slices.Sort(waits)
		if len(waits) != 99*20 {
			b.Fatalf("%d of %d arrived", len(waits), 99*20)
		}
		if p99 := waits[len(waits)*99/100]; p99 > 600*time.Millisecond {
			b.Errorf("p99 of the others is %v", p99)
		}
		if n := len(slow.got()); most > 4 || n != 20 {
			b.Errorf("the slow one had %d calls at once and got %d of 20", most, n)
		}
	})
}

// What is read while its call is under way arrives when that has ended; what is handed over may have been called already. Neither is called twice.
func TestWhatEndedMeanwhileIsNotCalledAgain(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		time.Sleep(time.Second) // it knows the endpoint
		b.m.mu.Lock()
		b.m.read = func() { time.Sleep(100 * time.Millisecond) } // of a store that is slow to answer
		b.m.mu.Unlock()
		b.receiver(0).mood = func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(20 * time.Millisecond)
			w.WriteHeader(http.StatusNoContent)
		}
		var late []store.Delivery
		for range 200 {
			late = append(late, b.delivery(b.made(0)))
			time.Sleep(7 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		b.s.Made(late)
		time.Sleep(2 * time.Second)
		if n := len(b.receiver(0).got()); n != len(late) {
			b.Errorf("%d calls for %d events", n, len(late))
		}
	})
}

// A store that is slow to read, and much that is due: the loader reads for longer than what it has read is believed, and everybody gets his events all the same.
func TestReadingTakesLong(t *testing.T) {
	inBubble(t, 600, nil, func(b *bubble) {
		b.m.mu.Lock()
		b.m.read = func() { time.Sleep(10 * time.Millisecond) }
		b.m.mu.Unlock()
		for i := range 600 {
			b.made(i)
		}
		time.Sleep(15 * time.Second)
		for i := range 600 {
			if n := len(b.receiver(i).got()); n != 1 {
				b.Fatalf("endpoint %d got %d events", i, n)
			}
		}
	})
}

// A receiver that comes and goes gets everything, and is not called all the time while it is away.
func TestFlapping(t *testing.T) {
	inBubble(t, 1, seldom, func(b *bubble) {
		var ids []comm.ID
		for n := range 40 {
			b.answer(0, []int{0, 500}[n%2])
			for range 5 {
				ids = append(ids, b.made(0))
				time.Sleep(3 * time.Second)
			}
		}
		b.answer(0, 0)
		time.Sleep(12 * time.Hour)
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Errorf("%+v", d)
			}
		}
		if n := len(b.receiver(0).got()); n > 3*len(ids) {
			b.Errorf("%d calls for %d events", n, len(ids))
		}
	})
}

// The retries of what failed at once do not come at once.
func TestNoThunderingHerd(t *testing.T) {
	inBubble(t, 100, nil, func(b *bubble) {
		for i := range 100 {
			b.answer(i, 500)
			b.made(i)
		}
		time.Sleep(time.Minute)
		for i := range 100 {
			b.answer(i, 0)
		}
		time.Sleep(10 * time.Minute)
		perSecond := map[int64]int{}
		for i := range 100 {
			posts := b.receiver(i).got()
			if len(posts) != 3 {
				b.Fatalf("%d posts", len(posts))
			}
			perSecond[posts[2].at.Unix()]++
		}
		for at, n := range perSecond {
			if n > 10 {
				b.Errorf("%d of 100 retries within the second %d", n, at)
			}
		}
	})
}

// What calls came to is stored when the store is back, and calls under way at the stop are, too: nothing is posted a second time.
func TestTheStoreIsAwayAndTheServerStops(t *testing.T) {
	inBubble(t, 1, nil, func(b *bubble) {
		b.m.mu.Lock()
		b.m.fail = fmt.Errorf("away: %w", io.EOF)
		b.m.mu.Unlock()
		id := b.made(0)
		time.Sleep(time.Minute)
		b.m.mu.Lock()
		b.m.fail = nil
		b.m.mu.Unlock()
		time.Sleep(2 * time.Second)
		if d := b.delivery(id); d.State != store.DeliveryDone || len(b.receiver(0).got()) != 1 {
			b.Errorf("%d posts, %+v", len(b.receiver(0).got()), d)
		}
		b.receiver(0).mood = func(w http.ResponseWriter, _ *http.Request) { time.Sleep(5 * time.Second); w.WriteHeader(200) }
		id = b.made(0)
		time.Sleep(time.Second)
		b.stop()
		if d := b.delivery(id); d.State != store.DeliveryDone || d.Attempts != 1 {
			b.Errorf("%+v", d)
		}
		synctest.Wait()
	})
}
