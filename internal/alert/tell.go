package alert

import (
	"context"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Note is what is told: the body of the webhook, and what a mail says.
type Note struct {
	// ID is the same however often the note is told.
	ID      string      `json:"id"`
	Alert   string      `json:"alert"`
	State   string      `json:"state"` // Raised or Cleared
	Subject string      `json:"subject"`
	Of      Of          `json:"subjectKind,omitempty"`
	App     string      `json:"app,omitempty"` // slug of the app that it is of; "" where it is of none
	Since   comm.Micros `json:"-"`
	Until   comm.Micros `json:"-"` // 0 while it is open
	Title   string      `json:"title"`
	Text    string      `json:"text"`
	Do      string      `json:"do,omitempty"`
	Page    string      `json:"page,omitempty"` // address of the page about the kind

	SinceText string `json:"since"`
	UntilText string `json:"clearedAt,omitempty"`
}

func (a *stored) note() *Note {
	kind := kindOf(a.Kind)
	n := &Note{ID: fmt.Sprintf("alert_%s_%s_%d_%s", a.Kind, a.Subject, int64(a.RaisedAt), a.state()), Alert: a.Kind, State: a.state(), Subject: a.Subject, App: a.app,
		Since: a.RaisedAt, Title: a.Kind, Text: a.text, SinceText: a.RaisedAt.String()}
	if !a.open() {
		n.Until, n.UntilText = a.ClearedAt, a.ClearedAt.String()
	}
	if kind == nil {
		return n
	}
	n.Title, n.Do, n.Of = kind.Title, kind.todo(a.outage), kind.Of
	if !a.open() {
		n.Title, n.Do, n.Text = "All clear: "+kind.Title, "", kind.Over+" Before: "+a.text
	}
	return n
}

// told is the note as the operator gets it, with the page that says more while something is to be done.
func (s *Service) told(a *stored) *Note {
	n := a.note()
	if s.cfg.Pages != "" && n.Do != "" {
		n.Page = s.cfg.Pages + "/" + n.Alert
	}
	return n
}

// Mail is the note as a mail's text.
func (n *Note) Mail() string {
	text := n.Text + "\n\nSince: " + n.SinceText
	if n.UntilText != "" {
		text += "\nOver: " + n.UntilText
	}
	if n.Do != "" {
		text += "\n\nWhat to do: " + n.Do
	}
	if n.Page != "" {
		text += "\n\nStep by step: " + n.Page
	}
	return text + "\n\nAlert: " + n.Alert + " of " + n.Subject
}

// tell tells one way what it has not been told, as long as claim finds something.
func (s *Service) tell(ctx context.Context, way string, claim func(ctx context.Context, way string) (*watch, *Note)) {
	for ctx.Err() == nil {
		w, n := claim(ctx, way)
		if w == nil {
			return
		}
		call, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		err := s.cfg.Tellers[way](call, n)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("an alert could not be told; it is tried again", "way", way, "alert", n.Alert, "subject", n.Subject, "err", err)
		}
		s.ended(context.WithoutCancel(ctx), way, w, n, err == nil)
	}
}

// claimStorage picks what is to be told of the store, which needs no store.
func (s *Service) claimStorage(_ context.Context, way string) (*watch, *Note) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := comm.At(time.Now().Add(s.ahead))
	w := &s.storage
	if !s.due(w, way, now) {
		return nil, nil
	}
	w.alert.with(way, booked(&w.alert, way, now))
	w.call(way)
	return w, s.told(&w.alert)
}

// claim picks something that a way is to be told now, and stores that it is tried: another node that begins to lead leaves it
// alone for a while.
func (s *Service) claim(ctx context.Context, way string) (*watch, *Note) {
	if !s.cfg.Leads() {
		return nil, nil
	}
	s.mu.Lock()
	now := comm.At(time.Now().Add(s.ahead))
	var w *watch
	var a stored
	if s.loaded && s.up {
		for _, one := range s.watches {
			if s.due(one, way, now) {
				w, a = one, one.alert
				w.call(way)
				break
			}
		}
	}
	s.mu.Unlock()
	if w == nil {
		return nil, nil
	}
	a.with(way, booked(&a, way, now))
	saved, err := s.save(ctx, &a)
	if err == nil && saved {
		s.adopt(w, a)
		return w, s.told(&a)
	}
	if err == nil {
		var fresh stored
		if fresh, err = s.fresh(ctx, key{a.Kind, a.Subject}); err == nil {
			s.adopt(w, fresh)
		}
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Warn("that an alert is told cannot be stored; it is told later", "way", way, "alert", a.Kind, "subject", a.Subject, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(w.calling, way)
	return nil, nil
}

func (s *Service) due(w *watch, way string, now comm.Micros) bool {
	return w.alert.untold(way) && !w.calling[way] && w.alert.told[way].Next <= now
}

// booked is how far a way is once it is tried again.
func booked(a *stored, way string, now comm.Micros) told {
	t := a.told[way]
	t.Tries++
	t.Next = now.Add(patience().Delay(t.Tries, func() float64 { return 0.5 }))
	return t
}

// ended notes how a call ended.
func (s *Service) ended(ctx context.Context, way string, w *watch, n *Note, taken bool) {
	s.mu.Lock()
	delete(w.calling, way)
	if k := (key{n.Alert, n.Subject}); k != storageKey && s.watches[k] != nil {
		w = s.watches[k] // everything was read again meanwhile
		delete(w.calling, way)
	}
	a, storage := w.alert, w == &s.storage
	if taken && storage {
		w.alert.with(way, told{State: n.State})
	}
	s.mu.Unlock()
	if !taken || storage {
		return
	}
	for range 3 {
		if a.state() != n.State && a.told[way].State == n.State {
			return // it is noted, and something else is to be told by now
		}
		t := told{State: n.State}
		if a.state() != n.State {
			t.Tries, t.Next = a.told[way].Tries, a.told[way].Next
		}
		a.with(way, t)
		saved, err := s.save(ctx, &a)
		if err == nil && saved {
			s.adopt(w, a)
			return
		}
		fresh, err := s.fresh(ctx, key{n.Alert, n.Subject})
		if err == nil && fresh.Version != 0 {
			a = fresh
		}
	}
}

// watchStorage takes in whether the store takes writes. It is told from memory, and listed when it is over.
func (s *Service) watchStorage(ctx context.Context, down error, leads bool) {
	s.mu.Lock()
	w, now := &s.storage, comm.At(time.Now().Add(s.ahead))
	if down != nil && !leads && !w.alert.open() {
		s.mu.Unlock()
		return // another node tells
	}
	kind := kindOf(StorageFailing)
	change := w.step(s.bounded(kind.Hold), s.bounded(kind.Calm), down != nil, time.Now())
	switch change {
	case raise:
		since := comm.At(w.since.Add(s.ahead))
		w.alert.begin(&Finding{Text: "The database has taken no writes since " + since.String() + "; the server's log has the error.", Since: since}, now)
	case clearIt:
		w.alert.end(now)
	case stay:
	}
	state := w.alert.state()
	s.mu.Unlock()
	if change != stay {
		s.cfg.Log.Warn("alert", "alert", StorageFailing, "state", state, "subject", storageKey.subject)
	}
	if change == clearIt {
		s.listStorage(ctx)
	}
}

// listStorage keeps the outage that is over in the list.
func (s *Service) listStorage(ctx context.Context) {
	fresh, err := s.fresh(ctx, storageKey)
	s.mu.Lock()
	a := s.storage.alert
	s.mu.Unlock()
	a.Version = fresh.Version
	saved := false
	if err == nil {
		saved, err = s.save(ctx, &a)
	}
	if err != nil || !saved {
		s.cfg.Log.Warn("an outage of the database is not listed", "err", err)
	}
}

// Shown is an alert as the list shows it.
type Shown struct {
	Note
	Told map[string]string // what each way was told last
}

// List lists open alerts, and then those that were cleared last.
func (s *Service) List(ctx context.Context) ([]Shown, error) {
	all, err := s.cfg.Store.Alerts(ctx, Listed)
	if err != nil {
		return nil, err
	}
	out := make([]Shown, 0, len(all))
	for i := range all {
		a, err := read(&all[i])
		if err != nil {
			return nil, err
		}
		one := Shown{Note: *s.told(&a), Told: map[string]string{}}
		for way, t := range a.told {
			if t.State != "" {
				one.Told[way] = t.State
			}
		}
		out = append(out, one)
	}
	return out, nil
}
