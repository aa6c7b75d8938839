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
