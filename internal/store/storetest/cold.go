package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func coldCases() []testCase {
	return []testCase{
		{"an app comes back as it was stored", appRoundTrip},
		{"of changes made from one reading one is stored", appChangeRace},
		{"one slug is one app, also in a race", slugRace},
		{"keys are found by hash and rotate in one step", keyRotation},
		{"of rotations at once the last one's key is left", keyRotationRace},
		{"provider configurations keep chain order and versions", providerConfigs},
		{"suppressions are idempotent and exact", suppressions},
		{"a setting is initialised once", settings},
		{"apps page by id", appPages},
		{"an app has a bounded number of configurations", fullOfConfigs},
		{"many apps are read at once with their configurations", manyApps},
	}
}

func appRoundTrip(w *world) {
	a := w.app(true)
	a.Name, a.OnUnknown, a.RatePerMinute, a.ShardSpread, a.QueueDraining = "Ünïcode 🌍 'quoted\"", comm.FailUnknown, 77, 8, true
	a.WebhookURL, a.WebhookSecret, a.AllowedFrom, a.Sandbox = "https://example.com/hook?a=b", []byte{0, 1, 255}, []string{"example.com", "a@b.example"}, false
	a.SMSPerDay, a.SMSPrefixes = 100_000_000, []string{"233", "1"}
	a.SMSPrefixCaps = []comm.SMSCap{{Prefix: "1", PerDay: 100_000_000}, {Prefix: "1900", PerDay: 0}}
	read := a.UpdatedAt
	w.must(w.s.UpdateApp(w.ctx, a, read))
	if a.UpdatedAt != read+1 {
		w.Fatalf("changed at %d, before at %d", a.UpdatedAt, read)
	}
	byID, err := w.s.AppByID(w.ctx, a.ID)
	w.must(err)
	bySlug, err := w.s.AppBySlug(w.ctx, a.Slug)
	w.must(err)
	if want, got := fmt.Sprintf("%+v", *a), fmt.Sprintf("%+v", *byID); want != got {
		w.Fatalf("\n%s\n%s", want, got)
	}
	if fmt.Sprintf("%+v", *bySlug) != fmt.Sprintf("%+v", *byID) {
		w.Fatal("by slug and by id differ")
	}
	for _, name := range []string{"no-such-app", "", "a\x00b", "a\xff", comm.ID{}.String()} {
		_, err = store.AppNamed(w.ctx, w.s, name)
		w.wantCode(err, "not_found")
	}
	_, err = w.s.AppByID(w.ctx, comm.NewID(1))
	w.wantCode(err, "not_found")
	ghost := *a
	ghost.ID = comm.NewID(1)
	w.wantCode(w.s.UpdateApp(w.ctx, &ghost, w.now()), "not_found")
}

// Changes made from one reading: the first one counts, the others learn that they are late.
func appChangeRace(w *world) {
	const rounds, nodes = 10, 6
	a := w.app(true)
	for range rounds {
		before, err := w.s.AppByID(w.ctx, a.ID)
		w.must(err)
		at := w.now()
		errs := make([]error, nodes)
		var wg sync.WaitGroup
		for i := range errs {
			mine := *before
			mine.RatePerMinute = before.RatePerMinute + i + 1
			wg.Go(func() { errs[i] = w.s.UpdateApp(w.ctx, &mine, at) })
		}
		wg.Wait()
		after, err := w.s.AppByID(w.ctx, a.ID)
		w.must(err)
		won := 0
		for i, err := range errs {
			if err != nil {
				w.wantKind(err, comm.Conflict)
				continue
			}
			if won++; after.RatePerMinute != before.RatePerMinute+i+1 {
				w.Fatalf("change %d was answered well and undone: %d -> %d", i, before.RatePerMinute, after.RatePerMinute)
			}
		}
		if won != 1 || after.UpdatedAt <= before.UpdatedAt {
			w.Fatalf("%d changes of one reading, changed at %d, before at %d", won, after.UpdatedAt, before.UpdatedAt)
		}
	}
}

func slugRace(w *world) {
	var created atomic.Int32
	var wg sync.WaitGroup
	var firstErr atomic.Value
	for i := range 12 {
		wg.Go(func() {
			now := comm.At(time.Now())
			a := &comm.App{ID: comm.NewID(now), Slug: "the-slug", Name: fmt.Sprint(i), Active: true, Sandbox: true, RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
			k := key(a.ID, fmt.Sprintf("key-%d", i))
			ok, err := w.s.CreateApp(w.ctx, a, k)
			if err != nil {
				firstErr.Store(err)
			} else if ok {
				created.Add(1)
			} else if _, err := w.s.KeyByHash(w.ctx, k.Hash); err == nil {
				firstErr.Store(fmt.Errorf("the key of an app that was not created is stored"))
			}
		})
	}
	wg.Wait()
	if err := firstErr.Load(); err != nil {
		w.Fatal(err)
	}
	if created.Load() != 1 {
		w.Fatalf("%d apps created", created.Load())
	}
}

func key(app comm.ID, text string) *comm.Key {
	now := comm.At(time.Now())
	return &comm.Key{ID: comm.NewID(now), App: app, Hash: sha256.Sum256([]byte(text)), Prefix: "cs_test_ab", LastFour: "wxyz",
		Scopes: comm.ScopeSend | comm.ScopeRead, Provisioned: true, CreatedAt: now}
}

func keyRotation(w *world) {
	now := comm.At(time.Now())
	a := &comm.App{ID: comm.NewID(now), Slug: "rotating", Name: "x", Active: true, RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	first := key(a.ID, "first")
	created, err := w.s.CreateApp(w.ctx, a, first)
	w.must(err)
	if !created {
		w.Fatal("not created")
	}
	got, err := w.s.KeyByHash(w.ctx, first.Hash)
	w.must(err)
	if *got != *first {
		w.Fatalf("\n%+v\n%+v", got, first)
	}
	second := key(a.ID, "second")
	end := now.Add(time.Hour)
	w.must(w.s.RotateKeys(w.ctx, second, end))
	keys, err := w.s.AppKeys(w.ctx, a.ID)
	w.must(err)
	if len(keys) != 2 || keys[0].RevokedAt != end || keys[1].RevokedAt != 0 {
		w.Fatalf("%+v", keys)
	}
	// A rotation never prolongs a key that was to end earlier.
	third := key(a.ID, "third")
	w.must(w.s.RotateKeys(w.ctx, third, end.Add(time.Hour)))
	if got, err = w.s.KeyByHash(w.ctx, first.Hash); err != nil || got.RevokedAt != end {
		w.Fatalf("%+v %v", got, err)
	}
	_, err = w.s.KeyByHash(w.ctx, sha256.Sum256([]byte("no such key")))
	w.wantCode(err, "not_found")
}

func manyApps(w *world) {
	const n = 300
	want := map[comm.ID]string{}
	ids := []comm.ID{{}, comm.NewID(1)} // neither is an app's
	now := w.now()
	for i := range n {
		a := w.app(i%2 == 0)
		want[a.ID] = fmt.Sprintf("%+v", *a)
		ids = append(ids, a.ID)
		for k := range i % 3 { // those of one app in chain order: the later has the better priority
			w.must(w.s.CreateProviderConfig(w.ctx, config(a.ID, fmt.Sprintf("%03d", 100-k), 100-k, now)))
		}
	}
	other := w.app(true)
	w.must(w.s.CreateProviderConfig(w.ctx, config(other.ID, "nobody asks", 1, now)))
	w.must(w.s.CreateProviderConfig(w.ctx, config(comm.ID{}, "server", 1, now)))
	ids = append(ids, ids[n/2:]...) // half of them twice
	apps, err := w.s.AppsByID(w.ctx, ids)
	w.must(err)
	for i := range apps {
		if want[apps[i].ID] != fmt.Sprintf("%+v", apps[i]) {
			w.Fatalf("%+v, want %s", apps[i], want[apps[i].ID])
		}
		delete(want, apps[i].ID)
	}
	if len(want) != 0 {
		w.Fatalf("%d apps are missing", len(want))
	}
	configs, err := w.s.ProviderConfigs(w.ctx, ids...)
	w.must(err)
	names := map[comm.ID]string{}
	for i := range configs {
		if i > 0 && configs[i-1].App != configs[i].App && names[configs[i].App] != "" {
			w.Fatalf("the configurations of %s are not together", configs[i].App)
		}
		names[configs[i].App] += configs[i].Name + " "
	}
	for i, id := range ids[2 : n+2] {
		if wanted := []string{"", "100 ", "099 100 "}[i%3]; names[id] != wanted {
			w.Fatalf("app %d has %q, want %q", i, names[id], wanted)
		}
	}
	if names[comm.ID{}] != "server " || names[other.ID] != "" {
		w.Fatalf("server-level %q, of another app %q", names[comm.ID{}], names[other.ID])
	}
	none, err := w.s.AppsByID(w.ctx, nil)
	w.must(err)
	if configs, err = w.s.ProviderConfigs(w.ctx); err != nil || len(none)+len(configs) != 0 {
		w.Fatalf("%+v %+v %v", none, configs, err)
	}
}

func keyRotationRace(w *world) {
	const rounds, nodes = 8, 4
	for round := range rounds {
		a := w.app(true)
		end := w.now()
		errs := make([]error, nodes)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = w.s.RotateKeys(w.ctx, key(a.ID, fmt.Sprintf("%d by %d", round, i)), end) })
		}
		wg.Wait()
		w.must(errors.Join(errs...))
		keys, err := w.s.AppKeys(w.ctx, a.ID)
		w.must(err)
		valid := 0
		for _, k := range keys {
			if k.RevokedAt == 0 {
				valid++
			}
		}
		if len(keys) != nodes || valid != 1 {
			w.Fatalf("%d of %d keys are valid", valid, len(keys))
		}
	}
}

func config(app comm.ID, name string, priority int, at comm.Micros) *comm.ProviderConfig {
	return &comm.ProviderConfig{ID: comm.NewID(at), App: app, Type: "SMTP", Channel: comm.Email, Name: name, Priority: priority, Active: true,
		Settings: map[string]string{"host": "mail.example.com", "port": "587"}, Secrets: []byte{1, 2, 3}, KeyID: "k1",
		Limits: comm.ProviderLimits{RatePerSecond: 5, RatePerDay: 1000, MaxConcurrent: 4, Pinned: true}, Version: 1, CreatedAt: at, UpdatedAt: at}
}

func providerConfigs(w *world) {
	a := w.app(false)
	now := w.now()
	young, old, first := config(a.ID, "young", 100, now+2000), config(a.ID, "old", 100, now), config(a.ID, "first", 1, now+1000)
	server := config(comm.ID{}, "server", 1, now)
	for _, c := range []*comm.ProviderConfig{young, old, first, server} {
		w.must(w.s.CreateProviderConfig(w.ctx, c))
	}
	list, err := w.s.ProviderConfigs(w.ctx, a.ID)
	w.must(err)
	if len(list) != 3 || list[0].Name != "first" || list[1].Name != "old" || list[2].Name != "young" {
		w.Fatalf("%+v", list)
	}
	if want, got := fmt.Sprintf("%+v", *first), fmt.Sprintf("%+v", list[0]); want != got {
		w.Fatalf("\n%s\n%s", want, got)
	}
	if list, err = w.s.ProviderConfigs(w.ctx, comm.ID{}); err != nil || len(list) != 1 || list[0].Name != "server" {
		w.Fatalf("%+v %v", list, err)
	}
	stale := *first
	first.Name, first.Active, first.Secrets = "renamed", false, nil
	w.must(w.s.UpdateProviderConfig(w.ctx, first))
	got, err := w.s.ProviderConfig(w.ctx, a.ID, first.ID)
	w.must(err)
	if got.Name != "renamed" || got.Active || got.Version != 2 || got.Secrets != nil {
		w.Fatalf("%+v", got)
	}
	w.wantKind(w.s.UpdateProviderConfig(w.ctx, &stale), comm.Conflict)
	w.must(w.s.DeleteProviderConfig(w.ctx, a.ID, first.ID))
	w.wantCode(w.s.DeleteProviderConfig(w.ctx, a.ID, first.ID), "not_found")
	_, err = w.s.ProviderConfig(w.ctx, a.ID, first.ID)
	w.wantCode(err, "not_found")
}

// fullOfConfigs: whoever creates at the same time finds room for one, for an app and for the server-level chain.
func fullOfConfigs(w *world) {
	for _, app := range []comm.ID{w.app(false).ID, {}} {
		now := w.now()
		for i := range store.MaxProviderConfigs - 1 {
			w.must(w.s.CreateProviderConfig(w.ctx, config(app, fmt.Sprint(i), 1, now)))
		}
		made := w.atOnce("invalid_config", func(i int) error {
			return w.s.CreateProviderConfig(w.ctx, config(app, fmt.Sprint("late ", i), 1, now))
		})
		list, err := w.s.ProviderConfigs(w.ctx, app)
		w.must(err)
		if made != 1 || len(list) != store.MaxProviderConfigs {
			w.Fatalf("%d of them were created, there are %d", made, len(list))
		}
		w.must(w.s.DeleteProviderConfig(w.ctx, app, list[0].ID))
		w.must(w.s.CreateProviderConfig(w.ctx, config(app, "again", 1, now)))
	}
	log, err := w.s.AuditList(w.ctx, store.AuditFilter{Action: comm.AuditProviderCreated, Limit: 1000})
	w.must(err)
	if n := len(log.Entries); n != 2*(store.MaxProviderConfigs+1) {
		w.Fatalf("%d entries in the audit log: one that was refused left its own", n)
	}
}

// atOnce calls fn eight times at once and answers how many succeed; the others must fail with a code.
func (w *world) atOnce(code string, fn func(i int) error) (succeeded int) {
	w.Helper()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			succeeded++
			continue
		}
		w.wantCode(err, code)
	}
	return succeeded
}

func suppressions(w *world) {
	a, b := w.app(true), w.app(true)
	s := store.Suppression{App: a.ID, Channel: comm.SMS, Address: "233241234567", Reason: comm.SuppressUnsubscribed, CreatedAt: w.now()}
	for i, want := range []bool{true, false} {
		if added, err := w.s.Suppress(w.ctx, s); err != nil || added != want {
			w.Fatalf("%d: %v %v", i, added, err)
		}
	}
	for _, c := range []struct {
		app  comm.ID
		ch   comm.Channel
		addr string
		want bool
	}{{a.ID, comm.SMS, s.Address, true}, {b.ID, comm.SMS, s.Address, false}, {a.ID, comm.Email, s.Address, false}, {a.ID, comm.SMS, "23324123456", false}} {
		if got, err := w.s.Suppressed(w.ctx, c.app, c.ch, c.addr); err != nil || got != c.want {
			w.Fatalf("%+v: %v %v", c, got, err)
		}
	}
	if removed, err := w.s.Unsuppress(w.ctx, b.ID, comm.SMS, s.Address); err != nil || removed {
		w.Fatalf("another app removed it: %v %v", removed, err)
	}
	for i, want := range []bool{true, false} {
		if removed, err := w.s.Unsuppress(w.ctx, a.ID, comm.SMS, s.Address); err != nil || removed != want {
			w.Fatalf("%d: %v %v", i, removed, err)
		}
	}
}

func settings(w *world) {
	if v, err := w.s.Setting(w.ctx, "canary"); err != nil || v != "" {
		w.Fatalf("%q %v", v, err)
	}
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = w.s.InitSetting(w.ctx, "canary", fmt.Sprintf("v%d", i)) })
	}
	wg.Wait()
	v, err := w.s.Setting(w.ctx, "canary")
	w.must(err)
	for _, g := range got {
		if g != v || v == "" {
			w.Fatalf("%q, stored %q", got, v)
		}
	}
}

func appPages(w *world) {
	want := map[comm.ID]bool{}
	for range 7 {
		want[w.app(true).ID] = true
	}
	got := map[comm.ID]bool{}
	for after := (comm.ID{}); ; {
		page, err := w.s.AppList(w.ctx, after, 3)
		w.must(err)
		for _, a := range page {
			if a.ID.Compare(after) <= 0 || got[a.ID] {
				w.Fatalf("page out of order: %+v", page)
			}
			got[a.ID], after = true, a.ID
		}
		if len(page) < 3 {
			break
		}
	}
	if len(got) != len(want) {
		w.Fatalf("%d apps, want %d", len(got), len(want))
	}
}
