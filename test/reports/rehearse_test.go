package reports

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/sandbox"
	"github.com/commserver/commserver/internal/store"
)

// none is the configuration that the sandbox takes messages through.
func none() *comm.ProviderConfig { return &comm.ProviderConfig{} }

// taken has the sandbox take started messages. Its answer is not stored yet.
func taken(w *World, at time.Time, subs ...store.Submission) {
	w.Helper()
	s := sandbox.New(nil, func(ctx context.Context, app comm.ID, c *provider.Callback) error {
		c.At = at
		return w.Service.Rehearse(ctx, app, c)
	})
	for _, x := range subs {
		m := &provider.Message{ID: x.ID, App: x.App, Attempt: 1, Channel: x.Channel, Content: &comm.Content{To: x.Recipient}}
		if _, err := s.Send(w.Context(), m); err != nil {
			w.Fatal(err)
		}
	}
}

func onBoth(t *testing.T, run func(w *World)) {
	for name, open := range map[string]func(*testing.T) store.Store{"SQLite": OnSQLite, "PostgreSQL": OnPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(New(t, open(t), &providertest.Reporter{}))
		})
	}
}

// What the sandbox said it would report comes a moment after its answer, on a node that does not lead too.
func TestRehearsed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *World) {
		w.Leads.Store(false)
		ends := map[string]comm.Status{"233000000001": comm.Delivered, "233000000003": comm.Failed, "233000000004": comm.Delivered, "233241234567": comm.Sent}
		subs := map[string]store.Submission{}
		for to := range ends {
			some := w.Accept(w.App, 1, to)
			w.Start(none(), some)
			taken(w, time.Now(), some...)
			w.Finish(none(), some, plain)
			subs[to] = some[0]
		}
		for to, end := range ends {
			w.Becomes(subs[to], end)
			w.Lawful(w.Message(subs[to]))
		}
		w.Eventually("all are applied", func() bool { return w.Left() == 0 })
		if c := w.Service.Counts(); c.Stored != 3 || c.Unreadable != 0 || c.Parked != 0 {
			w.Errorf("%+v", c)
		}
		for to, reason := range map[string]string{"233000000001": "", "233000000003": comm.SuppressHardBounce, "233000000004": comm.SuppressComplaint} {
			if got := w.Listed(w.App, to); got != reason {
				w.Errorf("%s is listed for %q, want %q", to, got, reason)
			}
		}
		if m := w.Message(subs["233000000003"]); m.ErrorCode != "sandbox_bounced" || m.Provider != "sandbox" || m.ProviderRef != m.ID.String() {
			w.Errorf("%+v", m.State)
		}
		// However long it is ago: nobody was to report of it.
		m := w.Message(subs["233241234567"])
		m.Provider = "sandbox"
		if w.Service.Unconfirmed(&m.State, m.SentAt.Add(1000*time.Hour)) {
			w.Error("a message of the sandbox is unconfirmed")
		}
	})
}

// plain is the sandbox's answer: nothing is kept to find the message by.
func plain(o *store.Outcome) { o.Provider, o.Traced = "sandbox", false }

// The process ends before it has applied a report, or before the sandbox's answer is stored: whoever leads then tells it.
func TestRehearsedAcrossAnEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(w *World) {
		w.Leads.Store(false)
		stored, under := w.Accept(w.App, 1, "233000000004"), w.Accept(w.App, 1, "233000000003")
		for _, some := range [][]store.Submission{stored, under} {
			w.Start(none(), some)
			taken(w, time.Now().Add(-15*time.Second), some...) // so that nobody has to wait until they are old
		}
		w.Finish(none(), stored, plain)
		w.Stop()
		if n := w.Left(); n != 2 {
			w.Fatalf("%d requests are stored", n)
		}
		other := NewService(w.Store, w.Store, &providertest.Reporter{}, func() bool { return true }, &w.Log)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
		go func() { ended <- other.Run(ctx) }()
		defer func() { stop(); <-ended }()
		w.Becomes(stored[0], comm.Delivered)
		w.Eventually("a report of an attempt under way waits", func() bool { return other.Counts().Parked > 0 })
		w.Finish(none(), under, plain)
		w.Becomes(under[0], comm.Failed)
		if w.Listed(w.App, "233000000003") != comm.SuppressHardBounce || w.Listed(w.App, "233000000004") != comm.SuppressComplaint {
			w.Error("somebody is not on the list")
		}
	})
}

// A call that ends while the process stops has its report stored all the same.
func TestRehearsedAtTheEnd(t *testing.T) {
	t.Parallel()
	w := New(t, OnSQLite(t), &providertest.Reporter{})
	some := w.Accept(w.App, 1, "233000000001")
	w.Start(none(), some)
	w.Stop()
	taken(w, time.Now(), some...)
	if n := w.Left(); n != 1 {
		t.Errorf("%d requests are stored", n)
	}
}

// A store that refuses is told to whoever sends, and nothing is reported.
func TestRehearsedWithoutStore(t *testing.T) {
	t.Parallel()
	w := New(t, OnSQLite(t), &providertest.Reporter{})
	away := errors.New("no database")
	w.Faults.NoReceive.Store(&away)
	err := w.Service.Rehearse(t.Context(), w.App.ID, &provider.Callback{URL: &url.URL{RawQuery: "x"}, At: time.Now()})
	if !errors.Is(err, away) || w.Service.Counts().Stored != 0 {
		t.Errorf("%v, %+v", err, w.Service.Counts())
	}
}

// Nobody reports from outside as the sandbox does, and nobody learns that there is such a reader.
func TestTheSandboxHasNoCallback(t *testing.T) {
	t.Parallel()
	w := New(t, OnSQLite(t), &providertest.Reporter{})
	_, unknown := w.Service.Find(t.Context(), "none", w.Config.ID.String(), Token)
	for _, id := range []string{"", comm.ID{}.String(), w.Config.ID.String(), w.App.ID.String()} {
		for _, token := range []string{"", Token, "-"} {
			if _, err := w.Service.Find(t.Context(), "sandbox", id, token); !comm.IsKind(err, comm.Missing) || err.Error() != unknown.Error() {
				t.Errorf("%q %q: %v", id, token, err)
			}
		}
	}
}
