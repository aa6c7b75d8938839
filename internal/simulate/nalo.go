package simulate

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// nalo speaks as Nalo Solutions' gateway does: its Postman collection and public integrations.
// It has no queries.
type nalo struct{}

// base holds the reseller's prefix of direct customers; any other one is served too.
func (nalo) base() string { return "/smsbackend/Resl_Nalo" }

func (nalo) newID(d [32]byte) string { return "api." + hex.EncodeToString(d[:10]) }

func (nalo) problem(r Refusal, _ string) answer {
	if r.Status == http.StatusPreconditionFailed {
		return say(r.Status, map[string]any{"code": number(r.Code), "message": r.Text})
	}
	return answer{status: r.Status, kind: "text/plain", body: []byte(r.Code)}
}

func number(text string) (n int) {
	for _, digit := range text {
		n = n*10 + int(digit-'0')
	}
	return n
}

// naloRequest is a send in either form.
type naloRequest struct {
	Key      string `json:"key"`
	Username string `json:"username"`
	Password string `json:"password"`
	MSISDN   string `json:"msisdn"`
	Message  string `json:"message"`
	SenderID string `json:"sender_id"`
}

func (t nalo) serve(x *exchange) {
	var in naloRequest
	text := false
	switch {
	case !strings.HasSuffix(x.path, "/send-message/"):
		x.query(answer{status: http.StatusNotFound, kind: "text/html", body: []byte(htmlPage)})
		return
	case x.r.Method == http.MethodGet:
		q := x.r.URL.Query()
		in = naloRequest{q.Get("key"), q.Get("username"), q.Get("password"), q.Get("destination"), q.Get("message"), q.Get("source")}
		text = true
	case strings.HasPrefix(x.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		q, err := url.ParseQuery(string(x.body))
		if err != nil {
			x.refuse("1702")
			return
		}
		in = naloRequest{q.Get("key"), q.Get("username"), q.Get("password"), q.Get("msisdn"), q.Get("message"), q.Get("sender_id")}
	default:
		if json.Unmarshal(x.body, &in) != nil {
			x.refuse("1702")
			return
		}
	}
	t.send(x, in, text)
}

func (t nalo) send(x *exchange, in naloRequest, text bool) {
	fault := ""
	tos := strings.Split(in.MSISDN, ",")
	switch {
	case in.Key == "" && (in.Username == "" || in.Password == ""):
		fault = "1703"
	case in.MSISDN == "":
		fault = "1702"
	case in.Message == "":
		fault = "1705"
	case in.SenderID == "" || len(in.SenderID) > 11:
		fault = "1707"
	}
	out := sending{}
	for _, to := range tos {
		to = strings.TrimSpace(to)
		if fault == "" && !isNumber(strings.TrimPrefix(to, "+")) {
			fault = "1706"
		}
		out.messages = append(out.messages, &message{from: in.SenderID, to: to, text: in.Message})
	}
	if fault != "" {
		x.refuse(fault, tos...)
		return
	}
	out.ok = func(all []*message) answer {
		if !text {
			return say(http.StatusOK, map[string]string{"status": "1701", "job_id": all[0].id, "msisdn": in.MSISDN})
		}
		var records []string
		for _, m := range all {
			records = append(records, "1701|"+m.to+"|"+m.id)
		}
		return answer{status: http.StatusOK, kind: "text/plain", body: []byte(strings.Join(records, ","))}
	}
	x.send(out)
}

func naloStatus(status string) string {
	return map[string]string{"sent": "ACCEPTD", "delivered": "DELIVRD", "failed": "UNDELIV", "bounced": "UNDELIV", "expired": "EXPIRED", "suppressed": "REJECTD"}[status]
}

// report has the fields that public handlers expect; the documentation names none.
func (nalo) report(m *message, r report) (call, bool) {
	body, _ := json.Marshal(map[string]any{"job_id": r.id, "status": naloStatus(r.status), "recipient": m.to, "timestamp": r.at.UTC().Format(time.RFC3339)})
	return call{method: http.MethodPost, url: r.target.URL, kind: "application/json", body: body}, r.status != "complained"
}
