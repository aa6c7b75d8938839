package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// stored is a template for SMS.
func stored(version int, body string) comm.Template {
	return comm.Template{ID: comm.NewID(1), Key: "t", Channel: comm.SMS, Current: comm.TemplateVersion{Version: version, Body: body}}
}

func (s *storage) template(t comm.Template) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.templates == nil {
		s.templates = map[string]comm.Template{}
	}
	s.templates[t.Key] = t
}

func (s *storage) readsSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// contentOf is what the last group's only submission holds.
func (s *storage) contentOf(t *testing.T) comm.Content {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.groups[len(s.groups)-1]
	var c comm.Content
	if err := store.DecodeContent(last[0].Payload, &c); err != nil {
		t.Fatal(err)
	}
	if c.TemplateKey != "t" || len(last[0].Terms) != 1 || last[0].Terms[0] != (store.Term{Kind: store.TemplateTerm, Value: "t"}) {
		t.Errorf("%+v with terms %v", c, last[0].Terms)
	}
	return c
}

// A template is remembered for five seconds at most, and until Invalidate.
func TestTheNewestTemplateIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &storage{}
		in, _ := service(t, s)
		app := tenant()
		ask := request(t, `{"channel":"SMS","to":"233241234567","templateKey":"t","variables":{"a":"x"}}`)
		use := func(version int, body string) {
			t.Helper()
			if r := in.Accept(t.Context(), app, []Request{ask})[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			if c := s.contentOf(t); c.TemplateVer != version || c.Body != body {
				t.Errorf("version %d: %q, want %d: %q", c.TemplateVer, c.Body, version, body)
			}
		}
		s.template(stored(1, "one {{a}}"))
		use(1, "one x")
		s.template(stored(2, "two {{a}}"))
		use(1, "one x")
		if n := s.readsSoFar(); n != 1 {
			t.Errorf("read %d times", n)
		}
		time.Sleep(templatesLive)
		use(2, "two x")
		s.template(stored(3, "three {{a}}"))
		in.Invalidate()
		use(3, "three x")
		before := in.shelf.byKey[templateName{app.ID, "t"}].compiled
		in.Invalidate()
		if use(3, "three x"); in.shelf.byKey[templateName{app.ID, "t"}].compiled != before {
			t.Error("the same version was compiled again")
		}
		s.mu.Lock()
		delete(s.templates, "t")
		s.mu.Unlock()
		in.Invalidate()
		if r := in.Accept(t.Context(), app, []Request{ask})[0]; codeOf(r.Err) != "template_not_found" || len(in.shelf.byKey) != 0 || in.shelf.bytes != 0 {
			t.Errorf("%v, %d remembered", r.Err, len(in.shelf.byKey))
		}
	})
}

// One that was read before a change and remembered after it must not hide the change.
func TestAReadThatAChangeOvertookIsNotKept(t *testing.T) {
	t.Parallel()
	old, new := stored(1, "old"), stored(2, "new")
	var x *shelf
	var reads atomic.Int32
	x = newShelf(reader(func() *comm.Template {
		if reads.Add(1) == 1 {
			x.forget() // the change comes while the row is on its way
			return &old
		}
		return &new
	}), time.Now)
	for n, want := range []int{1, 2, 2} {
		if got, err := x.of(t.Context(), comm.ID{1}, "t"); err != nil || got.version != want {
			t.Errorf("use %d: %+v %v", n, got, err)
		}
	}
	if reads.Load() != 2 {
		t.Errorf("%d reads", reads.Load())
	}
}

type reader func() *comm.Template

func (r reader) TemplateByKey(context.Context, comm.ID, string) (*comm.Template, error) {
	return r(), nil
}

// What is remembered is bounded by its size, not only by its number.
func TestTheShelfIsBounded(t *testing.T) {
	t.Parallel()
	large := stored(1, strings.Repeat("x", 256<<10))
	large.Channel, large.Current.Subject = comm.Email, "s"
	x := newShelf(reader(func() *comm.Template { return &large }), time.Now)
	for i := range maxTemplateBytes/(256<<10) + 10 {
		if _, err := x.of(t.Context(), comm.ID{1}, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if x.bytes > maxTemplateBytes || len(x.byKey) == 0 || x.bytes != len(x.byKey)*(256<<10+1) {
		t.Errorf("%d bytes of %d templates", x.bytes, len(x.byKey))
	}
}

func TestATemplateThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := &storage{broken: errors.New("the disk is gone")}
	in, _ := service(t, s)
	s.template(stored(1, "x"))
	ask := request(t, `{"channel":"SMS","to":"233241234567","templateKey":"t"}`)
	if r := in.Accept(t.Context(), tenant(), []Request{ask})[0]; codeOf(r.Err) != "unavailable" {
		t.Errorf("%v", r.Err)
	}
	s.broken = nil
	s.template(stored(1, "{{no longer allowed}}"))
	if r := in.Accept(t.Context(), tenant(), []Request{ask})[0]; codeOf(r.Err) != "internal" {
		t.Errorf("%v", r.Err)
	}
}

// The fingerprint is of the request: what a template makes of it does not enter.
func TestATemplateDoesNotChangeTheFingerprint(t *testing.T) {
	t.Parallel()
	s := &storage{}
	in, _ := service(t, s)
	app := tenant()
	prints := map[[16]byte]bool{}
	for n, body := range []string{"one {{a}}", "two {{a}}", "three"} {
		s.template(stored(n+1, body))
		in.Invalidate()
		ask := request(t, `{"channel":"SMS","to":"233241234567","templateKey":"t","variables":{"a":"x"},"idempotencyKey":"k"}`)
		if r := in.Accept(t.Context(), app, []Request{ask})[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		prints[s.groups[n][0].Fingerprint] = true
	}
	if len(prints) != 1 {
		t.Errorf("%d fingerprints of one request", len(prints))
	}
}
