package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func suppressionCases() []testCase {
	return []testCase{
		{"suppressions keep every column, empty and largest", suppressionColumns},
		{"a slice of suppressions counts the new ones", suppressionSlice},
		{"suppression pages by every filter, while rows arrive", suppressionPages},
		{"every suppression is read once in order of address", suppressionsAfter},
	}
}

func suppressionColumns(w *world) {
	a := w.app(true)
	for _, s := range []store.Suppression{
		{Channel: comm.SMS, Address: "233241234567", Reason: comm.SuppressManual, Source: comm.SuppressByAPI},
		{Channel: comm.Email, Address: strings.Repeat("x", 250) + "@example.org", Reason: comm.SuppressUnsubscribed, Source: comm.SuppressByImport, Note: strings.Repeat("ŋ€𝄞", 20)},
	} {
		s.App, s.CreatedAt = a.ID, w.now()
		if added, err := w.s.Suppress(w.ctx, s); err != nil || !added {
			w.Fatalf("%v %v", added, err)
		}
		got, err := w.s.Suppression(w.ctx, a.ID, s.Channel, s.Address)
		w.must(err)
		if *got != s {
			w.Fatalf("%+v, want %+v", got, s)
		}
		_, err = w.s.Suppression(w.ctx, w.app(true).ID, s.Channel, s.Address)
		w.wantCode(err, "not_found")
	}
}

func suppressionSlice(w *world) {
	a, b := w.app(true), w.app(true)
	entry := func(app comm.ID, n int) store.Suppression {
		return store.Suppression{App: app, Channel: comm.SMS, Address: fmt.Sprintf("23324%07d", n), Reason: comm.SuppressManual, Source: comm.SuppressByImport, CreatedAt: w.now()}
	}
	first := entry(a.ID, 7)
	first.Note = "first"
	all := []store.Suppression{first, entry(a.ID, 7), entry(b.ID, 7)}
	for n := range store.SuppressMost - len(all) {
		all = append(all, entry(a.ID, 1000-n))
	}
	for i, want := range []int{store.SuppressMost - 1, 0} { // one is there twice
		if added, err := w.s.SuppressAll(w.ctx, all); err != nil || added != want {
			w.Fatalf("%d: %d %v", i, added, err)
		}
	}
	if _, err := w.s.SuppressAll(w.ctx, append(all, first)); err == nil {
		w.Fatal("a transaction without bounds")
	}
	if added, err := w.s.SuppressAll(w.ctx, nil); err != nil || added != 0 {
		w.Fatalf("nothing: %d %v", added, err)
	}
	asked := []string{all[5].Address, "233200000000", first.Address, all[5].Address, "'"}
	if listed, err := w.s.SuppressedOf(w.ctx, a.ID, comm.SMS, asked); err != nil || len(listed) != 2 || !slices.Contains(listed, first.Address) || !slices.Contains(listed, all[5].Address) {
		w.Fatalf("of %q: %q %v", asked, listed, err)
	}
	for _, app := range []comm.ID{b.ID, w.app(true).ID} { // another app's list, channel, and none
		listed, err := w.s.SuppressedOf(w.ctx, app, comm.SMS, asked[:2])
		mail, also := w.s.SuppressedOf(w.ctx, a.ID, comm.Email, asked)
		if none, err := w.s.SuppressedOf(w.ctx, a.ID, comm.SMS, nil); err != nil || also != nil || len(listed)+len(mail)+len(none) != 0 {
			w.Fatalf("%q %q %q %v %v", listed, mail, none, err, also)
		}
		w.must(err)
	}
	got, err := w.s.Suppression(w.ctx, a.ID, comm.SMS, first.Address)
	w.must(err)
	if got.Note != "first" {
		w.Fatalf("%+v", got)
	}
}

// fillSuppressions makes 40 of an app: every channel and reason, four of each instant.
func (w *world) fillSuppressions(app comm.ID) (all []store.Suppression) {
	reasons := comm.SuppressionReasons()
	for n := range 40 {
		s := store.Suppression{App: app, Channel: comm.SMS, Address: fmt.Sprintf("23324%07d", n*7919%1000), Reason: reasons[n/2%len(reasons)].Code,
			Source: comm.SuppressByImport, CreatedAt: comm.Micros(1_795_000_000_000_000 + n/4*1000)}
		if n%2 == 0 {
			s.Channel, s.Address = comm.Email, s.Address+"@example.org"
		}
		all = append(all, s)
	}
	_, err := w.s.SuppressAll(w.ctx, all)
	w.must(err)
	return all
}

func suppressionPages(w *world) {
	a, b := w.app(true), w.app(true)
	all := w.fillSuppressions(a.ID)
	w.fillSuppressions(b.ID)
	for i, f := range []store.SuppressionFilter{{}, {Channel: comm.SMS}, {Reason: comm.SuppressComplaint}, {Channel: comm.Email, Reason: comm.SuppressManual},
		{CreatedAfter: all[8].CreatedAt}, {CreatedBefore: all[20].CreatedAt}, {CreatedAfter: all[8].CreatedAt + 1, CreatedBefore: all[20].CreatedAt + 1}, {Reason: "nothing"}} {
		want := map[string]bool{}
		for _, s := range all {
			if (f.Channel == 0 || f.Channel == s.Channel) && (f.Reason == "" || f.Reason == s.Reason) &&
				(f.CreatedAfter == 0 || s.CreatedAt.Millis() > f.CreatedAfter.Millis()) && (f.CreatedBefore == 0 || s.CreatedAt.Millis() <= (f.CreatedBefore-1).Millis()) {
				want[s.Address] = true
			}
		}
		f.Limit = 3
		seen := map[string]bool{}
		for page := 0; ; page++ {
			list, err := w.s.SuppressionList(w.ctx, a.ID, f)
			w.must(err)
			for j := range list {
				s := &list[j]
				if !want[s.Address] || seen[s.Address] || s.App != a.ID || f.Before != nil && s.CreatedAt > f.Before.CreatedAt {
					w.Fatalf("filter %d: %+v", i, s)
				}
				seen[s.Address], f.Before = true, s
			}
			if len(list) < f.Limit {
				break
			}
			_, err = w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: comm.SMS, Address: fmt.Sprintf("4477%d%05d", i, page), Reason: comm.SuppressManual, CreatedAt: w.now()})
			w.must(err) // newer than every page
		}
		if len(seen) != len(want) {
			w.Fatalf("filter %d: %d of %d", i, len(seen), len(want))
		}
		removeArrived(w, a.ID, i)
	}
}

// removeArrived takes off what arrived while filter i was paged.
func removeArrived(w *world, app comm.ID, i int) {
	for page := range 20 {
		_, err := w.s.Unsuppress(w.ctx, app, comm.SMS, fmt.Sprintf("4477%d%05d", i, page))
		w.must(err)
	}
}

func suppressionsAfter(w *world) {
	a := w.app(true)
	all := w.fillSuppressions(a.ID)
	w.fillSuppressions(w.app(true).ID)
	seen := map[string]bool{}
	for last := (store.Suppression{}); ; {
		list, err := w.s.SuppressionsAfter(w.ctx, a.ID, last.Channel, last.Address, 7)
		w.must(err)
		for _, s := range list {
			if seen[s.Address] || s.App != a.ID || s.Channel < last.Channel {
				w.Fatalf("%+v after %+v", s, last)
			}
			seen[s.Address], last = true, s
		}
		if len(list) < 7 {
			break
		}
	}
	if len(seen) != len(all) {
		w.Fatalf("%d of %d", len(seen), len(all))
	}
}
