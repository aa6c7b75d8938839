// Package hubtel is the adapter for Hubtel, an SMS provider in Ghana, by its simple
// messaging API.
//
// It promises one call per message, and that only an answer whose status is 0 counts as
// taken; an answer without a status does not. What became of a message is asked, because
// reports come only to accounts for which Hubtel has arranged them; those are read in
// every form that was seen.
//
// Hubtel knows no idempotency key: after a call without an answer nobody can tell whether
// the message was sent. Hubtel's API of payments is another, with other credentials.
package hubtel

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// usual is the base of Hubtel's API; https://smsc.hubtel.com is an older one.
const usual = "https://sms.hubtel.com"

// Adapter is the Hubtel adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{
		Type: "HUBTEL", Title: "Hubtel", Channel: comm.SMS, Fields: fields(), Home: loose.Home,
		Reporting: &provider.Reporting{
			Read: spelling().Read,
			Asks: []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, 24 * time.Hour},
		},
		Open: open,
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "clientId", Label: "Client id", Kind: provider.Token, Required: true, Max: provider.MaxID,
			Help: "Client id of Hubtel's SMS API; it is another one than that of payments."},
		{Name: "clientSecret", Label: "Client secret", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Secret that belongs to the client id. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		provider.BaseURLField(usual),
	}
}

// spelling is how reports name things; Hubtel's pages do not say.
func spelling() loose.Spelling {
	return loose.Spelling{
		Ref:    []string{"messageId", "id", "msgId"},
		Status: []string{"status", "messageStatus", "deliveryStatus", "statusDescription"},
		At:     []string{"updateTime", "deliveredAt", "timestamp", "time"},
		// Its page lists Error among the words of the network about a message.
		Own:  []loose.Word{{Words: []string{"error"}, Fate: provider.Undelivered, Text: "the message did not arrive"}},
		Form: loose.Hex,
	}
}

// Sender sends through one Hubtel account. It is safe for concurrent use.
type Sender struct {
	client   *web.Client
	settings provider.Settings
}

func open(s provider.Settings, env provider.Env) (provider.Sender, error) {
	client, err := web.Open(fields(), loose.Based(s, "/send", "/messages", "/v1"), env)
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

// send is the body of a call that sends. Hubtel's names begin with capitals.
type send struct {
	From    string
	To      string
	Content string
}

func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	from, refusal := provider.SenderIDOf(m, s.settings, provider.MaxSenderID)
	if refusal != nil {
		return web.Call{}, refusal
	}
	return web.Call{Path: "/v1/messages/send", Header: s.login(loose.Sends()), Body: loose.JSON(send{from, m.Content.To, m.Content.Body}), Hide: loose.Hidden(m)}, nil
}

func (s *Sender) login(h http.Header) http.Header {
	h.Set("Authorization", web.Basic(s.settings["clientId"], s.settings["clientSecret"]))
	return h
}

func (s *Sender) question(ref string) web.Call {
	return web.Call{Method: http.MethodGet, Path: "/v1/messages/" + url.PathEscape(ref), Header: s.login(loose.Wants())}
}

// Ask implements provider.Asker.
func (s *Sender) Ask(ctx context.Context, ref string) (provider.Report, error) {
	return loose.Ask(ctx, s.client, s.question(ref), nil, func(_ *web.Answer, said loose.Value) (provider.Report, string) {
		for _, entry := range append(said.List(), said.Get("data").List()...) {
			// A number is the sub-code of a refusal, and a word without an id what the question came to: neither says anything of the message.
			word := entry.Get("status").Text()
			if _, isNumber := entry.Get("status").Int(); word == "" || isNumber || !entry.Get("messageId").Here() {
				continue
			}
			r := spelling().Say(word)
			r.Ref, r.At = ref, loose.Time(entry.Get("updateTime").Text())
			return r, ""
		}
		if said.Get("messageId").Here() {
			return loose.Silent(ref), ""
		}
		return provider.Report{}, ""
	})
}

// nobody is the id of no message.
const nobody = "00000000-0000-0000-0000-000000000000"

// Verify implements provider.Verifier: it asks about a message that does not exist.
// Hubtel documents no call about the account itself.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	return s.client.Verify(ctx, s.question(nobody), func(a *web.Answer) []provider.Check {
		said := loose.Parse(a.Body)
		// A page of a web server also says 404; the API says it in JSON.
		if said.IsObject() && (a.OK() || a.Status == http.StatusNotFound || a.Status == http.StatusBadRequest) {
			return []provider.Check{{Name: "login", OK: true, Detail: "Hubtel accepts the client id and secret"}}
		}
		return loose.Refused(a, said)
	})
}
