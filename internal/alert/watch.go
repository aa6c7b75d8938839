package alert

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// watch is one thing that may be wrong.
type watch struct {
	alert   stored
	ill     bool      // at the last look
	since   time.Time // it is as it is
	calling map[string]bool
	outage  *Outage // as it was found last, of a provider
}

// call notes that a way is being told.
func (w *watch) call(way string) {
	if w.calling == nil {
		w.calling = map[string]bool{}
	}
	w.calling[way] = true
}

// change is what a look makes of an alert.
type change uint8

const (
	stay change = iota
	raise
	clearIt
)

// step takes in whether something is wrong now: it is told after hold, and over after calm.
func (w *watch) step(hold, calm time.Duration, ill bool, now time.Time) change {
	if ill != w.ill || w.since.IsZero() {
		w.ill, w.since = ill, now
	}
	lasted := now.Sub(w.since)
	switch {
	case ill && !w.alert.open() && lasted >= hold:
		return raise
	case !ill && w.alert.open() && lasted >= calm:
		return clearIt
	}
	return stay
}

// stored is an alert with what the store keeps of it as JSON.
type stored struct {
	store.Alert
	text   string
	app    string      // slug of the app that it is of; "" where it is of none
	raised comm.Micros // when it was told of, which may be long after it began
	told   map[string]told
	outage *Outage  // of a provider: the present one, or the last
	past   []Outage // those before it, the newest first
}

// told is how far a way of telling is.
type told struct {
	State string      `json:"state,omitempty"` // that was taken last; "": none
	Tries int         `json:"tries,omitempty"` // of the present state
	Next  comm.Micros `json:"next,omitempty"`  // no call before it
}

// The states as they are told.
const (
	Raised  = "raised"
	Cleared = "cleared"
)

func (a *stored) open() bool { return a.ClearedAt == 0 }

func (a *stored) state() string {
	if a.open() {
		return Raised
	}
	return Cleared
}

func (a *stored) begin(f *Finding, now comm.Micros) {
	a.another()
	a.RaisedAt, a.raised, a.ClearedAt, a.text, a.app, a.outage = now, now, 0, f.Text, f.App, f.Outage
	if f.Since != 0 && f.Since < now {
		a.RaisedAt = f.Since
	}
	a.anew()
}

func (a *stored) end(now comm.Micros) {
	a.ClearedAt = now
	a.anew()
}

// anew forgets how often the state before was tried to be told.
func (a *stored) anew() {
	fresh := make(map[string]told, len(a.told))
	for way, t := range a.told {
		fresh[way] = told{State: t.State}
	}
	a.told = fresh
}

// untold says whether a way has not been told of the present state. An all-clear is told to whoever was told of the alert.
func (a *stored) untold(way string) bool {
	t := a.told[way]
	return a.state() != t.State && (a.open() || t.State == Raised)
}

// with is a with another entry for a way; maps of copies are never shared with a change.
func (a *stored) with(way string, t told) {
	fresh := map[string]told{way: t}
	for w, old := range a.told {
		if w != way {
			fresh[w] = old
		}
	}
	a.told = fresh
}

type body struct {
	Text   string      `json:"text"`
	App    string      `json:"app,omitempty"`
	Raised comm.Micros `json:"raised,omitempty"`
	Outage *Outage     `json:"outage,omitempty"`
	Past   []Outage    `json:"past,omitempty"`
}

func read(from *store.Alert) (a stored, err error) {
	a.Alert = *from
	var b body
	if err := json.Unmarshal([]byte(from.Body), &b); err != nil {
		return a, fmt.Errorf("read an alert's text: %w", err)
	}
	if err := json.Unmarshal([]byte(from.Told), &a.told); err != nil {
		return a, fmt.Errorf("read who was told of an alert: %w", err)
	}
	a.text, a.app, a.raised, a.outage, a.past = b.Text, b.App, b.Raised, b.Outage, b.Past
	return a, nil
}

func (a *stored) pack() error {
	b, err := json.Marshal(body{a.text, a.app, a.raised, a.outage, a.past})
	if err != nil {
		return err
	}
	t, err := json.Marshal(a.told)
	a.Body, a.Told = string(b), string(t)
	return err
}

// patience is the waits between tries to tell.
func patience() pace.Backoff {
	return pace.Backoff{Steps: []time.Duration{20 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute}}
}
