package twilio

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

// Sender sends through one account. It is safe for concurrent use.
type Sender struct {
	web      *web.Client
	account  string // path of the account's resources
	login    string // Authorization header
	settings provider.Settings
}

func open(s provider.Settings, env provider.Env) (*Sender, error) {
	c, err := web.Open(fields(), s, env)
	if err != nil {
		return nil, err
	}
	out := &Sender{web: c, account: "/2010-04-01/Accounts/" + url.PathEscape(s["accountSid"]), login: web.Basic(s["accountSid"], s["authToken"]),
		settings: s}
	return out, nil
}

// Close implements provider.Sender.
func (s *Sender) Close() error { return s.web.Close() }

// Send implements provider.Sender.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	return s.web.Send(ctx, m, s.call, accept)
}

func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	form, refusal := s.compose(m)
	if refusal != nil {
		return web.Call{}, refusal
	}
	header := s.header()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	return web.Call{Path: s.account + "/Messages.json", Header: header, Body: []byte(form.Encode()), Hide: []string{m.Content.To, m.Content.Body}}, nil
}

// accept reads the answer to a message. The status decides: what comes with a 2xx was taken.
func accept(a *web.Answer, _ string) (provider.Receipt, error) {
	var body answer
	err := a.JSON(&body)
	if a.OK() {
		ref := reference(string(body.SID))
		if err != nil || ref == "" {
			return a.Unread(true)
		}
		return provider.Receipt{Ref: ref, Detail: "accepted: " + a.Said(string(body.Status), 40)}, nil
	}
	return provider.Receipt{}, refuse(a, err, &body)
}

func (s *Sender) header() http.Header {
	return http.Header{"Authorization": {s.login}, "Accept": {"application/json"}}
}

func (s *Sender) compose(m *provider.Message) (url.Values, *provider.Error) {
	if m.Channel != comm.SMS {
		return nil, &provider.Error{Class: provider.PermanentHere, Code: "wrong_channel", Text: "Twilio takes short messages only"}
	}
	form := url.Values{"To": {"+" + strings.TrimPrefix(m.Content.To, "+")}, "Body": {m.Content.Body}}
	switch {
	case m.Content.From != "":
		form.Set("From", sender(m.Content.From))
	case s.settings["messagingServiceSid"] != "":
		form.Set("MessagingServiceSid", s.settings["messagingServiceSid"])
	case s.settings["senderId"] != "":
		form.Set("From", sender(s.settings["senderId"]))
	default:
		return nil, &provider.Error{Class: provider.PermanentHere, Code: "no_sender",
			Text: "neither the message nor the provider configuration names a sender"}
	}
	// Twilio refuses the whole message (21609) for a callback URL whose host has an underscore.
	if u, err := url.Parse(s.web.Callback(s.settings, m)); err == nil && u.Host != "" && !strings.Contains(u.Host, "_") {
		form.Set("StatusCallback", u.String())
	}
	return form, nil
}

// shortCode is the longest number that is one of a country's own and has no country code.
const shortCode = 6

// sender writes numbers with the plus that Twilio wants; short codes and names stay as they are.
func sender(id string) string {
	if len(id) > shortCode && strings.Trim(id, "0123456789") == "" {
		return "+" + id
	}
	return id
}

// answer is what Twilio answers with: a message, an account or an error. Numbers may come as texts.
type answer struct {
	SID       web.Scalar `json:"sid"`
	Status    web.Scalar `json:"status"` // of a message or an account; of an error the HTTP status
	ErrorCode web.Scalar `json:"error_code"`
	Code      web.Scalar `json:"code"`
	Message   web.Scalar `json:"message"`
	Type      web.Scalar `json:"type"`
	Balance   web.Scalar `json:"balance"`
	Currency  web.Scalar `json:"currency"`
}

// refuse judges by the table.
func refuse(a *web.Answer, err error, body *answer) *provider.Error {
	if err != nil {
		body = &answer{}
	}
	return web.Judge(table(), a, string(body.Code), string(body.Message))
}

// Ask implements provider.Asker.
func (s *Sender) Ask(ctx context.Context, ref string) (provider.Report, error) {
	a, fault := s.web.Do(ctx, web.Call{Method: http.MethodGet, Path: s.account + "/Messages/" + url.PathEscape(ref) + ".json", Header: s.header()})
	if fault != nil {
		return provider.Report{}, web.Question(fault)
	}
	var body answer
	err := a.JSON(&body)
	switch {
	case a.Status == http.StatusNotFound && err == nil && body.Code == "20404":
		return provider.Report{}, &provider.Error{Class: provider.PermanentHere, Code: "404 20404", Text: "Twilio does not know the message"}
	case !a.OK():
		return provider.Report{}, web.Question(refuse(a, err, &body))
	case err != nil || body.Status == "":
		_, unread := a.Unread(false)
		return provider.Report{}, web.Question(provider.Classify(unread))
	}
	return status(provider.Report{Ref: ref}, string(body.Status), string(body.ErrorCode)), nil
}

// Verify implements provider.Verifier: it reads the account, and then its balance.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	active := false
	checks := s.web.Verify(ctx, web.Call{Method: http.MethodGet, Path: s.account + ".json", Header: s.header()}, func(a *web.Answer) []provider.Check {
		var body answer
		err := a.JSON(&body)
		switch {
		case !a.OK():
			return web.Refused("login", refuse(a, err, &body))
		case err != nil || body.Status == "":
			return []provider.Check{{Name: "login", Detail: "the answer is not Twilio's: check baseUrl"}}
		}
		active = body.Status == "active"
		account := provider.Check{Name: "account", OK: active, Detail: "the account is " + a.Said(string(body.Status), 40)}
		if body.Type == "Trial" {
			account.Detail += "; as a trial it reaches only numbers that were verified at Twilio"
		}
		return []provider.Check{{Name: "login", OK: true, Detail: "Twilio accepts SID and token"}, account}
	})
	if !active {
		return checks
	}
	return append(checks, s.balance(ctx))
}

// balance is told as it is. Subaccounts have none of their own, which is no fault.
func (s *Sender) balance(ctx context.Context) provider.Check {
	check := provider.Check{Name: "balance", OK: true, Detail: "Twilio does not tell the balance of this account"}
	a, fault := s.web.Do(ctx, web.Call{Method: http.MethodGet, Path: s.account + "/Balance.json", Header: s.header()})
	if fault != nil || !a.OK() {
		return check
	}
	var body answer
	if err := a.JSON(&body); err != nil {
		return check
	}
	amount, err := strconv.ParseFloat(string(body.Balance), 64)
	if err != nil {
		return check
	}
	check.OK = amount > 0
	check.Detail = fmt.Sprintf("the balance is %.2f %s", amount, a.Said(string(body.Currency), 8))
	return check
}
