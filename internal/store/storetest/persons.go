package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// A mask in somebody else's message is no change of its state: its content's time goes on, and nobody who polls takes it for news.
func maskedAge(w *world) {
	a := w.app(true)
	w.own()
	s := w.full(a, "names")
	w.end(s)
	before := w.message(s)
	for w.now() < before.UpdatedAt+comm.Micros(5*time.Millisecond/time.Microsecond) { // than which no clock of SQL is coarser
	}
	payload, err := store.EncodeContent(&comm.Content{To: s.Recipient, Body: "masked"})
	w.must(err)
	x := store.Rewriting{App: a.ID, ID: s.ID, Sequence: before.Sequence, Payload: payload}
	if n, took, err := w.s.Rewrite(w.ctx, []store.Rewriting{x}, store.Erasing{Actor: comm.ActorApp}); err != nil || n != 1 || took <= 0 {
		w.Fatalf("%d %v %v", n, took, err)
	}
	m := w.message(s)
	last := m.Events[len(m.Events)-1]
	if m.UpdatedAt != before.UpdatedAt || m.Body != "masked" || last.Type != comm.CauseErased || last.Actor != comm.ActorApp || last.At <= before.UpdatedAt {
		w.Fatalf("updated at %d, before at %d; %+v", m.UpdatedAt, before.UpdatedAt, last)
	}
}

const toldOfHer, toldWithout = `{"n":"ama@example.org"}`, `{"n":"a***@example.org"}`

// rename takes a person out of a message's content, and out of what is told of it.
func (w *world) rename(s store.Submission, settle time.Duration) {
	w.Helper()
	payload, err := store.EncodeContent(&comm.Content{To: s.Recipient, Body: "masked"})
	w.must(err)
	told := func(body []byte) ([]byte, bool) {
		if string(body) == "broken ama@example.org" {
			return nil, true
		}
		return []byte(toldWithout), string(body) == toldOfHer
	}
	n, _, err := w.s.Rewrite(w.ctx, []store.Rewriting{{App: s.App, ID: s.ID, Sequence: w.message(s).Sequence, Payload: payload}}, store.Erasing{Actor: comm.ActorApp, Told: told, Settle: settle})
	if err != nil || n != 1 {
		w.Fatalf("%d %v", n, err)
	}
}

// toldOf lists what an endpoint is, or was, told of a message, the oldest first.
func (w *world) toldOf(s store.Submission, endpoint comm.ID) (out []store.Delivery) {
	w.Helper()
	list, err := w.s.DeliveryList(w.ctx, s.App, endpoint, store.DeliveryFilter{Message: s.ID, Limit: 100})
	w.must(err)
	for _, d := range slices.Backward(list) {
		out = append(out, w.stored(d))
	}
	return out
}

// Of what is told of a message that only names the person, what holds no word of the person stays as it is; what waits and was never posted waits
// without the person, and what was posted goes, since an event has one body.
func retold(w *world) {
	a := w.app(true)
	s, other, e := w.one(a), w.one(a), comm.NewID(1)
	of := func(m store.Submission, sequence int, body string, change ...func(*store.Delivery)) store.Delivery {
		return w.delivery(a.ID, e, append(change, func(d *store.Delivery) { d.Message, d.Sequence, d.Body = m.ID, sequence, []byte(body) })...)
	}
	tried := func(d *store.Delivery) { d.Attempts, d.Tries, d.Log = 1, 1, "{}\n" }
	done := func(d *store.Delivery) { tried(d); d.State, d.Due, d.EndedAt = store.DeliveryDone, 0, d.CreatedAt }
	stay := []store.Delivery{of(s, 1, `{"n":1}`), of(s, 2, `{"n":2}`, tried), of(s, 3, `{"n":3}`, done), of(other, 1, toldOfHer)}
	later := w.now().Add(time.Hour)
	waits, put := of(s, 4, toldOfHer), of(s, 5, toldOfHer, func(d *store.Delivery) { d.Due = later })
	before := w.now() // a store may have begun to write what others ask for, and takes this in at that instant; but not before it stored the next ones
	for _, d := range []store.Delivery{of(s, 6, toldOfHer, tried), of(s, 7, toldOfHer, done), of(s, 8, "broken ama@example.org")} {
		defer func() {
			_, err := w.s.Delivery(w.ctx, d.App, d.Endpoint, d.ID)
			w.wantCode(err, "not_found")
		}()
	}
	w.rename(s, time.Minute)
	for _, d := range stay {
		if got := w.stored(d); !sameDelivery(got, d) {
			w.Fatalf("%+v, want %+v", got, d)
		}
	}
	got := w.toldOf(s, e)
	if len(got) != 5 {
		w.Fatalf("%d deliveries are left", len(got))
	}
	for _, want := range []store.Delivery{waits, put} {
		i := slices.IndexFunc(got, func(d store.Delivery) bool { return d.Sequence == want.Sequence })
		if i < 0 || got[i].ID == want.ID || got[i].Due < before.Add(time.Minute) || got[i].Due > w.now().Add(time.Minute) && got[i].Due != later {
			w.Fatalf("%+v, before %+v", got, want)
		}
		want.ID, want.Due, want.Body = got[i].ID, got[i].Due, []byte(toldWithout)
		w.must(w.s.Replay(w.ctx, a.ID, e, want.ID)) // brings it no sooner: a call with the body from before may be under way
		if now := w.stored(want); !sameDelivery(now, want) {
			w.Fatalf("%+v, want %+v", now, want)
		}
	}
}

// A call that is under way when the body changes is of an event that was posted: whatever it comes to, the other body is not.
func retoldInACall(w *world) {
	a := w.app(true)
	s, one, two := w.one(a), comm.NewID(1), comm.NewID(2)
	for sequence, state := range []store.DeliveryState{store.DeliveryWaiting, store.DeliveryDone} {
		of := func(endpoint comm.ID) store.Delivery {
			return w.delivery(a.ID, endpoint, func(d *store.Delivery) { d.Message, d.Sequence, d.Body = s.ID, sequence+1, []byte(toldOfHer) })
		}
		called := of(one)
		of(two)
		w.rename(s, time.Minute)
		if got := w.toldOf(s, one); len(got) != 1 || string(got[0].Body) != toldWithout {
			w.Fatalf("%+v", got)
		}
		w.must(w.s.Record(w.ctx, []store.Attempted{{App: a.ID, Endpoint: one, ID: called.ID, Message: s.ID, Sequence: sequence + 1, Attempt: 1, Try: 1, At: w.now(), State: state, Due: w.now(), Line: "{}\n"}}))
		if got := w.toldOf(s, one); len(got) != 0 {
			w.Fatalf("told twice: %+v", got)
		}
	}
	if got := w.toldOf(s, two); len(got) != 2 {
		w.Fatalf("of another endpoint: %+v", got)
	}
}

// A call that is under way when the body changes, and of which no byte of the body has left, told nothing: the other body is posted.
func retoldInNoCall(w *world) {
	a := w.app(true)
	s, e := w.one(a), comm.NewID(1)
	called := w.delivery(a.ID, e, func(d *store.Delivery) { d.Message, d.Sequence, d.Body = s.ID, 1, []byte(toldOfHer) })
	w.rename(s, time.Minute)
	want := w.toldOf(s, e)
	w.must(w.s.Record(w.ctx, []store.Attempted{{App: a.ID, Endpoint: e, ID: called.ID, Message: s.ID, Sequence: 1, Attempt: 1, Try: 1, Unsent: true, At: w.now(), State: store.DeliveryWaiting, Due: w.now(), Line: "{}\n"}}))
	got := w.toldOf(s, e)
	if len(want) != 1 || string(want[0].Body) != toldWithout || len(got) != 1 || !sameDelivery(got[0], want[0]) {
		w.Fatalf("%+v, want %+v", got, want)
	}
}

// heavy is a message of so many bytes that has ended.
func (w *world) heavy(a *comm.App, size int) store.Submission {
	s := w.one(a, func(s *store.Submission) {
		s.Payload, _ = store.EncodeContent(&comm.Content{To: s.Recipient, Body: "ama@example.org"}) // a plain struct
		s.Files = []comm.Attachment{{Filename: "a.bin", ContentType: "application/octet-stream", Content: bytes.Repeat([]byte{'x'}, size)}}
	})
	w.cancel(s)
	return s
}

// Few messages with large attachments are a slice of their own, however many are asked for.
func eraseBytes(w *world) {
	a := w.app(true)
	var ids []comm.ID
	for range 5 {
		ids = append(ids, w.heavy(a, store.UpkeepBytes*2/5).ID)
	}
	ids = append([]comm.ID{comm.NewID(1)}, ids...) // one that is not there
	for _, want := range []store.Erased{{Looked: 3, Done: 2}, {Looked: 2, Done: 2}, {Looked: 1, Done: 1}} {
		got, err := w.s.Erase(w.ctx, a.ID, ids, store.Erasing{Actor: comm.ActorApp, Mask: "x"})
		w.must(err)
		if got.Looked != want.Looked || got.Done != want.Done || got.Took <= 0 {
			w.Fatalf("%+v, want %+v", got, want)
		}
		ids = ids[got.Looked:]
	}
	if len(ids) > 0 {
		w.Fatalf("%d are left", len(ids))
	}
}

// What is looked through at once is bounded by its size, and nothing is passed over.
func mentionsBytes(w *world) {
	a, b := w.app(true), w.app(true)
	const size, each = 10_000, 6
	var want []comm.ID
	for range each {
		for _, app := range []*comm.App{a, b} {
			s := w.one(app, func(s *store.Submission) {
				s.Payload, _ = store.EncodeContent(&comm.Content{To: s.Recipient, Body: "ama@example.org" + strings.Repeat("x", size)}) // a plain struct
			})
			if app == a {
				want = append(want, s.ID)
			}
		}
	}
	slices.SortFunc(want, comm.ID.Compare)
	lanes, err := w.s.UpkeepLanes(w.ctx, comm.ID{}, 10)
	w.must(err)
	for _, most := range []int64{0, 1, size, 5 * size / 2, 1 << 30} {
		var got []comm.ID
		for _, lane := range lanes {
			for m := (store.Mention{Lane: lane, App: a.ID, Text: "ama@example.org", Limit: 100, Bytes: most}); ; {
				some, next, err := w.s.Mentions(w.ctx, m)
				w.must(err)
				large := 0
				for _, x := range some {
					large += len(x.Payload)
					got = append(got, x.ID)
					if x.Sequence != 1 {
						w.Fatalf("%+v", x)
					}
				}
				if len(some) > 1 && int64(large) > most {
					w.Fatalf("%d bytes of %d messages, want %d at most", large, len(some), most)
				}
				if next.IsZero() {
					break
				}
				m.After = next
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			w.Fatalf("%d bytes at most: %d messages, want %d", most, len(got), len(want))
		}
	}
}

// listed is an opt-out as somebody asks for it.
func listed(a *comm.App, address string, at comm.Micros) store.Suppression {
	return store.Suppression{App: a.ID, Channel: comm.Email, Address: address, Reason: comm.SuppressManual, Source: comm.SuppressByImport, CreatedAt: at}
}

// An opt-out that was put back is as old as it is, and one that nobody can put away any more is not looked at again and again.
func returnedInOrder(w *world) {
	a := w.app(true)
	const old = 1000
	hash := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 32) }
	address := func(i int) string { return fmt.Sprintf("user%d@example.org", i) }
	for i := range 3 {
		_, err := w.s.Suppress(w.ctx, listed(a, address(i), old+comm.Micros(i)))
		w.must(err)
		w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, address(i), hash(i)))
		w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, address(i), hash(i), w.now()))
		w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, address(i), hash(i), comm.Micros(9000-i)))
	}
	names := func() (out []string) {
		w.Helper()
		back, err := w.s.Returned(w.ctx, 9001, 10)
		w.must(err)
		for _, s := range back {
			out = append(out, fmt.Sprintf("%s of %d", s.Address, s.CreatedAt))
		}
		return out
	}
	w.same(names(), []string{"user2@example.org of 1002", "user1@example.org of 1001", "user0@example.org of 1000"})
	if removed, err := w.s.UnsuppressErased(w.ctx, a.ID, comm.Email, "", hash(2)); err != nil || !removed {
		w.Fatalf("%v %v", removed, err)
	}
	w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, address(2), hash(2), 9500)) // there is nothing to put back
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, address(2), hash(2), 9001))
	w.same(names(), []string{"user1@example.org of 1001", "user0@example.org of 1000"})
	if got, err := w.s.Suppression(w.ctx, a.ID, comm.Email, address(2)); err != nil || got.CreatedAt != old+2 {
		w.Fatalf("%+v %v", got, err)
	}
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, address(0), hash(0), 9000)) // it was put back then
	w.same(names(), []string{"user1@example.org of 1001", "user0@example.org of 1000"})
}
