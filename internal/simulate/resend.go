package simulate

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// resend speaks as Resend does: resend.com/docs/api-reference and its OpenAPI file.
type resend struct{}

func (resend) base() string            { return "" }
func (resend) newID(d [32]byte) string { return uuid(d) }

func (resend) problem(r Refusal, _ string) answer {
	return say(r.Status, map[string]any{"statusCode": r.Status, "name": r.Code, "message": r.Text})
}

// resendMail is one mail of a request, as far as it matters here.
type resendMail struct {
	From    string     `json:"from"`
	To      stringList `json:"to"`
	Cc      stringList `json:"cc"`
	Bcc     stringList `json:"bcc"`
	Subject string     `json:"subject"`
	HTML    string     `json:"html"`
	Text    string     `json:"text"`
	Tags    []struct {
		Name, Value string
	} `json:"tags"`
}

// stringList is a string or a list of them.
type stringList []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *stringList) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(l))
}

func (t resend) serve(x *exchange) {
	credential, bearer := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !bearer || credential == "":
		x.refuse("missing_api_key")
	case x.path == "/emails" && x.r.Method == http.MethodPost:
		t.send(x, false)
	case x.path == "/emails/batch" && x.r.Method == http.MethodPost:
		t.send(x, true)
	case x.path == "/emails" || x.path == "/emails/batch":
		x.query(t.problem(must(x.kind, "method_not_allowed"), ""))
	case strings.HasPrefix(x.path, "/emails/") && x.r.Method == http.MethodGet:
		t.find(x, strings.TrimPrefix(x.path, "/emails/"))
	case x.path == "/domains" && x.r.Method == http.MethodGet:
		x.query(say(http.StatusOK, map[string]any{"object": "list", "has_more": false, "data": []any{}}))
	default:
		x.query(t.problem(must(x.kind, "not_found"), ""))
	}
}

func (t resend) send(x *exchange, batch bool) {
	var mails []resendMail
	var err error
	if batch {
		err = json.Unmarshal(x.body, &mails)
	} else {
		mails = make([]resendMail, 1)
		err = json.Unmarshal(x.body, &mails[0])
	}
	token := x.r.Header.Get("Idempotency-Key")
	switch {
	case err != nil || len(mails) == 0 || len(mails) > 100:
		x.refuse("validation_error")
		return
	case len(token) > 256 || len(x.r.Header.Values("Idempotency-Key")) > 0 && token == "":
		x.refuse("invalid_idempotency_key")
		return
	}
	in := sending{token: token}
	for _, m := range mails {
		if fault := m.fault(); fault != "" {
			x.refuse(fault, m.To...)
			return
		}
		in.messages = append(in.messages, m.message())
	}
	in.ok = func(all []*message) answer {
		if !batch {
			return say(http.StatusOK, map[string]string{"id": all[0].id})
		}
		ids := make([]map[string]string, len(all))
		for i, m := range all {
			ids[i] = map[string]string{"id": m.id}
		}
		return say(http.StatusOK, map[string]any{"data": ids})
	}
	x.send(in)
}

// fault is the error for a mail that Resend would not take, "" when it would.
func (m *resendMail) fault() string {
	switch {
	case m.From == "" || len(m.To) == 0 || m.Subject == "" || m.HTML == "" && m.Text == "":
		return "missing_required_field"
	case !strings.Contains(m.From, "@"):
		return "invalid_from_address"
	case len(m.To) > 50:
		return "validation_error"
	}
	for _, to := range m.To {
		if at := strings.LastIndexByte(to, '@'); at < 1 || at == len(to)-1 || strings.ContainsAny(to, "\r\n") {
			return "validation_error"
		}
	}
	for _, tag := range m.Tags {
		if tag.Name == "" || len(tag.Name) > 256 || len(tag.Value) > 256 || strings.Trim(tag.Name+tag.Value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return "invalid_parameter"
		}
	}
	return ""
}

// message is the mail as one message: it has one id, whoever its recipients are.
func (m *resendMail) message() *message {
	out := &message{from: bare(m.From), to: bare(m.To[0]), subject: m.Subject, text: m.HTML, tags: map[string]string{}}
	if out.text == "" {
		out.text = m.Text
	}
	for _, tag := range m.Tags {
		out.tags[tag.Name] = tag.Value
	}
	return out
}

// bare is the address in "Name <a@b>".
func bare(mailbox string) string {
	if open := strings.LastIndexByte(mailbox, '<'); open >= 0 {
		mailbox, _, _ = strings.Cut(mailbox[open+1:], ">")
	}
	return strings.TrimSpace(mailbox)
}

func (t resend) find(x *exchange, id string) {
	m := x.s.store.message(x.kind, id)
	if m == nil {
		x.query(t.problem(must(x.kind, "not_found"), ""))
		return
	}
	x.query(say(http.StatusOK, map[string]any{"object": "email", "id": m.id, "from": m.from, "to": []string{m.to}, "subject": m.subject,
		"created_at": m.taken.UTC().Format(time.RFC3339Nano), "last_event": resendEvent(m.status(x.s.cfg.Now()))}))
}

// resendEvent is Resend's word for a status, without its "email.".
func resendEvent(status string) string {
	if status == "expired" {
		return "delivery_delayed"
	}
	return status
}

func (resend) report(m *message, r report) (call, bool) {
	data := map[string]any{"email_id": r.id, "message_id": "<" + r.id + "@simulate.resend.dev>", "from": m.from, "to": []string{m.to}, "subject": m.subject,
		"created_at": m.taken.UTC().Format(time.RFC3339Nano)}
	if len(m.tags) > 0 {
		data["tags"] = m.tags
	}
	switch r.status {
	case "bounced":
		data["bounce"] = map[string]any{"message": "The recipient's mail server does not know the mailbox.", "type": "Permanent", "subType": "NoEmail",
			"diagnosticCode": []string{"smtp; 550 5.1.1 no such mailbox"}}
	case "failed":
		data["failed"] = map[string]any{"reason": "reached_daily_quota"}
	case "suppressed":
		data["suppressed"] = map[string]any{"message": "The address is on the account's suppression list.", "type": "OnAccountSuppressionList", "reason": "previous_bounce"}
	}
	body, _ := json.Marshal(map[string]any{"type": "email." + resendEvent(r.status), "created_at": r.at.UTC().Format(time.RFC3339Nano), "data": data})
	c := call{method: http.MethodPost, url: r.target.URL, kind: "application/json", body: body}
	if secret := r.target.Secret; secret != "" {
		c.sign = func(c *call, now time.Time, h http.Header) {
			stamp := unix(now)
			h.Set("Svix-Id", r.event)
			h.Set("Svix-Timestamp", stamp)
			h.Set("Svix-Signature", "v1,"+signStandard(secretBytes(secret), r.event, stamp, c.body))
		}
	}
	return c, true
}
