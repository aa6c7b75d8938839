package storetest

import (
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
	if n, err := w.s.Rewrite(w.ctx, []store.Rewriting{x}, store.Erasing{Actor: comm.ActorApp}); err != nil || n != 1 {
		w.Fatalf("%d %v", n, err)
	}
	m := w.message(s)
	last := m.Events[len(m.Events)-1]
	if m.UpdatedAt != before.UpdatedAt || m.Body != "masked" || last.Type != comm.CauseErased || last.Actor != comm.ActorApp || last.At <= before.UpdatedAt {
		w.Fatalf("updated at %d, before at %d; %+v", m.UpdatedAt, before.UpdatedAt, last)
	}
}
