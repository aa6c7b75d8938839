// Package mnotify is the adapter for mNotify, an SMS provider in Ghana, by version 2 of
// its HTTP API (BMS).
//
// It promises one call with one recipient per message; that an answer of success which
// rejects that number counts as a refusal; and that what became of a message is asked,
// by the id of the campaign that each call makes, because mNotify documents no reports.
// Reports are read all the same, in every form that was guessed.
//
// mNotify wants the key in the address of every call: addresses are nowhere in errors or
// logs. It knows no idempotency key: after a call without an answer nobody can tell
// whether the message was sent.
package mnotify

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

// usual is the base of mNotify's API.
const (
	usualPath = "/api"
	usual     = "https://api.mnotify.com" + usualPath
)

// Adapter is the mNotify adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{
		Type: "MNOTIFY", Title: "mNotify", Channel: comm.SMS, Fields: fields(), Home: loose.Home,
		Reporting: &provider.Reporting{
			Read: spelling().Read,
			Asks: []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 12 * time.Hour, 24 * time.Hour},
		},
		Open: open,
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "apiKey", Label: "API key", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Key of mNotify's API, version 2. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		provider.BaseURLField(usual),
	}
}

// spelling is how reports name things; the campaign's id is the one that the answer to
// the send gave, whatever other ids stand beside it.
func spelling() loose.Spelling {
	return loose.Spelling{
		Ref:    []string{"campaign_id", "summary_id", "message_id", "_id", "id"},
		Status: []string{"status", "delivery_status", "message_status"},
		At:     []string{"date_sent", "delivered_at", "timestamp", "date"},
		Form:   loose.UpperHex,
	}
}

// Sender sends through one mNotify account. It is safe for concurrent use.
type Sender struct {
	client   *web.Client
	settings provider.Settings
}

func open(s provider.Settings, env provider.Env) (provider.Sender, error) {
	based := loose.Based(s, "/quick", "/sms", usualPath)
	if raw := based["baseUrl"]; raw != "" {
		based["baseUrl"] = raw + usualPath
	}
	client, err := web.Open(fields(), based, env)
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

// send is the body of a call that sends.
type send struct {
	Recipient    []string `json:"recipient"`
	Sender       string   `json:"sender"`
	Message      string   `json:"message"`
	IsSchedule   bool     `json:"is_schedule"`
	ScheduleDate string   `json:"schedule_date"`
}

func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	from, refusal := provider.SenderIDOf(m, s.settings, provider.MaxSenderID)
	if refusal != nil {
		return web.Call{}, refusal
	}
	body := send{Recipient: []string{m.Content.To}, Sender: from, Message: m.Content.Body}
	return web.Call{Path: "/sms/quick", Query: s.key(), Header: loose.Sends(), Body: loose.JSON(body), Hide: loose.Hidden(m)}, nil
}

func (s *Sender) key() url.Values { return url.Values{"key": {s.settings["apiKey"]}} }

func (s *Sender) question(path string) web.Call {
	return web.Call{Method: http.MethodGet, Path: path, Query: s.key(), Header: loose.Wants()}
}

// Ask implements provider.Asker. A campaign of ours has one recipient; where it has
// several entries nevertheless, such as one for each try, a final one counts most.
func (s *Sender) Ask(ctx context.Context, ref string) (provider.Report, error) {
	unknown := []web.Rule{
		{Status: []string{"2", "4"}, Codes: []string{"1004"}, Class: provider.Account, What: "mNotify refuses the API key"},
		{Status: []string{"2", "400", "422"}, Words: []string{"not found", "no record", "does not exist", "invalid campaign"},
			Class: provider.PermanentHere, What: "mNotify does not know the message"},
	}
	return loose.Ask(ctx, s.client, s.question("/campaign/"+url.PathEscape(ref)), unknown, func(_ *web.Answer, said loose.Value) (best provider.Report, code string) {
		entries := said.Get("report", "data")
		if entries.IsList() { // the campaign is known
			best = loose.Silent(ref)
		}
		for _, entry := range entries.List() {
			word := entry.Get("status").Text()
			if word == "" {
				continue
			}
			r := spelling().Say(word)
			r.Ref, r.At = ref, loose.Time(entry.Get("date_sent").Text())
			if best.Code == "" || rank(r.Fate) > rank(best.Fate) {
				best = r
			}
		}
		return best, said.Get("code").Text()
	})
}

// rank orders fates of one message by how much they decide.
func rank(f provider.Fate) int {
	switch f {
	case provider.Delivered:
		return 3
	case provider.Undelivered:
		return 2
	case provider.OnItsWay:
		return 1
	}
	return 0
}

// Verify implements provider.Verifier: it asks for the account's balance.
func (s *Sender) Verify(ctx context.Context) []provider.Check {
	return s.client.Verify(ctx, s.question("/balance/sms"), func(a *web.Answer) []provider.Check {
		said := loose.Parse(a.Body)
		balance := said.Get("balance", "sms_balance")
		if !a.OK() || !balance.Here() || strings.EqualFold(said.Get("status").Text(), "error") {
			return loose.Refused(a, said)
		}
		return loose.Balance("mNotify accepts the API key", balance, said.Get("bonus"))
	})
}
