package web

import (
	"context"

	"github.com/commserver/commserver/internal/provider"
)

// Verify makes one call that sends nothing, and answers the checks of
// provider.Verifier: the connection, its encryption, and what judge says of the answer.
func (c *Client) Verify(ctx context.Context, call Call, judge func(*Answer) []provider.Check) []provider.Check {
	a, fault := c.Do(ctx, call)
	if fault != nil {
		name, text := "connect", fault.Text
		switch {
		case fault.Class == provider.Ambiguous:
			name, text = "answer", "the provider did not answer"
		case fault.Code == "tls_certificate" || fault.Code == "tls_error":
			name = "tls"
		}
		return []provider.Check{{Name: name, Detail: text + " (" + fault.Code + ")"}}
	}
	checks := []provider.Check{{Name: "connect", OK: true, Detail: "connected"}}
	if c.base.Scheme == "https" {
		checks = append(checks, provider.Check{Name: "tls", OK: true, Detail: "encrypted, the certificate is valid"})
	} else {
		checks = append(checks, provider.Check{Name: "tls", OK: true, Detail: "not encrypted: the address is one that the operator allows this for"})
	}
	return append(checks, judge(a)...)
}

// Refused is the check of a call that the provider refused.
func Refused(name string, e *provider.Error) []provider.Check {
	text := e.Text
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return []provider.Check{{Name: name, Detail: text}}
}

// Question makes of the failure of a call that sends nothing what it is: where a
// message would be in doubt there is just no answer, and asking again does no harm.
func Question(e *provider.Error) *provider.Error {
	if e.Class != provider.Ambiguous {
		return e
	}
	out := *e
	out.Class, out.Text = provider.Transient, "the provider did not answer the question"
	if out.Code == "outcome_unknown" {
		out.Code = "no_answer"
	}
	return &out
}
