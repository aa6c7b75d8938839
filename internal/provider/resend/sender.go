package resend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

// The tags that reports bring back: our id of the message, and how many copies the mail has, if it has any,
// of which reports say nothing by themselves.
const (
	tagMessage = "cs_message"
	tagCopies  = "cs_copies"
)

// Sender sends with one API key. It is safe for concurrent use.
type Sender struct {
	web  *web.Client
	key  string
	from address.Mailbox // zero: the message must name a sender
}

func open(s provider.Settings, env provider.Env) (*Sender, error) {
	c, err := web.Open(fields(), s, env)
	if err != nil {
		return nil, err
	}
	out := &Sender{web: c, key: s["apiKey"]}
	if from := s["from"]; from != "" {
		if out.from, err = address.ParseMailbox(from); err != nil {
			return nil, fmt.Errorf("open a Resend configuration: sender: %w", err)
		}
	}
	return out, nil
}

// Close implements provider.Sender.
func (s *Sender) Close() error { return s.web.Close() }

// email is the body of POST /emails. The order of its members is part of what makes repeats equal.
type email struct {
	From        string            `json:"from"`
	To          []string          `json:"to"`
	CC          []string          `json:"cc,omitempty"`
	BCC         []string          `json:"bcc,omitempty"`
	ReplyTo     []string          `json:"reply_to,omitempty"`
	Subject     string            `json:"subject"`
	HTML        string            `json:"html"`
	Text        string            `json:"text,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Attachments []attachment      `json:"attachments,omitempty"`
	Tags        []tag             `json:"tags"`
}

type attachment struct {
	Filename    string `json:"filename"`
	Content     []byte `json:"content"` // base64
	ContentType string `json:"content_type,omitempty"`
}

type tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Send implements provider.Sender.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	return s.web.Send(ctx, m, s.call, accept)
}

// call makes the request, of which every attempt of a generation has the same bytes.
func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	if m.Channel != comm.Email {
		return web.Call{}, &provider.Error{Class: provider.PermanentHere, Code: "wrong_channel", Text: "Resend takes email only"}
	}
	body, refusal := s.compose(m)
	if refusal != nil {
		return web.Call{}, refusal
	}
	header := s.header()
	header.Set("Content-Type", "application/json")
	header.Set("Idempotency-Key", idempotencyKey(m))
	call := web.Call{Path: "/emails", Header: header, Body: body, Hide: texts(m.Content)}
	m.Content, m.Files = nil, nil // the body holds them; both at once would be twice the memory
	return call, nil
}

// idempotencyKey is equal for all attempts of a generation. A RETRY that somebody asked
// for is another generation: it is meant to send.
func idempotencyKey(m *provider.Message) string {
	return fmt.Sprintf("%s.%d", m.ID, max(m.Generation, 1))
}

func (s *Sender) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + s.key}, "Accept": {"application/json"}}
}

// texts are what must not be shown of Resend's words.
func texts(c *comm.Content) []string {
	return slices.Concat([]string{c.To, c.From, c.ReplyTo, c.Subject, c.Body, c.Text}, c.CC, c.BCC)
}

func (s *Sender) compose(m *provider.Message) ([]byte, *provider.Error) {
	c := m.Content
	from := s.from
	if c.From != "" {
		var err error
		if from, err = address.ParseMailbox(c.From); err != nil {
			return nil, &provider.Error{Class: provider.PermanentHere, Code: "bad_sender", Text: "the sender cannot be used: " + err.Error(), Cause: err}
		}
	}
	if from.Email.Address == "" {
		return nil, &provider.Error{Class: provider.PermanentHere, Code: "no_sender",
			Text: "neither the message nor the provider configuration names a sender"}
	}
	e := email{From: from.String(), To: []string{c.To}, CC: c.CC, BCC: c.BCC, Subject: c.Subject, HTML: c.Body, Text: c.Text, Headers: c.Headers,
		Tags: []tag{{tagMessage, m.ID.String()}}}
	if copies := len(c.CC) + len(c.BCC); copies > 0 {
		e.Tags = append(e.Tags, tag{tagCopies, strconv.Itoa(copies)})
	}
	if c.ReplyTo != "" {
		e.ReplyTo = []string{c.ReplyTo}
	}
	for _, f := range m.Files {
		e.Attachments = append(e.Attachments, attachment{f.Filename, f.Content, f.ContentType})
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&e); err != nil {
		return nil, &provider.Error{Class: provider.PermanentMessage, Code: "bad_content", Text: "the message cannot be written as JSON", Cause: err}
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// answer is every body that Resend answers with.
type answer struct {
	ID      web.Scalar `json:"id"`
	Name    web.Scalar `json:"name"`
	Message web.Scalar `json:"message"`
}

// accept reads the answer to a mail. The status decides: what comes with a 2xx was taken.
func accept(a *web.Answer, _ string) (provider.Receipt, error) {
	var body answer
	err := a.JSON(&body)
	if a.OK() {
		if ref := reference(string(body.ID)); err == nil && ref != "" {
			return provider.Receipt{Ref: ref, Detail: "accepted"}, nil
		}
		return a.Unread(true)
	}
	if err != nil {
		body = answer{}
	}
	if a.Status == http.StatusConflict && body.Name == "invalid_idempotent_request" {
		// The key is known with another content, such as before a copy was left out: what it named went out.
		return provider.Receipt{Detail: "an earlier attempt was accepted under the same key; its id is not known"}, nil
	}
	return provider.Receipt{}, refuse(a, &body)
}

// refuse judges by the table.
func refuse(a *web.Answer, body *answer) *provider.Error {
	e := web.Judge(table(), a, string(body.Name), string(body.Message))
	if e.Class == provider.RateLimited && e.RetryAfter == 0 {
		e.RetryAfter = a.Wait("RateLimit-Reset")
	}
	return e
}

// table is what Resend's errors mean (resend.com/docs/api-reference/errors). Its names
// decide beside the status: a quota and a rate are both 429. An error of Resend's own
// is no proof that nothing was sent; the key makes a repeat here harmless, and the
// class keeps another provider from sending the mail too.
func table() []web.Rule {
	return []web.Rule{
		{Status: []string{"5"}, Class: provider.Ambiguous, What: "Resend failed; the message may have been sent"},
		{Status: []string{"403"}, Codes: []string{"validation_error"}, Words: []string{"testing email", "own email"}, Class: provider.Account, What: "the account may only send to its own address until a domain is verified"},
		{Status: []string{"403"}, Codes: []string{"validation_error"}, Class: provider.PermanentHere, What: "Resend does not let this account use the sender"},
		{Codes: []string{"invalid_from_address"}, Class: provider.PermanentHere, What: "Resend cannot use the sender"},
		{Status: []string{"400", "422"}, Codes: []string{"validation_error", "missing_required_field", "invalid_parameter"}, Words: []string{"`from`", "from field", "domain"}, Class: provider.PermanentHere, What: "Resend cannot use the sender"},
		{Status: []string{"400", "422"}, Codes: []string{"validation_error", "missing_required_field", "missing_required_fields", "invalid_attachment", "invalid_parameter"}, Class: provider.PermanentMessage, What: "Resend refuses the recipient or the content"},
		{Codes: []string{"invalid_idempotency_key"}, Class: provider.PermanentHere, What: "Resend refuses the idempotency key"},
		{Codes: []string{"missing_api_key", "restricted_api_key", "invalid_api_key", "invalid_access"}, Class: provider.Account, What: "Resend refuses the API key"},
		{Codes: []string{"not_found", "method_not_allowed"}, Class: provider.Account, What: "there is no such call at this address: check baseUrl"},
		{Codes: []string{"concurrent_idempotent_requests"}, Class: provider.Ambiguous, What: "an earlier attempt under the same key is still under way; it may be sent"},
		{Codes: []string{"rate_limit_exceeded"}, Class: provider.RateLimited, What: "Resend asks to send more slowly"},
		{Codes: []string{"daily_quota_exceeded", "monthly_quota_exceeded"}, Class: provider.Account, What: "the account's sending quota is used up"},
		{Codes: []string{"security_error"}, Class: provider.PermanentHere, What: "Resend refuses the message for security reasons"},
		{Codes: []string{"application_error", "internal_server_error", "service_unavailable"}, Class: provider.Ambiguous, What: "Resend failed; the message may have been sent"},
	}
}

// reference is the form of Resend's ids that receipts and reports share; "" for what is none.
func reference(id string) string {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) > provider.MaxID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return id
}

// Verify implements provider.Verifier: it lists the domains, which tells whether the key is
// valid and the sender's domain verified. A key that may only send is refused that list,
// and is thereby shown to be valid.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	return s.web.Verify(ctx, web.Call{Method: http.MethodGet, Path: "/domains", Header: s.header()}, s.checkDomains)
}

func (s *Sender) checkDomains(a *web.Answer) []provider.Check {
	var body struct {
		answer
		Data []struct {
			Name   web.Scalar `json:"name"`
			Status web.Scalar `json:"status"`
		} `json:"data"`
	}
	err := a.JSON(&body)
	switch {
	case body.Name == "restricted_api_key" && (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden):
		return []provider.Check{{Name: "login", OK: true, Detail: "Resend accepts the key, which may only send; whether the sender's domain is verified cannot be asked with it"}}
	case !a.OK():
		return web.Refused("login", refuse(a, &body.answer))
	case err != nil:
		return []provider.Check{{Name: "login", Detail: "the answer is not Resend's: check baseUrl"}}
	}
	checks := []provider.Check{{Name: "login", OK: true, Detail: "Resend accepts the key"}}
	if s.from.Email.Address == "" {
		return checks
	}
	domain := provider.Check{Name: "sender", Detail: "the sender's domain is not one of the account's: add it at Resend"}
	for _, d := range body.Data {
		if !strings.EqualFold(string(d.Name), s.from.Email.Domain()) {
			continue
		}
		domain.Detail = "the sender's domain is not verified at Resend yet: " + a.Said(string(d.Status), 40)
		if d.Status == "verified" {
			domain.OK, domain.Detail = true, "the sender's domain is verified"
			break
		}
	}
	return append(checks, domain)
}
