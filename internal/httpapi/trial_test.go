package httpapi

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
)

const trialsOf = "/api/v1/provider-configs/"

// tried makes an SMTP configuration without a login and answers its id.
func tried(w *world, who tenant) string {
	w.t.Helper()
	made := w.do(who, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","name":"Main <b>\"relay\"","config":{"host":"mail.example.com","from":"shop@example.com"}}`, nil)
	if made.status != 201 {
		w.t.Fatalf("%d %s", made.status, made.raw)
	}
	return made.str("id")
}

// dialogue is a server's side up to the recipient, without PIPELINING.
const dialogue = "S: 220 hi\nC: EHLO client.test\nS: 250 hi\nC~ MAIL FROM:<shop@example.com>\nS: 250 ok\nC: RCPT TO:<ama@example.org>\n"

// TestTestMessage: one real message, whatever the mode, with the provider's answer told and the address nowhere.
func TestTestMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   testView
	}{
		"taken":     {dialogue + "S: 250 ok\nC: DATA\nS: 354 go\n<mail>\nS: 250 2.0.0 queued as 4711\nC: QUIT", testView{OK: true, Class: "accepted", Text: "250 2.0.0 queued as 4711"}},
		"refused":   {dialogue + "S: 550 5.1.1 <ama@example.org> is unknown here\nC: QUIT", testView{Class: "permanent-message", Code: "550 5.1.1", Text: "the recipient does not exist"}},
		"later":     {dialogue + "S: 451 4.7.1 come again\nC: QUIT", testView{Class: "transient", Code: "451 4.7.1", Text: "come again"}},
		"ambiguous": {dialogue + "S: 250 ok\nC: DATA\nS: 354 go\n<mail>\n<close>", testView{Class: "ambiguous", Code: "outcome_unknown", Text: "may have been sent", MayHaveBeenSent: true}},
		"no server": {"<close>", testView{Class: "transient", Code: "connection_lost", Text: "nothing was sent"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one := w.tenant("one", comm.AllScopes) // in the sandbox
			server := providertest.ServeSMTP(t, nil, c.script)
			w.dial = server.Dial
			got := w.do(one, "POST", trialsOf+tried(w, one)+"/test", `{"to":"ama@example.org"}`, nil)
			var view struct {
				OK, MayHaveBeenSent   bool
				Class                 string
				Code, Text, Reference *string
				TookMs                *int64
			}
			if err := json.Unmarshal(got.raw, &view); err != nil || got.status != 200 || view.TookMs == nil {
				t.Fatalf("%d %s %v", got.status, got.raw, err)
			}
			code := ""
			if view.Code != nil {
				code = *view.Code
			}
			if view.OK != c.want.OK || view.Class != c.want.Class || code != string(c.want.Code) || !strings.Contains(*view.Text, string(c.want.Text)) || view.MayHaveBeenSent != c.want.MayHaveBeenSent || (view.Reference != nil) != view.OK {
				t.Errorf("%s", got.raw)
			}
			if n := server.Conns(); n != 1 {
				t.Errorf("tried %d times", n)
			}
			if said := w.log.String() + string(got.raw); strings.Contains(said, "ama@") || !strings.Contains(said, "class="+c.want.Class) {
				t.Errorf("the log: %s", said)
			}
			if w.count(one.app) != 0 {
				t.Error("it is a message of the app")
			}
			for _, mail := range server.Mails() {
				text := string(mail)
				if !strings.Contains(text, "Subject: CommServer test message: Main <b>\"relay\"") || !strings.Contains(text, "To: <ama@example.org>") && !strings.Contains(text, "To: ama@example.org") || strings.Contains(text, "<p>") && strings.Contains(text, "Main <b>\"relay\"</b>") {
					t.Errorf("%s", text)
				}
			}
		})
	}
}

// TestTrialsThroughTheClient drives both calls as a program does.
func TestTrialsThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	c, id := w.client(one), tried(w, one)
	v, err := c.VerifyProvider(ctx, id)
	if err != nil || !v.OK || len(v.Checks) < 5 || v.Checks[0].Name != "settings" || v.Checks[len(v.Checks)-1].Name != "noop" || v.Checks[1].Detail == "" {
		t.Errorf("%+v %v", v, err)
	}
	sent, err := c.TestProvider(ctx, id, "ama@example.org")
	if err != nil || !sent.OK || sent.Class != "accepted" || !strings.HasSuffix(sent.Reference, "@example.com") || w.mails.Load() != 1 {
		t.Errorf("%+v %v", sent, err)
	}
	if _, err = c.TestProvider(ctx, id, "ama"); client.Code(err) != "invalid_to" {
		t.Errorf("%v", err)
	}
	if _, err := w.store.Suppress(ctx, store.Suppression{App: one.app.ID, Channel: comm.Email, Address: "ama@example.org", Reason: "manual", CreatedAt: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err = c.TestProvider(ctx, id, "AMA@Example.org"); client.Code(err) != "address_suppressed" {
		t.Errorf("%v", err)
	}
	if w.mails.Load() != 1 {
		t.Errorf("%d mails", w.mails.Load())
	}
	// What this version cannot send with is told by both, each in its way.
	later, err := c.CreateProvider(ctx, client.ProviderChange{ProviderType: "MNOTIFY", Config: whole()["MNOTIFY"]})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.VerifyProvider(ctx, later.ID); err != nil || v.OK || len(v.Checks) != 2 || !v.Checks[0].OK || v.Checks[1].Name != "adapter" {
		t.Errorf("%+v %v", v, err)
	}
	if _, err = c.TestProvider(ctx, later.ID, "233241234567"); client.Code(err) != "provider_cannot_send" {
		t.Errorf("%v", err)
	}
	if _, err = c.TestProvider(ctx, later.ID, "ama@example.org"); client.Code(err) != "invalid_phone" {
		t.Errorf("%v", err)
	}
}

func TestTrialsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	id, other := tried(w, one), tried(w, two)
	for i := range 12 {
		got := w.do(one, "POST", trialsOf+id+"/test", `{"to":"ama@example.org"}`, nil)
		if i < 10 && got.status != 200 || i >= 10 && (got.status != 429 || got.code() != "rate_limited" || got.header.Get("Retry-After") == "") {
			t.Errorf("%d: %d %s", i, got.status, got.raw)
		}
	}
	if w.mails.Load() != 10 {
		t.Errorf("%d mails", w.mails.Load())
	}
	if got := w.do(two, "POST", trialsOf+other+"/test", `{"to":"ama@example.org"}`, nil); got.status != 200 {
		t.Errorf("another app: %d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", trialsOf+id+"/verify", "", nil); got.status != 200 {
		t.Errorf("verifying: %d %s", got.status, got.raw)
	}
	w.clock.Add(int64(time.Minute))
	if got := w.do(one, "POST", trialsOf+id+"/test", `{"to":"ama@example.org"}`, nil); got.status != 200 {
		t.Errorf("a minute later: %d %s", got.status, got.raw)
	}
}

func TestBadTrials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := tried(w, one)
	for _, c := range []struct {
		path, body string
		status     int
		code       string
	}{
		{"/test", "", 400, "invalid_json"}, {"/test", "{}", 400, "invalid_to"}, {"/test", `{"to":null}`, 400, "invalid_to"}, {"/test", `{"to":["ama@example.org"]}`, 400, "invalid_to"}, {"/test", `{"to":""}`, 400, "invalid_to"},
		{"/test", `{"to":"a@x.com,b@y.com"}`, 400, "single_recipient"}, {"/test", `{"to":"a@x.com\r\nBcc: b@y.com"}`, 400, ""}, {"/test", `{"to":"Name <a@x.com>"}`, 400, ""}, {"/test", `{"to":"ama@example.org","subject":"x"}`, 400, "unknown_field"},
		{"/verify", `{"to":"ama@example.org"}`, 400, "unknown_field"}, {"/verify", `[]`, 400, "invalid_body"}, {"/verify", `{}`, 200, ""}, {"/verify?x=1", "", 400, "invalid_query"},
	} {
		got := w.do(one, "POST", trialsOf+id+c.path, c.body, map[string]string{"Content-Type": "application/json"})
		if got.status != c.status || c.code != "" && got.code() != c.code {
			t.Errorf("%s %s: %d %s", c.path, c.body, got.status, got.raw)
		}
	}
	for _, path := range []string{"/verify", "/test"} {
		if got := w.do(one, "GET", trialsOf+id+path, "", nil); got.status != 405 {
			t.Errorf("GET %s: %d", path, got.status)
		}
	}
	if w.mails.Load() != 0 {
		t.Errorf("%d mails", w.mails.Load())
	}
}

// TestTrialsOfTheServersChain: the zero app stands for the server, and sees no app's configuration.
func TestTrialsOfTheServersChain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	server, err := w.reg.CreateProvider(ctx, comm.ID{}, smtpChange("server@our.example"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := w.api.cfg.Trial.Verify(ctx, comm.ID{}, server.ID); err != nil || !v.OK {
		t.Errorf("%+v %v", v, err)
	}
	if sent, err := w.api.cfg.Trial.Test(ctx, comm.ID{}, server.ID, "ama@example.org"); err != nil || !sent.OK() || w.mails.Load() != 1 {
		t.Errorf("%+v %v", sent, err)
	}
	if got := w.do(one, "POST", trialsOf+server.ID.String()+"/test", `{"to":"ama@example.org"}`, nil); got.status != 404 {
		t.Errorf("an app tries the server's: %d %s", got.status, got.raw)
	}
	own, err := comm.ParseID(tried(w, one))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.api.cfg.Trial.Verify(ctx, comm.ID{}, own); !comm.IsKind(err, comm.Missing) {
		t.Errorf("the server tries an app's: %v", err)
	}
}

// TestTrialsWithoutTheirSecrets: what cannot be opened is told, and nothing is dialled.
func TestTrialsWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	id, err := comm.ParseID(made.str("id"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.store.ProviderConfig(ctx, one.app.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	c.Secrets[len(c.Secrets)-1] ^= 1
	if err := w.store.UpdateProviderConfig(ctx, c); err != nil {
		t.Fatal(err)
	}
	if got := w.do(one, "POST", trialsOf+id.String()+"/verify", "", nil); got.status != 200 || got.body["ok"] != false || !strings.Contains(string(got.raw), `{"name":"settings","ok":false,"detail":"The provider's credentials cannot be read`) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", trialsOf+id.String()+"/test", `{"to":"ama@example.org"}`, nil); got.status != 200 || got.body["ok"] != false || got.str("code") != "credentials_unavailable" || got.str("class") != "account" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if w.mails.Load() != 0 {
		t.Errorf("%d mails", w.mails.Load())
	}
}
