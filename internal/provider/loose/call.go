package loose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

// Base makes a base URL out of one that may reach further into the provider's API: people
// copy addresses as they find them. Ends are cut off in the order in which they are
// given, each at most once and without regard to case.
func Base(raw string, ends ...string) string {
	raw = strings.TrimRight(strings.TrimSpace(raw), "/")
	for _, end := range ends {
		if n := len(raw) - len(end); n > 0 && strings.EqualFold(raw[n:], end) {
			raw = strings.TrimRight(raw[:n], "/")
		}
	}
	return raw
}

// Based answers settings whose baseUrl, where there is one, went through Base.
func Based(s provider.Settings, ends ...string) provider.Settings {
	out := maps.Clone(s)
	if raw := s["baseUrl"]; raw != "" {
		out["baseUrl"] = Base(raw, ends...)
	}
	return out
}

// JSON writes a request's body. The types that adapters give it cannot fail.
func JSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // texts stay readable in vectors, and shorter
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("a request that cannot be JSON: %T", v))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Sends is the header of a call with a JSON body, which wants JSON.
func Sends() http.Header {
	h := Wants()
	h.Set("Content-Type", "application/json")
	return h
}

// Wants is the header of a call without a body, which wants JSON.
func Wants() http.Header { return http.Header{"Accept": {"application/json"}} }

// Hidden is what must not be shown of a provider's words about a message.
func Hidden(m *provider.Message) []string { return []string{m.Content.To, m.Content.Body} }

// questions are the rows that end a table of answers to questions. A question sends
// nothing, so that no answer to it is Ambiguous.
func questions() []web.Rule {
	return []web.Rule{
		{Status: []string{"401", "402", "403", "407"}, Class: provider.Account, What: "the provider refuses the credentials or the account"},
		{Status: []string{"404", "410"}, Class: provider.PermanentHere, What: "the provider does not know the message"},
		{Status: []string{"405", "3"}, Class: provider.Account, What: "the provider's address knows no such call: check baseUrl"},
		{Status: []string{"429"}, Class: provider.RateLimited, What: "the provider asks to come more slowly"},
		{Class: provider.Transient, What: "the provider's answer says nothing of the message"},
	}
}

// Ask makes a call that asks about a message. read answers what the provider says of it,
// by which names; a report without a Fate says nothing, and table, which may be empty,
// tells with a code and words why.
func Ask(ctx context.Context, c *web.Client, call web.Call, table []web.Rule,
	read func(a *web.Answer, said Value) (r provider.Report, code string)) (provider.Report, error) {
	a, fault := c.Do(ctx, call)
	if fault != nil {
		if fault.Class == provider.Ambiguous {
			fault.Class, fault.Code, fault.Text = provider.Transient, "no_answer", "the provider did not answer"
		}
		return provider.Report{}, fault
	}
	said := Parse(a.Body)
	r, code := read(a, said)
	if a.OK() && r.Fate != 0 {
		return r, nil
	}
	e := web.Judge(append(table, questions()...), a, code, said.Get("message", "error").Words())
	e.Healthy = e.Class == provider.Transient && e.RetryAfter == 0 && odd(a.Status)
	return provider.Report{}, e
}

// odd says of the status of an answer without a word about the message whether the provider works nevertheless, so that
// only this question is without an answer.
func odd(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return false
	}
	return status >= 200 && status < 300 || status >= 400 && status < 500
}
