package storetest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

func upkeepCases() []testCase {
	return []testCase{
		{"content is purged once it has been final for long enough", purge},
		{"a message is removed with everything of it, and its key is free", removal},
		{"a walk goes on where it ended, in slices", walkInSlices},
		{"what a deleted app left goes, and nothing else", removeApp},
		{"what was done is shown", tasks},
	}
}

// full is a submission with everything that a message can leave somewhere.
func (w *world) full(a *comm.App, key string) store.Submission {
	w.Helper()
	return w.fullTo(a, key, "ama@example.org")
}

func (w *world) fullTo(a *comm.App, key, to string) store.Submission {
	w.Helper()
	s := w.keyed(a, key)
	c := comm.Content{To: to, Subject: "Hello", Body: "<p>secret body</p>", TemplateKey: "welcome", TemplateVer: 1, Tags: []string{"red", "blue"}, IdempotencyKey: key, Files: 1}
	payload, err := store.EncodeContent(&c)
	w.must(err)
	s.Recipient, s.Payload, s.KeyHash = to, payload, store.KeyHash(key)
	s.Terms = store.ContentTerms(&c)
	s.Files = []comm.Attachment{{Filename: "a.txt", ContentType: "text/plain", Content: []byte("secret file")}}
	w.accept(s)
	return s
}

// end sends the message.
func (w *world) end(s store.Submission) {
	w.Helper()
	started := w.start(s)
	o := sentOutcome()
	o.Detail = "250 accepted for " + s.Recipient
	if !w.turn([]store.Finish{w.finishOf(s, started.State.Attempts, o)}, nil).Finished[0] {
		w.Fatal("not finished")
	}
}

const hour = 3_600_000_000

// walk walks all lanes to their ends, by so many messages a slice, as if it were later by that much.
func (w *world) walk(kind store.WalkKind, later comm.Micros, limit int) (done int) {
	w.Helper()
	for after := (comm.ID{}); ; {
		lanes, err := w.s.UpkeepLanes(w.ctx, after, 10)
		w.must(err)
		for _, lane := range lanes {
			for {
				got, err := w.s.Walk(w.ctx, store.Walk{Kind: kind, Lane: lane, Until: comm.FirstID(w.now() + later), Now: w.now() + later, Rest: hour, Limit: limit})
				w.must(err)
				if got.Seen > limit {
					w.Fatalf("%d of %d", got.Seen, limit)
				}
				if done += got.Done; got.Seen == 0 {
					break
				}
			}
		}
		if len(lanes) < 10 {
			return done
		}
		after = lanes[len(lanes)-1]
	}
}

func (w *world) walkLater(kind store.WalkKind, later comm.Micros) (done int) {
	w.Helper()
	for {
		got, err := w.s.WalkLater(w.ctx, store.Walk{Kind: kind, Now: w.now() + later, Rest: hour, Limit: 2})
		w.must(err)
		if done += got.Done; got.Seen == 0 {
			return done
		}
	}
}

// byTag is how many messages of the app are found by it.
func (w *world) byTag(a *comm.App, value string) int {
	w.Helper()
	got, err := w.s.Search(w.ctx, a.ID, store.Filter{Terms: []store.Term{tag(value)}, Limit: 10})
	w.must(err)
	return len(got.Messages)
}

func purge(w *world) {
	a := w.app(true)
	w.own()
	sent, waiting := w.full(a, "sent"), w.full(a, "waiting")
	w.searchable(waiting)
	w.end(sent)
	if n := w.walk(store.Purge, hour/2, 10); n != 0 {
		w.Fatalf("%d purged that were young", n)
	}
	if n := w.walkLater(store.Purge, hour/2); n != 0 {
		w.Fatalf("%d purged that were young", n)
	}
	if n := w.walkLater(store.Purge, hour+hour/10); n != 1 {
		w.Fatalf("%d purged, want the one that was sent", n)
	}
	m := w.message(sent)
	if !m.ContentGone || m.Body != "" || m.Subject != "" || m.To != sent.Recipient || m.Status != comm.Sent || causes(m)[len(m.Events)-1] != comm.CauseContentPurged {
		w.Fatalf("%+v %+v", m, causes(m))
	}
	if m := w.message(waiting); m.ContentGone || m.Status != comm.Queued || len(m.Events) != 1 {
		w.Fatalf("%+v", m)
	}
	if n := w.byTag(a, "red"); n != 1 {
		w.Fatalf("%d found by a tag", n)
	}
	if out, err := w.s.Accept(w.ctx, []store.Submission{sent}); err != nil || out[0].Result != store.Replay || out[0].ID != sent.ID {
		w.Fatalf("%+v %v", out, err)
	}
	if _, got, err := w.s.Retry(w.ctx, a.ID, sent.ID, "app"); err != nil || got != comm.RetryRefused {
		w.Fatalf("%v %v", got, err)
	}
	if n := w.walkLater(store.Purge, 3*hour) + w.walk(store.Purge, 3*hour, 10); n != 0 {
		w.Fatalf("%d purged that are not final, or again", n)
	}
	w.cancel(waiting)
	if n := w.walkLater(store.Purge, 9*hour); n != 1 {
		w.Fatalf("%d purged, want the one that was cancelled", n)
	}
	if _, got, err := w.s.Retry(w.ctx, a.ID, waiting.ID, "app"); err != nil || got != comm.RetryGone {
		w.Fatalf("%v %v", got, err)
	}
	if m := w.message(waiting); m.Status != comm.Cancelled || !m.ContentGone {
		w.Fatalf("%+v", m)
	}
}

func removal(w *world) {
	a := w.app(true)
	w.own()
	purged, whole, waiting := w.full(a, "purged"), w.full(a, "whole"), w.full(a, "waiting")
	w.searchable(waiting)
	w.end(purged)
	if n := w.walk(store.Purge, 2*hour, 1); n != 1 {
		w.Fatalf("%d purged", n)
	}
	w.end(whole)
	if n := w.walk(store.Remove, 2*hour, 10); n != 2 {
		w.Fatalf("%d removed", n)
	}
	for _, s := range []store.Submission{purged, whole} {
		_, err := w.s.Message(w.ctx, a.ID, s.ID)
		w.wantCode(err, "not_found")
		s.ID = comm.NewID(w.now())
		w.accept(s) // its key is free
	}
	if m := w.message(waiting); m.ContentGone || m.Status != comm.Queued {
		w.Fatalf("%+v", m)
	}
	found, err := w.s.Search(w.ctx, a.ID, store.Filter{Recipient: waiting.Recipient, Limit: 10})
	w.must(err)
	if slices.ContainsFunc(found.Messages, func(m comm.Message) bool { return m.State.ID == purged.ID || m.State.ID == whole.ID }) {
		w.Fatal("found by the recipient")
	}
	w.cancel(waiting)
	if n := w.walkLater(store.Remove, 5*hour); n != 1 {
		w.Fatalf("%d removed, want the one that was cancelled", n)
	}
	w.must(w.s.Late(w.ctx, w.node, []store.LateResult{{App: a.ID, ID: whole.ID, Attempt: 1, Accepted: true, Outcome: sentOutcome()}}))
	_, err = w.s.Message(w.ctx, a.ID, whole.ID)
	w.wantCode(err, "not_found")
}

func walkInSlices(w *world) {
	a, b := w.app(true), w.app(true)
	var all []store.Submission
	for range 9 {
		all = append(all, w.one(a), w.one(b))
	}
	for _, s := range all {
		w.cancel(s)
	}
	lanes, err := w.s.UpkeepLanes(w.ctx, comm.ID{}, 10)
	w.must(err)
	if !slices.Contains(lanes, a.ID) && !lanes[0].IsZero() {
		w.Fatalf("%v", lanes)
	}
	marked := comm.ID{}
	for range 3 { // a slice at a time, as if every time by another process
		for _, lane := range lanes {
			got, err := w.s.Walk(w.ctx, store.Walk{Kind: store.Purge, Lane: lane, Until: comm.FirstID(w.now() + 2*hour), Now: w.now() + 2*hour, Rest: hour, Limit: 2})
			w.must(err)
			if got.Seen != 2 || got.Done != 2 || got.Took <= 0 {
				w.Fatalf("%+v", got)
			}
			if lane.IsZero() && got.Reached.Compare(marked) <= 0 {
				w.Fatalf("%s after %s", got.Reached, marked)
			}
			marked = got.Reached
		}
	}
	w.walk(store.Purge, 2*hour, 5)
	for _, s := range all {
		if m := w.message(s); !m.ContentGone || len(m.Events) != 3 {
			w.Fatalf("%+v", causes(m))
		}
	}
}

func removeApp(w *world) {
	gone, stays := w.app(true), w.app(true)
	w.own()
	var kept store.Submission
	for _, a := range []*comm.App{gone, stays} {
		s := w.full(a, "of an app")
		w.must(w.s.CreateProviderConfig(w.ctx, config(a.ID, "mine", 1, w.now())))
		w.must(w.s.CreateTemplate(w.ctx, newTemplate(a.ID, "welcome"), 10))
		w.must(w.s.CreateEndpoint(w.ctx, endpoint(a.ID, "mine", w.now())))
		w.must(w.s.AddKey(w.ctx, key(a.ID, a.Slug)))
		_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: comm.Email, Address: "kofi@example.org", Reason: comm.SuppressManual, CreatedAt: w.now()})
		w.must(err)
		w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.Email, "kofi@example.org", bytes.Repeat([]byte{7}, 32)))
		kept = s
	}
	w.searchable(kept)
	calling := w.one(gone)
	started := w.start(calling)
	w.must(w.s.DeleteApp(w.ctx, gone.ID, w.now()))
	if got, err := w.s.RemoveApp(w.ctx, stays.ID, w.now()+hour, 10); err != nil || got.Rows != 0 || got.Gone {
		w.Fatalf("an app that is not deleted: %+v %v", got, err)
	}
	if got, err := w.s.RemoveApp(w.ctx, gone.ID, w.now()-hour, 10); err != nil || got.Rows != 0 {
		w.Fatalf("an app that was deleted just now: %+v %v", got, err)
	}
	sweep := func() (gone1 bool, rows int) {
		for range 100 {
			got, err := w.s.RemoveApp(w.ctx, gone.ID, w.now()+hour, 1)
			w.must(err)
			if rows += got.Rows; got.Gone || got.Rows == 0 {
				return got.Gone, rows
			}
		}
		w.Fatal("no end")
		return false, 0
	}
	if done, _ := sweep(); done {
		w.Fatal("gone with a call under way")
	}
	w.must(w.s.Late(w.ctx, w.node, nil))
	if !w.turn([]store.Finish{w.finishOf(calling, started.State.Attempts, sentOutcome())}, nil).Finished[0] {
		w.Fatal("a call of a deleted app is not recorded")
	}
	list, err := w.s.List(w.ctx, gone.ID, store.Filter{Status: comm.Queued, Limit: 10})
	w.must(err)
	for i := range list {
		_, _, err := w.s.Cancel(w.ctx, gone.ID, list[i].State.ID, comm.ActorAdmin)
		w.must(err)
	}
	if done, rows := sweep(); !done || rows < 10 {
		w.Fatalf("%v %d", done, rows)
	}
	if ids, err := w.s.DeletedApps(w.ctx, comm.ID{}, 10); err != nil || len(ids) != 0 {
		w.Fatalf("%v %v", ids, err)
	}
	if has, err := w.s.HasErased(w.ctx, gone.ID); err != nil || has {
		w.Fatalf("%v %v", has, err)
	}
	if configs, err := w.s.ProviderConfigs(w.ctx, gone.ID); err != nil || len(configs) != 0 {
		w.Fatalf("%v %v", configs, err)
	}
	if hooks, err := w.s.Endpoints(w.ctx, gone.ID); err != nil || len(hooks) != 0 {
		w.Fatalf("%v %v", hooks, err)
	}
	if hooks, err := w.s.Endpoints(w.ctx, stays.ID); err != nil || len(hooks) != 1 {
		w.Fatalf("%v %v", hooks, err)
	}
	if got, err := w.s.RemoveApp(w.ctx, gone.ID, w.now()+hour, 10); err != nil || got.Rows != 0 || got.Gone {
		w.Fatalf("%+v %v", got, err)
	}
	log := w.chain()
	if last := log[len(log)-1]; last.Action != comm.AuditAppRemoved || last.Target != gone.ID.String() {
		w.Fatalf("%+v", last)
	}
	if m := w.message(kept); m.ContentGone || w.byTag(stays, "red") != 1 {
		w.Fatalf("%+v", m)
	}
	if has, err := w.s.HasErased(w.ctx, stays.ID); err != nil || !has {
		w.Fatalf("%v %v", has, err)
	}
	if on, err := w.s.Suppressed(w.ctx, stays.ID, comm.Email, "kofi@example.org"); err != nil || !on {
		w.Fatalf("%v %v", on, err)
	}
}

func tasks(w *world) {
	first := store.Task{Name: "content", StartedAt: 5, FinishedAt: 7, Reached: 6, Done: 3, Total: 3, Busy: 9}
	w.must(w.s.SaveTask(w.ctx, first))
	second := store.Task{Name: "content", StartedAt: 8, FinishedAt: 9, Reached: 8, Done: 4, Total: 4, Busy: 1, Failed: "ŋ"}
	w.must(w.s.SaveTask(w.ctx, second))
	second.Total = 7
	got, err := w.s.Tasks(w.ctx)
	w.must(err)
	w.same(got, []store.Task{second})
}

func personCases() []testCase {
	return []testCase{
		{"an erased message keeps its history and nothing of the person", erase},
		{"an address is masked in the contents of others", mentions},
		{"a mask in a message leaves its content as old as it is", maskedAge},
		{"webhooks of messages that name a person are told without the person", retold},
		{"no event that names a person is posted with two bodies", retoldInACall},
		{"an event that names a person and was not posted yet is not lost to a call that fails", retoldInNoCall},
		{"a slice of erasing is bounded by bytes", eraseBytes},
		{"looking through contents is bounded by bytes", mentionsBytes},
		{"an erasure is a job that is done once", erasureJob},
		{"an opt-out outlives its address as a hash", erasedSuppression},
		{"opt-outs that were put back are put away in their turn", returnedInOrder},
		{"whom a message is to is known without its content", recipients},
		{"who is added again has no hash and did not come back", addedAgain},
		{"an address that is added while it is taken off is on the list, or its hash is kept", addedMeanwhile},
		{"an opt-out that is taken off while its address is put back is gone", removedMeanwhile},
		{"the key of hashes is made once", hashKey},
	}
}

func erase(w *world) {
	a, b := w.app(true), w.app(true)
	w.own()
	const to, mask = "ama@example.org", "a***@example.org"
	sent, waiting, foreign, other := w.full(a, "sent"), w.full(a, "waiting"), w.full(b, "foreign"), w.fullTo(a, "other", "kofi@example.org")
	w.searchable(other)
	w.end(sent)
	e := store.Erasing{Actor: comm.ActorAdmin, Mask: mask}
	all := []comm.ID{sent.ID, waiting.ID, foreign.ID}
	if got, err := w.s.Erase(w.ctx, a.ID, all, e); err != nil || got.Done != 1 || got.Looked != len(all) {
		w.Fatalf("%+v %v", got, err)
	}
	m := w.message(sent)
	last := m.Events[len(m.Events)-1]
	if !m.ContentGone || m.To != mask || m.Body != "" || last.Type != comm.CauseErased || last.Actor != comm.ActorAdmin || m.Status != comm.Sent {
		w.Fatalf("%+v", m)
	}
	for _, e := range m.Events {
		if strings.Contains(e.Detail, to) {
			w.Fatalf("%+v", e)
		}
	}
	if m := w.message(waiting); m.ContentGone || m.To != to {
		w.Fatalf("%+v", m)
	}
	if m := w.message(foreign); m.ContentGone || m.To != to {
		w.Fatalf("%+v", m)
	}
	if got, err := w.s.Erase(w.ctx, a.ID, all, e); err != nil || got.Done != 0 {
		w.Fatalf("again: %+v %v", got, err)
	}
	w.cancel(waiting)
	if got, err := w.s.Erase(w.ctx, a.ID, all, e); err != nil || got.Done != 1 || got.Looked != len(all) {
		w.Fatalf("%+v %v", got, err)
	}
	w.must(w.s.Unindex(w.ctx, a.ID, to))
	found, err := w.s.Search(w.ctx, a.ID, store.Filter{Recipient: to, Limit: 10})
	w.must(err)
	if len(found.Messages) != 0 || w.byTag(a, "red") != 1 || w.byTag(b, "red") != 1 {
		w.Fatalf("%+v, %d and %d by a tag", found, w.byTag(a, "red"), w.byTag(b, "red"))
	}
	// A late bounce has nobody to suppress.
	w.must(w.s.Late(w.ctx, w.node, []store.LateResult{{App: a.ID, ID: sent.ID, Attempt: 1, Outcome: store.Outcome{Detail: "550"}, Suppress: comm.SuppressHardBounce}}))
	if list, err := w.s.SuppressionList(w.ctx, a.ID, store.SuppressionFilter{Limit: 10}); err != nil || len(list) != 0 {
		w.Fatalf("%+v %v", list, err)
	}
	// Its key is still its own, and is free when the message is gone.
	if out, err := w.s.Accept(w.ctx, []store.Submission{sent}); err != nil || out[0].Result != store.Replay {
		w.Fatalf("%+v %v", out, err)
	}
	if n := w.walk(store.Remove, 2*hour, 10); n != 2 {
		w.Fatalf("%d removed", n)
	}
	sent.ID = comm.NewID(w.now())
	w.accept(sent)
}

func mentions(w *world) {
	a, b := w.app(true), w.app(true)
	w.own()
	of := func(a *comm.App, body string) store.Submission {
		return w.one(a, func(s *store.Submission) {
			s.Payload, _ = store.EncodeContent(&comm.Content{To: s.Recipient, Body: body, Tags: []string{"of ama@example.org"}}) // a plain struct
			s.Terms = []store.Term{tag("of ama@example.org")}
		})
	}
	names, silent, foreign := of(a, "Write to AMA@example.org, ŋ"), w.one(a), of(b, "ama@example.org")
	w.searchable(foreign)
	look := func(app comm.ID, limit int) (found []store.Mentioned) {
		lanes, err := w.s.UpkeepLanes(w.ctx, comm.ID{}, 100)
		w.must(err)
		for _, lane := range lanes {
			for m := (store.Mention{Lane: lane, App: app, Text: "ama@example.org", Limit: limit}); ; {
				some, next, err := w.s.Mentions(w.ctx, m)
				w.must(err)
				found = append(found, some...)
				if next.IsZero() {
					break
				}
				m.After = next
			}
		}
		return found
	}
	if n := len(look(comm.ID{}, 2)); n != 2 {
		w.Fatalf("%d in all apps", n)
	}
	got := look(a.ID, 1)
	if len(got) != 1 || got[0].ID != names.ID || got[0].App != a.ID || got[0].Recipient != names.Recipient || !bytes.Equal(got[0].Payload, names.Payload) {
		w.Fatalf("%+v", got)
	}
	if at := w.message(names).CreatedAt; at == 0 || got[0].CreatedAt != at {
		w.Fatalf("created at %d, want %d", got[0].CreatedAt, at)
	}
	head := w.head(names)
	payload, err := store.EncodeContent(&comm.Content{To: names.Recipient, Body: "Write to a***@example.org, ŋ", Tags: []string{"of ***"}})
	w.must(err)
	x := store.Rewriting{App: a.ID, ID: names.ID, Sequence: got[0].Sequence, Payload: payload, Drop: []store.Term{tag("of ama@example.org")}, Add: []store.Term{tag("of ***")}}
	stale, stolen := x, x
	stale.Sequence--
	stolen.App = b.ID
	if n, _, err := w.s.Rewrite(w.ctx, []store.Rewriting{stale, stolen, x, x}, store.Erasing{Actor: "app"}); err != nil || n != 1 {
		w.Fatalf("%d %v", n, err)
	}
	m := w.message(names)
	if m.Body != "Write to a***@example.org, ŋ" || m.Status != comm.Queued || causes(m)[1] != comm.CauseErased || w.head(names) != head || w.byTag(a, "of ama@example.org") != 0 || w.byTag(a, "of ***") != 1 {
		w.Fatalf("%+v", m)
	}
	if started := w.start(names); !bytes.Equal(started.Payload, payload) {
		w.Fatalf("sent %s", started.Payload)
	}
	if m := w.message(foreign); m.Body != "ama@example.org" || w.byTag(b, "of ama@example.org") != 1 {
		w.Fatalf("%+v", m)
	}
	if m := w.message(silent); len(m.Events) != 1 {
		w.Fatalf("%+v", m)
	}
}

func erasureJob(w *world) {
	a := w.app(true)
	now := w.now()
	sealed := seal.Sealed{KeyID: "k1", Box: []byte{0, 1, 255}}
	e := &store.Erasure{App: a.ID, ID: comm.NewID(now), Channel: comm.SMS, Sealed: &sealed, Actor: comm.ActorApp, Stage: store.ErasureMarked, CreatedAt: now, UpdatedAt: now}
	w.must(w.s.CreateErasure(w.ctx, e))
	server := &store.Erasure{ID: comm.NewID(now + 1000), Channel: comm.Email, Sealed: &sealed, Actor: comm.ActorAdmin, Stage: store.ErasureMarked, CreatedAt: now, UpdatedAt: now}
	w.must(w.s.CreateErasure(w.ctx, server))
	open, err := w.s.OpenErasures(w.ctx, comm.ID{}, 10)
	w.must(err)
	w.same(open[0].Sealed.Pack(), sealed.Pack())
	if len(open) != 2 || open[0].ID != e.ID {
		w.Fatalf("%+v", open)
	}
	if rest, err := w.s.OpenErasures(w.ctx, e.ID, 10); err != nil || len(rest) != 1 || rest[0].ID != server.ID {
		w.Fatalf("%+v %v", rest, err)
	}
	for app, want := range map[comm.ID]int{a.ID: 1, {}: 1, w.app(true).ID: 0} {
		if n, err := w.s.OpenErasuresOf(w.ctx, app, 10); err != nil || n != want {
			w.Fatalf("%d are open, want %d, %v", n, want, err)
		}
	}
	if n, err := w.s.OpenErasuresOf(w.ctx, a.ID, 0); err != nil || n != 0 {
		w.Fatalf("%d were counted, want none, %v", n, err)
	}
	_, err = w.s.Erasure(w.ctx, w.app(true).ID, e.ID)
	w.wantCode(err, "not_found")
	_, err = w.s.Erasure(w.ctx, a.ID, server.ID)
	w.wantCode(err, "not_found")
	if any, err := w.s.AnyErasure(w.ctx, e.ID); err != nil || any.App != a.ID {
		w.Fatalf("%+v %v", any, err)
	}
	_, err = w.s.AnyErasure(w.ctx, a.ID)
	w.wantCode(err, "not_found")
	e.Stage, e.Lane, e.Place, e.Erased, e.Cancelled, e.Masked, e.Waiting, e.UpdatedAt = store.ErasureMentions, a.ID, e.ID, 1<<30, 2, 3, 4, now+5
	w.must(w.s.SaveErasure(w.ctx, e))
	got, err := w.s.Erasure(w.ctx, a.ID, e.ID)
	w.must(err)
	want, have := *e, *got
	want.Sealed, have.Sealed = nil, nil
	w.same(have, want)
	e.FinishedAt = now + 9
	w.must(w.s.SaveErasure(w.ctx, e))
	e.Erased, e.FinishedAt = 5, now+10
	w.must(w.s.SaveErasure(w.ctx, e)) // it is done already
	got, err = w.s.Erasure(w.ctx, a.ID, e.ID)
	w.must(err)
	if got.Sealed != nil || got.FinishedAt != now+9 || got.Erased != 1<<30 {
		w.Fatalf("%+v", got)
	}
	if n, err := w.s.OpenErasuresOf(w.ctx, a.ID, 10); err != nil || n != 0 {
		w.Fatalf("%d are open, want none, %v", n, err)
	}
	if open, err = w.s.OpenErasures(w.ctx, comm.ID{}, 10); err != nil || len(open) != 1 || open[0].ID != server.ID {
		w.Fatalf("%+v %v", open, err)
	}
	var actions []string
	for _, x := range w.chain() {
		if x.Target == e.ID.String() {
			actions = append(actions, x.Action)
		}
	}
	if !slices.Equal(actions, []string{comm.AuditErasureStarted, comm.AuditErasureDone}) {
		w.Fatalf("%v", actions)
	}
}

func hashKey(w *world) {
	id := comm.NewID(1)
	for _, made := range []string{"first", "second"} {
		got, err := w.s.HashKey(w.ctx, id, seal.Sealed{KeyID: "k1", Box: []byte(made)})
		w.must(err)
		if got.KeyID != "k1" || string(got.Box) != "first" {
			w.Fatalf("%+v", got)
		}
	}
	page, err := w.s.SealedAfter(w.ctx, store.HashKeys(), comm.ID{}, comm.ID{}, 10)
	w.must(err)
	if len(page) != 1 || page[0].ID != id {
		w.Fatalf("%+v", page)
	}
}
