package storetest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func tenancyCases() []testCase {
	return []testCase{
		{"a key is added, replaced and revoked", keyLife},
		{"of replacements at once each key ends once", keyReplaceRace},
		{"keys page by id while keys are added", keyPages},
		{"the use of a key is noted once a minute", keyUses},
		{"a deleted app is gone and its slug is free", appDeletion},
		{"no attempt of a deleted app starts, and one under way ends", appDeletionInFlight},
	}
}

func keyLife(w *world) {
	a, b := w.app(true), w.app(true)
	now := w.now()
	k := key(a.ID, "a key")
	k.Name, k.CreatedBy, k.ExpiresAt, k.Provisioned = "Ünïcode 🌍 'quoted\"", comm.ActorAdmin, now+1<<40, false
	w.must(w.s.AddKey(w.ctx, k))
	got, err := w.s.Key(w.ctx, a.ID, k.ID)
	w.must(err)
	if *got != *k {
		w.Fatalf("\n%+v\n%+v", got, k)
	}
	_, err = w.s.Key(w.ctx, b.ID, k.ID)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.RevokeKey(w.ctx, b.ID, k.ID, now), "not_found")
	foreign := key(b.ID, "foreign")
	w.wantCode(w.s.ReplaceKey(w.ctx, foreign, k.ID, now), "not_found")
	_, err = w.s.KeyByHash(w.ctx, foreign.Hash)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.AddKey(w.ctx, key(comm.NewID(1), "of no app")), "not_found")

	next := key(a.ID, "the next")
	end := next.CreatedAt + 1_000_000
	w.must(w.s.ReplaceKey(w.ctx, next, k.ID, end))
	if got, err = w.s.Key(w.ctx, a.ID, k.ID); err != nil || got.RevokedAt != end {
		w.Fatalf("%+v %v", got, err)
	}
	w.must(w.s.RevokeKey(w.ctx, a.ID, k.ID, end+5)) // it ends earlier already
	if got, err = w.s.Key(w.ctx, a.ID, k.ID); err != nil || got.RevokedAt != end {
		w.Fatalf("%+v %v", got, err)
	}
	w.must(w.s.RevokeKey(w.ctx, a.ID, k.ID, next.CreatedAt))
	if got, err = w.s.Key(w.ctx, a.ID, k.ID); err != nil || got.RevokedAt != next.CreatedAt {
		w.Fatalf("%+v %v", got, err)
	}
	w.wantCode(w.s.ReplaceKey(w.ctx, key(a.ID, "too late"), k.ID, now), "invalid_state")
	if keys, err := w.s.AppKeys(w.ctx, a.ID); err != nil || len(keys) != 2 || keys[1].RevokedAt != 0 {
		w.Fatalf("%+v %v", keys, err)
	}
	before := w.beat("looks", 1_000_000_000).ConfigVersion
	w.must(w.s.RevokeKey(w.ctx, a.ID, next.ID, next.CreatedAt))
	if after := w.beat("looks", 1_000_000_000).ConfigVersion; after == before {
		w.Fatal("a revocation is not seen in the configuration version")
	}
}

func keyReplaceRace(w *world) {
	const nodes = 4
	a := w.app(true)
	old := key(a.ID, "old")
	w.must(w.s.AddKey(w.ctx, old))
	at := w.now()
	errs := make([]error, nodes)
	var wg sync.WaitGroup
	for i := range errs {
		k := key(a.ID, fmt.Sprint("new ", i))
		k.CreatedAt = at
		wg.Go(func() { errs[i] = w.s.ReplaceKey(w.ctx, k, old.ID, at) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		w.wantCode(err, "invalid_state")
	}
	if keys, err := w.s.AppKeys(w.ctx, a.ID); err != nil || won != 1 || len(keys) != 2 {
		w.Fatalf("%d replacements, %d keys, %v", won, len(keys), err)
	}
}

func keyPages(w *world) {
	a, b := w.app(true), w.app(true)
	want := map[comm.ID]bool{}
	add := func() {
		k := key(a.ID, fmt.Sprint("key ", w.serial.Add(1)))
		w.must(w.s.AddKey(w.ctx, k))
		want[k.ID] = true
	}
	for range 7 {
		add()
	}
	w.must(w.s.AddKey(w.ctx, key(b.ID, "another's")))
	got := map[comm.ID]bool{}
	for after := (comm.ID{}); ; {
		page, err := w.s.KeyPage(w.ctx, a.ID, after, 3)
		w.must(err)
		for _, k := range page {
			if got[k.ID] || !want[k.ID] || k.ID.Compare(after) <= 0 {
				w.Fatalf("%+v", page)
			}
			got[k.ID], after = true, k.ID
		}
		if len(page) < 3 {
			break
		}
		if len(got) == 3 {
			add() // later ids come later
		}
	}
	if len(got) != 8 {
		w.Fatalf("%d keys", len(got))
	}
}

func keyUses(w *world) {
	a := w.app(true)
	k := key(a.ID, "used")
	w.must(w.s.AddKey(w.ctx, k))
	at := w.now()
	version := w.beat("looks", 1_000_000_000).ConfigVersion
	const minute = 60_000_000
	for _, c := range []struct{ at, want comm.Micros }{{at, at}, {at + 1, at}, {at + minute - 1, at}, {at + minute, at + minute}, {at, at + minute}} {
		w.must(w.s.UseKeys(w.ctx, []store.KeyUse{{App: a.ID, ID: comm.NewID(1), At: c.at}, {App: a.ID, ID: k.ID, At: c.at}}))
		if got, err := w.s.Key(w.ctx, a.ID, k.ID); err != nil || got.LastUsedAt != c.want {
			w.Fatalf("used at %d: %+v %v", c.at-at, got, err)
		}
	}
	w.must(w.s.UseKeys(w.ctx, nil))
	if w.beat("looks", 1_000_000_000).ConfigVersion != version {
		w.Fatal("using a key makes every node read its settings again")
	}
}

func appDeletion(w *world) {
	a, other := w.app(true), w.app(true)
	k, ended := key(a.ID, "of the deleted"), key(a.ID, "ended before")
	w.must(w.s.AddKey(w.ctx, k))
	w.must(w.s.AddKey(w.ctx, ended))
	at := w.now()
	w.must(w.s.RevokeKey(w.ctx, a.ID, ended.ID, at-5))
	slug := a.Slug
	w.must(w.s.DeleteApp(w.ctx, a.ID, at))
	w.wantCode(w.s.DeleteApp(w.ctx, a.ID, at), "not_found")
	w.wantCode(w.s.DeleteApp(w.ctx, comm.NewID(1), at), "not_found")
	_, err := w.s.AppByID(w.ctx, a.ID)
	w.wantCode(err, "not_found")
	_, err = w.s.AppBySlug(w.ctx, slug)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.UpdateApp(w.ctx, a, at), "not_found")
	w.wantCode(w.s.RotateKeys(w.ctx, key(a.ID, "late 1"), at), "not_found")
	w.wantCode(w.s.AddKey(w.ctx, key(a.ID, "late 2")), "not_found")
	w.wantCode(w.s.ReplaceKey(w.ctx, key(a.ID, "late 3"), k.ID, at), "not_found")
	if apps, err := w.s.AppsByID(w.ctx, []comm.ID{a.ID, other.ID}); err != nil || len(apps) != 1 {
		w.Fatalf("%+v %v", apps, err)
	}
	if apps, err := w.s.AppList(w.ctx, comm.ID{}, 10); err != nil || len(apps) != 1 || apps[0].ID != other.ID {
		w.Fatalf("%+v %v", apps, err)
	}
	for _, x := range []struct {
		k    *comm.Key
		want comm.Micros
	}{{k, at}, {ended, at - 5}} {
		if got, err := w.s.KeyByHash(w.ctx, x.k.Hash); err != nil || got.RevokedAt != x.want {
			w.Fatalf("%+v %v", got, err)
		}
	}
	again := *a
	again.ID, again.Slug = comm.NewID(at), slug
	created, err := w.s.CreateApp(w.ctx, &again, nil)
	w.must(err)
	if got, err := w.s.AppBySlug(w.ctx, slug); err != nil || !created || got.ID != again.ID {
		w.Fatalf("%v %+v %v", created, got, err)
	}
	w.must(w.s.DeleteApp(w.ctx, again.ID, at)) // a slug may be given back more than once
	first, err := w.s.DeletedApps(w.ctx, comm.ID{}, 1)
	w.must(err)
	rest, err := w.s.DeletedApps(w.ctx, first[0], 10)
	w.must(err)
	if len(first) != 1 || len(rest) != 1 || strings.Compare(first[0].String(), rest[0].String()) >= 0 {
		w.Fatalf("%v %v", first, rest)
	}
}

func appDeletionInFlight(w *world) {
	a := w.app(true)
	w.own()
	flying, waiting := w.one(a), w.one(a)
	started := w.start(flying)
	w.must(w.s.DeleteApp(w.ctx, a.ID, w.now()))
	if r := w.turn(nil, []store.Start{w.startOf(waiting)}).Started[0]; r.Verdict == store.Go {
		w.Fatalf("%+v", r)
	}
	if r := w.turn([]store.Finish{w.finishOf(flying, started.State.Attempts, sentOutcome())}, nil); !r.Finished[0] {
		w.Fatalf("%+v", r)
	}
	if m := w.message(flying); m.Status != comm.Sent {
		w.Fatalf("%+v", m.State)
	}
	list, err := w.s.List(w.ctx, a.ID, store.Filter{Status: comm.Queued, Limit: 10})
	w.must(err)
	if len(list) != 1 || list[0].State.ID != waiting.ID {
		w.Fatalf("what waits cannot be cancelled: %+v", list)
	}
	w.cancel(waiting)
	if w.queued(waiting) {
		w.Fatal("a cancelled message is in the queue")
	}
}
