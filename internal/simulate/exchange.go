package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// How large a provider request's body may be: Resend takes 40 MB, short messages need little.
const (
	maxMailRequest = 42 << 20
	maxSMSRequest  = 2 << 20
)

// answer is what a provider says.
type answer struct {
	status int
	kind   string // content type; empty: JSON
	header map[string]string
	body   []byte
}

// say makes an answer of a JSON value.
func say(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic("simulate: an answer of our own is no JSON: " + err.Error())
	}
	return answer{status: status, body: body}
}

// tongue is how one type of provider speaks.
type tongue interface {
	// base is the path that a configuration's baseUrl ends with, behind the type's own.
	base() string
	// serve answers one call by x.send, x.refuse or x.query.
	serve(x *exchange)
	// problem writes an error as the provider does; to is the recipient, if it is known.
	problem(r Refusal, to string) answer
	// newID writes a draw in the form of the provider's ids.
	newID(d [32]byte) string
	// report is a report of a status; false when the provider has none of it.
	report(m *message, r report) (call, bool)
}

// tongues are the types that speak HTTP.
func tongues() map[string]tongue {
	return map[string]tongue{"RESEND": resend{}, "ARKESEL": arkesel{}, "HUBTEL": hubtel{}, "NALO": nalo{}, "MNOTIFY": mnotify{}, "TWILIO": twilio{}}
}

// exchange is one request to a provider.
type exchange struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	kind   string
	tongue tongue
	path   string // below the type's own
	port   int
	body   []byte
	at     time.Time
	number int64
	hash   [32]byte // of the body
}

// provider serves everything below a type's path.
func (s *Server) provider(kind string, t tongue) http.Handler {
	prefix := "/" + strings.ToLower(kind)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port, _ := r.Context().Value(portKey{}).(int)
		x := &exchange{s: s, w: w, r: r, kind: kind, tongue: t, path: strings.TrimPrefix(r.URL.Path, prefix), port: port, at: s.cfg.Now(), number: s.store.request()}
		most := int64(maxSMSRequest)
		if kind == "RESEND" {
			most = maxMailRequest
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		if err != nil {
			if _, over := errors.AsType[*http.MaxBytesError](err); over {
				x.query(answer{status: http.StatusRequestEntityTooLarge, kind: "text/plain", body: []byte("too large")})
			}
			return // else the client is gone, and nothing was taken
		}
		x.body, x.hash = body, sha256.Sum256(body)
		t.serve(x)
	})
}

// entry begins a line about this request.
func (x *exchange) entry(kind string) Entry {
	return Entry{Request: x.number, At: x.at, Kind: kind, Type: x.kind, Port: x.port, Method: x.r.Method, Path: x.r.URL.Path,
		BodySHA256: hex.EncodeToString(x.hash[:]), Bytes: int64(len(x.body))}
}

// query answers anything that is not a send.
func (x *exchange) query(a answer) {
	if x.s.rules.down(x.kind, x.port, x.at) {
		x.cut()
		return
	}
	e := x.entry(KindQuery)
	e.Outcome, e.Status = Answered, a.status
	x.s.ledger.enter(e)
	x.write(a)
}

// refuse answers a send that the provider itself would refuse.
func (x *exchange) refuse(name string, tos ...string) {
	if x.s.rules.down(x.kind, x.port, x.at) {
		x.cut()
		return
	}
	r := must(x.kind, name)
	if len(tos) == 0 {
		tos = []string{""}
	}
	a := x.tongue.problem(r, tos[0])
	for _, to := range tos {
		e := x.entry(KindSend)
		e.Recipient, e.Outcome, e.Error, e.Status = to, Refused, r.Name, a.status
		x.s.ledger.enter(e)
	}
	x.write(a)
}

// sending is what a request wants to be sent.
type sending struct {
	token    string // idempotency key
	messages []*message
	// ok is the provider's answer when it took them.
	ok func([]*message) answer
}

// send decides about a request by the rules, records it and answers it.
func (x *exchange) send(in sending) {
	var v verdict
	nths := make([]int, len(in.messages))
	plans := make([][]Rule, len(in.messages))
	for i, m := range in.messages {
		nths[i] = x.s.store.try(x.kind, x.port, m.to)
		one := x.s.rules.judge(meeting{kind: x.kind, port: x.port, to: m.to, nth: nths[i], now: x.at}, "")
		if v.answer.Fault == "" {
			v.answer = one.answer // the first recipient with a fault decides for the request
		}
		plans[i] = one.reports
	}
	r := v.answer
	switch {
	case r.Fault == Down:
		x.note(in, r, Reset, "", 0)
		x.cut()
	case r.Fault == Hang && !r.Taken:
		x.hang(in, r)
	case r.Fault == Refuse:
		refused, _ := refusal(x.kind, r.Error)
		a := x.tongue.problem(refused, in.messages[0].to)
		x.note(in, r, Refused, refused.Name, a.status)
		x.write(a)
	case r.Fault == Throttle:
		a := x.throttled(r)
		x.note(in, r, Throttled, "", a.status)
		x.write(a)
	case r.Fault == Unavailable && !r.Taken:
		a := x.unavailable(r)
		x.note(in, r, Failed, "", a.status)
		x.write(a)
	default:
		x.take(in, r, nths, plans)
	}
}

// note enters the lines of a request that was not taken.
func (x *exchange) note(in sending, r Rule, outcome, failure string, status int) {
	for _, m := range in.messages {
		e := x.entryOf(in, m, r)
		e.Outcome, e.Error, e.Status = outcome, failure, status
		x.s.ledger.enter(e)
	}
}

func (x *exchange) entryOf(in sending, m *message, r Rule) Entry {
	e := x.entry(KindSend)
	e.Sender, e.Recipient, e.Token, e.Fault, e.Rule = m.from, m.to, in.token, r.Fault, r.ID
	if x.s.cfg.Content {
		e.Content = strings.TrimPrefix(m.subject+"\n\n"+m.text, "\n\n")
	}
	return e
}

// hang holds the request and takes nothing. Under an idempotency key it is running meanwhile.
func (x *exchange) hang(in sending, r Rule) {
	x.note(in, r, Hung, "", 0)
	if in.token != "" {
		name := x.kind + "\x00" + in.token
		if _, again := x.s.store.claim(name, x.hash, x.at); !again {
			defer x.s.store.settle(name, nil)
		}
	}
	x.wait(time.Duration(r.Delay))
	x.cut()
}

// take takes the messages, or finds that their key was used before, and answers as ordered.
func (x *exchange) take(in sending, r Rule, nths []int, plans [][]Rule) {
	if in.token != "" {
		name := x.kind + "\x00" + in.token
		before, again := x.s.store.claim(name, x.hash, x.at)
		switch {
		case again && before.hash != x.hash:
			x.note(in, r, Refused, "invalid_idempotent_request", http.StatusConflict)
			x.write(x.tongue.problem(must(x.kind, "invalid_idempotent_request"), ""))
			return
		case again && before.running:
			x.note(in, r, Refused, "concurrent_idempotent_requests", http.StatusConflict)
			x.write(x.tongue.problem(must(x.kind, "concurrent_idempotent_requests"), ""))
			return
		case again:
			x.repeat(in, r, before.ids)
			return
		}
	}
	var entries []Entry
	for i, m := range in.messages {
		m.kind, m.port, m.taken, m.steps = x.kind, x.port, x.at, x.s.stepsOf(x.at, plans[i])
		if len(m.text) <= maxContent {
			m.parts = parts(m.text)
		}
		x.s.store.name(m, nths[i], x.tongue.newID)
		entries = append(entries, x.entryOf(in, m, r))
	}
	a := in.ok(in.messages)
	if r.Fault == Unavailable {
		a = x.unavailable(r)
	}
	for i, m := range in.messages {
		e := &entries[i]
		e.Outcome, e.ProviderID, e.Status = Accepted, m.id, a.status
		e.AnswerLost = r.Fault == Lose || r.Fault == Hang
		*e = x.s.ledger.enter(*e)
		x.s.reports.plan(x.s.store.keep(m), plans[i])
	}
	if in.token != "" {
		x.s.store.settle(x.kind+"\x00"+in.token, idsOf(in.messages)) // a repeat while the answer is lost finds it done
	}
	if lost := x.deliver(a, r); lost {
		for _, e := range entries {
			x.s.ledger.lose(e.Sequence)
		}
	}
}

// repeat answers a request whose key is known as the first one was answered.
func (x *exchange) repeat(in sending, r Rule, ids []string) {
	for i, m := range in.messages {
		if i < len(ids) {
			m.id = ids[i]
		}
	}
	a := in.ok(in.messages)
	var entries []Entry
	for _, m := range in.messages {
		e := x.entryOf(in, m, r)
		e.Outcome, e.ProviderID, e.Status = Repeated, m.id, a.status
		e.AnswerLost = r.Fault == Lose || r.Fault == Hang
		entries = append(entries, x.s.ledger.enter(e))
	}
	if lost := x.deliver(a, r); lost {
		for _, e := range entries {
			x.s.ledger.lose(e.Sequence)
		}
	}
}

func idsOf(all []*message) []string {
	ids := make([]string, len(all))
	for i, m := range all {
		ids[i] = m.id
	}
	return ids
}
