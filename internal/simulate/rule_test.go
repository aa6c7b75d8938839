package simulate

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

func TestPatterns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, to string
		want        bool
	}{
		{"", "anybody", true}, {"*", "anybody", true}, {"Ama@example.com", "ama@EXAMPLE.com", true}, {"ama@example.com", "kofi@example.com", false},
		{"*@example.com", "ama@example.com", true}, {"*@example.com", "ama@example.org", false}, {"23324*", "+233244000000", true}, {"*7", "233244000007", true},
		{"*7", "233244000070", false}, {"a*b*c", "abc", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false}, {"aa*aa", "aaa", false}, {"+2332*", "2332", true},
	}
	for _, tt := range tests {
		if got := like(tt.pattern, tt.to); got != tt.want {
			t.Errorf("%q meets %q: %v", tt.pattern, tt.to, got)
		}
	}
}

func TestTimesOfRules(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
	minutes := func(n int) Span { return Span(time.Duration(n) * time.Minute) }
	tests := []struct {
		rule Rule
		want string // one letter for each minute from one before
	}{
		{Rule{From: from}, ".xxxxxxx"},
		{Rule{From: from, Until: from.Add(2 * time.Minute)}, ".xx....."},
		{Rule{From: from, For: minutes(3)}, ".xxx...."},
		{Rule{From: from, For: minutes(1), Every: minutes(3)}, ".x..x..x"},
		{Rule{From: from, For: minutes(1), Every: minutes(3), Until: from.Add(5 * time.Minute)}, ".x..x..."},
	}
	for _, tt := range tests {
		var got strings.Builder
		for m := -1; m < 7; m++ {
			got.WriteByte(map[bool]byte{true: 'x', false: '.'}[tt.rule.active(from.Add(time.Duration(m)*time.Minute))])
		}
		if got.String() != tt.want {
			t.Errorf("%+v: %s, want %s", tt.rule, got.String(), tt.want)
		}
	}
}

// TestWrongRules wants every mistake refused with the name of its field.
func TestWrongRules(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
	for field, r := range map[string]Rule{
		"fault": {Fault: "explode"}, "id": {ID: "a b", Fault: Lose}, "type": {Type: "FAX", Fault: Lose}, "port": {Port: 70000, Fault: Lose}, "share": {Share: 1.5, Fault: Lose},
		"first": {First: -1, Fault: Lose}, "times": {Times: -1, Fault: Lose}, "above": {Above: -1, Fault: Lose}, "per": {Per: Span(time.Second), Fault: Lose}, "recipient": {Recipient: strings.Repeat("x", 400), Fault: Lose},
		"until": {From: at, Until: at, Fault: Lose}, "every": {Every: Span(time.Minute), Fault: Lose}, "for": {For: Span(time.Minute), Until: at, Fault: Lose},
		"delay": {Fault: Lose, Delay: Span(time.Second)}, "status": {Fault: Unavailable, Status: 200}, "form": {Fault: Malformed, Form: "odd"}, "count": {Fault: Duplicate, Count: 5000},
		"outcome": {Fault: Outcome, Outcome: "fine"}, "retryAfter": {Fault: Throttle, RetryAfter: "-1"}, "error": {Fault: Refuse, Error: "21211"}, "taken": {Fault: Down, Taken: true},
	} {
		err := r.check()
		e, ok := errors.AsType[*comm.Error](err)
		if !ok || e.Fields[field] == "" || e.Kind != comm.Invalid {
			t.Errorf("%s: %v", field, err)
		}
	}
	for name, r := range map[string]Rule{
		"an error of another type":                  {Type: "TWILIO", Fault: Refuse, Error: "invalid_api_key"},
		"a recipient before the relay hears of one": {Type: SMTP, Fault: Refuse, Error: "mail 530 5.7.0", Recipient: "a@example.com"},
	} {
		if r.check() == nil {
			t.Errorf("%s is a rule", name)
		}
	}
}

// TestEveryFaultIsARule makes a rule of every fault, and of everything that it takes.
func TestEveryFaultIsARule(t *testing.T) {
	t.Parallel()
	values := map[string]func(*Rule){
		"error": func(r *Rule) { r.Type, r.Error = "TWILIO", "21610" }, "retryAfter": func(r *Rule) { r.RetryAfter = "date" }, "status": func(r *Rule) { r.Status = 502 },
		"form": func(r *Rule) { r.Form = "html" }, "taken": func(r *Rule) { r.Taken = true }, "delay": func(r *Rule) { r.Delay = Span(time.Second) },
		"count": func(r *Rule) { r.Count = 3 }, "outcome": func(r *Rule) { r.Outcome = "bounced" },
	}
	for _, row := range Faults() {
		r := Rule{Fault: row.Fault}
		for _, name := range row.Takes {
			values[name](&r)
		}
		if err := r.check(); err != nil {
			t.Errorf("%s: %s", row.Fault, Explain(err))
		}
	}
	for _, f := range FixedRecipients() {
		if err := f.Rule.check(); err != nil && !strings.HasPrefix(f.Rule.ID, "recipient:") {
			t.Errorf("%s: %s", f.Name, Explain(err))
		}
		byMail, ok := fixed(strings.ToUpper(f.Name[:1]) + f.Name[1:] + "+order-1@" + FixedDomain)
		byNumber, too := fixed("+" + f.Number)
		if !ok || !too || byMail.ID != f.Rule.ID || byNumber.ID != f.Rule.ID {
			t.Errorf("%s, %s: %v %v", f.Name, f.Number, byMail, byNumber)
		}
	}
	for _, to := range []string{"lost@example.com", FixedNumber + "99", "nobody@" + FixedDomain} {
		if _, ok := fixed(to); ok {
			t.Errorf("%s orders a fault", to)
		}
	}
}

func TestRulesOfTheCommandLine(t *testing.T) {
	t.Parallel()
	r, err := ParseRule("type=SMTP, port=3025,recipient=*7@example.com,fault=hang,taken=true,delay=5s,share=0.5,first=2,from=2026-07-03T10:00:00Z")
	want := Rule{Type: SMTP, Port: 3025, Recipient: "*7@example.com", Fault: Hang, Taken: true, Delay: Span(5 * time.Second), Share: 0.5, First: 2, From: time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)}
	if err != nil || r != want {
		t.Errorf("%+v %v", r, err)
	}
	for _, text := range []string{"", "fault", "fault=lose,fault=lose", "fault=lose,speed=9", "fault=hang,delay=soon", "fault=lose,port=x"} {
		if _, err := ParseRule(text); err == nil || Explain(err) == "" {
			t.Errorf("%q is a rule", text)
		}
	}
	o, err := ReadOrders([]byte(`{"rules":[{"fault":"lose","for":"1m"}],"callbacks":{"RESEND":{"url":"http://127.0.0.1:1/x","secret":"whsec_AAAA"}}}`))
	if err != nil || len(o.Rules) != 1 || o.Rules[0].For != Span(time.Minute) || o.Callbacks["RESEND"].Secret != "whsec_AAAA" {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := ReadOrders([]byte(`{"rules":[{"fault":"lose","hits":3}]}`)); err == nil {
		t.Error("an unknown field is read")
	}
}

// TestShareFirstAndTimes holds the three ways to meet some requests only, and that they follow from the seed.
func TestShareFirstAndTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	hits := func(seed uint64, r Rule, backwards bool) map[string]bool {
		s := newRules(seed)
		if _, err := s.add(r, now); err != nil {
			t.Fatal(Explain(err))
		}
		met := map[string]bool{}
		for i := range 1000 {
			if backwards {
				i = 999 - i
			}
			to := "233" + strconv.Itoa(100000000+i/2)
			if s.judge(meeting{kind: "TWILIO", to: to, nth: i%2 + 1, now: now}, "").answer.Fault != "" {
				met[to+"/"+strconv.Itoa(i%2+1)] = true
			}
		}
		return met
	}
	share := hits(7, Rule{Fault: Lose, Share: 0.3}, false)
	if n := len(share); n < 240 || n > 360 {
		t.Errorf("a share of 0.3 met %d of 1000", n)
	}
	again, other := hits(7, Rule{Fault: Lose, Share: 0.3}, true), hits(8, Rule{Fault: Lose, Share: 0.3}, false)
	same := 0
	for to := range share {
		if !again[to] {
			t.Fatalf("%s was met in one order alone", to)
		}
		if other[to] {
			same++
		}
	}
	if len(again) != len(share) || same == len(share) {
		t.Errorf("seed 7 met %d and %d, seed 8 %d of them", len(share), len(again), same)
	}
	if n := len(hits(7, Rule{Fault: Lose, First: 1}, false)); n != 500 {
		t.Errorf("each recipient's first request: %d", n)
	}
	if n := len(hits(7, Rule{Fault: Lose, Times: 9}, false)); n != 9 {
		t.Errorf("nine times: %d", n)
	}
}

// TestAboveARate lets so many requests of each window pass, those alone counted that the rule could meet.
func TestAboveARate(t *testing.T) {
	t.Parallel()
	s, at := newRules(1), time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
	if _, err := s.add(Rule{Type: "TWILIO", Fault: Throttle, Above: 3, Per: Span(time.Second), From: at}, at); err != nil {
		t.Fatal(err)
	}
	var met strings.Builder
	for i := range 12 {
		m := meeting{kind: "TWILIO", to: "233244000000", nth: i + 1, now: at.Add(time.Duration(i) * 200 * time.Millisecond)}
		s.judge(meeting{kind: "NALO", to: m.to, nth: 1, now: m.now}, "")
		met.WriteByte(map[bool]byte{true: 'x', false: '.'}[s.judge(m, "").answer.Fault == Throttle])
	}
	if met.String() != "...xx...xx.." {
		t.Errorf("met %s", met.String())
	}
}

// TestTheFirstRuleDecides and reports' rules add up.
func TestTheFirstRuleDecides(t *testing.T) {
	t.Parallel()
	now, s := time.Now(), newRules(1)
	for _, r := range []Rule{{ID: "late", Fault: Late}, {ID: "lose", Fault: Lose, Type: "TWILIO"}, {ID: "hang", Fault: Hang}, {ID: "twice", Fault: Duplicate}} {
		if _, err := s.add(r, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.add(Rule{ID: "lose", Fault: Lose}, now); !comm.IsKind(err, comm.Conflict) {
		t.Errorf("a second rule of one id: %v", err)
	}
	v := s.judge(meeting{kind: "TWILIO", to: FixedNumber + "10", nth: 1, now: now}, "")
	if v.answer.ID != "lose" || len(v.reports) != 2 {
		t.Errorf("%+v", v)
	}
	hits := ""
	for _, r := range s.list(now) {
		hits += strconv.Itoa(r.Hits)
	}
	if hits != "1101" {
		t.Errorf("hits %s", hits)
	}
}
