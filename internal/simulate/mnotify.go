package simulate

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/commserver/commserver/internal/sms"
)

// mnotify speaks as version 2 of mNotify's API does, as its SDK and public integrations
// show it: one campaign for each call.
type mnotify struct{}

func (mnotify) base() string { return "/api" }

func (mnotify) newID(d [32]byte) string { return strings.ToUpper(hex.EncodeToString(d[:12])) }

func (mnotify) problem(r Refusal, to string) answer {
	if r.Code == "2000" { // the number is rejected; what it says is success
		return say(r.Status, map[string]any{"status": "success", "code": r.Code, "message": "messages sent successfully", "summary": map[string]any{
			"_id": "0", "type": "API QUICK SMS", "total_sent": 0, "contacts": 1, "total_rejected": 1, "numbers_sent": []string{}, "credit_used": 0, "credit_left": 99}})
	}
	v := map[string]any{"status": "error", "message": r.Text}
	if r.Code != "" {
		v["code"] = r.Code
	}
	return say(r.Status, v)
}

func (t mnotify) serve(x *exchange) {
	path := strings.TrimPrefix(x.path, "/api")
	campaign, query := strings.CutPrefix(path, "/campaign/")
	switch {
	case x.r.URL.Query().Get("key") == "":
		x.refuse("401")
	case path == "/sms/quick" && x.r.Method == http.MethodPost:
		t.send(x)
	case path == "/balance/sms" && x.r.Method == http.MethodGet:
		x.query(say(http.StatusOK, map[string]any{"status": "success", "balance": 1000, "bonus": 0}))
	case query && x.r.Method == http.MethodGet:
		t.find(x, campaign)
	default:
		x.query(say(http.StatusNotFound, map[string]any{"status": "error", "message": "Not found."}))
	}
}

func (t mnotify) send(x *exchange) {
	var in struct {
		Recipient stringList `json:"recipient"`
		Sender    string     `json:"sender"`
		Message   string     `json:"message"`
	}
	if strings.HasPrefix(x.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		q, _ := url.ParseQuery(string(x.body))
		in.Recipient, in.Sender, in.Message = q["recipient[]"], q.Get("sender"), q.Get("message")
	} else if json.Unmarshal(x.body, &in) != nil {
		x.refuse("1008")
		return
	}
	fault := ""
	switch {
	case in.Message == "":
		fault = "1008"
	case in.Sender == "" || len(in.Sender) > 11:
		fault = "1006"
	case strings.Trim(in.Sender, "0123456789") == "":
		fault = "1011"
	case len(in.Recipient) == 0:
		fault = "1005"
	}
	out := sending{}
	for _, to := range in.Recipient {
		if fault == "" && !isNumber("233"+strings.TrimPrefix(strings.TrimPrefix(to, "233"), "0")) {
			fault = "1005"
		}
		out.messages = append(out.messages, &message{from: in.Sender, to: to, text: in.Message})
	}
	if fault != "" {
		x.refuse(fault, in.Recipient...)
		return
	}
	out.ok = func(all []*message) answer {
		sent := make([]string, len(all))
		for i, m := range all {
			sent[i] = m.to
			m.batch = all[0].id
		}
		return say(http.StatusOK, map[string]any{"status": "success", "code": "2000", "message": "messages sent successfully", "summary": map[string]any{
			"_id": all[0].id, "type": "API QUICK SMS", "total_sent": len(all), "contacts": len(all), "total_rejected": 0, "numbers_sent": sent,
			"credit_used": len(all) * parts(in.Message), "credit_left": 99}})
	}
	x.send(out)
}

// parts is how many short messages a text takes.
func parts(text string) int { return sms.Measure(text).Segments }

func (t mnotify) find(x *exchange, campaign string) {
	id, only, _ := strings.Cut(campaign, "/")
	now := x.s.cfg.Now()
	all := x.s.store.those(x.kind, 1000, func(m *message) bool { return m.batch == id })
	rows := []map[string]any{}
	for _, m := range all {
		if status := mnotifyStatus(m.status(now)); only == "" || strings.EqualFold(only, status) {
			rows = append(rows, map[string]any{"_id": m.id, "recipient": m.to, "message": m.text, "sender": m.from, "status": status,
				"date_sent": m.taken.UTC().Format("2006-01-02 15:04:05"), "campaign_id": id, "retries": 0})
		}
	}
	if len(all) == 0 {
		x.query(say(http.StatusNotFound, map[string]any{"status": "error", "message": "Campaign not found."}))
		return
	}
	x.query(say(http.StatusOK, map[string]any{"status": "success", "report": rows}))
}

func mnotifyStatus(status string) string {
	return map[string]string{"sent": "SUBMITTED", "delivered": "DELIVERED", "complained": "DELIVERED", "failed": "FAILED", "bounced": "FAILED", "expired": "EXPIRED",
		"suppressed": "REJECTED"}[status]
}

// report has the fields that public handlers guess; no push is documented.
func (mnotify) report(m *message, r report) (call, bool) {
	body, _ := json.Marshal(map[string]any{"message_id": r.id, "recipient": m.to, "status": mnotifyStatus(r.status)})
	return call{method: http.MethodPost, url: r.target.URL, kind: "application/json", body: body}, r.status != "complained"
}
