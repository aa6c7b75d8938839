package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func erasedSuppression(w *world) {
	a, b := w.app(true), w.app(true)
	const to = "ama@example.org"
	hash := bytes.Repeat([]byte{1, 0}, 16)
	s := store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, Source: comm.SuppressByImport, CreatedAt: w.now() - hour, Note: "of ama"}
	_, err := w.s.Suppress(w.ctx, s)
	w.must(err)
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, to, hash, w.now())) // there is no hash yet
	w.must(w.s.EraseSuppression(w.ctx, b.ID, comm.Email, to, hash))
	if has, err := w.s.HasErased(w.ctx, b.ID); err != nil || has {
		w.Fatalf("of an app that had none: %v %v", has, err)
	}
	for range 2 {
		w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, to, hash))
	}
	if on, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, to); err != nil || !on {
		w.Fatalf("%v %v", on, err)
	}
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, to, hash, w.now()))
	if on, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, to); err != nil || on {
		w.Fatalf("%v %v", on, err)
	}
	got, err := w.s.ErasedSuppression(w.ctx, a.ID, comm.Email, hash)
	w.must(err)
	want := s
	want.Address, want.Note = "", ""
	w.same(*got, want)
	_, err = w.s.ErasedSuppression(w.ctx, b.ID, comm.Email, hash)
	w.wantCode(err, "not_found")
	at := w.now()
	for i := range 2 {
		w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, to, hash, at+comm.Micros(i)))
	}
	w.must(w.s.ReturnSuppression(w.ctx, b.ID, comm.Email, to, hash, at))
	back, err := w.s.Returned(w.ctx, at+2, 10)
	w.must(err)
	w.same(back, []store.Suppression{{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, Source: comm.SuppressReturned, CreatedAt: s.CreatedAt}})
	if back, err = w.s.Returned(w.ctx, at+1, 10); err != nil || len(back) != 0 {
		w.Fatalf("%+v %v", back, err)
	}
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, to, hash, at+1))
	if on, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, to); err != nil || !on {
		w.Fatalf("what was put back later is gone: %v", err)
	}
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, to, hash, at+2))
	if on, err := w.s.Suppressed(w.ctx, a.ID, comm.Email, to); err != nil || on {
		w.Fatalf("%v %v", on, err)
	}
	for _, want := range []bool{true, false} {
		if removed, err := w.s.UnsuppressErased(w.ctx, a.ID, comm.Email, to, hash); err != nil || removed != want {
			w.Fatalf("%v %v", removed, err)
		}
	}
}

func addedAgain(w *world) {
	a := w.app(true)
	const to = "ama@example.org"
	hash := bytes.Repeat([]byte{1, 0}, 16)
	listed := store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressComplaint, Source: comm.SuppressByImport, CreatedAt: w.now() - hour}
	_, err := w.s.Suppress(w.ctx, listed)
	w.must(err)
	w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, to, hash))
	w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, to, hash, w.now()))
	w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, to, hash, w.now()))
	again := listed
	again.Reason, again.Source, again.CreatedAt, again.Hash = comm.SuppressManual, comm.SuppressByAPI, w.now(), string(hash)
	if added, err := w.s.SuppressAll(w.ctx, []store.Suppression{again, again}); err != nil || added != 1 {
		w.Fatalf("%d %v", added, err)
	}
	again.Hash = ""
	got, err := w.s.Suppression(w.ctx, a.ID, comm.Email, to)
	w.must(err)
	w.same(*got, again)
	if has, err := w.s.HasErased(w.ctx, a.ID); err != nil || has {
		w.Fatalf("the hash is still there: %v", err)
	}
	w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, to, hash, w.now()))
	if back, err := w.s.Returned(w.ctx, w.now()+hour, 10); err != nil || len(back) != 0 {
		w.Fatalf("%+v %v", back, err)
	}
}

func addedMeanwhile(w *world) {
	a := w.app(true)
	hash := bytes.Repeat([]byte{1, 0}, 16)
	for i := range 60 {
		s := store.Suppression{App: a.ID, Channel: comm.Email, Address: fmt.Sprintf("ama%d@example.org", i), Reason: comm.SuppressComplaint, CreatedAt: w.now() - hour}
		hash[0] = byte(i)
		_, err := w.s.Suppress(w.ctx, s)
		w.must(err)
		w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, s.Address, hash))
		s.Hash = string(hash)
		var wg sync.WaitGroup
		var errs [3]error
		at := w.now()
		wg.Go(func() { errs[0] = w.s.DropSuppression(w.ctx, a.ID, comm.Email, s.Address, hash, at) })
		wg.Go(func() { _, errs[1] = w.s.SuppressAll(w.ctx, []store.Suppression{s}) })
		wg.Go(func() { errs[2] = w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, s.Address, hash, at) })
		wg.Wait()
		w.must(errors.Join(errs[:]...))
		got, err := w.s.Suppression(w.ctx, a.ID, comm.Email, s.Address)
		w.must(err)
		if got.Source == comm.SuppressReturned {
			w.Fatalf("%+v, without a hash", got)
		}
	}
}

func removedMeanwhile(w *world) {
	a := w.app(true)
	hash := bytes.Repeat([]byte{1, 0}, 16)
	const rounds = 60
	for i := range rounds {
		s := listed(a, fmt.Sprintf("ama%d@example.org", i), w.now()-hour)
		hash[0] = byte(i)
		_, err := w.s.Suppress(w.ctx, s)
		w.must(err)
		w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, s.Address, hash))
		w.must(w.s.DropSuppression(w.ctx, a.ID, comm.Email, s.Address, hash, w.now()))
		if i%2 == 0 {
			w.must(w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, s.Address, hash, w.now()))
		}
		var wg sync.WaitGroup
		var errs [2]error
		var removed bool
		at := w.now()
		wg.Go(func() { removed, errs[0] = w.s.UnsuppressErased(w.ctx, a.ID, comm.Email, s.Address, hash) })
		wg.Go(func() { errs[1] = w.s.ReturnSuppression(w.ctx, a.ID, comm.Email, s.Address, hash, at) })
		wg.Wait()
		w.must(errors.Join(errs[:]...))
		_, err = w.s.Suppression(w.ctx, a.ID, comm.Email, s.Address)
		w.wantCode(err, "not_found")
		_, err = w.s.ErasedSuppression(w.ctx, a.ID, comm.Email, hash)
		w.wantCode(err, "not_found")
		if !removed {
			w.Fatal("there was nothing to take off")
		}
	}
	noted := 0
	for _, x := range w.chain() {
		if x.Action == comm.AuditUnsuppressed && x.App == a.ID {
			noted++
		}
	}
	if noted != rounds {
		w.Fatalf("%d opt-outs were taken off, says the audit log, want %d", noted, rounds)
	}
}

func recipients(w *world) {
	a, b := w.app(true), w.app(true)
	s := w.full(a, "recipient")
	if ch, to, err := w.s.Recipient(w.ctx, a.ID, s.ID); err != nil || ch != s.Channel || to != s.Recipient {
		w.Fatalf("%v %q %v", ch, to, err)
	}
	_, _, err := w.s.Recipient(w.ctx, b.ID, s.ID)
	w.wantCode(err, "not_found")
	w.searchable(s)
	w.cancel(s)
	_, err = w.s.Erase(w.ctx, a.ID, []comm.ID{s.ID}, store.Erasing{Actor: "app", Mask: "a***@example.org"})
	w.must(err)
	if _, to, err := w.s.Recipient(w.ctx, a.ID, s.ID); err != nil || to != "" {
		w.Fatalf("%q %v", to, err)
	}
}
