package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func alertCases() []testCase {
	return []testCase{
		{"what a node says of providers replaces what it said", providerTroubles},
		{"what a node said of providers outlives it", leftTroubles},
		{"of a provider is kept how its breaker is, what it answered, and who says so", troublesInFull},
		{"how calls of providers go is what living nodes said last", strains},
		{"whoever lives and owns the first shard leads", whoLeads},
		{"an alert is written by whoever has read it last", savedAlerts},
		{"open alerts come first, and old ones go", listedAlerts},
		{"endpoints that fail and those that were switched off for it are listed", failingEndpoints},
		{"keys that end soon are listed, revoked and short-lived ones are not", endingKeys},
		{"live apps that nobody sends for are listed", unprovided},
	}
}

// troubled is what nodes say of two configurations.
type troubled struct {
	*world
	app         *comm.App
	own, server *comm.ProviderConfig
}

func newTroubled(w *world) *troubled {
	w.beat(w.node, time.Minute)
	w.beat("node-b", time.Minute)
	a, now := w.app(false), w.now()
	t := &troubled{w, a, config(a.ID, "own", 1, now), config(comm.ID{}, "server's", 1, now)}
	w.must(w.s.CreateProviderConfig(w.ctx, t.own))
	w.must(w.s.CreateProviderConfig(w.ctx, t.server))
	return t
}

// at is so many seconds after an hour ago.
func (t *troubled) at(seconds int) comm.Micros {
	return (t.now()/3600e6-1)*3600e6 + comm.Micros(seconds)*1e6
}

func (t *troubled) ill(c *comm.ProviderConfig, seconds int) store.ProviderTrouble {
	return store.ProviderTrouble{App: c.App, ID: c.ID, Reason: "provider_down", Code: "connect_failed", Since: t.at(seconds)}
}

func (t *troubled) say(node string, list ...store.ProviderTrouble) {
	t.Helper()
	t.must(t.s.SetProviderTroubles(t.ctx, node, list, nil))
}

// list wants exactly these, the newest first.
func (t *troubled) list(want ...store.ProviderTrouble) {
	t.Helper()
	for i := range want {
		c, slug := t.own, t.app.Slug
		if want[i].App.IsZero() {
			c, slug = t.server, ""
		}
		want[i].Name, want[i].Slug, want[i].Type, want[i].Channel = c.Name, slug, c.Type, c.Channel
	}
	all, err := t.s.ProviderTroubles(t.ctx, 10)
	t.must(err)
	named := slices.Clone(all)
	for i := range all { // who says so is for troublesInFull
		all[i].Node = ""
	}
	if !slices.Equal(all, want) {
		t.Fatalf("%v, want %v", all, want)
	}
	if some, err := t.s.ProviderTroubles(t.ctx, 1); err != nil || len(some) != min(1, len(all)) || len(some) > 0 && some[0] != named[0] {
		t.Fatalf("%v %v, the first of %v", some, err, all)
	}
	all = named
	slices.Reverse(all)
	for _, id := range []comm.ID{{}, t.app.ID} { // of one the longest first
		of, err := t.s.TroublesOf(t.ctx, id)
		t.must(err)
		if those := slices.DeleteFunc(slices.Clone(all), func(x store.ProviderTrouble) bool { return x.App != id }); !slices.Equal(of, those) {
			t.Fatalf("one by one %v, together %v", of, those)
		}
	}
}

func providerTroubles(w *world) {
	t := newTroubled(w)
	t.list()
	t.say(w.node, t.ill(t.own, 7), t.ill(t.server, 8))
	t.say("node-b", t.ill(t.own, 5))
	t.list(t.ill(t.server, 8), t.ill(t.own, 7), t.ill(t.own, 5))
	t.say(w.node, t.ill(t.own, 9))
	t.list(t.ill(t.own, 9), t.ill(t.own, 5))
	off := *t.own
	off.Active = false
	w.must(w.s.UpdateProviderConfig(w.ctx, &off))
	t.list()
	w.must(w.s.TrimAlerts(w.ctx, 0))
	t.say(w.node)
	t.say("node-b")
	t.list()
}

func troublesInFull(w *world) {
	t := newTroubled(w)
	one := t.ill(t.own, 7)
	one.Breaker, one.Text, one.NextAt, one.Carried, one.Class = "open", "the connection was refused: “ü”", t.at(9), `[{"name":"ü"}]`, "account"
	t.say(w.node, one)
	for _, node := range []string{w.node, ""} {
		want := one
		want.Node, want.Name, want.Slug, want.Type, want.Channel = node, t.own.Name, t.app.Slug, t.own.Type, t.own.Channel
		of, err := w.s.TroublesOf(w.ctx, t.app.ID)
		w.must(err)
		if !slices.Equal(of, []store.ProviderTrouble{want}) {
			w.Fatalf("%+v, want %+v", of, want)
		}
		w.must(w.s.Leave(w.ctx, w.node)) // nobody answers for it any more
	}
}

func strains(w *world) {
	t := newTroubled(w)
	of := func(app comm.ID, want ...store.ProviderStrain) {
		w.Helper()
		got, err := w.s.StrainsOf(w.ctx, app)
		w.must(err)
		if !slices.Equal(got, want) {
			w.Fatalf("%+v, want %+v", got, want)
		}
	}
	say := func(node string, all ...store.ProviderStrain) {
		w.Helper()
		w.must(w.s.SetProviderStrains(w.ctx, node, all))
	}
	by := func(node string, s store.ProviderStrain) store.ProviderStrain {
		s.Node = node
		return s
	}
	names := []string{w.node, "node-b"}
	slices.Sort(names)
	of(t.app.ID)
	asked := store.ProviderStrain{App: t.app.ID, ID: t.own.ID, ThrottledUntil: t.now() + 3600e6, Calls: 7}
	fails := store.ProviderStrain{App: t.app.ID, ID: t.own.ID, Calls: 40, Failed: 12}
	servers := store.ProviderStrain{ID: t.server.ID, ThrottledUntil: t.now() + 3600e6, Calls: 2, Failed: 1}
	say(names[0], fails)
	say(names[1], asked, servers)
	of(t.app.ID, by(names[0], fails), by(names[1], asked))
	of(comm.ID{}, by(names[1], servers))
	all, err := w.s.ProviderStrains(w.ctx, 10)
	w.must(err)
	if want := []store.ProviderStrain{by(names[1], servers), by(names[0], fails), by(names[1], asked)}; !slices.Equal(all, want) { // in the order of apps
		w.Fatalf("%+v, want %+v", all, want)
	}
	if some, err := w.s.ProviderStrains(w.ctx, 2); err != nil || !slices.Equal(some, all[:2]) {
		w.Fatalf("%+v %v", some, err)
	}
	of(comm.ID{9})
	// A pause that has passed is none, whatever the node has not said since.
	past := fails
	past.ThrottledUntil = t.at(0)
	servers.ThrottledUntil, servers.Failed = t.at(0), 0
	say(names[1], past, servers)
	of(t.app.ID, by(names[0], fails), by(names[1], fails))
	of(comm.ID{})
	w.must(w.s.Leave(w.ctx, names[0]))
	of(t.app.ID, by(names[1], fails))
	w.must(w.s.TrimAlerts(w.ctx, 0))
	w.beat(names[0], time.Minute) // it has forgotten what it said, and says nothing
	of(t.app.ID, by(names[1], fails))
	say(names[1])
	of(t.app.ID)
}

func leftTroubles(w *world) {
	t := newTroubled(w)
	left := func(want ...store.ProviderTrouble) {
		w.Helper()
		all, err := w.s.LeftTroubles(w.ctx, 10)
		w.must(err)
		if !slices.Equal(all, want) {
			w.Fatalf("%v are left, want %v", all, want)
		}
	}
	t.say(w.node, t.ill(t.own, 7), t.ill(t.server, 8))
	t.say("node-b", t.ill(t.own, 5))
	left()
	w.must(w.s.Leave(w.ctx, "node-b")) // nobody knows now whether it is over
	left(t.ill(t.own, 5))
	// What a node leaves to others stays, too, and is as old as it was.
	w.must(w.s.SetProviderTroubles(w.ctx, w.node, []store.ProviderTrouble{t.ill(t.own, 7)}, []store.ProviderTrouble{t.ill(t.server, 8)}))
	w.must(w.s.SetProviderTroubles(w.ctx, w.node, []store.ProviderTrouble{t.ill(t.own, 7)}, []store.ProviderTrouble{t.ill(t.server, 9)}))
	left(t.ill(t.server, 8), t.ill(t.own, 5))
	t.list(t.ill(t.server, 8), t.ill(t.own, 7), t.ill(t.own, 5))
	w.must(w.s.TrimAlerts(w.ctx, 0))
	left(t.ill(t.server, 8), t.ill(t.own, 5))
	w.must(w.s.DropTroubles(w.ctx, []store.ProviderTrouble{t.ill(t.own, 0)})) // what living nodes say is theirs
	left(t.ill(t.server, 8))
	t.list(t.ill(t.server, 8), t.ill(t.own, 7))
	// It counts from when it was left, however long the provider has been down.
	old := t.ill(t.own, -8*86400)
	w.must(w.s.SetProviderTroubles(w.ctx, w.node, nil, []store.ProviderTrouble{old}))
	t.say("node-c", t.ill(t.own, -9*86400)) // its lease has ended
	for range 2 {
		left(t.ill(t.server, 8), t.ill(t.own, -9*86400), old)
		t.list(t.ill(t.server, 8), old, t.ill(t.own, -9*86400))
		w.must(w.s.TrimAlerts(w.ctx, 0))
	}
	w.must(w.s.DropTroubles(w.ctx, []store.ProviderTrouble{old}))
	// When the configuration is switched off, it is over.
	off := *t.server
	off.Active = false
	w.must(w.s.UpdateProviderConfig(w.ctx, &off))
	w.must(w.s.TrimAlerts(w.ctx, 0))
	left()
}

func whoLeads(w *world) {
	led := func(want bool) {
		w.Helper()
		if got, err := w.s.Led(w.ctx); err != nil || got != want {
			w.Fatalf("%v %v, want %v", got, err, want)
		}
	}
	led(false)
	w.beat("node-x", time.Minute)
	led(false)
	won, err := w.s.Take(w.ctx, "node-x", []comm.Shard{0, 1})
	w.must(err)
	led(true)
	w.must(w.s.Release(w.ctx, "node-x", won[:1]))
	led(false)
	w.beat("node-y", time.Minute)
	_, err = w.s.Take(w.ctx, "node-y", []comm.Shard{0})
	w.must(err)
	led(true)
	w.beat("node-y", time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	led(false)
}

func savedAlerts(w *world) {
	a := store.Alert{Kind: "provider_down", Subject: "x", Body: `{"text":"ü"}`, RaisedAt: 5, Told: "{}"}
	save := func(a *store.Alert, want bool) {
		w.Helper()
		if saved, err := w.s.SaveAlert(w.ctx, a); err != nil || saved != want {
			w.Fatalf("saved %v, %v", saved, err)
		}
	}
	save(&a, true)
	late := store.Alert{Kind: a.Kind, Subject: a.Subject, Body: "late", Told: "{}"}
	save(&late, false)
	second := a
	a.ClearedAt, a.Told = 9, `{"webhook":{}}`
	save(&a, true)
	save(&second, false)
	if got, err := w.s.Alert(w.ctx, a.Kind, a.Subject); err != nil || *got != a {
		w.Fatalf("%+v %v, want %+v", got, err, a)
	}
	_, err := w.s.Alert(w.ctx, a.Kind, "y")
	w.wantCode(err, "not_found")
	if all, err := w.s.Alerts(w.ctx, 10); err != nil || len(all) != 1 || all[0] != a || a.Version != 2 {
		w.Fatalf("%+v %v, want %+v", all, err, a)
	}
}

func listedAlerts(w *world) {
	for _, a := range []store.Alert{{Subject: "old", RaisedAt: 1, ClearedAt: 2}, {Subject: "first", RaisedAt: 3}, {Subject: "over", RaisedAt: 4, ClearedAt: 20}, {Subject: "second", RaisedAt: 5}} {
		a.Kind, a.Body, a.Told = "provider_down", "{}", "{}"
		saved, err := w.s.SaveAlert(w.ctx, &a)
		if err != nil || !saved {
			w.Fatalf("%v %v", saved, err)
		}
	}
	list := func(limit int, want string) {
		w.Helper()
		all, err := w.s.Alerts(w.ctx, limit)
		w.must(err)
		var subjects []string
		for _, a := range all {
			subjects = append(subjects, a.Subject)
		}
		if got := strings.Join(subjects, " "); got != want {
			w.Fatalf("%q, want %q", got, want)
		}
	}
	list(10, "second first over old")
	list(3, "second first over")
	w.must(w.s.TrimAlerts(w.ctx, 20))
	list(10, "second first over")
}

func failingEndpoints(w *world) {
	a, now := w.app(true), w.now()
	for _, name := range []string{"well", "rests", "fails", "lately", "gone", "off", comm.DefaultEndpoint} {
		e := endpoint(a.ID, name, now)
		switch name {
		case "gone":
			e.Active, e.Disabled, e.DisabledAt = false, comm.EndpointGone, 44
		case "off":
			e.Active = false
		}
		w.must(w.s.CreateEndpoint(w.ctx, e))
		if name == "rests" { // it asked to be left alone, and does not fail yet
			w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e.ID, RestsUntil: 70}))
		}
		if since := map[string]comm.Micros{"fails": 50, "lately": 100, "off": 30}[name]; since != 0 {
			w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e.ID, Since: since}))
		}
	}
	all, err := w.s.EndpointTroubles(w.ctx, 99, 10)
	w.must(err)
	for limit := range len(all) { // the newest trouble first
		some, err := w.s.EndpointTroubles(w.ctx, 99, limit)
		w.must(err)
		if !slices.Equal(some, all[:limit]) || limit > 0 && all[limit-1].Since < all[limit].Since {
			w.Fatalf("%v of %v", some, all)
		}
	}
	got := map[string]string{}
	for _, t := range all {
		got[t.Name] = fmt.Sprint(t.Slug == a.Slug, t.App == a.ID, t.Disabled, int64(t.Since))
	}
	if want := map[string]string{"fails": fmt.Sprint(true, true, "", 50), "gone": fmt.Sprint(true, true, comm.EndpointGone, 44)}; fmt.Sprint(got) != fmt.Sprint(want) {
		w.Fatalf("%v, want %v", got, want)
	}
}

func endingKeys(w *world) {
	a, now := w.app(true), w.now()
	const day = 24 * time.Hour
	for i, k := range []struct {
		name       string
		life, left time.Duration
		revoked    bool
	}{
		{name: "no end"}, {"soon", 100 * day, day, false}, {"later", 100 * day, 7 * day, false}, {"much later", 100 * day, 7*day + time.Minute, false},
		{"ended", 100 * day, -day, false}, {"ended long ago", 100 * day, -7 * day, false}, {"revoked", 100 * day, day, true},
		{"short", 2 * day, time.Hour, false}, {"less short", 2*day + time.Minute, time.Hour, false}, {"young", 8 * day, 2*day + time.Minute, false}, {"old", 8 * day, 2 * day, false},
	} {
		key := &comm.Key{App: a.ID, ID: comm.NewID(now), Name: k.name, Prefix: "p", LastFour: "1234", Scopes: comm.ScopeSend, CreatedBy: "admin", CreatedAt: now.Add(k.left - k.life)}
		if k.life > 0 {
			key.ExpiresAt = now.Add(k.left)
		}
		if key.Hash[0] = byte(i + 1); k.revoked {
			key.RevokedAt = now
		}
		w.must(w.s.AddKey(w.ctx, key))
	}
	list := func(limit int, want ...string) {
		w.Helper()
		all, err := w.s.KeysEnding(w.ctx, now, 7*day, 2*day, limit)
		w.must(err)
		var got []string
		for _, k := range all {
			if got = append(got, k.Name); k.Slug != a.Slug || k.EndsAt <= k.CreatedAt {
				w.Fatalf("%+v", k)
			}
		}
		if !slices.Equal(got, want) {
			w.Fatalf("%q, want %q", got, want)
		}
	}
	list(10, "later", "old", "soon", "less short", "ended")
	list(2, "later", "old")
}

func unprovided(w *world) {
	list := func(want ...string) {
		w.Helper()
		got, page := []string{}, store.Unprovided{}
		for {
			all, err := w.s.Unprovided(w.ctx, page, 1)
			w.must(err)
			if len(all) == 0 {
				break
			}
			page = all[0]
			got = append(got, page.Slug+" "+page.Channel.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			w.Fatalf("%q, want %q", got, want)
		}
	}
	w.app(true)
	a, b, now := w.app(false), w.app(false), w.now()
	if a.ID.Compare(b.ID) > 0 { // made within a millisecond
		a, b = b, a
	}
	mailA, textA, mailB, textB := a.Slug+" EMAIL", a.Slug+" SMS", b.Slug+" EMAIL", b.Slug+" SMS"
	list(mailA, textA, mailB, textB)
	c := config(a.ID, "its own", 1, now)
	c.Channel = comm.Email
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	list(textA, mailB, textB)
	c.Active = false
	w.must(w.s.UpdateProviderConfig(w.ctx, c))
	list(mailA, textA, mailB, textB)
	c = config(comm.ID{}, "the server's", 1, now)
	c.Channel = comm.SMS
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	list(mailA, mailB)
	c = config(b.ID, "its own", 1, now)
	c.Channel = comm.Email
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	list(mailA)
}
