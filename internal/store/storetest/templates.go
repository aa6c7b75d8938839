package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func templateCases() []testCase {
	return []testCase{
		{"a template comes back as it was stored", templateRoundTrip},
		{"a key is one template of an app, also in a race", templateKeys},
		{"of changes made from one reading one is stored", templateRace},
		{"versions never change, and the oldest go", templateVersions},
		{"what is deleted is gone with its versions, and its key is free", templateDeletion},
		{"pages stay stable while templates arrive, and end by their size", templatePages},
		{"no method shows or changes another app's template", isolateTemplates},
	}
}

const mostTemplates, keptVersions = 10_000, 100

// template makes one with the content of an email.
func (w *world) template(app comm.ID, key string) *comm.Template {
	w.Helper()
	t := newTemplate(app, key)
	w.must(w.s.CreateTemplate(w.ctx, t, mostTemplates))
	return t
}

func newTemplate(app comm.ID, key string) *comm.Template {
	now := comm.At(time.Now())
	return &comm.Template{App: app, ID: comm.NewID(now), Key: key, Channel: comm.Email, Name: "Name of " + key,
		Current: comm.TemplateVersion{Version: 1, Subject: "Hello {{name}}", Body: "<p>{{name}}</p>", Text: "{{name}}", CreatedAt: now}, CreatedAt: now, UpdatedAt: now}
}

func (w *world) same(got, want any) {
	w.Helper()
	if g, n := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != n {
		w.Fatalf("\n%.500s\n%.500s", g, n)
	}
}

func templateRoundTrip(w *world) {
	a := w.app(true)
	now := comm.At(time.Now())
	largest := comm.Template{App: a.ID, ID: comm.NewID(now), Key: strings.Repeat("k", 100), Channel: comm.SMS, Name: "Ünïcode 🌍 'quoted\" \\ %_", CreatedAt: now, UpdatedAt: now,
		Current: comm.TemplateVersion{Version: 1, Subject: strings.Repeat("é", 499), Body: strings.Repeat("👋\r\n\t'", 20_000), Text: strings.Repeat("x", 256<<10), CreatedAt: now + 1}}
	smallest := comm.Template{App: a.ID, ID: comm.NewID(now), Key: "K", Channel: comm.Email, Current: comm.TemplateVersion{Version: 1}}
	for _, t := range []*comm.Template{&largest, &smallest} {
		w.must(w.s.CreateTemplate(w.ctx, t, mostTemplates))
		got, err := w.s.Template(w.ctx, a.ID, t.ID)
		w.must(err)
		w.same(*got, *t)
		byKey, err := w.s.TemplateByKey(w.ctx, a.ID, t.Key)
		w.must(err)
		w.same(*byKey, *t)
		v, err := w.s.TemplateVersion(w.ctx, a.ID, t.ID, 1)
		w.must(err)
		w.same(*v, t.Current)
	}
	_, err := w.s.Template(w.ctx, a.ID, comm.NewID(1))
	w.wantCode(err, "not_found")
	for _, key := range []string{"", "k", "none"} { // keys differ by case
		_, err = w.s.TemplateByKey(w.ctx, a.ID, key)
		w.wantCode(err, "not_found")
	}
	_, err = w.s.TemplateVersion(w.ctx, a.ID, largest.ID, 2)
	w.wantCode(err, "not_found")
	_, err = w.s.TemplateVersions(w.ctx, a.ID, comm.NewID(1))
	w.wantCode(err, "not_found")
	third := smallest
	third.ID, third.Key = comm.NewID(now), "third"
	w.wantCode(w.s.CreateTemplate(w.ctx, &third, 2), "too_many_templates")
	w.must(w.s.CreateTemplate(w.ctx, &third, 3))
	made := w.atOnce("too_many_templates", func(i int) error { // there is room for one
		late := third
		late.ID, late.Key = comm.NewID(now), fmt.Sprint("late", i)
		return w.s.CreateTemplate(w.ctx, &late, 4)
	})
	if made != 1 {
		w.Fatalf("%d templates were created where there is room for one", made)
	}
}

func templateKeys(w *world) {
	a := w.app(true)
	var made atomic.Int32
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			t := &comm.Template{App: a.ID, ID: comm.NewID(comm.At(time.Now())), Key: "one", Channel: comm.SMS, Name: fmt.Sprint(i), Current: comm.TemplateVersion{Version: 1, Body: fmt.Sprint(i)}}
			if errs[i] = w.s.CreateTemplate(w.ctx, t, mostTemplates); errs[i] == nil {
				made.Add(1)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			w.wantCode(err, "template_key_taken")
		}
	}
	got, err := w.s.TemplateByKey(w.ctx, a.ID, "one")
	w.must(err)
	if made.Load() != 1 || got.Name != got.Current.Body {
		w.Fatalf("%d made, %+v", made.Load(), got)
	}
	w.template(w.app(true).ID, "one") // of another app
}

func templateRace(w *world) {
	a := w.app(true)
	t := w.template(a.ID, "raced")
	for range 5 {
		before, err := w.s.Template(w.ctx, a.ID, t.ID)
		w.must(err)
		errs := make([]error, 5)
		at := before.UpdatedAt
		var wg sync.WaitGroup
		for i := range errs {
			mine := *before
			mine.Name = fmt.Sprint("by ", i)
			next := comm.TemplateVersion{Version: before.Current.Version + 1, Subject: mine.Name, Body: mine.Name, CreatedAt: at}
			wg.Go(func() { errs[i] = w.s.UpdateTemplate(w.ctx, &mine, &next, keptVersions, at) })
		}
		wg.Wait()
		after, err := w.s.Template(w.ctx, a.ID, t.ID)
		w.must(err)
		won := 0
		for i, err := range errs {
			if err != nil {
				w.wantKind(err, comm.Conflict)
				continue
			}
			if won++; after.Name != fmt.Sprint("by ", i) || after.Current.Body != after.Name {
				w.Fatalf("change %d was answered well and undone: %+v", i, after)
			}
		}
		if won != 1 || after.Current.Version != before.Current.Version+1 || after.UpdatedAt != before.UpdatedAt+1 {
			w.Fatalf("%d changes of one reading: %+v", won, after)
		}
	}
}

func templateVersions(w *world) {
	a := w.app(true)
	t := w.template(a.ID, "many")
	other := w.template(a.ID, "other")
	want := []comm.TemplateVersion{t.Current}
	for n := 2; n <= 6; n++ {
		v := comm.TemplateVersion{Version: n, Subject: fmt.Sprint("s", n), Body: fmt.Sprint("b", n), Text: fmt.Sprint("t", n), CreatedAt: t.UpdatedAt + 5}
		w.must(w.s.UpdateTemplate(w.ctx, t, &v, 4, t.UpdatedAt+5))
		want = append(want, v)
	}
	t.Name = "renamed"
	w.must(w.s.UpdateTemplate(w.ctx, t, nil, 4, w.now()))
	got, err := w.s.Template(w.ctx, a.ID, t.ID)
	w.must(err)
	w.same(*got, *t)
	if got.Name != "renamed" || got.Current != want[5] {
		w.Fatalf("%+v", got)
	}
	list, err := w.s.TemplateVersions(w.ctx, a.ID, t.ID)
	w.must(err)
	if len(list) != 4 {
		w.Fatalf("%d versions are kept", len(list))
	}
	for i, v := range list {
		kept := want[5-i]
		one, err := w.s.TemplateVersion(w.ctx, a.ID, t.ID, v.Version)
		w.must(err)
		w.same(*one, kept)
		kept.Body, kept.Text = "", ""
		w.same(v, kept)
	}
	_, err = w.s.TemplateVersion(w.ctx, a.ID, t.ID, 2)
	w.wantCode(err, "not_found")
	if list, err := w.s.TemplateVersions(w.ctx, a.ID, other.ID); err != nil || len(list) != 1 {
		w.Fatalf("%+v %v", list, err)
	}
}

func templateDeletion(w *world) {
	a := w.app(true)
	t, other := w.template(a.ID, "gone"), w.template(a.ID, "stays")
	w.must(w.s.DeleteTemplate(w.ctx, a.ID, t.ID))
	w.wantCode(w.s.DeleteTemplate(w.ctx, a.ID, t.ID), "not_found")
	w.wantCode(w.s.UpdateTemplate(w.ctx, t, nil, keptVersions, w.now()), "not_found")
	_, err := w.s.TemplateByKey(w.ctx, a.ID, "gone")
	w.wantCode(err, "not_found")
	_, err = w.s.TemplateVersion(w.ctx, a.ID, t.ID, 1)
	w.wantCode(err, "not_found")
	again := w.template(a.ID, "gone")
	if list, err := w.s.TemplateVersions(w.ctx, a.ID, again.ID); err != nil || len(list) != 1 || list[0].Version != 1 {
		w.Fatalf("%+v %v", list, err)
	}
	if _, err := w.s.TemplateVersion(w.ctx, a.ID, other.ID, 1); err != nil {
		w.Fatal(err)
	}
}

// templatePagesOf walks all pages and answers the keys.
func (w *world) templatePagesOf(app comm.ID, f store.TemplateFilter, between func()) (keys []string, pages int) {
	w.Helper()
	for {
		page, more, err := w.s.TemplateList(w.ctx, app, f)
		w.must(err)
		if pages++; len(page) > f.Limit || more && len(page) == 0 {
			w.Fatalf("%d templates, limit %d, more %v", len(page), f.Limit, more)
		}
		for _, t := range page {
			keys = append(keys, t.Key)
			f.Before = t.ID
		}
		if !more {
			return keys, pages
		}
		between()
	}
}

func templatePages(w *world) {
	a := w.app(true)
	var want, sms []string
	at := comm.At(time.Now()).Add(-time.Hour)
	create := func(key string, ch comm.Channel, body string) {
		at = at.Add(time.Millisecond)
		w.must(w.s.CreateTemplate(w.ctx, &comm.Template{App: a.ID, ID: comm.NewID(at), Key: key, Channel: ch, Current: comm.TemplateVersion{Version: 1, Body: body}}, mostTemplates))
	}
	for i := range 12 {
		key, ch := fmt.Sprint("k", i), comm.Channels()[i%2]
		create(key, ch, "b")
		want = append(want, key)
		if ch == comm.SMS {
			sms = append(sms, key)
		}
	}
	slices.Reverse(want)
	slices.Reverse(sms)
	late := 0
	arrive := func() { late++; create(fmt.Sprint("late", late), comm.SMS, "b") }
	quiet := func() {}
	if got, pages := w.templatePagesOf(a.ID, store.TemplateFilter{Limit: 5}, arrive); !slices.Equal(got, want) || pages != 3 {
		w.Fatalf("%v on %d pages, want %v", got, pages, want)
	}
	before, err := w.s.TemplateByKey(w.ctx, a.ID, "late1")
	w.must(err)
	if got, _ := w.templatePagesOf(a.ID, store.TemplateFilter{Limit: 4, Channel: comm.SMS, Before: before.ID}, quiet); !slices.Equal(got, sms) {
		w.Fatalf("%v, want %v", got, sms)
	}
	for key, n := range map[string]int{"k3": 1, "K3": 0} {
		if got, _ := w.templatePagesOf(a.ID, store.TemplateFilter{Limit: 4, Key: key, Channel: comm.Channels()[1]}, quiet); len(got) != n {
			w.Fatalf("%s: %v", key, got)
		}
	}
	large := w.app(true)
	a = large
	for i := range 5 {
		create(fmt.Sprint("large", i), comm.Email, strings.Repeat("x", store.TemplatePageBytes/2))
	}
	if got, pages := w.templatePagesOf(large.ID, store.TemplateFilter{Limit: 100}, quiet); len(got) != 5 || pages != 3 {
		w.Fatalf("%v on %d pages", got, pages)
	}
}

func isolateTemplates(w *world) {
	a, b := w.app(true), w.app(true)
	t := w.template(a.ID, "mine")
	_, err := w.s.Template(w.ctx, b.ID, t.ID)
	w.wantCode(err, "not_found")
	_, err = w.s.TemplateByKey(w.ctx, b.ID, t.Key)
	w.wantCode(err, "not_found")
	_, err = w.s.TemplateVersions(w.ctx, b.ID, t.ID)
	w.wantCode(err, "not_found")
	_, err = w.s.TemplateVersion(w.ctx, b.ID, t.ID, 1)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.DeleteTemplate(w.ctx, b.ID, t.ID), "not_found")
	stolen := *t
	stolen.App, stolen.Name = b.ID, "stolen"
	next := comm.TemplateVersion{Version: 2, Body: "stolen"}
	w.wantCode(w.s.UpdateTemplate(w.ctx, &stolen, &next, keptVersions, w.now()), "not_found")
	if page, more, err := w.s.TemplateList(w.ctx, b.ID, store.TemplateFilter{Limit: 10}); err != nil || more || len(page) != 0 {
		w.Fatalf("%+v %v %v", page, more, err)
	}
	got, err := w.s.Template(w.ctx, a.ID, t.ID)
	w.must(err)
	w.same(*got, *t)
}
