package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

func endpointCases() []testCase {
	return []testCase{
		{"an endpoint comes back as it was stored", endpointRoundTrip},
		{"a name is one endpoint of an app, also in a race", endpointNames},
		{"an app has a bounded number of endpoints", fullOfEndpoints},
		{"of changes made from one reading of an endpoint one is stored", endpointChangeRace},
		{"what failed is switched off, unless somebody changed it", switchedOff},
		{"an app's webhook is its endpoint named default", defaultEndpoint},
		{"a change of an app does not undo one of its webhook", defaultRace},
		{"a rotation does not bring back what was sealed again", resealedEndpoint},
		{"endpoints of many apps are read at once, those of deleted ones are not", manyEndpoints},
		{"one that cannot be read is read as such, can be replaced and deleted", unreadableEndpoint},
		{"no method shows or changes another app's endpoint", isolateEndpoints},
	}
}

func endpoint(app comm.ID, name string, at comm.Micros) *comm.Endpoint {
	e := &comm.Endpoint{ID: comm.NewID(at), App: app, Name: name, URL: "https://hooks.example.com/in?a=b", Secret: seal.Sealed{KeyID: "k1", Box: []byte{1, 0, 255}}.Pack(), Active: true, CreatedAt: at, UpdatedAt: at}
	if name == comm.DefaultEndpoint {
		e.ID = app
	}
	return e
}

// endpointIs wants an endpoint to be stored as it is here.
func (w *world) endpointIs(want *comm.Endpoint) {
	w.Helper()
	got, err := w.s.Endpoint(w.ctx, want.App, want.ID)
	w.must(err)
	if a, b := fmt.Sprintf("%+v", *want), fmt.Sprintf("%+v", *got); a != b {
		w.Fatalf("\n%s\n%s", a, b)
	}
}

// replaced makes a list of replaced secrets, the newest first.
func replaced(sealed []byte, until comm.Micros, before ...comm.Replaced[[]byte]) []comm.Replaced[[]byte] {
	return slices.Insert(before, 0, comm.Replaced[[]byte]{Secret: sealed, Until: until})
}

func endpointRoundTrip(w *world) {
	a := w.app(true)
	now := w.now()
	e := endpoint(a.ID, "Ünïcode 🌍 'quoted\"", now)
	e.Events, e.Channels, e.Tags = comm.Statuses(), comm.Channels(), []string{"otp", `q"uo,te d`, "ü"}
	e.Replaced, e.Active, e.Disabled, e.DisabledAt = replaced(boxes()[2], now+5, replaced(boxes()[1], now+4)...), false, comm.EndpointGone, now+6
	w.must(w.s.CreateEndpoint(w.ctx, e))
	if e.Version != 1 {
		w.Fatalf("version %d", e.Version)
	}
	w.endpointIs(e)
	plain := endpoint(a.ID, "plain", now)
	w.must(w.s.CreateEndpoint(w.ctx, plain))
	w.endpointIs(plain)
	list, err := w.s.Endpoints(w.ctx, a.ID)
	w.must(err)
	if len(list) != 2 || list[0].Name != "plain" || list[1].Name != e.Name {
		w.Fatalf("%+v", list)
	}
	before, err := w.s.Beat(w.ctx, store.NodeInfo{Node: w.node, Role: "all", Version: "t", Lease: hour})
	w.must(err)
	e.Name, e.URL, e.Events, e.Channels, e.Tags, e.Secret, e.Replaced = "renamed", "https://other.example.com/", nil, nil, nil, e.Replaced[0].Secret, replaced(boxes()[0], now+7)
	e.Active, e.Disabled, e.DisabledAt, e.UpdatedAt = true, "", 0, now+9
	w.must(w.s.UpdateEndpoint(w.ctx, e))
	if e.Version != 2 {
		w.Fatalf("version %d", e.Version)
	}
	w.endpointIs(e)
	if after, err := w.s.Beat(w.ctx, store.NodeInfo{Node: w.node, Role: "all", Version: "t", Lease: hour}); err != nil || after.ConfigVersion == before.ConfigVersion {
		w.Fatalf("the configuration version is %d as before, %v", after.ConfigVersion, err)
	}
	w.must(w.s.DeleteEndpoint(w.ctx, a.ID, e.ID))
	w.wantCode(w.s.DeleteEndpoint(w.ctx, a.ID, e.ID), "not_found")
	w.wantCode(w.s.UpdateEndpoint(w.ctx, e), "not_found")
	_, err = w.s.Endpoint(w.ctx, a.ID, e.ID)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.CreateEndpoint(w.ctx, endpoint(comm.NewID(1), "of nobody", now)), "not_found")
	for name, id := range map[string]comm.ID{comm.DefaultEndpoint: comm.NewID(now), "mine": a.ID} {
		wrong := endpoint(a.ID, "x", now)
		wrong.Name, wrong.ID = name, id
		if err := w.s.CreateEndpoint(w.ctx, wrong); err == nil {
			w.Fatalf("%s with the id %s was stored", name, id)
		}
	}
}

func endpointNames(w *world) {
	a, other := w.app(true), w.app(true)
	now := w.now()
	for _, app := range []*comm.App{a, other} {
		if made := w.atOnce("already_exists", func(int) error { return w.s.CreateEndpoint(w.ctx, endpoint(app.ID, "one", now)) }); made != 1 {
			w.Fatalf("%d of one name", made)
		}
	}
	all := make([]*comm.Endpoint, 8)
	for i := range all {
		all[i] = endpoint(a.ID, fmt.Sprint(i), now)
		w.must(w.s.CreateEndpoint(w.ctx, all[i]))
		all[i].Name = "two"
	}
	if renamed := w.atOnce("already_exists", func(i int) error { return w.s.UpdateEndpoint(w.ctx, all[i]) }); renamed != 1 {
		w.Fatalf("%d have one name", renamed)
	}
	w.chain()
}

func fullOfEndpoints(w *world) {
	a := w.app(true)
	now := w.now()
	var last *comm.Endpoint
	for i := range store.MaxEndpoints - 2 {
		last = endpoint(a.ID, fmt.Sprint(i), now)
		w.must(w.s.CreateEndpoint(w.ctx, last))
	}
	if made := w.atOnce("too_many_endpoints", func(i int) error { return w.s.CreateEndpoint(w.ctx, endpoint(a.ID, fmt.Sprint("late ", i), now)) }); made != 1 {
		w.Fatalf("%d were created where there is room for one", made)
	}
	a.WebhookURL = "https://hooks.example.com/default"
	w.must(w.s.UpdateApp(w.ctx, a, now))
	list, err := w.s.Endpoints(w.ctx, a.ID)
	w.must(err)
	if len(list) != store.MaxEndpoints {
		w.Fatalf("%d endpoints", len(list))
	}
	w.wantCode(w.s.CreateEndpoint(w.ctx, endpoint(a.ID, "one more", now)), "too_many_endpoints")
	w.must(w.s.DeleteEndpoint(w.ctx, a.ID, last.ID))
	w.must(w.s.CreateEndpoint(w.ctx, endpoint(a.ID, "again", now)))
}

func endpointChangeRace(w *world) {
	a := w.app(true)
	e := endpoint(a.ID, "mine", w.now())
	w.must(w.s.CreateEndpoint(w.ctx, e))
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		mine := *e
		mine.URL = fmt.Sprintf("https://example.com/%d", i)
		wg.Go(func() { errs[i] = w.s.UpdateEndpoint(w.ctx, &mine) })
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		if err == nil {
			won = i
			continue
		}
		w.wantKind(err, comm.Conflict)
	}
	got, err := w.s.Endpoint(w.ctx, a.ID, e.ID)
	w.must(err)
	if won < 0 || got.URL != fmt.Sprintf("https://example.com/%d", won) || got.Version != 2 {
		w.Fatalf("%d won: %+v, %v", won, got, errors.Join(errs...))
	}
}

func switchedOff(w *world) {
	a := w.app(true)
	e := endpoint(a.ID, "mine", w.now())
	w.must(w.s.CreateEndpoint(w.ctx, e))
	stale := *e
	e.URL = "https://other.example.com/"
	w.must(w.s.UpdateEndpoint(w.ctx, e))
	if done, err := w.s.SwitchOff(w.ctx, &stale, comm.EndpointGone); err != nil || done {
		w.Fatalf("%v %v", done, err)
	}
	w.endpointIs(e)
	before := w.now()
	if done, err := w.s.SwitchOff(w.ctx, e, comm.EndpointFailed); err != nil || !done {
		w.Fatalf("%v %v", done, err)
	}
	got, err := w.s.Endpoint(w.ctx, a.ID, e.ID)
	w.must(err)
	if got.Active || got.Disabled != comm.EndpointFailed || got.DisabledAt < before-1_000_000 || got.Version != e.Version+1 {
		w.Fatalf("%+v", got)
	}
	for _, again := range []*comm.Endpoint{e, got, endpoint(a.ID, "none", before)} {
		if done, err := w.s.SwitchOff(w.ctx, again, comm.EndpointGone); err != nil || done {
			w.Fatalf("%v %v", done, err)
		}
	}
	if log := w.chain(); log[len(log)-1].Action != comm.AuditEndpointDisabled || log[len(log)-1].Detail != `{"disabled":{"to":"failed"},"name":{"to":"mine"}}` {
		w.Fatalf("%+v", log[len(log)-1])
	}
}

func defaultEndpoint(w *world) {
	a := w.app(true)
	now := w.now()
	none := func(when string) {
		w.Helper()
		list, err := w.s.Endpoints(w.ctx, a.ID)
		w.must(err)
		of, err := w.s.EndpointsOf(w.ctx, []comm.ID{a.ID})
		w.must(err)
		_, err = w.s.Endpoint(w.ctx, a.ID, a.ID)
		w.wantCode(err, "not_found")
		w.wantCode(w.s.DeleteEndpoint(w.ctx, a.ID, a.ID), "not_found")
		w.wantCode(w.s.UpdateEndpoint(w.ctx, endpoint(a.ID, comm.DefaultEndpoint, now)), "not_found")
		if len(list)+len(of) != 0 {
			w.Fatalf("%s: %+v %+v", when, list, of)
		}
	}
	read := func() *comm.App {
		w.Helper()
		got, err := w.s.AppByID(w.ctx, a.ID)
		w.must(err)
		return got
	}
	none("an app without a webhook")
	a.WebhookSecret = boxes()[2]
	w.must(w.s.UpdateApp(w.ctx, a, now))
	none("a secret alone")
	a.WebhookURL = "https://hooks.example.com/1"
	w.must(w.s.UpdateApp(w.ctx, a, now))
	e := &comm.Endpoint{ID: a.ID, App: a.ID, Name: comm.DefaultEndpoint, URL: a.WebhookURL, Secret: boxes()[2], Active: true, Version: 2, CreatedAt: now, UpdatedAt: a.UpdatedAt}
	got, err := w.s.Endpoint(w.ctx, a.ID, a.ID)
	w.must(err)
	e.CreatedAt = got.CreatedAt
	w.endpointIs(e)
	e.Events, e.URL, e.Replaced = []comm.Status{comm.Failed}, "https://hooks.example.com/2", replaced(e.Secret, now+hour, replaced(boxes()[1], now+2*hour)...)
	e.Secret = boxes()[0]
	w.must(w.s.UpdateEndpoint(w.ctx, e))
	if got := read(); got.WebhookURL != e.URL || !bytes.Equal(got.WebhookSecret, boxes()[0]) {
		w.Fatalf("%+v", got)
	}
	_, err = w.s.SwitchOff(w.ctx, e, comm.EndpointGone)
	w.must(err)
	a = read()
	a.WebhookURL = "https://hooks.example.com/3" // another address begins anew, with the filter that was there
	w.must(w.s.UpdateApp(w.ctx, a, now))
	if got, err := w.s.Endpoint(w.ctx, a.ID, a.ID); err != nil || !got.Active || got.Disabled != "" || got.DisabledAt != 0 || len(got.Events) != 1 || len(got.Replaced) != 2 || got.Replaced[1].Until != now+2*hour || !bytes.Equal(got.Secret, boxes()[0]) {
		w.Fatalf("%+v %v", got, err)
	}
	a.WebhookSecret = boxes()[1]
	w.must(w.s.UpdateApp(w.ctx, a, now))
	if got, err := w.s.Endpoint(w.ctx, a.ID, a.ID); err != nil || len(got.Replaced) != 0 || !bytes.Equal(got.Secret, boxes()[1]) || got.URL != a.WebhookURL {
		w.Fatalf("a secret that is set ends those before: %+v %v", got, err)
	}
	a.WebhookURL = ""
	w.must(w.s.UpdateApp(w.ctx, a, now))
	none("the address is removed")
	if got := read(); got.WebhookURL != "" || !bytes.Equal(got.WebhookSecret, boxes()[1]) {
		w.Fatalf("the secret is not remembered: %+v", got)
	}
	again := endpoint(a.ID, comm.DefaultEndpoint, now) // in the place of what is remembered
	w.must(w.s.CreateEndpoint(w.ctx, again))
	w.endpointIs(again)
	w.wantCode(w.s.CreateEndpoint(w.ctx, endpoint(a.ID, comm.DefaultEndpoint, now)), "already_exists")
	w.must(w.s.DeleteEndpoint(w.ctx, a.ID, a.ID))
	if got := read(); got.WebhookURL != "" || got.WebhookSecret != nil || got.WebhookVersion != 0 {
		w.Fatalf("%+v", got)
	}
	first := *a
	first.ID, first.Slug, first.WebhookURL = comm.NewID(now), a.Slug+"-2", "https://hooks.example.com/first"
	created, err := w.s.CreateApp(w.ctx, &first, nil)
	w.must(err)
	if got, err := w.s.Endpoint(w.ctx, first.ID, first.ID); err != nil || !created || got.URL != first.WebhookURL || first.WebhookVersion != got.Version {
		w.Fatalf("%v %+v %v", created, got, err)
	}
}

// defaultRace: an app read before its webhook was changed elsewhere is not written over it, whatever was to be changed.
func defaultRace(w *world) {
	a := w.app(true)
	a.WebhookURL, a.WebhookSecret = "https://hooks.example.com/1", boxes()[0]
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	stale := *a
	e, err := w.s.Endpoint(w.ctx, a.ID, a.ID)
	w.must(err)
	old := *e
	e.URL = "https://hooks.example.com/2"
	w.must(w.s.UpdateEndpoint(w.ctx, e))
	stale.Name = "renamed"
	w.wantKind(w.s.UpdateApp(w.ctx, &stale, w.now()), comm.Conflict)
	fresh, err := w.s.AppByID(w.ctx, a.ID)
	w.must(err)
	fresh.WebhookURL = "https://hooks.example.com/3"
	w.must(w.s.UpdateApp(w.ctx, fresh, w.now()))
	for _, e := range []*comm.Endpoint{&old, e} {
		w.wantKind(w.s.UpdateEndpoint(w.ctx, e), comm.Conflict)
	}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		mine := *fresh
		mine.WebhookURL = fmt.Sprintf("https://example.com/%d", i)
		if i%2 == 0 {
			wg.Go(func() { errs[i] = w.s.UpdateApp(w.ctx, &mine, mine.UpdatedAt) })
			continue
		}
		e := endpoint(a.ID, comm.DefaultEndpoint, w.now())
		e.URL, e.Version = mine.WebhookURL, fresh.WebhookVersion
		wg.Go(func() { errs[i] = w.s.UpdateEndpoint(w.ctx, e) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		w.wantKind(err, comm.Conflict)
	}
	if got, err := w.s.AppByID(w.ctx, a.ID); err != nil || won != 1 || got.WebhookVersion != fresh.WebhookVersion+1 {
		w.Fatalf("%d won: %+v %v", won, got, err)
	}
	w.chain()
}

func resealedEndpoint(w *world) {
	e := endpoint(w.app(true).ID, "mine", w.now())
	sealed := func(key string, box int) seal.Sealed { return seal.Sealed{KeyID: key, Box: boxes()[box]} }
	e.Secret, e.Replaced = sealed("k1", 0).Pack(), replaced(sealed("k1", 1).Pack(), hour, replaced(sealed("k1", 2).Pack(), hour)...)
	w.must(w.s.CreateEndpoint(w.ctx, e))
	stale := *e
	for i, col := range []store.SealedColumn{store.WebhookSecrets(), store.PreviousWebhookSecrets(), store.EarlierWebhookSecrets()} {
		page, err := w.s.SealedAfter(w.ctx, col, comm.ID{}, comm.ID{}, 10)
		w.must(err)
		if len(page) != 1 || page[0].App != e.App || page[0].ID != e.ID || page[0].Value.KeyID != "k1" || !bytes.Equal(page[0].Value.Box, boxes()[i]) {
			w.Fatalf("%+v", page)
		}
		n, err := w.s.Reseal(w.ctx, col, []store.Resealed{{SealedValue: page[0], New: sealed("k2", 2-i)}})
		w.must(err)
		if n != 1 {
			w.Fatalf("%d sealed again", n)
		}
	}
	stale.Secret, stale.Replaced = sealed("k1", 3).Pack(), replaced(stale.Secret, hour) // a rotation
	w.wantKind(w.s.UpdateEndpoint(w.ctx, &stale), comm.Conflict)
	e.Secret, e.Replaced, e.Version = sealed("k2", 2).Pack(), replaced(sealed("k2", 1).Pack(), hour, replaced(sealed("k2", 0).Pack(), hour)...), 4
	w.endpointIs(e)
}

func manyEndpoints(w *world) {
	const n = 60
	ids := []comm.ID{{}, comm.NewID(1)}
	now := w.now()
	for i := range n {
		a := w.app(true)
		ids = append(ids, a.ID)
		for k := range i % 3 {
			e := endpoint(a.ID, fmt.Sprint(9-k), now)
			e.Active = i%2 == 0
			w.must(w.s.CreateEndpoint(w.ctx, e))
		}
	}
	w.must(w.s.CreateEndpoint(w.ctx, endpoint(w.app(true).ID, "nobody asks", now)))
	w.must(w.s.DeleteApp(w.ctx, ids[2+n-1], now))
	list, err := w.s.EndpointsOf(w.ctx, append(ids, ids[n/2:]...))
	w.must(err)
	names := map[comm.ID]string{}
	for i := range list {
		if i > 0 && list[i-1].App != list[i].App && names[list[i].App] != "" {
			w.Fatalf("the endpoints of %s are not together", list[i].App)
		}
		names[list[i].App] += list[i].Name + " "
	}
	for i, id := range ids[2:] {
		want := []string{"", "9 ", "8 9 "}[i%3]
		if i == n-1 {
			want = ""
		}
		if names[id] != want {
			w.Fatalf("app %d has %q, want %q", i, names[id], want)
		}
	}
	if none, err := w.s.EndpointsOf(w.ctx, nil); err != nil || len(none)+len(names[comm.ID{}]) != 0 {
		w.Fatalf("%+v %v", none, err)
	}
}

func isolateEndpoints(w *world) {
	a, b := w.app(true), w.app(true)
	e := endpoint(a.ID, "mine", w.now())
	w.must(w.s.CreateEndpoint(w.ctx, e))
	stolen := *e
	stolen.App, stolen.URL = b.ID, "https://stolen.example.com/"
	_, err := w.s.Endpoint(w.ctx, b.ID, e.ID)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.UpdateEndpoint(w.ctx, &stolen), "not_found")
	w.wantCode(w.s.DeleteEndpoint(w.ctx, b.ID, e.ID), "not_found")
	if done, err := w.s.SwitchOff(w.ctx, &stolen, comm.EndpointGone); err != nil || done {
		w.Fatalf("%v %v", done, err)
	}
	list, err := w.s.Endpoints(w.ctx, b.ID)
	w.must(err)
	of, err := w.s.EndpointsOf(w.ctx, []comm.ID{b.ID})
	w.must(err)
	if len(list)+len(of) != 0 {
		w.Fatalf("%+v %+v", list, of)
	}
	w.endpointIs(e)
}

// foreign is an endpoint as a later version might store it: with words in its filter that this one does not know.
func (w *world) foreign(app comm.ID, name string) *comm.Endpoint {
	w.Helper()
	e := endpoint(app, name, w.now())
	e.Events = []comm.Status{comm.Sent, 200}
	w.must(w.s.CreateEndpoint(w.ctx, e))
	return e
}

func unreadableEndpoint(w *world) {
	a, b := w.app(true), w.app(true)
	good, other := endpoint(a.ID, "good", w.now()), endpoint(b.ID, "other", w.now())
	w.must(w.s.CreateEndpoint(w.ctx, good))
	w.must(w.s.CreateEndpoint(w.ctx, other))
	bad := w.foreign(a.ID, "foreign")
	all, err := w.s.EndpointsOf(w.ctx, []comm.ID{a.ID, b.ID})
	w.must(err)
	list, err := w.s.Endpoints(w.ctx, a.ID)
	w.must(err)
	if len(all) != 3 || len(list) != 2 {
		w.Fatalf("%d and %d endpoints", len(all), len(list))
	}
	for _, e := range append(all, list...) {
		if (e.Unreadable != "") != (e.ID == bad.ID) || e.URL != bad.URL {
			w.Fatalf("%+v", e)
		}
		if e.ID == bad.ID && (!strings.Contains(e.Unreadable, "UNKNOWN") || e.Wants(&comm.Event{From: comm.Queued, To: comm.Sent}, comm.SMS, nil)) {
			w.Fatalf("%+v", e)
		}
	}
	got, err := w.s.Endpoint(w.ctx, a.ID, bad.ID)
	w.must(err)
	got.Events, got.Unreadable = []comm.Status{comm.Failed}, ""
	w.must(w.s.UpdateEndpoint(w.ctx, got))
	w.endpointIs(got)
	w.must(w.s.DeleteEndpoint(w.ctx, a.ID, w.foreign(a.ID, "another").ID))
}
