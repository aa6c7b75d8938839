package simulate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// arkesel speaks as version 2 of Arkesel's SMS API does, as public integrations show it.
type arkesel struct{}

func (arkesel) base() string            { return "" }
func (arkesel) newID(d [32]byte) string { return uuid(d) }

func (arkesel) problem(r Refusal, to string) answer {
	if r.Status == http.StatusOK { // "invalid numbers": what it says is success
		return say(http.StatusOK, map[string]any{"status": "success", "data": []any{map[string]any{"invalid numbers": []string{to}}}})
	}
	return say(r.Status, map[string]any{"status": "error", "message": r.Text})
}

func (t arkesel) serve(x *exchange) {
	id, single := strings.CutPrefix(x.path, "/api/v2/sms/")
	switch {
	case x.r.Header.Get("Api-Key") == "":
		x.refuse("401")
	case x.path == "/api/v2/sms/send" && x.r.Method == http.MethodPost:
		t.send(x)
	case x.path == "/api/v2/sms/message-reports" && x.r.Method == http.MethodPost:
		t.reports(x)
	case x.path == "/api/v2/clients/balance-details" && x.r.Method == http.MethodGet:
		x.query(say(http.StatusOK, map[string]any{"status": "success", "data": map[string]string{"sms_balance": "1000", "main_balance": "GHS 50.00"}}))
	case single && x.r.Method == http.MethodGet:
		t.find(x, id)
	default:
		x.query(say(http.StatusNotFound, map[string]any{"status": "error", "message": "Not found."}))
	}
}

func (t arkesel) send(x *exchange) {
	var in struct {
		Sender      string     `json:"sender"`
		Message     string     `json:"message"`
		Recipients  stringList `json:"recipients"`
		CallbackURL string     `json:"callback_url"`
	}
	if json.Unmarshal(x.body, &in) != nil {
		x.refuse("422 message")
		return
	}
	switch {
	case in.Sender == "" || len(in.Sender) > 11:
		x.refuse("422 sender", in.Recipients...)
		return
	case in.Message == "":
		x.refuse("422 message", in.Recipients...)
		return
	case len(in.Recipients) == 0:
		x.refuse("422 number")
		return
	}
	var wrong []string
	out := sending{}
	for _, to := range in.Recipients {
		if !isNumber(to) {
			wrong = append(wrong, to)
			continue
		}
		out.messages = append(out.messages, &message{from: in.Sender, to: to, text: in.Message, callback: in.CallbackURL})
	}
	if len(out.messages) == 0 {
		x.refuse("invalid numbers", wrong...)
		return
	}
	out.ok = func(all []*message) answer {
		var data []any
		for _, m := range all {
			data = append(data, map[string]string{"recipient": m.to, "id": m.id})
		}
		if len(wrong) > 0 {
			data = append(data, map[string]any{"invalid numbers": wrong})
		}
		return say(http.StatusOK, map[string]any{"status": "success", "data": data})
	}
	x.send(out)
}

// isNumber says whether a number is written as the Ghanaian providers want it.
func isNumber(to string) bool {
	return len(to) >= 9 && len(to) <= 15 && to[0] != '0' && strings.Trim(to, "0123456789") == ""
}

func (t arkesel) find(x *exchange, id string) {
	m := x.s.store.message(x.kind, id)
	if m == nil {
		x.query(say(http.StatusNotFound, map[string]any{"status": "error", "message": "SMS not found."}))
		return
	}
	x.query(say(http.StatusOK, map[string]any{"status": "success", "data": t.view(m, x.s.cfg.Now())}))
}

func (arkesel) view(m *message, now time.Time) map[string]any {
	return map[string]any{"ID": m.id, "status": arkeselStatus(m.status(now)), "sender": m.from, "recipient": m.to, "message": m.text, "message_count": m.parts,
		"sent_at_time": m.taken.UTC().Format("2006-01-02 15:04:05")}
}

func (t arkesel) reports(x *exchange) {
	var in struct {
		IDs []string `json:"msg_ids"`
	}
	if json.Unmarshal(x.body, &in) != nil || len(in.IDs) == 0 {
		x.query(say(http.StatusUnprocessableEntity, map[string]any{"status": "error", "message": "The msg_ids field is required."}))
		return
	}
	data := map[string]any{}
	for _, id := range in.IDs {
		if m := x.s.store.message(x.kind, id); m != nil {
			data[id] = t.view(m, x.s.cfg.Now())
		} else {
			data[id] = map[string]string{"status": "error", "response": "SMS not found."}
		}
	}
	x.query(say(http.StatusOK, map[string]any{"status": "success", "data": data}))
}

func arkeselStatus(status string) string {
	return map[string]string{"sent": "SUBMITTED", "delivered": "DELIVERED", "complained": "DELIVERED", "failed": "NOT_DELIVERED", "bounced": "NOT_DELIVERED",
		"expired": "EXPIRED", "suppressed": "PROHIBITED"}[status]
}

// report is a GET to the message's own URL, with sms_id and status behind what it holds.
func (arkesel) report(m *message, r report) (call, bool) {
	u, err := url.Parse(r.target.URL)
	if err != nil {
		return call{}, false
	}
	own := url.Values{"sms_id": {r.id}, "status": {arkeselStatus(r.status)}}.Encode()
	u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+own, "&")
	c := call{method: http.MethodGet, url: u.String()}
	if secret := r.target.Secret; secret != "" {
		c.sign = func(c *call, now time.Time, h http.Header) {
			stamp, query := unix(now), url.Values{}
			if u, err := url.Parse(c.url); err == nil {
				query = u.Query()
			}
			h.Set("X-Arkesel-Webhook-Id", r.event)
			h.Set("X-Arkesel-Webhook-Timestamp", stamp)
			h.Set("X-Arkesel-Webhook-Signature", "v1="+signArkesel(secret, stamp, query))
		}
	}
	return c, r.status != "complained"
}
