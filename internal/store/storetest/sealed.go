package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

func sealedCases() []testCase {
	return []testCase{
		{"sealed values are read in pages, those of the server first", sealedPages},
		{"a sealed value is replaced only if it is what was read", resealed},
		{"of two that seal a value again one does", resealRace},
		{"a value that was sealed again is not undone by a change read before", resealedApp},
		{"secrets that were sealed again are not undone by a change read before", resealedConfig},
		{"a setting is swapped by one", swapped},
		{"no value stands without its key's canary", canaries},
		{"values of every column keep their key's canary", canariesOfColumns},
		{"a canary is dropped before a value is stored or after it was seen", canaryRace},
	}
}

// boxes are contents that a column must keep: the shortest, line ends, every byte, a large one.
func boxes() [][]byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return [][]byte{{0}, []byte("a\nb\n"), all, bytes.Repeat([]byte{0xFF, 0}, 8<<10)}
}

func sealedPages(w *world) {
	var want []string
	for i, box := range boxes() {
		owner := comm.ID{}
		if i > 0 {
			owner = w.app(true).ID
		}
		for k := range 3 {
			c := config(owner, fmt.Sprint(i, k), 1, w.now())
			c.Secrets, c.KeyID = box, fmt.Sprintf("k%d", k)
			w.must(w.s.CreateProviderConfig(w.ctx, c))
			want = append(want, fmt.Sprintf("%v %v %s %x", c.App, c.ID, c.KeyID, c.Secrets))
		}
	}
	none := config(comm.ID{}, "without secrets", 1, w.now())
	none.Secrets, none.KeyID = nil, ""
	w.must(w.s.CreateProviderConfig(w.ctx, none))
	for _, limit := range []int{1, 5, 100} {
		var got []string
		var app, id comm.ID
		for {
			page, err := w.s.SealedAfter(w.ctx, store.ProviderSecrets(), app, id, limit)
			w.must(err)
			if len(page) == 0 {
				break
			}
			for _, v := range page {
				got = append(got, fmt.Sprintf("%v %v %s %x", v.App, v.ID, v.Value.KeyID, v.Value.Box))
				app, id = v.App, v.ID
			}
			if len(page) == 1 && limit == 1 && len(got) == 2 { // one that comes while pages are read, behind the cursor, is no harm
				late := config(comm.ID{}, "late", 1, w.now())
				late.ID, late.Secrets, late.KeyID = comm.NewID(1), []byte("late"), "k0"
				w.must(w.s.CreateProviderConfig(w.ctx, late))
				w.must(w.s.DeleteProviderConfig(w.ctx, comm.ID{}, late.ID))
			}
		}
		if a, b := slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want)); !slices.Equal(a, b) {
			w.Fatalf("pages of %d:\n%q\n%q", limit, a, b)
		}
	}
	app := w.app(true)
	app.WebhookSecret = seal.Sealed{KeyID: "k1", Box: boxes()[2]}.Pack()
	w.must(w.s.UpdateApp(w.ctx, app, w.now()))
	page, err := w.s.SealedAfter(w.ctx, store.WebhookSecrets(), comm.ID{}, comm.ID{}, 10)
	w.must(err)
	if len(page) != 1 || page[0].App != app.ID || page[0].ID != app.ID || page[0].Value.KeyID != "k1" || !bytes.Equal(page[0].Value.Box, boxes()[2]) {
		w.Fatalf("%+v", page)
	}
	if page, err = w.s.SealedAfter(w.ctx, store.WebhookSecrets(), app.ID, app.ID, 10); err != nil || len(page) != 0 {
		w.Fatalf("%+v %v", page, err)
	}
}

func resealed(w *world) {
	c := config(w.app(true).ID, "x", 1, w.now())
	c.Secrets, c.KeyID = []byte("old"), "k1"
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	other := config(w.app(true).ID, "other", 1, w.now())
	other.ID, other.Secrets, other.KeyID = c.ID, []byte("old"), "k1" // another app's, with the same id
	w.must(w.s.CreateProviderConfig(w.ctx, other))
	read := store.SealedValue{App: c.App, ID: c.ID, Value: seal.Sealed{KeyID: "k1", Box: []byte("old")}}
	wrongKey, wrongBox, foreign := read, read, read
	wrongKey.Value.KeyID, wrongBox.Value.Box, foreign.App = "k9", []byte("older"), w.app(true).ID
	fresh := seal.Sealed{KeyID: "k2", Box: boxes()[2]}
	n, err := w.s.Reseal(w.ctx, store.ProviderSecrets(), []store.Resealed{{SealedValue: wrongKey, New: fresh}, {SealedValue: wrongBox, New: fresh}, {SealedValue: foreign, New: fresh}})
	w.must(err)
	if n != 0 {
		w.Fatalf("%d replaced", n)
	}
	if n, err = w.s.Reseal(w.ctx, store.ProviderSecrets(), []store.Resealed{{SealedValue: wrongKey, New: fresh}, {SealedValue: read, New: fresh}}); err != nil || n != 1 {
		w.Fatalf("%d %v", n, err)
	}
	got, err := w.s.ProviderConfig(w.ctx, c.App, c.ID)
	w.must(err)
	want := *c
	want.Secrets, want.KeyID = fresh.Box, fresh.KeyID
	if a, b := fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", *got); a != b { // the version too: senders stay open
		w.Fatalf("\n%s\n%s", a, b)
	}
	if got, err = w.s.ProviderConfig(w.ctx, other.App, other.ID); err != nil || string(got.Secrets) != "old" || got.KeyID != "k1" {
		w.Fatalf("another app's: %+v %v", got, err)
	}
}

func resealRace(w *world) {
	c := config(w.app(true).ID, "x", 1, w.now())
	c.Secrets, c.KeyID = []byte("old"), "k1"
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	read := store.SealedValue{App: c.App, ID: c.ID, Value: seal.Sealed{KeyID: "k1", Box: []byte("old")}}
	done := make([]int, 8)
	var wg sync.WaitGroup
	for i := range done {
		wg.Go(func() {
			done[i], _ = w.s.Reseal(w.ctx, store.ProviderSecrets(), []store.Resealed{{SealedValue: read, New: seal.Sealed{KeyID: "k2", Box: fmt.Append(nil, i)}}})
		})
	}
	wg.Wait()
	got, err := w.s.ProviderConfig(w.ctx, c.App, c.ID)
	w.must(err)
	won := slices.Index(done, 1)
	if won < 0 || string(got.Secrets) != fmt.Sprint(won) || slices.Index(done[won+1:], 1) >= 0 {
		w.Fatalf("%v, stored %s", done, got.Secrets)
	}
}

func resealedApp(w *world) {
	a := w.app(true)
	old := seal.Sealed{KeyID: "k1", Box: boxes()[1]}
	a.WebhookSecret = old.Pack()
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	before := *a
	n, err := w.s.Reseal(w.ctx, store.WebhookSecrets(), []store.Resealed{{SealedValue: store.SealedValue{App: a.ID, ID: a.ID, Value: old}, New: seal.Sealed{KeyID: "k2", Box: boxes()[2]}}})
	w.must(err)
	if n != 1 {
		w.Fatalf("%d replaced", n)
	}
	before.Name = "changed"
	w.wantKind(w.s.UpdateApp(w.ctx, &before, w.now()), comm.Conflict)
	got, err := w.s.AppByID(w.ctx, a.ID)
	w.must(err)
	if v := seal.Unpack(got.WebhookSecret); v.KeyID != "k2" || !bytes.Equal(v.Box, boxes()[2]) || got.Name != a.Name || got.WebhookVersion != a.WebhookVersion+1 {
		w.Fatalf("%+v", got)
	}
}

// resealedConfig is a change of a configuration that leaves its secrets as they were read: by
// a process that seals under the new key, what it read under the old one must not come back,
// since no canary would tell of it.
func resealedConfig(w *world) {
	w.s.SealsUnder(seal.Sealed{KeyID: "k1", Box: []byte("1")})
	c := sealedUnder(w, "k1")
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	w.s.SealsUnder(seal.Sealed{KeyID: "k2", Box: []byte("2")})
	rename := func(read *comm.ProviderConfig, name string) error {
		read.Name = name
		return w.s.UpdateProviderConfig(w.ctx, read)
	}
	before, err := w.s.ProviderConfig(w.ctx, c.App, c.ID)
	w.must(err)
	w.must(rename(before, "nothing was sealed again yet"))
	n, err := w.s.Reseal(w.ctx, store.ProviderSecrets(), []store.Resealed{{SealedValue: store.SealedValue{App: c.App, ID: c.ID, Value: seal.Sealed{KeyID: "k1", Box: []byte("box")}}, New: seal.Sealed{KeyID: "k2", Box: []byte("new")}}})
	if w.must(err); n != 1 {
		w.Fatalf("%d sealed again", n)
	}
	_, err = w.s.DropCanaries(w.ctx, "k2")
	w.must(err)
	w.wantKind(rename(before, "read before"), comm.Conflict)
	got, err := w.s.ProviderConfig(w.ctx, c.App, c.ID)
	w.must(err)
	if got.KeyID != "k2" || string(got.Secrets) != "new" || !slices.Equal(canaryKeys(w), []string{"k2"}) {
		w.Fatalf("%+v, canaries %q", got, canaryKeys(w))
	}
	w.must(rename(got, "read again"))
	got.Secrets, got.KeyID = nil, ""
	w.must(rename(got, "without secrets"))
	w.chain()
}

func swapped(w *world) {
	if ok, err := w.s.SwapSetting(w.ctx, "x", "a", "b"); err != nil || ok {
		w.Fatalf("%v %v", ok, err)
	}
	_, err := w.s.InitSetting(w.ctx, "x", "a")
	w.must(err)
	done := make([]bool, 8)
	var wg sync.WaitGroup
	for i := range done {
		wg.Go(func() { done[i], _ = w.s.SwapSetting(w.ctx, "x", "a", fmt.Sprintf("Ü%d", i)) })
	}
	wg.Wait()
	v, err := w.s.Setting(w.ctx, "x")
	w.must(err)
	won := slices.Index(done, true)
	if won < 0 || v != fmt.Sprintf("Ü%d", won) || slices.Index(done[won+1:], true) >= 0 {
		w.Fatalf("%v, stored %q", done, v)
	}
	for _, value := range []string{"", v} {
		if ok, err := w.s.SwapSetting(w.ctx, "x", v, value); err == nil || ok {
			w.Fatalf("%q: %v %v", value, ok, err)
		}
	}
}

// canaryKeys are the keys that have canaries now, sorted.
func canaryKeys(w *world) (ids []string) {
	text, err := w.s.Setting(w.ctx, store.CanarySetting)
	w.must(err)
	all, err := seal.ParseCanaries(text)
	w.must(err)
	for _, c := range all {
		ids = append(ids, c.KeyID)
	}
	slices.Sort(ids)
	return ids
}

func sealedUnder(w *world, key string) *comm.ProviderConfig {
	c := config(comm.ID{}, "x", 1, w.now())
	c.Secrets, c.KeyID = []byte("box"), key
	return c
}

func canaries(w *world) {
	want := func(when string, ids ...string) {
		if got := canaryKeys(w); !slices.Equal(got, ids) {
			w.Fatalf("%s: %q, want %q", when, got, ids)
		}
	}
	w.s.SealsUnder(seal.Sealed{KeyID: "k1", Box: []byte{0, 255, ','}})
	want("nothing is sealed")
	none := config(comm.ID{}, "none", 1, w.now())
	none.Secrets, none.KeyID = nil, ""
	w.must(w.s.CreateProviderConfig(w.ctx, none))
	want("a configuration without secrets")
	c := sealedUnder(w, "k1")
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	want("the first value", "k1")
	w.s.SealsUnder(seal.Sealed{KeyID: "k2", Box: []byte("2")})
	drop := func(first string, kept ...string) {
		if got, err := w.s.DropCanaries(w.ctx, first); err != nil || !slices.Equal(got, kept) {
			w.Fatalf("kept %q, want %q (%v)", got, kept, err)
		}
	}
	drop("k2", "k1")
	want("a value is under it", "k1")
	n, err := w.s.Reseal(w.ctx, store.ProviderSecrets(), []store.Resealed{{SealedValue: store.SealedValue{App: c.App, ID: c.ID, Value: seal.Sealed{KeyID: "k1", Box: []byte("box")}}, New: seal.Sealed{KeyID: "k2", Box: []byte("new")}}})
	if w.must(err); n != 1 {
		w.Fatalf("%d sealed again", n)
	}
	want("sealed again", "k1", "k2")
	drop("k2")
	want("nothing is under the old key", "k2")
	// A node one step behind stores a value under the old key all the same.
	w.s.SealsUnder(seal.Sealed{KeyID: "k1", Box: []byte("1")})
	a := w.app(true)
	a.WebhookSecret = seal.Sealed{KeyID: "k1", Box: []byte("hook")}.Pack()
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	want("a secret of a webhook", "k1", "k2")
	drop("k2", "k1")
	want("which is a value", "k1", "k2")
	a.WebhookSecret = nil
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	drop("k", "k2")
	want("the value of k2 is left, k1 is the beginning of nothing", "k2")
	got, err := w.s.ProviderConfig(w.ctx, c.App, c.ID)
	w.must(err)
	got.Secrets, got.KeyID = []byte("again"), "k1"
	w.must(w.s.UpdateProviderConfig(w.ctx, got))
	want("a configuration is changed", "k1", "k2")
	w.chain()
}

// canariesOfColumns stores a first value in each column, each under a key of its own.
func canariesOfColumns(w *world) {
	app := w.app(true)
	puts := map[string]func(seal.Sealed) error{
		store.ProviderSecrets().Name(): func(v seal.Sealed) error {
			c := config(app.ID, "x", 1, w.now())
			c.Secrets, c.KeyID = v.Box, v.KeyID
			return w.s.CreateProviderConfig(w.ctx, c)
		},
		store.WebhookSecrets().Name(): func(v seal.Sealed) error {
			app.WebhookSecret = v.Pack()
			return w.s.UpdateApp(w.ctx, app, w.now())
		},
		store.PreviousWebhookSecrets().Name(): func(v seal.Sealed) error {
			e := endpoint(app.ID, "rotated", w.now())
			e.Secret, e.Replaced = nil, replaced(v.Pack(), w.now())
			return w.s.CreateEndpoint(w.ctx, e)
		},
		store.EarlierWebhookSecrets().Name(): func(v seal.Sealed) error {
			e := endpoint(app.ID, "rotated twice", w.now())
			e.Secret, e.Replaced = nil, replaced(nil, 0, replaced(v.Pack(), w.now())...)
			return w.s.CreateEndpoint(w.ctx, e)
		},
		store.ErasedAddresses().Name(): func(v seal.Sealed) error {
			now := w.now()
			return w.s.CreateErasure(w.ctx, &store.Erasure{App: app.ID, ID: comm.NewID(now), Channel: comm.SMS, Sealed: &v, Actor: comm.ActorApp, Stage: store.ErasureMarked, CreatedAt: now, UpdatedAt: now})
		},
		store.SecondFactors().Name(): func(v seal.Sealed) error {
			u := w.user("ama")
			u.Factor = v.Pack()
			return w.s.CreateUser(w.ctx, u)
		},
		store.HashKeys().Name(): func(v seal.Sealed) error {
			_, err := w.s.HashKey(w.ctx, comm.ID{15: 1}, v)
			return err
		},
	}
	for i, col := range store.SealedColumns() {
		key := fmt.Sprint("k", i)
		w.s.SealsUnder(seal.Sealed{KeyID: key, Box: []byte("canary")})
		w.must(puts[col.Name()](seal.Sealed{KeyID: key, Box: []byte("box")}))
		if got := canaryKeys(w); !slices.Contains(got, key) {
			w.Fatalf("a value of %s stands under %s, the canaries are of %q", col.Name(), key, got)
		}
	}
	w.chain()
}

func canaryRace(w *world) {
	w.s.SealsUnder(seal.Sealed{KeyID: "k1", Box: []byte("1")})
	_, err := w.s.InitSetting(w.ctx, store.CanarySetting, seal.Canaries{{KeyID: "k1", Box: []byte("1")}, {KeyID: "k2", Box: []byte("2")}}.String())
	w.must(err)
	for round := range 20 {
		c := sealedUnder(w, "k1")
		var wg sync.WaitGroup
		errs := make([]error, 3)
		wg.Go(func() { errs[0] = w.s.CreateProviderConfig(w.ctx, c) })
		wg.Go(func() { _, errs[1] = w.s.DropCanaries(w.ctx, "k2") })
		wg.Go(func() { _, errs[2] = w.s.DropCanaries(w.ctx, "k2") })
		wg.Wait()
		for _, err := range errs {
			w.must(err)
		}
		if got := canaryKeys(w); !slices.Contains(got, "k1") {
			w.Fatalf("round %d: a value under k1, canaries %q", round, got)
		}
		w.must(w.s.DeleteProviderConfig(w.ctx, c.App, c.ID))
	}
}
