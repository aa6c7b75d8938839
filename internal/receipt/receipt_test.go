package receipt_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/reports"
)

func TestReports(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{SignedBy: "authToken"})
	delivered, failed := w.Sent(w.Config, w.App, "233241000001"), w.Sent(w.Config, w.App, "233241000002")
	w.Posted(w.Config, providertest.Line(delivered.ID.String(), comm.FateDelivered), "",
		providertest.Line(failed.ID.String(), comm.FateUndelivered, "code", "30003\x00\xff", "text", strings.Repeat("ä", 500), "suppress", comm.SuppressHardBounce))
	w.Becomes(delivered, comm.Delivered)
	w.Becomes(failed, comm.Failed)
	if m := w.Message(failed); m.ErrorCode != "30003 ?" || len(m.ErrorText) > 256 || w.Listed(w.App, "233241000002") != comm.SuppressHardBounce {
		t.Fatalf("%+v, %q", m.State, w.Listed(w.App, "233241000002"))
	}
	if n := w.Left(); n != 0 {
		t.Errorf("%d requests are kept", n)
	}
}

// What a provider says of numbers abroad brings the message to its end, and suppresses nobody.
func TestNumbersAbroad(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{SignedBy: "authToken", Home: "233"})
	for number, reason := range map[string]string{"233241000001": comm.SuppressHardBounce, "447700900123": ""} {
		m := w.Sent(w.Config, w.App, number)
		w.Posted(w.Config, providertest.Line(m.ID.String(), comm.FateUndelivered, "suppress", comm.SuppressHardBounce))
		w.Becomes(m, comm.Failed)
		if got := w.Listed(w.App, number); got != reason {
			t.Errorf("%s is listed as %q, want %q", number, got, reason)
		}
	}
}

// A report says nothing if the provider did not sign it, or if its token is not the configuration's.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{SignedBy: "authToken"})
	s := w.Sent(w.Config, w.App, "233241000001")
	other := w.NewConfig(w.App.ID, "two")
	smtp := &comm.ProviderConfig{ID: reports.NewID(), App: w.App.ID, Type: "SMTP", Channel: comm.Email, Name: "smtp", Settings: map[string]string{}, Version: 1}
	unread := &comm.ProviderConfig{ID: reports.NewID(), App: w.App.ID, Type: "HUBTEL", Channel: comm.SMS, Name: "hubtel", Settings: map[string]string{}, Version: 1}
	for _, c := range []*comm.ProviderConfig{smtp, unread} {
		if err := w.Store.CreateProviderConfig(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	id := w.Config.ID.String()
	var texts []string
	for _, x := range [][3]string{
		{"twilio", id, reports.Token[:len(reports.Token)-1]}, {"twilio", id, reports.Token + "x"}, {"twilio", id, ""}, {"twilio", id, strings.ToUpper(reports.Token)}, {"twilio", id, "\xff\x00"},
		{"TWILIO", id, reports.Token}, {"resend", id, reports.Token}, {"", id, reports.Token}, {"twilio", reports.NewID().String(), reports.Token}, {"twilio", "", reports.Token}, {"twilio", "x' OR 1=1", reports.Token},
		{"twilio", strings.ToUpper(id), reports.Token}, {"smtp", smtp.ID.String(), reports.Token}, {"hubtel", unread.ID.String(), reports.Token},
	} {
		_, err := w.Service.Find(t.Context(), x[0], x[1], x[2])
		if !comm.IsKind(err, comm.Missing) {
			t.Errorf("%q: %v", x, err)
		}
		texts = append(texts, fmt.Sprint(err))
	}
	for _, text := range texts {
		if text != texts[0] {
			t.Errorf("%q is told apart from %q", text, texts[0])
		}
	}
	a, err := w.Service.Find(t.Context(), "twilio", id, reports.Token)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(providertest.Line(s.ID.String(), comm.FateDelivered))
	good := providertest.Sign("key of one", a.URL("").String(), body)
	for name, call := range map[string]*provider.Callback{
		"unsigned":          {URL: a.URL(""), Header: http.Header{}, Body: body},
		"another's key":     {URL: a.URL(""), Header: http.Header{providertest.SignatureHeader: {providertest.Sign("key of two", a.URL("").String(), body)}}, Body: body},
		"another body":      {URL: a.URL(""), Header: http.Header{providertest.SignatureHeader: {good}}, Body: append([]byte("x=1&"), body...)},
		"another query":     {URL: a.URL("x=1"), Header: http.Header{providertest.SignatureHeader: {good}}, Body: body},
		"another's address": {URL: &url.URL{Scheme: "https", Host: "evil.test", Path: "/"}, Header: http.Header{providertest.SignatureHeader: {good}}, Body: body},
	} {
		call.Method, call.At = http.MethodPost, time.Now()
		_, err := w.Service.Take(t.Context(), a, call)
		if e, ok := errors.AsType[*comm.Error](err); !ok || e.Code != "forged_report" || e.Kind != comm.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.Left(); n != 0 || w.Service.Counts().Stored != 0 {
		t.Errorf("%d requests of strangers are stored, %+v", n, w.Service.Counts())
	}
	// Another configuration of the same app reports about what it sent, not about this.
	w.Posted(other, providertest.Line(s.ID.String(), comm.FateUndelivered, "suppress", comm.SuppressHardBounce))
	if err := w.Post(other, url.Values{"cs_m": {s.ID.String()}, "cs_a": {"1"}}.Encode(), providertest.Line("", comm.FateUndelivered)); err != nil {
		t.Fatal(err)
	}
	w.Eventually("both are parked", func() bool { return w.Service.Counts().Parked >= 2 })
	if m := w.Message(s); m.Status != comm.Sent || w.Listed(w.App, "233241000001") != "" {
		t.Errorf("%s %v", m.Status, m.Events)
	}
	if log := w.Log.String(); strings.Contains(log, reports.Token) || strings.Contains(log, "key of") {
		t.Errorf("the log holds a secret: %s", log)
	}
}

// An app's own configuration names another app's message in its callback URL.
func TestAnotherAppsMessageIsNotReported(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	theirs, server := w.NewApp(), w.NewConfig(comm.ID{}, "server")
	s := w.Sent(server, theirs, "233241000001")
	named := url.Values{"cs_m": {s.ID.String()}, "cs_a": {"1"}}.Encode()
	if err := w.Post(w.Config, named, providertest.Line("", comm.FateUndelivered), providertest.Line(s.ID.String(), comm.FateUndelivered)); err != nil {
		t.Fatal(err)
	}
	w.Eventually("both are parked", func() bool { return w.Service.Counts().Parked >= 2 })
	time.Sleep(1200 * time.Millisecond) // they are told again
	if m := w.Message(s); m.Status != comm.Sent {
		t.Fatalf("%s %v", m.Status, m.Events)
	}
	// The server-level configuration that it went through may.
	if err := w.Post(server, named, providertest.Line("", comm.FateDelivered)); err != nil {
		t.Fatal(err)
	}
	w.Becomes(s, comm.Delivered)
}

// A tag names the message alone. The answer to its attempt had no id of the provider's: reports are found by the tag, also those
// that came before the answer was stored.
func TestTaggedReports(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	theirs, server := w.NewApp(), w.NewConfig(comm.ID{}, "server")
	nameless := func(o *store.Outcome) { o.Ref, o.Traced = "", false }
	s := w.Sent(server, theirs, "233241000001", nameless)
	early := w.Accept(theirs, 1, "233241000002")
	w.Start(server, early)
	line := func(s store.Submission) string {
		return providertest.Line("of "+s.ID.String(), comm.FateDelivered, "tag", s.ID.String())
	}
	w.Posted(w.Config, line(s), line(early[0])) // it sent neither
	w.Eventually("both are parked", func() bool { return w.Service.Counts().Parked >= 2 })
	w.Posted(server, line(s), line(early[0]))
	w.Becomes(s, comm.Delivered)
	if m := w.Message(early[0]); m.Status != comm.Sending {
		t.Fatalf("%s", m.Status)
	}
	w.Finish(server, early, nameless)
	w.Becomes(early[0], comm.Delivered)
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	second, own, server := w.NewApp(), w.NewApp(), w.NewConfig(comm.ID{}, "server")
	ownConfig := w.NewConfig(own.ID, "own")
	const person = "233241000009"
	w.Sent(server, w.App, person)
	w.Sent(server, second, person)
	w.Sent(ownConfig, own, person)
	stop := providertest.Line("", comm.FateOptedOut, "address", "+"+person)
	w.Posted(server, stop, providertest.Line("", comm.FateOptedOut, "address", ""))
	w.Eventually("both apps of the sender have it", func() bool {
		return w.Listed(w.App, person) == comm.SuppressUnsubscribed && w.Listed(second, person) == comm.SuppressUnsubscribed
	})
	if got := w.Listed(own, person); got != "" {
		t.Fatalf("%s: the app has a sender of its own", got)
	}
	w.Posted(ownConfig, stop)
	w.Eventually("the app's own sender", func() bool { return w.Listed(own, person) == comm.SuppressUnsubscribed })
	w.Posted(ownConfig, providertest.Line("", comm.FateOptedIn, "address", person))
	w.Eventually("it is taken back", func() bool { return w.Listed(own, person) == "" })
	if w.Listed(w.App, person) != comm.SuppressUnsubscribed {
		t.Fatal("an opt-in at one sender counts for another's")
	}
}

// TestWordsOutOfOrder: what a person said last counts, by when it came in, whatever is applied first; and nobody's word is
// lost without a line.
func TestWordsOutOfOrder(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	server := w.NewConfig(comm.ID{}, "server")
	said := func(c *comm.ProviderConfig, ago time.Duration, fate comm.Fate, who string) {
		at := comm.At(time.Now().Add(-ago))
		x := store.Receipt{ID: comm.NewID(at), Owner: c.App, Provider: c.ID, Type: "TWILIO", At: at, Method: http.MethodPost, Body: []byte(providertest.Line("", fate, "address", "+"+who))}
		if err := w.Store.Receive(t.Context(), []store.Receipt{x}); err != nil {
			t.Fatal(err)
		}
		w.Eventually("it is applied", func() bool { return w.Left() == 0 })
	}
	said(w.Config, 20*time.Second, comm.FateOptedIn, "1")
	said(w.Config, 40*time.Second, comm.FateOptedOut, "1") // said before, applied after
	if got := w.Listed(w.App, "1"); got != "" {
		t.Errorf("STOP and then START: %s", got)
	}
	said(w.Config, 20*time.Second, comm.FateOptedOut, "2")
	said(w.Config, 40*time.Second, comm.FateOptedIn, "2")
	if got := w.Listed(w.App, "2"); got != comm.SuppressUnsubscribed {
		t.Errorf("START and then STOP: %q", got)
	}
	said(server, time.Minute, comm.FateOptedOut, "233241999999")
	if log := w.Log.String(); !strings.Contains(log, "to whom no app has written") || strings.Contains(log, "233241999999") {
		t.Errorf("nobody's opt-out: %s", log)
	}
}

// What cannot be read, or makes its adapter fail, is left out, and keeps nothing else from being applied.
func TestPoison(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	for _, body := range []string{"panic", "fate=x", "%zz", "\xff\xfe\x00", strings.Repeat("A", receipt.MaxBody), "fate=200&ref=" + s.ID.String(), ""} {
		w.Posted(w.Config, body)
	}
	w.Posted(w.Config, providertest.Line(s.ID.String(), comm.FateDelivered))
	w.Becomes(s, comm.Delivered)
	w.Eventually("nothing is left", func() bool { return w.Left() == 0 })
	if n := w.Service.Counts().Unreadable; n < 4 {
		t.Errorf("%+v", w.Service.Counts())
	}
	if strings.Contains(w.Log.String(), "as it was told") || strings.Contains(w.Log.String(), "AAAA") {
		t.Error("the log quotes a request")
	}
}

// While the store is ill nothing is acknowledged; what it has stored and cannot apply is applied once it can.
func TestIllStorage(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	line := providertest.Line(s.ID.String(), comm.FateDelivered)
	away := fmt.Errorf("%w: away", store.ErrUncertain)
	w.Faults.NoReceive.Store(&away)
	if err := w.Post(w.Config, "", line); !store.Away(err) {
		t.Fatalf("%v", err)
	}
	w.Faults.NoReceive.Store(nil)
	w.Faults.NoApply.Store(&away)
	w.Posted(w.Config, line)
	w.Eventually("it was tried", func() bool { return strings.Contains(w.Log.String(), "cannot be applied yet") })
	w.Faults.NoApply.Store(nil)
	w.Becomes(s, comm.Delivered) // two seconds later, by the leader
	if n := len(w.Message(s).Events); n != 4 {
		t.Errorf("%d events", n)
	}
}

// A request that the store refuses for ever goes after an hour, alone; one that is younger stays.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	refused := errors.New("this one")
	w.Faults.NoApply.Store(&refused)
	now := comm.At(time.Now())
	for _, age := range []time.Duration{2 * time.Hour, 50 * time.Minute} {
		x := store.Receipt{ID: comm.NewID(now.Add(-age)), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: now.Add(-age), Method: http.MethodPost,
			Body: []byte(providertest.Line(s.ID.String(), comm.FateDelivered))}
		if err := w.Store.Receive(t.Context(), []store.Receipt{x}); err != nil {
			t.Fatal(err)
		}
	}
	w.Eventually("the old one is given up", func() bool { return w.Service.Counts().Dropped == 1 && w.Left() == 1 })
	w.Faults.NoApply.Store(nil)
	w.Becomes(s, comm.Delivered)
}

// A process that is gone left requests that were acknowledged: whoever leads applies them.
func TestLeftOver(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	old := comm.At(time.Now().Add(-time.Minute))
	x := store.Receipt{ID: comm.NewID(old), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: old, Method: http.MethodGet, Query: []byte(providertest.Line(s.ID.String(), comm.FateDelivered))}
	w.Leads.Store(false)
	if err := w.Store.Receive(t.Context(), []store.Receipt{x}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(600 * time.Millisecond)
	if w.Message(s).Status != comm.Sent {
		t.Fatal("a node that does not lead applied it")
	}
	w.Leads.Store(true)
	w.Becomes(s, comm.Delivered)
}

// What a deleted configuration reported before is applied; after that its address is nobody's.
func TestDeletedConfiguration(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	w.Leads.Store(false)
	s, named := w.Sent(w.Config, w.App, "233241000001"), w.Sent(w.Config, w.App, "233241000002", func(o *store.Outcome) { o.Ref, o.Traced = "", false })
	old := comm.At(time.Now().Add(-time.Minute))
	for _, x := range []store.Receipt{
		{Method: http.MethodPost, Body: []byte(providertest.Line(s.ID.String(), comm.FateDelivered))},
		{Method: http.MethodGet, Query: []byte(providertest.Line("", comm.FateDelivered) + "&" + url.Values{"cs_m": {named.ID.String()}, "cs_a": {"1"}}.Encode())},
	} {
		x.ID, x.Owner, x.Provider, x.Type, x.At = comm.NewID(old), w.App.ID, w.Config.ID, "TWILIO", old
		if err := w.Store.Receive(t.Context(), []store.Receipt{x}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Store.DeleteProviderConfig(t.Context(), w.App.ID, w.Config.ID); err != nil {
		t.Fatal(err)
	}
	w.Service.Forget()
	if _, err := w.Service.Find(t.Context(), "twilio", w.Config.ID.String(), reports.Token); !comm.IsKind(err, comm.Missing) {
		t.Errorf("%v", err)
	}
	w.Leads.Store(true)
	w.Becomes(s, comm.Delivered)
	w.Becomes(named, comm.Delivered)
}

// TestGuessedTokens: whoever tries tokens and ids learns and stores nothing, and keeps the right one from nothing.
func TestGuessedTokens(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	var guessing sync.WaitGroup
	for k := range 8 {
		guessing.Go(func() {
			for i := range 800 {
				id := w.Config.ID.String()
				if i%2 == 0 {
					id = reports.NewID().String()
				}
				if _, err := w.Service.Find(t.Context(), "twilio", id, fmt.Sprint(reports.Token, k, i)); !comm.IsKind(err, comm.Missing) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	for range 50 {
		began := time.Now()
		if _, err := w.Service.Find(t.Context(), "twilio", w.Config.ID.String(), reports.Token); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the right one took %s", took)
		}
	}
	guessing.Wait()
	if w.Left() != 0 || w.Service.Counts().Stored != 0 {
		t.Errorf("%+v", w.Service.Counts())
	}
	w.Posted(w.Config, providertest.Line(s.ID.String(), comm.FateDelivered))
	w.Becomes(s, comm.Delivered)
}

// What the store refuses hides nothing that came after it.
func TestRefusedRequestsHideNoOthers(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	w.Leads.Store(false)
	s := w.Sent(w.Config, w.App, "233241000001")
	bad := func(r *store.Report) bool { return r.Ref == "bad" }
	w.Faults.Refuses.Store(&bad)
	const refused = 100 // as many as are read at once
	now := comm.At(time.Now())
	var all []store.Receipt
	for i := range refused + 1 {
		at := now.Add(-10*time.Minute + time.Duration(i)*time.Second)
		x := store.Receipt{ID: comm.NewID(at), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: at, Method: http.MethodPost, Body: []byte(providertest.Line("bad", comm.FateNoted))}
		if i == refused {
			x.Body = []byte(providertest.Line(s.ID.String(), comm.FateDelivered))
		}
		all = append(all, x)
	}
	if err := w.Store.Receive(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.Leads.Store(true)
	w.Patience = 30 * time.Second
	w.Becomes(s, comm.Delivered)
	if n := w.Left(); n != refused || w.Service.Counts().Dropped != 0 {
		t.Errorf("%d requests are left, %+v", n, w.Service.Counts())
	}
	w.Faults.Refuses.Store(nil)
	w.Eventually("all are applied", func() bool { return w.Left() == 0 })
}

// Whoever begins to lead applies what is there, however young: its node may be the one that was killed.
func TestYoungRequestsAreAppliedWhenANodeBeginsToLead(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	s := w.Sent(w.Config, w.App, "233241000001")
	quick := 0
	for range 4 {
		w.Leads.Store(false)
		time.Sleep(600 * time.Millisecond) // until it has seen that it does not lead
		now := comm.At(time.Now())
		x := store.Receipt{ID: comm.NewID(now), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: now, Method: http.MethodPost, Body: []byte(providertest.Line(s.ID.String(), comm.FateDelivered))}
		if err := w.Store.Receive(t.Context(), []store.Receipt{x}); err != nil {
			t.Fatal(err)
		}
		w.Leads.Store(true)
		began := time.Now()
		w.Eventually("it is applied", func() bool { return w.Left() == 0 })
		if time.Since(began) < 1500*time.Millisecond { // two seconds later anybody's would be
			quick++
		}
	}
	if quick < 2 { // the machine may be slow, but not each time
		t.Errorf("%d of 4 were applied at once", quick)
	}
}

func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	now := comm.At(time.Now())
	for _, c := range []struct {
		s    comm.State
		want bool
	}{
		{comm.State{Status: comm.Sent, Provider: "twilio", SentAt: now.Add(-72 * time.Hour)}, true},
		{comm.State{Status: comm.Sent, Provider: "twilio", SentAt: now.Add(-71 * time.Hour)}, false},
		{comm.State{Status: comm.Delivered, Provider: "twilio", SentAt: now.Add(-73 * time.Hour)}, false},
		{comm.State{Status: comm.Sent, Provider: "smtp", SentAt: now.Add(-73 * time.Hour)}, false},
		{comm.State{Status: comm.Sent, Provider: "hubtel", SentAt: now.Add(-73 * time.Hour)}, false},
		{comm.State{Status: comm.Sent, Provider: "sandbox", SentAt: now.Add(-73 * time.Hour)}, false},
	} {
		if got := w.Service.Unconfirmed(&c.s, now); got != c.want {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
}

// Reports that have found no message for an hour are told of, once, with the id that is not known; after three days they go.
func TestUnmatchedReportsAreToldOf(t *testing.T) {
	t.Parallel()
	w := reports.New(t, reports.OnSQLite(t), &providertest.Reporter{})
	w.Leads.Store(false)
	now := comm.At(time.Now())
	var old []store.Receipt
	for ref, age := range map[string]time.Duration{"0x4711": 2 * time.Hour, "0x4712": 3 * time.Hour, "young": time.Minute, "0x4713": 73 * time.Hour} {
		old = append(old, store.Receipt{ID: comm.NewID(now.Add(-age)), Owner: w.App.ID, Provider: w.Config.ID, Type: "TWILIO", At: now.Add(-age), Method: http.MethodPost,
			Body: []byte(providertest.Line(ref, comm.FateDelivered))})
	}
	if err := w.Store.Receive(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	w.Leads.Store(true)
	w.Eventually("all are looked at", func() bool { c := w.Service.Counts(); return w.Left() == 0 && c.Parked >= 3 && c.Dropped == 1 })
	log := w.Log.String()
	if n := strings.Count(log, "name no message that is known here"); n != 1 || !strings.Contains(log, "ref=0x471") || !strings.Contains(log, "72 hours") {
		t.Errorf("%d lines: %s", n, log)
	}
}
