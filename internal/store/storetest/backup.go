package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// memory is a backup that is kept in memory: what was written is what is read.
type memory struct {
	head  store.BackupHead
	names []string
	parts [][]byte
	rows  map[string]int64
	next  int
}

func (m *memory) Head(h store.BackupHead) error { m.head = h; return nil }

func (m *memory) Part(name string, write func(io.Writer) (map[string]int64, error)) error {
	var b bytes.Buffer
	rows, err := write(&b)
	if m.rows == nil {
		m.rows = map[string]int64{}
	}
	maps.Copy(m.rows, rows)
	m.names, m.parts = append(m.names, name), append(m.parts, b.Bytes())
	return err
}

// kept is a memory as it is read.
type kept struct{ *memory }

func (k kept) Head() *store.BackupHead { return &k.memory.head }

func (k kept) Next() (string, io.Reader, error) {
	if k.next == len(k.names) {
		return "", nil, io.EOF
	}
	k.next++
	return k.names[k.next-1], bytes.NewReader(k.parts[k.next-1]), nil
}

func (k kept) End() (map[string]int64, error) { return k.rows, nil }

// Restorer restores a backup into an empty database, and answers how a store is opened on it; open again restores into the same one.
type Restorer func(t *testing.T) (restore func(*store.Restoring) error, open func() store.Store)

// RunBackups tests that a backup, restored, is the database that it was made of, with the doubt that time brings.
func RunBackups(t *testing.T, open Opener, anew Restorer) {
	for _, c := range []struct {
		name string
		run  func(w *world, anew Restorer)
	}{{"everything is there again, and what may have been sent is marked", roundTrip},
		{"no place of the feed and no id of an event is given out again", restoredPlaces}, {"what is not whole is refused and leaves nothing", refusedBackups}} {
		t.Run(c.name, func(t *testing.T) { t.Parallel(); c.run(newWorld(t, open), anew) })
	}
}

func (w *world) backup() *memory {
	w.Helper()
	m := &memory{}
	w.must(w.s.Backup(w.ctx, m))
	return m
}

func restoring(m *memory, d *store.Doubts) *store.Restoring {
	m.next = 0
	return &store.Restoring{From: kept{m}, Hold: func(_ comm.Micros, got store.Doubts) (string, error) { *d = got; return "held", nil }}
}

func roundTrip(w *world, anew Restorer) {
	w.own()
	live, fail, sandbox := w.app(false), w.app(false), w.app(true)
	onFail := func(s *store.Submission) { s.OnUnknown = comm.FailUnknown }
	queued, ended := w.one(live), w.one(fail, onFail)
	captured := w.one(sandbox)
	later := w.one(live, func(s *store.Submission) { s.ScheduledAt = w.now() + comm.Micros(time.Hour/time.Microsecond) })
	sending := w.one(live, func(s *store.Submission) { s.Lane = comm.Critical })
	w.start(sending)
	sent := w.one(live, func(s *store.Submission) {
		s.Recipient, s.Terms = "ama@example.org", []store.Term{{Kind: store.TagTerm, Value: "spring"}}
	})
	w.start(sent)
	w.turn([]store.Finish{w.finishOf(sent, 1, sentOutcome())}, nil)
	w.found(sent)
	// A retry that was far off may have been brought forward since.
	waits := w.one(live, func(s *store.Submission) { s.Lane = comm.Bulk })
	w.start(waits)
	w.turn([]store.Finish{w.finishOf(waits, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: w.now() + comm.Micros(time.Hour/time.Microsecond), Round: 1, Provider: "sandbox"})}, nil)
	session := w.signedIn(1, nil)
	all := []store.Submission{queued, ended, captured, later, sending, sent, waits}
	before := map[comm.ID]*comm.Message{}
	for _, s := range all {
		before[s.ID] = w.message(s)
	}
	taken := w.backup()
	if taken.head.TakenAt > w.now() || taken.rows["state"] != 7 || taken.rows["apps"] != 3 || len(taken.head.Schema) == 0 {
		w.Fatalf("%+v %v", taken.head, taken.rows)
	}
	w.one(live) // what comes after is not in it

	var d store.Doubts
	restore, open := anew(w.T)
	w.must(restore(restoring(taken, &d)))
	if d != (store.Doubts{Queued: 3, Sending: 1}) {
		w.Errorf("%+v", d)
	}
	// A clock that is behind the backup is not believed: what was scheduled for between the two may have been sent.
	ahead := *taken
	ahead.head.TakenAt += 2 * comm.Micros(time.Hour/time.Microsecond)
	restoreBehind, _ := anew(w.T)
	w.must(restoreBehind(restoring(&ahead, &d)))
	if d != (store.Doubts{Queued: 4, Sending: 1}) {
		w.Errorf("by a clock that is behind: %+v", d)
	}
	w.s = open()
	if _, err := w.s.Session(w.ctx, session.Hash); !comm.IsKind(err, comm.Missing) {
		w.Errorf("a session of the backup goes on: %v", err)
	}
	if value, err := w.s.Setting(w.ctx, store.HoldSetting); err != nil || value != "held" {
		w.Fatalf("%q %v", value, err)
	}
	doubt := comm.PossibleDuplicate | comm.UnknownInGeneration | comm.UnknownEver
	for _, s := range all {
		m, was := w.message(s), before[s.ID]
		if want := s.ID == queued.ID || s.ID == ended.ID || s.ID == waits.ID; m.Flags.Has(doubt) != want {
			w.Errorf("flags %b, doubtful %v", m.Flags, want)
		}
		m.Flags = was.Flags
		if m.State != was.State || m.Body != was.Body || len(m.Events) != len(was.Events) {
			w.Errorf("%+v\nwas %+v", m.State, was.State)
		}
	}
	w.found(sent)
	w.Run("it goes on", func(*testing.T) { goesOn(w, live, queued, ended, later, all) })
}

// goesOn uses what was restored: what may have been sent is ended by its policy, and the rest is sent.
func goesOn(w *world, live *comm.App, queued, ended, later store.Submission, all []store.Submission) {
	fresh := w.one(live)
	w.found(fresh) // the search goes on where it was
	end := func(s store.Submission, policy bool) store.CancelledSlice {
		got, err := w.s.EndDoubtful(w.ctx, unitOf(s), []store.Head{w.head(s)}, policy, comm.ActorAdmin)
		w.must(err)
		return got
	}
	for _, s := range []store.Submission{fresh, later, queued} {
		if got := end(s, true); got != (store.CancelledSlice{Looked: 1}) {
			w.Errorf("by its policy: %+v", got)
		}
	}
	if got := end(ended, true); got.Uncertain != 1 {
		w.Errorf("%+v", got)
	}
	if m := w.message(ended); m.Status != comm.Failed || m.ErrorCode != comm.CauseOutcomeUnknown.String() || w.queued(ended) {
		w.Errorf("%+v", m.State)
	}
	if got := end(fresh, false); got.Uncertain+got.Cancelled != 0 {
		w.Errorf("what certainly was not sent is ended: %+v", got)
	}
	if got := end(queued, false); got.Uncertain != 1 {
		w.Errorf("%+v", got)
	}
	w.node = "node-b"
	w.own()
	w.start(fresh)
	w.turn([]store.Finish{w.finishOf(fresh, 1, sentOutcome())}, nil)
	// The events that waited for their place get one, in their order, though the transactions were another server's.
	w.stampAll()
	w.feedHolds(append(all, fresh)...)
}

// restoredPlaces has what was made after a backup read, then restores it twice: whoever reads on gets everything that comes there, once, and nothing else under an
// id that it has seen.
func restoredPlaces(w *world, anew Restorer) {
	w.own()
	a, quiet := w.app(true), w.app(true)
	w.one(a)
	known := w.one(a)
	w.stampAll()
	listed := w.one(a) // it has no place yet
	taken := w.backup()
	lose := func() { // what no backup knows
		_, _, err := w.s.Cancel(w.ctx, a.ID, known.ID, "app")
		w.must(err)
		for range 3 {
			w.one(a)
		}
		w.one(quiet)
		w.stampAll()
	}
	lose()
	ids, end := w.toldBehind(a.ID, 0)
	_, endOfQuiet := w.toldBehind(quiet.ID, 0)
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	for n := range 2 { // what is restored a second time has lost what the first one gave out, too
		var d store.Doubts
		restore, open := anew(w.T)
		w.must(restore(restoring(taken, &d)))
		w.s, w.node = open(), fmt.Sprint("restored-", n)
		w.own()
		_, looked, _ := w.look(comm.ID{}, store.Seen{}, 100)
		lose()
		if fresh, _, _ := w.look(comm.ID{}, looked, 100); len(fresh) != 6 {
			w.Fatalf("since the restore happened %q", fresh)
		}
		ids, next := w.toldBehind(a.ID, end)
		of := comm.EventID(listed.ID, 1, w.message(listed).Events[0].At)
		if len(ids) != 5 || !slices.Contains(ids, of) {
			w.Fatalf("behind the old place come %q; %s was listed", ids, of)
		}
		for _, id := range ids {
			if seen[id] && id != of {
				w.Errorf("%s was told before, of another event", id)
			}
			seen[id] = true
		}
		if all, _ := w.toldBehind(a.ID, 0); len(all) != 7 {
			w.Errorf("the whole feed has %d events: %q", len(all), all)
		}
		some, last := w.toldBehind(quiet.ID, endOfQuiet)
		if len(some) != 1 || next <= end || last <= endOfQuiet {
			w.Errorf("%q at %d behind %d; %d behind %d", some, last, endOfQuiet, next, end)
		}
		end, endOfQuiet = next, last
	}
	clocksOfRestores(w, anew, a)
}

// clocksOfRestores goes on with restores of what was restored. One by a clock that is behind the backup's has a backup of later than now.
func clocksOfRestores(w *world, anew Restorer, a *comm.App) {
	for n, c := range []struct {
		name  string
		later time.Duration // the backup's instant than it was
		times int
	}{{"what was restored a moment ago", 0, 2}, {"by a clock that is behind", 2 * time.Hour, 2}, {"what a clock that was ahead has led", 0, 2},
		{"by a clock that knows nothing", 1000 * 24 * time.Hour, 1}, {"what such a clock has led", 0, 2}} {
		taken := w.backup()
		taken.head.TakenAt = taken.head.TakenAt.Add(c.later)
		end := taken.head.Feed
		for m := range c.times {
			var d store.Doubts
			restore, open := anew(w.T)
			w.must(restore(restoring(taken, &d)))
			w.s, w.node = open(), fmt.Sprintf("restored-again-%d-%d", n, m)
			w.own()
			for range 3 {
				w.one(a)
			}
			w.stampAll()
			ids, next := w.toldBehind(a.ID, end)
			if len(ids) != 3 || next <= end {
				w.Fatalf("%s: behind %d come %q, to %d", c.name, end, ids, next)
			}
			end = next
		}
	}
}

// toldBehind reads an app's feed on behind a position, place by place.
func (w *world) toldBehind(app comm.ID, after int64) (ids []string, next int64) {
	w.Helper()
	for next = after; ; {
		page, err := w.s.Places(w.ctx, app, next, 1)
		w.must(err)
		if len(page) == 0 {
			return ids, next
		}
		p := page[0]
		if next = p.Position; p.Gap {
			continue
		}
		about, err := w.s.Stories(w.ctx, []store.EventRef{p.EventRef})
		w.must(err)
		ids = append(ids, comm.EventID(p.Message, p.Sequence, about[0].Events[p.Sequence-1].At))
	}
}

func refusedBackups(w *world, anew Restorer) {
	w.one(w.app(false))
	restore, open := anew(w.T)
	var d store.Doubts
	broken := errors.New("the file broke off")
	for name, spoil := range map[string]func(m *memory) store.BackupFrom{
		"a row is missing": func(m *memory) store.BackupFrom { m.rows["state"]++; return kept{m} },
		"a later schema": func(m *memory) store.BackupFrom {
			m.head.Schema = append(m.head.Schema, store.SchemaStep{Name: "9999_later"})
			return kept{m}
		},
		"another build": func(m *memory) store.BackupFrom { m.head.Schema[0].Sum = "x"; return kept{m} },
		"a schema from before backups": func(m *memory) store.BackupFrom {
			m.head.Schema = slices.DeleteFunc(m.head.Schema, func(s store.SchemaStep) bool { return s.Name >= "0015" })
			return kept{m}
		},
		"no schema":             func(m *memory) store.BackupFrom { m.head.Schema = nil; return kept{m} },
		"a foreign part":        func(m *memory) store.BackupFrom { m.names[0] = "pg_authid"; return kept{m} },
		"it breaks off":         func(m *memory) store.BackupFrom { return breaking{kept{m}, broken} },
		"the end does not hold": func(m *memory) store.BackupFrom { return lying{kept{m}, broken} },
	} {
		m := w.backup()
		r := restoring(m, &d)
		r.From = spoil(m)
		if err := restore(r); err == nil {
			w.Errorf("%s: it was restored", name)
		}
	}
	w.must(restore(restoring(w.backup(), &d))) // nothing was left in its way
	if err := restore(restoring(w.backup(), &d)); err == nil || !strings.Contains(err.Error(), "mpty") {
		w.Errorf("over what is there: %v", err)
	}
	stopped, stop := context.WithCancel(w.ctx)
	stop()
	if err := w.s.Backup(stopped, &memory{}); err == nil {
		w.Error("a backup that was called off was made")
	}
	w.s = open()
	if n, err := w.s.QueueRows(w.ctx, 10); err != nil || n != 1 {
		w.Errorf("%d %v", n, err)
	}
}

// breaking is a file of which a part breaks off in its middle.
type breaking struct {
	kept
	err error
}

func (b breaking) Next() (string, io.Reader, error) {
	name, part, err := b.kept.Next()
	if err != nil {
		return name, part, err
	}
	return name, io.MultiReader(io.LimitReader(part, 15), brokenReader{b.err}), nil
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// lying is a file whose end says that it is damaged.
type lying struct {
	kept
	err error
}

func (l lying) End() (map[string]int64, error) { return nil, l.err }
