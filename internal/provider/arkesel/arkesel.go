// Package arkesel is the adapter for Arkesel, an SMS provider in Ghana, by version 2 of
// its HTTP API.
//
// It promises one call per message; that only an answer which names an id for the one
// recipient counts as taken; that reports are recognised by the message's own id in their
// address, even before Arkesel's id is stored; and that they are believed only if they
// are signed, where the account has a webhook secret.
//
// Arkesel knows no idempotency key: after a call without an answer nobody can tell
// whether the message was sent, until a report tells. Version 1 of its API, which carries
// the key in the address, is not spoken. Facts about Arkesel are those of its own libraries
// and of public integrations; docs/providers.md names the doubtful ones.
package arkesel

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// usual is the base of Arkesel's API.
const usual = "https://sms.arkesel.com"

// Adapter is the Arkesel adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{
		Type: "ARKESEL", Title: "Arkesel", Channel: comm.SMS, Fields: fields(), Home: loose.Home, Check: check,
		Reporting: &provider.Reporting{
			Verify: verify,
			Read:   spelling().Read,
			// Some accounts were never sent a report.
			Asks: []time.Duration{5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, 24 * time.Hour},
		},
		Open: open,
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "apiKey", Label: "API key", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Key of Arkesel's SMS API, version 2. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		{Name: "useCase", Label: "Use case in Nigeria", Kind: provider.Text, Max: len(transactional),
			Help: "transactional or promotional: sent along with messages to numbers in Nigeria alone, where Arkesel wants to know."},
		{Name: "webhookSecret", Label: "Webhook secret", Kind: provider.Token, Secret: true, Max: provider.MaxKey,
			Help: "Secret that Arkesel signs delivery reports with, if the account has one. Reports are then accepted only if they are signed with it."},
		provider.BaseURLField(usual),
	}
}

// The use cases that Arkesel knows.
const (
	transactional = "transactional"
	promotional   = "promotional"
	nigeria       = "234" // country code
)

func check(s provider.Settings) map[string]string {
	if u := s["useCase"]; u != "" && u != transactional && u != promotional {
		return map[string]string{"useCase": "must be transactional or promotional"}
	}
	return nil
}

// spelling is how reports name things: as sms_id and status in the query, by all
// integrations but one.
func spelling() loose.Spelling {
	return loose.Spelling{
		Ref:    []string{"sms_id", "message_id", "id", "uuid"},
		Status: []string{"status", "sms_status", "delivery_status"},
		At:     []string{"delivered_at", "updated_at", "timestamp", "sent_at"},
		Form:   loose.Hex,
	}
}

// Sender sends through one Arkesel account. It is safe for concurrent use.
type Sender struct {
	client   *web.Client
	settings provider.Settings
}

func open(s provider.Settings, env provider.Env) (provider.Sender, error) {
	client, err := web.Open(fields(), loose.Based(s, "/send", "/sms", "/v2", "/api"), env)
	if err != nil {
		return nil, err
	}
	return &Sender{client: client, settings: s}, nil
}

// Close implements provider.Sender.
func (s *Sender) Close() error { return s.client.Close() }

// Send implements provider.Sender.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	return s.client.Send(ctx, m, s.call, judge)
}

// send is the body of a call that sends. Arkesel takes many recipients at once; with one
// it is known whose id and whose refusal an answer holds.
type send struct {
	Sender      string   `json:"sender"`
	Message     string   `json:"message"`
	Recipients  []string `json:"recipients"`
	UseCase     string   `json:"use_case,omitempty"`
	CallbackURL string   `json:"callback_url,omitempty"`
}

func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	from, refusal := provider.SenderIDOf(m, s.settings, provider.MaxSenderID)
	if refusal != nil {
		return web.Call{}, refusal
	}
	body := send{Sender: from, Message: m.Content.Body, Recipients: []string{m.Content.To}, CallbackURL: s.client.Callback(s.settings, m)}
	if strings.HasPrefix(m.Content.To, nigeria) {
		body.UseCase = s.settings["useCase"]
	}
	return web.Call{Path: "/api/v2/sms/send", Header: s.login(loose.Sends()), Body: loose.JSON(body), Hide: loose.Hidden(m)}, nil
}

func (s *Sender) login(h http.Header) http.Header {
	h.Set("api-key", s.settings["apiKey"])
	return h
}

// Ask implements provider.Asker.
func (s *Sender) Ask(ctx context.Context, ref string) (provider.Report, error) {
	call := web.Call{Method: http.MethodGet, Path: "/api/v2/sms/" + url.PathEscape(ref), Header: s.login(loose.Wants())}
	unknown := []web.Rule{{Status: []string{"2", "400", "422"}, Words: []string{"not found", "no record", "does not exist", "invalid"},
		Class: provider.PermanentHere, What: "Arkesel does not know the message"}}
	return loose.Ask(ctx, s.client, call, unknown, func(_ *web.Answer, said loose.Value) (provider.Report, string) {
		for _, entry := range said.Get("data").List() {
			if word := entry.Get("status").Text(); word != "" {
				r := spelling().Say(word)
				r.Ref, r.At = ref, loose.Time(entry.Get("updated_at", "delivered_at").Text())
				return r, ""
			}
			if entry.Get("id").Here() {
				return loose.Silent(ref), ""
			}
		}
		return provider.Report{}, ""
	})
}

// Verify implements provider.Verifier: it asks for the account's balance.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	call := web.Call{Method: http.MethodGet, Path: "/api/v2/clients/balance-details", Header: s.login(loose.Wants())}
	return s.client.Verify(ctx, call, func(a *web.Answer) []provider.Check {
		said := loose.Parse(a.Body)
		data := said.Get("data")
		if !a.OK() || strings.EqualFold(said.Get("status").Text(), "error") || !data.IsObject() {
			return loose.Refused(a, said)
		}
		return loose.Balance("Arkesel accepts the API key", data.Get("sms_balance"), data.Get("main_balance"))
	})
}
