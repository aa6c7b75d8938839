package sandbox

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/internal/provider"
)

// Type is what reports of the sandbox are stored under. No configuration has it: there is no callback URL by which
// anybody else could report so.
const Type = "SANDBOX"

// Reporter reads the reports that a Sender handed over. It is for whoever applies reports, and for nobody who configures
// providers: it has no fields and opens nothing.
func Reporter() provider.Adapter {
	return provider.Adapter{Type: Type, Title: "Sandbox", Reporting: &provider.Reporting{Read: read}}
}

// reportOf is what the sandbox will say of a message: the name of the outcome, with the message and the attempt in the query.
func reportOf(o Outcome, m *provider.Message) *provider.Callback {
	u, err := url.Parse(provider.Named("/", m))
	if err != nil {
		u = &url.URL{}
	}
	return &provider.Callback{Method: http.MethodPost, URL: u, Body: []byte(o.Name), At: time.Now()}
}

var errNotOurs = errors.New("not a report of the sandbox")

// read implements provider.Reporting: it is pure and total.
func read(c *provider.Callback) ([]provider.Report, error) {
	message, attempt := provider.NamedIn(c.URL)
	if message.IsZero() {
		return nil, errNotOurs
	}
	for _, o := range Outcomes() {
		if o.Name != string(c.Body) || len(o.Reports) == 0 {
			continue
		}
		for i := range o.Reports {
			r := &o.Reports[i]
			r.Ref, r.Message, r.Attempt, r.At = message.String(), message, attempt, c.At
		}
		return o.Reports, nil
	}
	return nil, errNotOurs
}

// unkept says that a report could not be stored: the message is not accepted without it. The sandbox is well all the same.
func unkept(err error) *provider.Error {
	return &provider.Error{Class: provider.Transient, Healthy: true, Code: "sandbox_report", Text: "the report that was asked for cannot be stored now; nothing was sent", Cause: err}
}
