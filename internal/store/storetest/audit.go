package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

func auditCases() []testCase {
	return []testCase{
		{"every change is in the log, by whom and what", auditChanges},
		{"a change that is refused leaves no entry", auditNoEntry},
		{"secrets and addresses are not in the log", auditSecrets},
		{"the log is filtered and paged while entries arrive", auditPages},
		{"changes at once leave a whole chain", auditRace},
	}
}

// chain wants the log whole and answers it, oldest first.
func (w *world) chain() []store.AuditEntry {
	w.Helper()
	all, err := w.s.AuditChain(w.ctx, 0, 1_000_000)
	w.must(err)
	last := store.AuditEntry{}
	for i := range all {
		e := &all[i]
		if e.Sequence != last.Sequence+1 || e.Previous != last.Hash || e.Sum() != e.Hash || e.At == 0 {
			w.Fatalf("entry %d: %+v after %+v", i, e, last)
		}
		last = *e
	}
	if sequence, hash, err := w.s.AuditHead(w.ctx); err != nil || sequence != last.Sequence || hash != last.Hash {
		w.Fatalf("head %d, last entry %d, %v", sequence, last.Sequence, err)
	}
	return all
}

// every makes one change of each kind and answers its actions.
func (w *world) every(ctx context.Context) []string {
	w.Helper()
	a := w.app(true)
	now := w.now()
	a.Name = "Renamed"
	w.must(w.s.UpdateApp(ctx, a, now))
	k, l, m := key(a.ID, a.Slug+"k"), key(a.ID, a.Slug+"l"), key(a.ID, a.Slug+"m")
	w.must(w.s.AddKey(ctx, k))
	w.must(w.s.ReplaceKey(ctx, l, k.ID, k.CreatedAt+5))
	w.must(w.s.RotateKeys(ctx, m, m.CreatedAt+5))
	w.must(w.s.RevokeKey(ctx, a.ID, m.ID, m.CreatedAt))
	w.must(w.s.UseKeys(ctx, []store.KeyUse{{App: a.ID, ID: k.ID, At: now}}))
	w.must(w.s.UseKeys(ctx, []store.KeyUse{{App: a.ID, ID: k.ID, At: now + 1<<30}}))
	c := config(a.ID, "mine", 1, now)
	w.must(w.s.CreateProviderConfig(ctx, c))
	c.Priority = 2
	w.must(w.s.UpdateProviderConfig(ctx, c))
	w.must(w.s.DeleteProviderConfig(ctx, a.ID, c.ID))
	e := endpoint(a.ID, "of the log", now)
	w.must(w.s.CreateEndpoint(ctx, e))
	e.Name = "renamed"
	w.must(w.s.UpdateEndpoint(ctx, e))
	_, err := w.s.SwitchOff(ctx, e, comm.EndpointGone)
	w.must(err)
	w.must(w.s.DeleteEndpoint(ctx, a.ID, e.ID))
	t := newTemplate(a.ID, "of-the-log")
	w.must(w.s.CreateTemplate(ctx, t, 10))
	next := t.Current
	next.Version++
	w.must(w.s.UpdateTemplate(ctx, t, &next, 10, now))
	w.must(w.s.UpdateTemplate(ctx, t, nil, 10, now))
	w.must(w.s.DeleteTemplate(ctx, a.ID, t.ID))
	listed := store.Suppression{App: a.ID, Channel: comm.SMS, Address: "233241234599", Reason: "manual", CreatedAt: now}
	for range 2 { // the second changes nothing
		_, err := w.s.Suppress(ctx, listed)
		w.must(err)
	}
	for range 2 {
		_, err := w.s.Unsuppress(ctx, a.ID, comm.SMS, listed.Address)
		w.must(err)
	}
	setting := "setting of " + a.Slug
	_, err = w.s.InitSetting(ctx, setting, "v")
	w.must(err)
	_, err = w.s.SwapSetting(ctx, setting, "v", "w")
	w.must(err)
	for _, action := range []string{comm.AuditKeyRefused, comm.AuditQueueCancelled, comm.AuditMessageCancel, comm.AuditMessageRetry, comm.AuditSMSAlarm, comm.AuditBackupTaken, comm.AuditHoldReleased} { // no changes of settings
		w.must(w.s.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), App: a.ID, Action: action, Target: k.ID.String(), Detail: `{}`}}))
	}
	w.must(w.s.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), App: a.ID, Action: comm.AuditPersonExported, Target: a.ID.String(), Detail: `{}`}}))
	x := &store.Erasure{App: a.ID, ID: comm.NewID(now), Channel: comm.SMS, Sealed: &seal.Sealed{KeyID: "k"}, Actor: comm.ActorApp, Stage: store.ErasureMarked, CreatedAt: now}
	w.must(w.s.CreateErasure(ctx, x))
	x.FinishedAt = now
	w.must(w.s.SaveErasure(ctx, x))
	u := w.user("user-of-" + a.Slug)
	w.must(w.s.CreateUser(ctx, u))
	u.Role = comm.Admin
	w.must(w.s.UpdateUser(ctx, u, true, [32]byte{}))
	w.must(w.s.StartSession(ctx, &store.Session{Hash: k.Hash, User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now}, u))
	_, err = w.s.EndSession(ctx, k.Hash)
	w.must(err)
	w.must(w.s.DeleteUser(ctx, u.ID))
	w.must(w.s.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), Action: comm.AuditSignInRefused, Target: u.ID.String(), Detail: `{}`}}))
	w.must(w.s.DeleteApp(ctx, a.ID, now))
	for range 30 {
		_, err := w.s.RemoveApp(ctx, a.ID, now+1<<30, 10)
		w.must(err)
	}
	return []string{comm.AuditAppCreated, comm.AuditAppUpdated, comm.AuditKeyCreated, comm.AuditKeyReplaced, comm.AuditKeysRotated, comm.AuditKeyRevoked, comm.AuditKeyFirstUsed,
		comm.AuditProviderCreated, comm.AuditProviderUpdated, comm.AuditProviderDeleted,
		comm.AuditEndpointCreated, comm.AuditEndpointUpdated, comm.AuditEndpointDisabled, comm.AuditEndpointDeleted,
		comm.AuditTemplateCreated, comm.AuditTemplateUpdated, comm.AuditTemplateUpdated, comm.AuditTemplateDeleted, comm.AuditSuppressed, comm.AuditUnsuppressed,
		comm.AuditSettingSet, comm.AuditSettingChanged, comm.AuditKeyRefused, comm.AuditQueueCancelled, comm.AuditMessageCancel, comm.AuditMessageRetry, comm.AuditSMSAlarm, comm.AuditBackupTaken, comm.AuditHoldReleased, comm.AuditPersonExported, comm.AuditErasureStarted, comm.AuditErasureDone,
		comm.AuditUserCreated, comm.AuditUserUpdated, comm.AuditSignedIn, comm.AuditSignedOut, comm.AuditUserDeleted, comm.AuditSignInRefused, comm.AuditAppDeleted, comm.AuditAppRemoved}
}

// ofNoApp says whether the thing that an action changes belongs to no app.
func ofNoApp(action string) bool {
	return strings.HasPrefix(action, "setting_") || strings.HasPrefix(action, "user_") || strings.HasPrefix(action, "sign")
}

func auditChanges(w *world) {
	who := comm.Actor{Kind: comm.ActorApp, Name: "Ünïcode 🌍", Address: "2001:db8::1", Request: "req_1"}
	before := w.now()
	want := w.every(store.WithActor(w.ctx, who))
	got := w.chain()
	if len(got) != len(want) {
		w.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, e := range got {
		by := who
		if i == 0 { // w.app says nobody
			by = comm.Actor{Kind: comm.ActorSystem}
		}
		if e.Action != want[i] || e.Actor != by || e.App.IsZero() != ofNoApp(e.Action) || e.Target == "" || e.At < before-1_000_000 {
			w.Fatalf("entry %d: %+v, want %s", i, e, want[i])
		}
	}
	if d := got[1].Detail; d != `{"name":{"from":"An app","to":"Renamed"}}` {
		w.Fatalf("%s", d)
	}
	if d := got[8].Detail; d != `{"priority":{"from":1,"to":2}}` {
		w.Fatalf("%s", d)
	}
	for _, word := range comm.AuditActions() {
		if word.Code != comm.AuditTooManyFailures && !strings.Contains(strings.Join(want, " "), word.Code) {
			w.Fatalf("no change is a %s", word.Code)
		}
	}
}

func auditNoEntry(w *world) {
	a := w.app(true)
	stale := *a
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	k := key(a.ID, "k")
	w.must(w.s.AddKey(w.ctx, k))
	w.must(w.s.RevokeKey(w.ctx, a.ID, k.ID, k.CreatedAt))
	n := len(w.chain())
	w.wantKind(w.s.UpdateApp(w.ctx, &stale, w.now()), comm.Conflict)
	w.wantCode(w.s.ReplaceKey(w.ctx, key(a.ID, "l"), k.ID, k.CreatedAt), "invalid_state")
	w.must(w.s.RevokeKey(w.ctx, a.ID, k.ID, k.CreatedAt)) // which changes nothing
	w.wantCode(w.s.DeleteApp(w.ctx, comm.NewID(1), 1), "not_found")
	w.wantCode(w.s.DeleteProviderConfig(w.ctx, a.ID, comm.NewID(1)), "not_found")
	again := *a
	again.ID = comm.NewID(1)
	if created, err := w.s.CreateApp(w.ctx, &again, nil); created || err != nil {
		w.Fatal(created, err)
	}
	w.must(w.s.Note(w.ctx, nil))
	if got := len(w.chain()); got != n {
		w.Fatalf("%d entries, want %d", got, n)
	}
}

func auditSecrets(w *world) {
	a := w.app(true)
	const secret, addr = "s3cr3t", "person@example.org"
	a.WebhookURL, a.WebhookSecret, a.AllowedFrom = "https://hooks.example.com/"+secret+"?token="+secret, []byte(secret), []string{addr}
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	c := config(a.ID, "mine", 1, w.now())
	c.Settings["from"], c.Settings["username"], c.Secrets = addr, addr, []byte(secret)
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	c.Secrets, c.Settings["from"] = []byte(secret+secret), "other-"+addr
	w.must(w.s.UpdateProviderConfig(w.ctx, c))
	w.must(w.s.DeleteProviderConfig(w.ctx, a.ID, c.ID))
	w.must(w.s.DeleteApp(w.ctx, a.ID, w.now()))
	all := w.chain()
	for _, e := range all {
		if strings.Contains(e.Detail, secret) || strings.Contains(e.Detail, addr) {
			w.Fatalf("%s: %s", e.Action, e.Detail)
		}
	}
	if d := all[1].Detail; d != `{"allowedSenders":{"changed":true},"webhookSecret":{"changed":true},"webhookUrl":{"from":"","to":"https://hooks.example.com"}}` {
		w.Fatalf("%s", d)
	}
	if d := all[3].Detail; d != `{"config.from":{"changed":true},"secrets":{"changed":true}}` {
		w.Fatalf("%s", d)
	}
}

func auditPages(w *world) {
	a, b := w.app(true), w.app(true)
	for i := range 30 {
		for _, app := range []*comm.App{a, b} {
			app.RatePerMinute = i + 1
			w.must(w.s.UpdateApp(store.WithActor(w.ctx, comm.Actor{Kind: comm.ActorApp, Name: app.Slug}), app, w.now()))
		}
	}
	middle := w.chain()[31].At
	for name, c := range map[string]struct {
		f    store.AuditFilter
		want int
	}{
		"all": {store.AuditFilter{}, 62}, "app": {store.AuditFilter{App: a.ID}, 31}, "kind": {store.AuditFilter{Actor: comm.ActorApp}, 60}, "name": {store.AuditFilter{Actor: b.Slug}, 30},
		"action": {store.AuditFilter{Action: comm.AuditAppCreated}, 2}, "target": {store.AuditFilter{Target: b.ID.String()}, 31}, "both": {store.AuditFilter{Target: b.ID.String(), App: a.ID}, 0},
		"time": {store.AuditFilter{After: middle - 1, Until: middle + 1, App: b.ID}, 1},
	} {
		n, last := 0, int64(1<<62)
		for c.f.Limit = 7; ; {
			page, err := w.s.AuditList(w.ctx, c.f)
			w.must(err)
			for _, e := range page.Entries {
				if e.Sequence >= last || !c.f.Fits(&e) {
					w.Fatalf("%s: %+v", name, e)
				}
				last = e.Sequence
				n++
			}
			if page.Before == 0 {
				break
			}
			c.f.Before = page.Before
		}
		if n != c.want {
			w.Fatalf("%s: %d entries, want %d", name, n, c.want)
		}
	}
}

func auditRace(w *world) {
	const nodes, each = 6, 20
	var wg sync.WaitGroup
	var errs [nodes]error
	for i := range nodes {
		a := w.app(true)
		wg.Go(func() {
			for n := range each {
				a.RatePerMinute = n + 1
				if errs[i] = w.s.UpdateApp(w.ctx, a, a.UpdatedAt); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		w.must(err)
	}
	if n := len(w.chain()); n != nodes*(each+1) {
		w.Fatalf("%d entries", n)
	}
}

// Tampered is a store whose database can be written past it.
type Tampered struct {
	Store store.Store
	// Exec runs a statement in the database; it may put another Store in place.
	Exec func(statement string) error
}

// Tamper holds a store against somebody who writes past it. Each case opens one;
// free makes the log one that can be changed, which the owner of a database always
// can. verify answers the first broken entry, 0 when all hold.
func Tamper(t *testing.T, open func(t *testing.T) *Tampered, free []string, verify func(s store.Store) (int64, error)) {
	for _, statement := range []string{`UPDATE audit SET target = 'x'`, `DELETE FROM audit`, `DELETE FROM audit WHERE sequence = 3`, `DELETE FROM audit_head`, `UPDATE audit_head SET sequence = 1`} {
		t.Run("refused: "+statement, func(t *testing.T) {
			t.Parallel()
			x := open(t)
			w := &world{T: t, s: x.Store, ctx: t.Context()}
			w.every(w.ctx)
			if err := x.Exec(statement); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%v", err)
			}
			w.s = x.Store
			w.chain()
		})
	}
	const copied = `INSERT INTO audit SELECT %d, at, actor, actor_name, address, request, app_id, action, target, detail, previous, hash FROM audit WHERE sequence = 5`
	first := open(t)
	last := len((&world{T: t, s: first.Store, ctx: t.Context()}).every(t.Context())) // entries of each
	for name, c := range map[string]struct {
		statements []string
		broken     int64
	}{
		"nothing":             {nil, 0},
		"a changed word":      {[]string{`UPDATE audit SET action = 'app_created' WHERE sequence = 4`}, 4},
		"a changed time":      {[]string{`UPDATE audit SET at = at + 1 WHERE sequence = 1`}, 1},
		"a changed actor":     {[]string{`UPDATE audit SET actor = 'system', actor_name = 'x' WHERE sequence = 2`}, 2},
		"moved between words": {[]string{`UPDATE audit SET actor = '', actor_name = actor || actor_name WHERE sequence = 2`}, 2},
		"a changed hash":      {[]string{`UPDATE audit SET hash = previous WHERE sequence = 6`}, 6},
		"the last changed":    {[]string{fmt.Sprintf(`UPDATE audit SET detail = '{"other":true}' WHERE sequence = %d`, last)}, int64(last)},
		"the first removed":   {[]string{`DELETE FROM audit WHERE sequence = 1`}, 1},
		"one removed":         {[]string{`DELETE FROM audit WHERE sequence = 7`}, 7},
		"the last removed":    {[]string{fmt.Sprintf(`DELETE FROM audit WHERE sequence = %d`, last)}, int64(last)},
		"all removed":         {[]string{`DELETE FROM audit`}, 1},
		"one put in":          {[]string{`DELETE FROM audit WHERE sequence = 6`, fmt.Sprintf(copied, 6)}, 6},
		"one put behind":      {[]string{fmt.Sprintf(copied, last+1)}, int64(last + 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := open(t)
			w := &world{T: t, s: x.Store, ctx: t.Context()}
			if n := len(w.every(w.ctx)); n != last {
				t.Fatalf("%d entries, not %d", n, last)
			}
			for _, statement := range slices.Concat(free, c.statements) {
				if err := x.Exec(statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			if got, err := verify(x.Store); err != nil || got != c.broken {
				t.Errorf("broken at %d, want %d: %v", got, c.broken, err)
			}
		})
	}
}
