package storetest

import (
	"errors"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func isolationCases() []testCase {
	return []testCase{
		{"no method shows or changes another app's message", isolateMessages},
		{"no method shows or changes another app's configuration", isolateConfigs},
	}
}

func (w *world) wantKind(err error, kind comm.Kind) {
	w.Helper()
	var e *comm.Error
	if !errors.As(err, &e) || e.Kind != kind {
		w.Fatalf("error %v, want kind %d", err, kind)
	}
}

func isolateMessages(w *world) {
	a, b := w.app(true), w.app(true)
	w.own()
	s := w.one(a, tagged("shared"))
	cancelled := w.one(a)
	w.searchable(s)
	w.cancel(cancelled)
	_, err := w.s.Message(w.ctx, b.ID, s.ID)
	w.wantCode(err, "not_found")
	_, _, err = w.s.Cancel(w.ctx, b.ID, s.ID, "app")
	w.wantCode(err, "not_found")
	_, _, err = w.s.Retry(w.ctx, b.ID, cancelled.ID, "app")
	w.wantCode(err, "not_found")
	for name, list := range map[string]func(store.Filter) ([]comm.Message, error){
		"List":     func(f store.Filter) ([]comm.Message, error) { return w.s.List(w.ctx, b.ID, f) },
		"Captures": func(f store.Filter) ([]comm.Message, error) { return w.s.Captures(w.ctx, b.ID, f) },
		"Search": func(f store.Filter) ([]comm.Message, error) {
			f.Recipient = s.Recipient
			found, err := w.s.Search(w.ctx, b.ID, f)
			return found.Messages, err
		},
		"Search whole captures": func(f store.Filter) ([]comm.Message, error) {
			f.Recipient, f.Captured, f.Whole = s.Recipient, true, true
			found, err := w.s.Search(w.ctx, b.ID, f)
			return found.Messages, err
		},
		"Search by tag": func(f store.Filter) ([]comm.Message, error) {
			f.Terms = []store.Term{tag("shared")}
			found, err := w.s.Search(w.ctx, b.ID, f)
			return found.Messages, err
		},
	} {
		if got, err := list(store.Filter{Limit: 10}); err != nil || len(got) != 0 {
			w.Fatalf("%s: %+v %v", name, got, err)
		}
	}
	foreign := unitOf(s)
	foreign.App = b.ID
	if heads := w.window(foreign, store.Head{}, 10); len(heads) != 0 {
		w.Fatalf("%+v", heads)
	}
	start := w.startOf(s)
	start.Unit.App = b.ID
	if r := w.turn(nil, []store.Start{start}).Started[0]; r.Verdict != store.Gone {
		w.Fatalf("%+v", r)
	}
	if m := w.message(s); m.Status != comm.Queued || len(m.Events) != 1 || !w.queued(s) {
		w.Fatalf("%+v", m.State)
	}
}

func isolateConfigs(w *world) {
	a, b := w.app(false), w.app(false)
	c := config(a.ID, "mine", 1, comm.At(time.Now()))
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	_, err := w.s.ProviderConfig(w.ctx, b.ID, c.ID)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.DeleteProviderConfig(w.ctx, b.ID, c.ID), "not_found")
	stolen := *c
	stolen.App, stolen.Name = b.ID, "stolen"
	w.wantKind(w.s.UpdateProviderConfig(w.ctx, &stolen), comm.Missing)
	if list, err := w.s.ProviderConfigs(w.ctx, b.ID); err != nil || len(list) != 0 {
		w.Fatalf("%+v %v", list, err)
	}
	got, err := w.s.ProviderConfig(w.ctx, a.ID, c.ID)
	w.must(err)
	if got.Name != "mine" || got.Version != 1 {
		w.Fatalf("%+v", got)
	}
	k := key(b.ID, "b")
	w.must(w.s.RotateKeys(w.ctx, k, w.now()))
	if keys, err := w.s.AppKeys(w.ctx, a.ID); err != nil || len(keys) != 0 {
		w.Fatalf("%+v %v", keys, err)
	}
}
