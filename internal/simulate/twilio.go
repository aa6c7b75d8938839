package simulate

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// twilio speaks as Twilio's messaging API does: twilio.com/docs/messaging, twilio.com/docs/api/errors.
type twilio struct{}

func (twilio) base() string            { return "" }
func (twilio) newID(d [32]byte) string { return "SM" + hex.EncodeToString(d[:16]) }

func (twilio) problem(r Refusal, _ string) answer {
	return say(r.Status, map[string]any{"code": number(r.Code), "message": r.Text, "more_info": "https://www.twilio.com/docs/errors/" + r.Code, "status": r.Status})
}

// twilioPath is /2010-04-01/Accounts/{sid}, and what comes behind it.
var twilioPath = regexp.MustCompile(`^/2010-04-01/Accounts/(AC[0-9a-fA-F]{32})(\.json|/Messages\.json|/Messages/(SM[0-9a-f]{32})\.json)$`)

func (t twilio) serve(x *exchange) {
	user, secret, basic := x.r.BasicAuth()
	m := twilioPath.FindStringSubmatch(x.path)
	switch {
	case !basic || user == "" || secret == "":
		x.refuse("20003")
	case m == nil || strings.HasPrefix(user, "AC") && user != m[1]:
		x.refuse("20404")
	case m[2] == "/Messages.json" && x.r.Method == http.MethodPost:
		t.send(x, m[1], secret)
	case x.r.Method != http.MethodGet:
		x.query(say(http.StatusMethodNotAllowed, map[string]any{"code": 20004, "message": "Method not allowed", "more_info": "https://www.twilio.com/docs/errors/20004", "status": 405}))
	case m[3] != "":
		one := x.s.store.message(x.kind, m[3])
		if one == nil || one.account != m[1] {
			x.query(t.problem(must(x.kind, "20404"), ""))
			return
		}
		x.query(say(http.StatusOK, t.view(one, x.s.cfg.Now())))
	case m[2] == "/Messages.json":
		t.list(x, m[1])
	default:
		x.query(say(http.StatusOK, map[string]any{"sid": m[1], "status": "active", "type": "Full", "friendly_name": "Simulated account"}))
	}
}

func (t twilio) send(x *exchange, account, secret string) {
	q, err := url.ParseQuery(string(x.body))
	to, from := q.Get("To"), q.Get("From")
	if from == "" {
		from = q.Get("MessagingServiceSid")
	}
	callback := q.Get("StatusCallback")
	fault := ""
	switch {
	case err != nil || q.Get("Body") == "":
		fault = "21602"
	case !strings.HasPrefix(to, "+") || !isNumber(to[1:]):
		fault = "21211"
	case from == "":
		fault = "21603"
	case len([]rune(q.Get("Body"))) > 1600:
		fault = "21617"
	case callback != "" && !isWebURL(callback):
		fault = "21609"
	}
	if fault != "" {
		x.refuse(fault, to)
		return
	}
	// The token of the account signs its reports, so it is held as long as the message, in memory alone.
	x.send(sending{messages: []*message{{from: from, to: to, text: q.Get("Body"), callback: callback, account: account, secret: secret}},
		ok: func(all []*message) answer { return say(http.StatusCreated, t.view(all[0], x.at)) }})
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(text) <= 4000
}

func (twilio) view(m *message, now time.Time) map[string]any {
	status := "queued"
	var code any
	if !now.Equal(m.taken) {
		var n int
		if status, n = twilioStatus(m.status(now)); n != 0 {
			code = n
		}
	}
	stamp := m.taken.UTC().Format(time.RFC1123Z)
	return map[string]any{"sid": m.id, "account_sid": m.account, "api_version": "2010-04-01", "to": m.to, "from": m.from, "body": m.text, "status": status,
		"error_code": code, "error_message": nil, "num_segments": itoa(m.parts), "direction": "outbound-api", "date_created": stamp, "date_updated": stamp, "date_sent": nil,
		"uri": "/2010-04-01/Accounts/" + m.account + "/Messages/" + m.id + ".json"}
}

func (t twilio) list(x *exchange, account string) {
	to, now := x.r.URL.Query().Get("To"), x.s.cfg.Now()
	rows := []map[string]any{}
	for _, m := range x.s.store.those(x.kind, 1000, func(m *message) bool { return m.account == account && (to == "" || plain(to) == plain(m.to)) }) {
		rows = append(rows, t.view(m, now))
	}
	x.query(say(http.StatusOK, map[string]any{"messages": rows, "page": 0, "page_size": 1000, "next_page_uri": nil}))
}

// twilioStatus is Twilio's word for a status, and its error code.
func twilioStatus(status string) (word string, code int) {
	switch status {
	case "delivered", "complained":
		return "delivered", 0
	case "failed":
		return "failed", 30008
	case "bounced": // 30005 would say as well that the number is not known at this moment
		return "failed", 21211
	case "expired":
		return "undelivered", 30036
	case "suppressed":
		return "undelivered", 30004
	}
	return "sent", 0
}

func (twilio) report(m *message, r report) (call, bool) {
	word, code := twilioStatus(r.status)
	form := url.Values{"MessageSid": {r.id}, "SmsSid": {r.id}, "MessageStatus": {word}, "SmsStatus": {word}, "To": {m.to}, "From": {m.from},
		"AccountSid": {m.account}, "ApiVersion": {"2010-04-01"}}
	if code != 0 {
		form.Set("ErrorCode", itoa(code))
	}
	c := call{method: http.MethodPost, url: r.target.URL, kind: "application/x-www-form-urlencoded", body: []byte(form.Encode())}
	c.sign = func(c *call, _ time.Time, h http.Header) {
		form, _ := url.ParseQuery(string(c.body)) // of half a form what is left
		h.Set("I-Twilio-Idempotency-Token", r.event)
		h.Set("X-Twilio-Signature", signTwilio(m.secret, r.target.URL, form))
	}
	return c, r.status != "complained"
}
