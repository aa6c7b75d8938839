package simulate

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// hubtel speaks as Hubtel's SMS API does: businessdocs-developers.hubtel.com, simple-messaging
// and sms-status-check; hubtel.readme.io, response-code.
type hubtel struct{}

func (hubtel) base() string            { return "" }
func (hubtel) newID(d [32]byte) string { return uuid(d) }

func (hubtel) problem(r Refusal, _ string) answer {
	v := map[string]any{"status": nil, "statusDescription": r.Text}
	if code, err := strconv.Atoi(r.Code); err == nil {
		v["status"] = code
	}
	return say(r.Status, v)
}

func (t hubtel) serve(x *exchange) {
	user, password, basic := x.r.BasicAuth()
	id, one := strings.CutPrefix(x.path, "/v1/messages/")
	batch, many := strings.CutPrefix(x.path, "/v1/messages/batch/")
	post, get := x.r.Method == http.MethodPost, x.r.Method == http.MethodGet
	switch {
	case !basic || user == "" || password == "":
		x.refuse("401")
	case post && x.path == "/v1/messages/send":
		t.send(x)
	case post && (batch == "simple/send" || batch == "personalized/send"):
		t.batch(x)
	case get && many:
		t.findBatch(x, batch)
	case get && one && id != "":
		m := x.s.store.message(x.kind, id)
		if m == nil {
			x.query(t.problem(must(x.kind, "404"), ""))
			return
		}
		x.query(say(http.StatusOK, t.view(m, x.s.cfg.Now())))
	default:
		x.query(t.problem(must(x.kind, "404"), ""))
	}
}

func (t hubtel) send(x *exchange) {
	var in struct{ From, To, Content string }
	if json.Unmarshal(x.body, &in) != nil {
		x.refuse("400/0")
		return
	}
	if fault := hubtelFault(in.From, in.To, in.Content); fault != "" {
		x.refuse(fault, in.To)
		return
	}
	x.send(sending{messages: []*message{{from: in.From, to: in.To, text: in.Content}}, ok: func(all []*message) answer {
		return say(http.StatusCreated, map[string]any{"rate": 0.0309, "messageId": all[0].id, "status": 0, "networkId": "62001", "clientReference": nil,
			"statusDescription": "request submitted successfully"})
	}})
}

func hubtelFault(from, to, content string) string {
	switch {
	case content == "":
		return "400/0"
	case from == "" || len(from) > 11:
		return "400/2"
	case !isNumber(strings.TrimPrefix(to, "+")):
		return "400/1"
	}
	return ""
}

func (t hubtel) batch(x *exchange) {
	var in struct {
		From, Content string
		Recipients    []string
		Personalized  []struct{ To, Content string } `json:"personalizedRecipients"`
	}
	if json.Unmarshal(x.body, &in) != nil || len(in.Recipients)+len(in.Personalized) == 0 {
		x.refuse("400/0")
		return
	}
	var out sending
	batch := uuid(draw(x.s.cfg.Seed, "batch", strconv.FormatInt(x.number, 10)))
	for _, to := range in.Recipients {
		out.messages = append(out.messages, &message{from: in.From, to: to, text: in.Content, batch: batch})
	}
	for _, one := range in.Personalized {
		out.messages = append(out.messages, &message{from: in.From, to: one.To, text: one.Content, batch: batch})
	}
	for _, m := range out.messages {
		if fault := hubtelFault(m.from, m.to, m.text); fault != "" {
			x.refuse(fault, m.to)
			return
		}
	}
	out.ok = func(all []*message) answer {
		data := make([]map[string]any, len(all))
		for i, m := range all {
			data[i] = map[string]any{"recipient": m.to, "content": m.text, "messageId": m.id}
		}
		return say(http.StatusCreated, map[string]any{"batchId": batch, "status": 0, "data": data})
	}
	x.send(out)
}

func (t hubtel) findBatch(x *exchange, batch string) {
	all := x.s.store.those(x.kind, 1000, func(m *message) bool { return m.batch == batch })
	if len(all) == 0 {
		x.query(t.problem(must(x.kind, "404"), ""))
		return
	}
	data := make([]map[string]any, len(all))
	for i, m := range all {
		data[i] = t.view(m, x.s.cfg.Now())
	}
	x.query(say(http.StatusOK, map[string]any{"batchId": batch, "data": data}))
}

func (hubtel) view(m *message, now time.Time) map[string]any {
	stamp := m.taken.UTC().Format("2006-01-02T15:04:05")
	return map[string]any{"rate": 0.0309, "batchId": m.batch, "messageId": m.id, "content": m.text, "status": hubtelStatus(m.status(now)), "updateTime": stamp, "time": stamp,
		"to": m.to, "from": m.from}
}

func hubtelStatus(status string) string {
	return map[string]string{"sent": "Sent", "delivered": "Delivered", "complained": "Delivered", "failed": "Failed", "bounced": "Undeliverable", "expired": "Expired",
		"suppressed": "Blacklisted"}[status]
}

// report is what integrators receive by arrangement with Hubtel; no public page has it.
func (hubtel) report(m *message, r report) (call, bool) {
	body, _ := json.Marshal(map[string]any{"messageId": r.id, "status": hubtelStatus(r.status), "to": m.to, "updateTime": r.at.UTC().Format("2006-01-02T15:04:05")})
	return call{method: http.MethodPost, url: r.target.URL, kind: "application/json", body: body}, r.status != "complained"
}
