package simulate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestEveryTypeTakesAMessage sends one message through each HTTP type, and asks what became of it.
func TestEveryTypeTakesAMessage(t *testing.T) {
	t.Parallel()
	// What the query of a type says of a message that was delivered.
	queries := map[string]struct{ path, word string }{
		"RESEND":  {"/emails/{id}", `"last_event":"delivered"`},
		"ARKESEL": {"/api/v2/sms/{id}", `"status":"DELIVERED"`},
		"HUBTEL":  {"/v1/messages/{id}", `"status":"Delivered"`},
		"MNOTIFY": {"/campaign/{id}?key=key", `"status":"DELIVERED"`},
		"TWILIO":  {"/2010-04-01/Accounts/" + account + "/Messages/{id}.json", `"status":"delivered"`},
	}
	for _, kind := range WebTypes() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, c := begin(t, Config{Content: true}), caller(t)
			want := http.StatusOK
			if kind == "HUBTEL" || kind == "TWILIO" {
				want = http.StatusCreated
			}
			status, body := answered(t, c, request(t, s, kind, recipientOf(kind)))
			if status != want {
				t.Fatalf("status %d: %s", status, body)
			}
			id := idIn(t, kind, body)
			e := only(t, s)
			if e.Outcome != Accepted || e.ProviderID != id || plain(e.Recipient) != recipientOf(kind) || e.Copy != 1 || e.AnswerLost || e.Status != want || len(e.BodySHA256) != 64 ||
				e.Bytes == 0 || !strings.Contains(e.Content, "Hi") {
				t.Errorf("the ledger says %+v", e)
			}
			q, has := queries[kind]
			if !has {
				return
			}
			until(t, kind+" says delivered", func() bool {
				req := request(t, s, kind, recipientOf(kind))
				req.Method, req.Body, req.ContentLength = http.MethodGet, nil, 0
				var err error
				if req.URL, err = url.Parse(s.BaseURL(kind) + strings.Replace(q.path, "{id}", id, 1)); err != nil {
					t.Fatal(err)
				}
				status, body := answered(t, c, req)
				if status != http.StatusOK {
					t.Fatalf("query: %d %s", status, body)
				}
				return strings.Contains(body, q.word)
			})
		})
	}
}

// TestEveryTypeAsksForCredentials sends without any: the documented refusal comes, nothing is taken.
func TestEveryTypeAsksForCredentials(t *testing.T) {
	t.Parallel()
	want := map[string]struct {
		status int
		word   string
	}{
		"RESEND": {401, `"name":"missing_api_key"`}, "ARKESEL": {401, `"status":"error"`}, "HUBTEL": {401, "authentication"}, "NALO": {200, "1703"},
		"MNOTIFY": {401, `"code":"1004"`}, "TWILIO": {401, `"code":20003`},
	}
	s := begin(t, Config{})
	for _, kind := range WebTypes() {
		req := request(t, s, kind, recipientOf(kind), func(body map[string]any, r *http.Request) {
			delete(body, "key")
			r.Header.Del("Authorization")
			r.Header.Del("Api-Key")
			r.URL.RawQuery = ""
		})
		if status, body := answered(t, caller(t), req); status != want[kind].status || !strings.Contains(body, want[kind].word) {
			t.Errorf("%s: %d %s", kind, status, body)
		}
	}
	if all := s.Entries(Filter{Outcome: Accepted}); len(all) != 0 {
		t.Errorf("taken all the same: %+v", all)
	}
}

// TestEveryDocumentedErrorIsAnswered orders each of them and holds the answer against its row.
func TestEveryDocumentedErrorIsAnswered(t *testing.T) {
	t.Parallel()
	s, c := begin(t, Config{}), caller(t)
	for _, r := range Refusals() {
		if r.Type == SMTP {
			continue
		}
		s.Clear()
		s.Forget()
		if _, err := s.Add(Rule{Type: r.Type, Fault: Refuse, Error: r.Name}); err != nil {
			t.Fatalf("%s %s: %s", r.Type, r.Name, Explain(err))
		}
		status, body := answered(t, c, request(t, s, r.Type, recipientOf(r.Type)))
		if status != r.Status || r.Code != "" && !strings.Contains(body, r.Code) {
			t.Errorf("%s %s: %d %s", r.Type, r.Name, status, body)
		}
		if e := only(t, s); e.Outcome != Refused || e.Error != r.Name || e.Rule == "" || e.Fault != Refuse || e.Copy != 0 || e.ProviderID != "" {
			t.Errorf("%s %s: the ledger says %+v", r.Type, r.Name, e)
		}
	}
}

// TestBodiesThatProvidersRefuse sends what each provider documents as wrong.
func TestBodiesThatProvidersRefuse(t *testing.T) {
	t.Parallel()
	set := func(name string, v any) func(map[string]any, *http.Request) {
		return func(body map[string]any, _ *http.Request) { body[name] = v }
	}
	tests := []struct {
		kind   string
		change func(map[string]any, *http.Request)
		status int
		word   string
	}{
		{"RESEND", set("to", []string{}), 422, "missing_required_field"},
		{"RESEND", set("subject", ""), 422, "missing_required_field"},
		{"RESEND", set("to", "nobody"), 400, "validation_error"},
		{"RESEND", set("from", "nobody"), 422, "invalid_from_address"},
		{"RESEND", set("tags", []map[string]string{{"name": "a b", "value": "x"}}), 422, "invalid_parameter"},
		{"RESEND", func(_ map[string]any, r *http.Request) { r.Header.Set("Idempotency-Key", strings.Repeat("k", 257)) }, 400, "invalid_idempotency_key"},
		{"RESEND", func(_ map[string]any, r *http.Request) { r.URL.Path = "/resend/mails" }, 404, "not_found"},
		{"RESEND", func(_ map[string]any, r *http.Request) { r.Method = http.MethodPut }, 405, "method_not_allowed"},
		{"ARKESEL", set("sender", "LONGERTHANELEVEN"), 422, "sender"},
		{"ARKESEL", set("message", ""), 422, "message"},
		{"ARKESEL", set("recipients", []string{"0233"}), 200, `"invalid numbers":["0233"]`},
		{"HUBTEL", set("To", "0244000000"), 400, `"status":1`},
		{"HUBTEL", set("From", "LONGERTHANELEVEN"), 400, `"status":2`},
		{"HUBTEL", set("Content", ""), 400, `"status":0`},
		{"NALO", set("msisdn", "0244000000"), 200, "1706"},
		{"NALO", set("sender_id", ""), 200, "1707"},
		{"NALO", set("message", ""), 200, "1705"},
		{"MNOTIFY", set("sender", "12345"), 200, "1011"},
		{"MNOTIFY", set("sender", "LONGERTHANELEVEN"), 200, "1006"},
		{"MNOTIFY", set("recipient", []string{"12"}), 200, "1005"},
		{"TWILIO", set("To", "233244000000"), 400, "21211"},
		{"TWILIO", set("Body", ""), 400, "21602"},
		{"TWILIO", set("Body", strings.Repeat("x", 1601)), 400, "21617"},
		{"TWILIO", set("StatusCallback", "nowhere"), 400, "21609"},
		{"TWILIO", func(_ map[string]any, r *http.Request) {
			r.URL.Path = "/twilio/2010-04-01/Accounts/AC99999999999999999999999999999999/Messages.json"
		}, 404, "20404"},
	}
	s, c := begin(t, Config{}), caller(t)
	for _, tt := range tests {
		if status, body := answered(t, c, request(t, s, tt.kind, recipientOf(tt.kind), tt.change)); status != tt.status || !strings.Contains(body, tt.word) {
			t.Errorf("%s wants %d %s: %d %s", tt.kind, tt.status, tt.word, status, body)
		}
	}
	if all := s.Entries(Filter{Outcome: Accepted}); len(all) != 0 {
		t.Errorf("taken all the same: %+v", all)
	}
}

// TestResendRemembersKeys repeats a request under its idempotency key: one copy, one id, and 409 for another payload.
func TestResendRemembersKeys(t *testing.T) {
	t.Parallel()
	s, c := begin(t, Config{}), caller(t)
	under := func(token, subject string) func(map[string]any, *http.Request) {
		return func(body map[string]any, r *http.Request) {
			body["subject"] = subject
			r.Header.Set("Idempotency-Key", token)
		}
	}
	_, first := answered(t, c, request(t, s, "RESEND", "ama@example.com", under("k1", "one")))
	if _, again := answered(t, c, request(t, s, "RESEND", "ama@example.com", under("k1", "one"))); again != first {
		t.Errorf("the repeat says %s, not %s", again, first)
	}
	if status, body := answered(t, c, request(t, s, "RESEND", "ama@example.com", under("k1", "two"))); status != 409 || !strings.Contains(body, "invalid_idempotent_request") {
		t.Errorf("another payload: %d %s", status, body)
	}
	if _, other := answered(t, c, request(t, s, "RESEND", "ama@example.com", under("k2", "one"))); other == first {
		t.Error("another key, the same id")
	}
	var outcomes []string
	for _, e := range s.Entries(Filter{Kind: KindSend}) {
		outcomes = append(outcomes, e.Token+" "+e.Outcome)
	}
	if got := strings.Join(outcomes, ", "); got != "k1 accepted, k1 repeated, k1 refused, k2 accepted" {
		t.Errorf("the ledger says %s", got)
	}
	if copies := s.Copies(Filter{Least: 2}); len(copies) != 0 {
		t.Errorf("more than one copy: %+v", copies)
	}
}

// TestBatches sends several messages in one call: one id, line and copy each.
func TestBatches(t *testing.T) {
	t.Parallel()
	s, c := begin(t, Config{}), caller(t)
	mail := func(to string) map[string]any {
		return map[string]any{"from": "a@shop.example", "to": to, "subject": "Hi", "text": "Hi"}
	}
	raw, err := json.Marshal([]any{mail("a@example.com"), mail("b@example.com")})
	if err != nil {
		t.Fatal(err)
	}
	post := func(kind, path, body string) string {
		req := request(t, s, kind, recipientOf(kind))
		u, err := url.Parse(s.BaseURL(kind) + path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.String(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		again.Header = req.Header
		_, got := answered(t, c, again)
		return got
	}
	if got := post("RESEND", "/emails/batch", string(raw)); strings.Count(got, `"id"`) != 2 {
		t.Errorf("Resend: %s", got)
	}
	if got := post("ARKESEL", "/api/v2/sms/send", `{"sender":"SHOP","message":"Hi","recipients":["233244000001","0233","233244000002"]}`); strings.Count(got, `"id"`) != 2 ||
		!strings.Contains(got, `"invalid numbers":["0233"]`) {
		t.Errorf("Arkesel: %s", got)
	}
	got := post("HUBTEL", "/v1/messages/batch/simple/send", `{"From":"SHOP","Recipients":["233244000001","233244000002"],"Content":"Hi"}`)
	if strings.Count(got, `"messageId"`) != 2 || !strings.Contains(got, `"batchId"`) {
		t.Errorf("Hubtel: %s", got)
	}
	if all := s.Entries(Filter{Outcome: Accepted}); len(all) != 6 || all[0].Request != all[1].Request || all[1].Request == all[2].Request {
		t.Errorf("%d lines: %+v", len(all), all)
	}
}
