package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	table := []Rule{
		{Status: []string{"400"}, Codes: []string{"bad_to", "bad_number"}, Class: provider.PermanentMessage, Hard: true, What: "no such recipient"},
		{Status: []string{"429"}, Codes: []string{"quota"}, Class: provider.Account, What: "the quota is used up"},
		{Codes: []string{"busy"}, Class: provider.Transient, What: "busy"},
		{Status: []string{"4"}, Words: []string{"balance", "credit"}, Class: provider.Account, What: "no credit"},
	}
	for _, tt := range []struct {
		status     int
		code, said string
		after      string
		class      provider.Class
		want       string // code
		wait       time.Duration
		hard       bool
	}{
		{400, "bad_to", "", "", provider.PermanentMessage, "400 bad_to", 0, true},
		{400, "Bad_Number", "", "", provider.PermanentMessage, "400 Bad_Number", 0, true},
		{400, "other", "", "", provider.PermanentHere, "400 other", 0, false},
		{422, "", "", "", provider.PermanentHere, "422", 0, false},
		{401, "x\ny", "", "", provider.Account, "401", 0, false},
		{402, "", "", "", provider.Account, "402", 0, false},
		{403, strings.Repeat("x", 41), "", "", provider.Account, "403", 0, false},
		{404, "", "", "", provider.Account, "404", 0, false},
		{408, "", "", "", provider.Ambiguous, "408", 0, false},
		{413, "", "", "", provider.PermanentHere, "413", 0, false},
		{429, "quota", "", "7", provider.Account, "429 quota", 0, false},
		{429, "slow", "", "7", provider.RateLimited, "429 slow", 7 * time.Second, false},
		{429, "", "", "", provider.RateLimited, "429", 0, false},
		{422, "", "Your Credit is used up ", "", provider.Account, "422", 0, false},
		{500, "", "Your Credit is used up ", "", provider.Ambiguous, "500", 0, false},
		{418, "busy", "", "3", provider.Transient, "418 busy", 3 * time.Second, false},
		{301, "", "", "", provider.Account, "301", 0, false},
		{500, "", "", "5", provider.Ambiguous, "500", 5 * time.Second, false},
		{502, "", "", "", provider.Ambiguous, "502", 0, false},
		{503, "", "", "", provider.Ambiguous, "503", 0, false},
		{503, "", "", "soon", provider.Ambiguous, "503", 0, false},
		{503, "", "", "120", provider.Ambiguous, "503", 2 * time.Minute, false},
		{101, "", "", "", provider.Ambiguous, "101", 0, false},
		{999, "", "", "", provider.Ambiguous, "999", 0, false},
	} {
		a := &Answer{Status: tt.status, Header: http.Header{"Retry-After": {tt.after}}, veil: veil.Veil{Numbers: true, Secrets: []string{"hunter22"}}}
		e := Judge(table, a, tt.code, tt.said+"no +233244000000, ama@example.com, HUNTER22")
		if e.Class != tt.class || e.Code != tt.want || e.RetryAfter != tt.wait || e.HardBounce != tt.hard {
			t.Errorf("%d %s: %s (%s), wait %v, hard %t", tt.status, tt.code, e.Class, e.Code, e.RetryAfter, e.HardBounce)
		}
		if !strings.HasSuffix(e.Text, "no [number] [address] [hidden]") && !strings.HasSuffix(e.Text, "no [number], [address] [hidden]") || len(e.Text) > veil.MaxText {
			t.Errorf("text %q", e.Text)
		}
	}
}

// FuzzJudge: whatever a provider answers is judged by one row, in bounds, with nothing of what must be hidden; and
// without a row of an adapter's no answer says that nothing was sent but a refusal.
func FuzzJudge(f *testing.F) {
	f.Add(400, "21211", "The 'To' number is invalid", "7")
	f.Fuzz(func(t *testing.T, status int, code, said, after string) {
		a := &Answer{Status: status, Header: http.Header{"Retry-After": {after}}, veil: veil.Veil{Numbers: true, Secrets: []string{"hunter22"}}}
		for _, table := range [][]Rule{nil, {{Codes: []string{"gone"}, Class: provider.PermanentMessage, Hard: true, What: "gone"}}} {
			e := Judge(table, a, code, said)
			if e.Class <= provider.Accepted || e.Class > provider.Ambiguous || e.Text == "" || len(e.Text) > veil.MaxText || len(e.Code) > 64 ||
				e.RetryAfter < 0 || e.RetryAfter > pace.MaxRetryAfter || strings.ContainsAny(e.Code+e.Text, "\r\n\x00@") ||
				strings.Contains(strings.ToLower(e.Code+e.Text), "hunter22") {
				t.Errorf("%+v", e)
			}
			refusal := status >= 300 && status <= 499 || status >= 3000 && status <= 4999 // statuses are prefixes
			if e.HardBounce != (table != nil && strings.EqualFold(code, "gone")) || e.Class == provider.Transient || e.Class == provider.Ambiguous && refusal && status != 408 && status/10 != 408 && !e.HardBounce {
				t.Errorf("%d %q: %+v", status, code, e)
			}
		}
	})
}

func TestUnread(t *testing.T) {
	t.Parallel()
	a := &Answer{Status: 202, Flaw: "broke off"}
	if r, err := a.Unread(true); err != nil || r.Ref != "" || r.Detail == "" {
		t.Errorf("%+v %v", r, err)
	}
	_, err := a.Unread(false)
	if e := provider.Classify(err); e.Class != provider.Ambiguous || e.Code != "202 unreadable" {
		t.Errorf("%v", err)
	}
	if err := a.JSON(new(any)); err == nil {
		t.Error("a body with a flaw was read")
	}
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, out provider.Error }{
		{provider.Error{Class: provider.Ambiguous, Code: "outcome_unknown"}, provider.Error{Class: provider.Transient, Code: "no_answer"}},
		{provider.Error{Class: provider.Ambiguous, Code: "500"}, provider.Error{Class: provider.Transient, Code: "500"}},
		{provider.Error{Class: provider.Account, Code: "401"}, provider.Error{Class: provider.Account, Code: "401"}},
	} {
		if got := Question(&tt.in); got.Class != tt.out.Class || got.Code != tt.out.Code {
			t.Errorf("%v is %v", &tt.in, got)
		}
	}
}

func TestScalar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Scalar{`"a"`: "a", `21211`: "21211", `1.50`: "1.50", `true`: "true", `null`: "", `[1]`: "", `{"a":1}`: "", `""`: ""} {
		var s struct{ V Scalar }
		if err := json.Unmarshal([]byte(`{"V":`+text+`}`), &s); err != nil || s.V != want {
			t.Errorf("%s: %q %v", text, s.V, err)
		}
	}
}
