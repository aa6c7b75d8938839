package simulate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// reportsOf sends one message and answers what the gateway got, once there are n reports.
func reportsOf(t *testing.T, kind, to string, n int, rules ...Rule) (s *Server, g *gateway, id string) {
	t.Helper()
	g = receive(t)
	s = begin(t, Config{Rules: rules})
	change := func(map[string]any, *http.Request) {}
	switch kind {
	case "TWILIO":
		change = func(body map[string]any, _ *http.Request) { body["StatusCallback"] = g.url + "/cb?x=1" }
	case "ARKESEL":
		change = func(body map[string]any, _ *http.Request) { body["callback_url"] = g.url + "/cb?x=1" }
	default:
		if err := s.reports.aim(kind, Target{URL: g.url + "/cb"}); err != nil {
			t.Fatal(err)
		}
	}
	_, body := answered(t, caller(t), request(t, s, kind, to, change))
	until(t, "the reports of "+kind, func() bool { return len(g.all()) >= n })
	return s, g, idIn(t, kind, body)
}

// wordOf reads id and status out of a report.
func wordOf(t *testing.T, kind string, one seen) (id, word string) {
	t.Helper()
	var v map[string]any
	if kind != "ARKESEL" && kind != "TWILIO" {
		if err := json.Unmarshal([]byte(one.body), &v); err != nil {
			t.Fatalf("%s: %v", one.body, err)
		}
	}
	text := func(v any) string { s, _ := v.(string); return s }
	switch kind {
	case "RESEND":
		return text(v["data"].(map[string]any)["email_id"]), text(v["type"])
	case "ARKESEL":
		u, err := url.Parse(one.uri)
		if err != nil || u.Query().Get("x") != "1" || one.method != http.MethodGet {
			t.Fatalf("%s %s", one.method, one.uri)
		}
		return u.Query().Get("sms_id"), u.Query().Get("status")
	case "TWILIO":
		q, err := url.ParseQuery(one.body)
		if err != nil {
			t.Fatal(err)
		}
		return q.Get("MessageSid"), q.Get("MessageStatus") + q.Get("ErrorCode")
	case "NALO":
		return text(v["job_id"]), text(v["status"])
	case "MNOTIFY":
		return text(v["message_id"]), text(v["status"])
	}
	return text(v["messageId"]), text(v["status"])
}

// TestReportsOfEveryType holds what comes for each outcome.
func TestReportsOfEveryType(t *testing.T) {
	t.Parallel()
	words := map[string]map[string]string{
		"RESEND":  {"delivered": "email.sent email.delivered", "bounced": "email.sent email.bounced", "failed": "email.sent email.failed", "complained": "email.sent email.delivered email.complained", "suppressed": "email.sent email.suppressed"},
		"ARKESEL": {"delivered": "SUBMITTED DELIVERED", "failed": "SUBMITTED NOT_DELIVERED", "expired": "SUBMITTED EXPIRED", "complained": "SUBMITTED DELIVERED"},
		"HUBTEL":  {"delivered": "Sent Delivered", "bounced": "Sent Undeliverable", "suppressed": "Sent Blacklisted"},
		"NALO":    {"delivered": "ACCEPTD DELIVRD", "failed": "ACCEPTD UNDELIV", "complained": "ACCEPTD DELIVRD"},
		"MNOTIFY": {"delivered": "SUBMITTED DELIVERED", "failed": "SUBMITTED FAILED"},
		"TWILIO":  {"delivered": "sent delivered", "bounced": "sent failed21211", "failed": "sent failed30008", "expired": "sent undelivered30036"},
	}
	for kind, outcomes := range words {
		for outcome, want := range outcomes {
			t.Run(kind+" "+outcome, func(t *testing.T) {
				t.Parallel()
				n := strings.Count(want, " ") + 1
				s, g, id := reportsOf(t, kind, recipientOf(kind), n, Rule{Fault: Outcome, Outcome: outcome})
				var got []string
				for _, one := range g.all() {
					named, word := wordOf(t, kind, one)
					if named != id {
						t.Errorf("it names %s, not %s", named, id)
					}
					got = append(got, word)
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%v, want %s", got, want)
				}
				until(t, "the ledger has them", func() bool { return len(s.Entries(Filter{Kind: KindReport, Outcome: Reported})) == n })
			})
		}
	}
}

// TestFaultsOfReports orders each fault of a report.
func TestFaultsOfReports(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rule Rule
		want string // sent, delivered; ! when the id is another one
	}{
		{"late", Rule{Fault: Late, Delay: Span(300 * time.Millisecond)}, "sent delivered"},
		{"duplicate", Rule{Fault: Duplicate, Count: 3}, "sent sent sent delivered delivered delivered"},
		{"duplicate as usual", Rule{Fault: Duplicate}, "sent sent delivered delivered"},
		{"reordered", Rule{Fault: Reordered}, "delivered sent"},
		{"other id", Rule{Fault: OtherID}, "sent! delivered!"},
		{"unknown id", Rule{Fault: UnknownID}, "sent! delivered!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			s, g, id := reportsOf(t, "TWILIO", "233244000000", strings.Count(tt.want, " ")+1, tt.rule)
			var got []string
			for _, one := range g.all() {
				named, word := wordOf(t, "TWILIO", one)
				if named != id {
					word += "!"
				}
				if same := strings.EqualFold(named, id); same == (tt.rule.Fault == UnknownID) {
					t.Errorf("it names %s, the message is %s", named, id)
				}
				got = append(got, word)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%v, want %s", got, tt.want)
			}
			if tt.rule.Fault == Late && time.Since(began) < 300*time.Millisecond {
				t.Errorf("they came after %v", time.Since(began))
			}
			if planned, dropped := s.reports.waiting(); dropped != 0 {
				t.Errorf("%d planned, %d dropped", planned, dropped)
			}
		})
	}
}

// TestGarbledReports come by halves, signed as they are.
func TestGarbledReports(t *testing.T) {
	t.Parallel()
	s, g, _ := reportsOf(t, "RESEND", "ama@example.com", 2, Rule{Fault: Garbled})
	for _, one := range g.all() {
		h := one.header
		if json.Valid([]byte(one.body)) || one.body == "" || h.Get("Svix-Signature") != "v1,"+signStandard(secretBytes(s.WebhookSecret()), h.Get("Svix-Id"), h.Get("Svix-Timestamp"), []byte(one.body)) {
			t.Errorf("%v %s", h, one.body)
		}
	}
	_, g, _ = reportsOf(t, "TWILIO", "233244000000", 2, Rule{Fault: Garbled})
	for _, one := range g.all() {
		form, err := url.ParseQuery(one.body)
		if err != nil || form.Get("MessageStatus") != "" || one.header.Get("X-Twilio-Signature") != signTwilio("token", g.url+"/cb?x=1", form) {
			t.Errorf("%v %s", one.header, one.body)
		}
	}
	_, g, id := reportsOf(t, "ARKESEL", "233244000000", 2, Rule{Fault: Garbled})
	for _, one := range g.all() {
		if named, word := wordOf(t, "ARKESEL", one); named != id || word != "" {
			t.Errorf("%s", one.uri)
		}
	}
}

// TestAMissingReport sends two messages, the first without reports: the second's come, and nothing of the first.
func TestAMissingReport(t *testing.T) {
	t.Parallel()
	g := receive(t)
	s := begin(t, Config{Rules: []Rule{{Fault: Missing, Recipient: "*1"}}, Callbacks: map[string]Target{"HUBTEL": {URL: g.url}}})
	_, first := answered(t, caller(t), request(t, s, "HUBTEL", "233244000001"))
	answered(t, caller(t), request(t, s, "HUBTEL", "233244000002"))
	until(t, "both reports", func() bool { return len(g.all()) == 2 })
	for _, one := range g.all() {
		if id, _ := wordOf(t, "HUBTEL", one); id == idIn(t, "HUBTEL", first) {
			t.Errorf("a report came: %s", one.body)
		}
	}
	if planned, _ := s.reports.waiting(); planned != 0 {
		t.Errorf("%d are planned", planned)
	}
}

// TestReportsAreSigned holds the signatures of those providers that sign.
func TestReportsAreSigned(t *testing.T) {
	t.Parallel()
	s, g, _ := reportsOf(t, "RESEND", "ama@example.com", 2)
	ids := map[string]bool{}
	for _, one := range g.all() {
		h := one.header
		ids[h.Get("Svix-Id")] = true
		want := "v1," + signStandard(secretBytes(s.WebhookSecret()), h.Get("Svix-Id"), h.Get("Svix-Timestamp"), []byte(one.body))
		if h.Get("Svix-Signature") != want || h.Get("Svix-Id") == "" || !strings.Contains(one.body, `"tags":{"mid":"m1"}`) {
			t.Errorf("%v %s", h, one.body)
		}
	}
	if len(ids) != 2 {
		t.Errorf("ids %v", ids)
	}
	_, g, _ = reportsOf(t, "TWILIO", "233244000000", 2)
	for _, one := range g.all() {
		form, err := url.ParseQuery(one.body)
		if err != nil || one.header.Get("X-Twilio-Signature") != signTwilio("token", g.url+"/cb?x=1", form) {
			t.Errorf("%v %s", one.header, one.body)
		}
	}
	g = receive(t)
	s = begin(t, Config{Callbacks: map[string]Target{"ARKESEL": {Secret: "arkesel-secret"}}})
	answered(t, caller(t), request(t, s, "ARKESEL", "233244000000", func(body map[string]any, _ *http.Request) { body["callback_url"] = g.url + "/cb/token" }))
	until(t, "the reports", func() bool { return len(g.all()) == 2 })
	for _, one := range g.all() {
		u, err := url.Parse(one.uri)
		if err != nil || u.Path != "/cb/token" || one.header.Get("X-Arkesel-Webhook-Signature") != "v1="+signArkesel("arkesel-secret", one.header.Get("X-Arkesel-Webhook-Timestamp"), u.Query()) {
			t.Errorf("%v %s", one.header, one.uri)
		}
	}
}

// TestResendRepeatsReports keeps the event's id when a report is not answered with 2xx. The pauses are Resend's own.
func TestResendRepeatsReports(t *testing.T) {
	t.Parallel()
	want := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour, 0}
	for tries, pause := range want {
		if got := again("RESEND", tries); got != pause {
			t.Errorf("after %d: %v, want %v", tries+1, got, pause)
		}
	}
	if again("TWILIO", 0) != 0 {
		t.Error("Twilio repeats")
	}
	g := receive(t)
	g.answer = func(n int) int { return map[bool]int{true: 500, false: 200}[n == 1] }
	s := begin(t, Config{Callbacks: map[string]Target{"RESEND": {URL: g.url}}})
	answered(t, caller(t), request(t, s, "RESEND", "ama@example.com"))
	until(t, "the second report", func() bool { return len(g.all()) == 2 })
	until(t, "the ledger has both", func() bool { return len(s.Entries(Filter{Kind: KindReport})) == 2 })
	if planned, _ := s.reports.waiting(); planned != 1 {
		t.Errorf("%d are planned, want the repeat", planned)
	}
	until(t, "the repeat", func() bool { return len(g.all()) == 3 })
	if all := g.all(); all[2].header.Get("Svix-Id") != all[0].header.Get("Svix-Id") || all[2].body != all[0].body {
		t.Errorf("%v %v", all[0], all[2])
	}
}

// TestReportsStayOnLoopback wants a target elsewhere refused when it is dialled, and its reason without the URL.
func TestReportsStayOnLoopback(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Callbacks: map[string]Target{"HUBTEL": {URL: "http://192.0.2.1/hidden-token"}}})
	answered(t, caller(t), request(t, s, "HUBTEL", "233244000000"))
	until(t, "both were refused", func() bool { return len(s.Entries(Filter{Kind: KindReport, Outcome: Unheard})) == 2 })
	for _, e := range s.Entries(Filter{Kind: KindReport}) {
		if e.Error == "" || strings.Contains(e.Error, "hidden-token") || e.Path != "" {
			t.Errorf("%+v", e)
		}
	}
}
