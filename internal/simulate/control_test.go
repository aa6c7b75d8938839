package simulate

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOrdersOverHTTP goes through the control interface as a person with curl would.
func TestOrdersOverHTTP(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	do := func(method, path, body string, status int, words ...string) {
		t.Helper()
		got, text := orderOf(t, s, method, path, body)
		if got != status {
			t.Fatalf("%s %s: %d %s", method, path, got, text)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s %s does not say %s: %s", method, path, w, text)
			}
		}
	}
	do("POST", "/_simulate/rules", `{"type":"TWILIO","recipient":"*1","fault":"refuse","error":"21610","for":"1h"}`, 201, `{"id":"r1"}`)
	do("POST", "/_simulate/rules", `{"id":"mine","fault":"late","delay":"1h"}`, 201, `{"id":"mine"}`)
	do("POST", "/_simulate/rules", `{"id":"mine","fault":"late"}`, 409, "already_exists")
	if status, _ := answered(t, caller(t), request(t, s, "TWILIO", "233244000001")); status != 400 {
		t.Errorf("the rule is not obeyed: %d", status)
	}
	answered(t, caller(t), request(t, s, "TWILIO", "233244000002"))
	do("GET", "/_simulate/rules", "", 200, `"id":"r1"`, `"hits":1`, `"active":true`, `"for":"1h0m0s"`)
	do("GET", "/_simulate/ledger?type=TWILIO&outcome=refused", "", 200, `"error":"21610"`, `"rule":"r1"`)
	do("GET", "/_simulate/ledger?recipient=%2B233244000002&limit=1", "", 200, `"outcome":"accepted"`, `"copy":1`)
	do("GET", "/_simulate/ledger?outcome=hung", "", 200, `{"data":[]}`)
	do("GET", "/_simulate/copies?type=TWILIO&least=1", "", 200, `"copies":1`)
	do("GET", "/_simulate/", "", 200, `"TWILIO":"`+s.BaseURL("TWILIO")+`"`, `"outcome":"refused"`, `"lines":1`, `"rules":2`)
	do("PUT", "/_simulate/callbacks/RESEND", `{"url":"http://127.0.0.1:1/x","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, 204)
	do("GET", "/_simulate/callbacks", "", 200, `"type":"RESEND"`, `"signed":true`)
	if _, text := orderOf(t, s, "GET", "/_simulate/callbacks", ""); strings.Contains(text, "MfKQ9r8G") {
		t.Error("a secret is shown")
	}
	do("DELETE", "/_simulate/callbacks/RESEND", "", 204)
	do("GET", "/_simulate/callbacks", "", 200, `{"data":[]}`)
	do("DELETE", "/_simulate/rules/r1", "", 204)
	do("DELETE", "/_simulate/rules/r1", "", 404)
	do("DELETE", "/_simulate/rules", "", 204)
	do("GET", "/_simulate/rules", "", 200, `{"data":[]}`)
	do("POST", "/_simulate/reset", "", 201, `"at":`)
	do("GET", "/_simulate/ledger", "", 200, `{"data":[]}`)
	do("GET", "/_simulate/", "", 200, `"counts":[]`)
}

// TestWrongOrders wants a clear 4xx for every mistake.
func TestWrongOrders(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		word               string
	}{
		{"POST", "/_simulate/rules", ``, 415, "unsupported_media_type"},
		{"POST", "/_simulate/rules", `{`, 400, "invalid_json"},
		{"POST", "/_simulate/rules", `[]`, 400, "invalid_body"},
		{"POST", "/_simulate/rules", `{}`, 400, `"fault"`},
		{"POST", "/_simulate/rules", `{"fault":"lose","speed":1}`, 400, "unknown_field"},
		{"POST", "/_simulate/rules", `{"fault":"lose","fault":"lose"}`, 400, "duplicate_field"},
		{"POST", "/_simulate/rules", `{"fault":"lose","for":"soon"}`, 400, `"for":"must be a time such as 1m30s`},
		{"POST", "/_simulate/rules", `{"fault":"lose","first":"1"}`, 400, `"first"`},
		{"POST", "/_simulate/rules", `{"fault":"lose","from":"today"}`, 400, `"from"`},
		{"POST", "/_simulate/rules", `{"fault":"refuse","type":"RESEND","error":"nothing"}`, 400, "daily_quota_exceeded"},
		{"POST", "/_simulate/rules", `{"fault":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "body_too_large"},
		{"PATCH", "/_simulate/rules", ``, 405, "method_not_allowed"},
		{"GET", "/_simulate/ledger?limit=0", ``, 400, `"limit"`},
		{"GET", "/_simulate/ledger?limit=5000", ``, 400, `"limit"`},
		{"GET", "/_simulate/ledger?type=FAX", ``, 400, `"type"`},
		{"GET", "/_simulate/ledger?after=x", ``, 400, `"after"`},
		{"GET", "/_simulate/ledger?colour=red", ``, 400, `"colour"`},
		{"GET", "/_simulate/ledger?type=TWILIO&type=NALO", ``, 400, `"type"`},
		{"PUT", "/_simulate/callbacks/FAX", `{"url":"http://127.0.0.1/"}`, 400, `"type"`},
		{"PUT", "/_simulate/callbacks/RESEND", `{"url":"ftp://127.0.0.1/"}`, 400, `"url"`},
		{"PUT", "/_simulate/callbacks/RESEND", `{}`, 400, `"url"`},
		{"PUT", "/_simulate/hooks/mine", `{"answers":["fine"]}`, 400, `"answers[0]"`},
		{"PUT", "/_simulate/hooks/mine", `{"answers":["99"]}`, 400, `"answers[0]"`},
		{"PUT", "/_simulate/hooks/a%20b", `{}`, 404, "name"},
		{"GET", "/_simulate/hooks/nobody", ``, 404, "not_found"},
		{"DELETE", "/_simulate/hooks/nobody", ``, 404, "not_found"},
		{"GET", "/elsewhere", ``, 404, "/_simulate/"},
		{"GET", "/_simulate/nothing", ``, 404, "not_found"},
	} {
		status, text := orderOf(t, s, tt.method, tt.path, tt.body)
		var v struct {
			Error   string
			Details struct{ Code string }
		}
		if status != tt.status || !strings.Contains(text, tt.word) || json.Unmarshal([]byte(text), &v) != nil || v.Error == "" || v.Details.Code == "" {
			t.Errorf("%s %s %.60s: %d %s", tt.method, tt.path, tt.body, status, text)
		}
	}
	if n := len(s.rules.list(time.Now())); n != 0 {
		t.Errorf("%d rules were made", n)
	}
}

// TestPagesCannotOrder refuses what a page in a browser could send.
func TestPagesCannotOrder(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	for name, change := range map[string]func(*http.Request){
		"a name that was pointed at loopback": func(r *http.Request) { r.Host = "evil.example.com:3018" },
		"a page's script":                     func(r *http.Request) { r.Header.Set("Origin", "https://evil.example.com") },
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/_simulate/reset", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		if status, body := answered(t, caller(t), req); status != 400 && status != 403 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{Addr: "0.0.0.0:0"}, {SMTPAddrs: []string{":0"}}, {Own: map[string]string{"NALO": "10.0.0.1:0"}}, {Own: map[string]string{"FAX": "127.0.0.1:0"}}, {Addr: "nonsense"},
		{Rules: []Rule{{Fault: "explode"}}}, {Callbacks: map[string]Target{"RESEND": {URL: "x"}}}, {LedgerFile: filepath.Join(t.TempDir(), "none", "ledger")}} {
		if s, err := Start(t.Context(), cfg); err == nil {
			_ = s.Close()
			t.Errorf("%+v starts", cfg)
		}
	}
	s := begin(t, Config{})
	if other, err := Start(t.Context(), Config{Addr: strings.TrimPrefix(s.URL(), "http://")}); err == nil {
		_ = other.Close()
		t.Error("two on one port")
	}
}

// TestTheLedgersFile compares the file with the memory, line by line, after many clients at once.
func TestTheLedgersFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	s := begin(t, Config{LedgerFile: path, Rules: []Rule{{Fault: Lose, Share: 0.2}, {Fault: Refuse, Share: 0.2}, {Fault: Drip, Delay: Span(time.Microsecond), Share: 0.1}}, Seed: 3})
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			for i := range 25 {
				kind := WebTypes()[(n+i)%len(WebTypes())]
				to := "2332440" + itoa(10000+100*n+i)
				if kind == "RESEND" {
					to += "@example.com"
				}
				_, _, _, _ = do(caller(t), request(t, s, kind, to))
			}
		})
	}
	clients.Wait()
	memory := s.Entries(Filter{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file := map[int64]Entry{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(raw)), "\n") {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		file[e.Sequence] = e
	}
	if len(memory) != 200 || len(file) != 200 {
		t.Fatalf("%d lines in memory, %d in the file, want 200 in both", len(memory), len(file))
	}
	kinds := map[string]int{}
	for i, e := range memory {
		same := file[e.Sequence]
		same.At = e.At // without its monotonic part
		if same != e || e.Sequence != int64(i+1) {
			t.Errorf("the file has %+v, the memory %+v", same, e)
		}
		kinds[e.Outcome]++
		if e.AnswerLost {
			kinds["lost"]++
		}
	}
	if kinds[Accepted] < 100 || kinds[Refused] < 10 || kinds["lost"] < 10 || kinds[Accepted]+kinds[Refused] != 200 {
		t.Errorf("%v", kinds)
	}
}

// TestMemoryIsBounded fills everything beyond its limit.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	l, err := newLedger(100, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 2*maxContent)
	for i := range 1000 {
		e := l.enter(Entry{Kind: KindSend, Type: "NALO", Recipient: itoa(i), Outcome: Accepted, Content: long})
		if i%2 == 0 {
			l.lose(e.Sequence)
		}
	}
	all := l.find(Filter{})
	if len(all) != 100 || all[0].Sequence != 901 || all[99].Sequence != 1000 || !all[98].AnswerLost || all[99].AnswerLost || len(all[0].Content) != maxContent {
		t.Errorf("%d lines from %d", len(all), all[0].Sequence)
	}
	l.lose(1) // long forgotten
	if counts, forgotten, err := l.sums(); err != nil || forgotten != 900 || len(counts) != 1 || counts[0].Lines != 1000 || counts[0].Lost != 500 {
		t.Errorf("%+v, %d forgotten, %v", counts, forgotten, err)
	}
	big, err := newLedger(100_000, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * maxAllContent / maxContent {
		big.enter(Entry{Content: long})
	}
	if big.content > maxAllContent || len(big.find(Filter{})) != 2*maxAllContent/maxContent {
		t.Errorf("%d octets of content in %d lines", big.content, len(big.find(Filter{})))
	}
	r := newRecent[int, int](10)
	for i := range 100 {
		r.put(i, i)
		r.put(i, i) // keeps its place
	}
	sum := 0
	r.each(func(k, v int) bool { sum += v; return true })
	if _, old := r.get(89); old || len(r.values) != 10 || len(r.order) != 10 || sum != 945 {
		t.Errorf("%d values, %d in order, sum %d", len(r.values), len(r.order), sum)
	}
	h := newHooks(time.Now)
	for range 1200 {
		d := Delivery{Body: long[:maxKeptBody]}
		if _, _, err := h.receive("one", &d, &http.Request{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got, received, _ := h.list("one", 0, 5000); len(got) > maxDeliveries || received != 1200 || h.bytes > maxAllBodies {
		t.Errorf("%d of %d deliveries, %d octets", len(got), received, h.bytes)
	}
	s := newStore(1)
	for i := range maxMessages + 100 {
		m := &message{kind: "NALO", to: itoa(i), text: long[:2*maxKeptText]}
		s.name(m, 1, nalo{}.newID)
		if kept := s.keep(m); len(kept.text) != maxKeptText {
			t.Fatalf("%d octets of text", len(kept.text))
		}
	}
	if n := len(s.those("NALO", 2*maxMessages, func(*message) bool { return true })); n != maxMessages {
		t.Errorf("%d messages", n)
	}
}

// TestTheSameSeed sends the same twice, in another order: ids and faults are the same.
func TestTheSameSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, order []int) map[string]string {
		s := begin(t, Config{Seed: seed, Rules: []Rule{{Fault: Refuse, Share: 0.5}}})
		for _, n := range order {
			answered(t, caller(t), request(t, s, "HUBTEL", "23324400000"+itoa(n)))
		}
		out := map[string]string{}
		for _, e := range s.Entries(Filter{Kind: KindSend}) {
			out[e.Recipient] += e.Outcome + e.ProviderID + " "
		}
		return out
	}
	a, b, c := run(5, []int{1, 2, 3, 4, 5, 1}), run(5, []int{5, 4, 1, 1, 3, 2}), run(6, []int{1, 2, 3, 4, 5, 1})
	for to, what := range a {
		if b[to] != what {
			t.Errorf("%s: %s and %s", to, what, b[to])
		}
	}
	differs := false
	for to, what := range a {
		differs = differs || c[to] != what
	}
	if !differs {
		t.Error("another seed is the same")
	}
}
