// Package nalo is the adapter for Nalo Solutions, an SMS provider in Ghana that takes a
// key or a user name with its password, by the JSON form of its API.
//
// It promises that a configuration which it accepts has exactly one of the two ways to log
// in; one call per message; and that of Nalo's answers, which are text or JSON, only the
// code 1701 counts as taken.
//
// Nalo knows no idempotency key and answers no questions about messages: after a call
// without an answer nobody can tell whether the message was sent. What became of messages
// is known only to accounts for which Nalo calls the callback URL. The form of its API
// with everything in the address, password included, is not spoken.
package nalo

import (
	"context"
	"net/url"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/loose"
	"github.com/commserver/commserver/internal/provider/web"
)

// usual is the base of Nalo's API for direct customers. Its last part is the reseller's.
const (
	usualPath     = "/smsbackend"
	usualReseller = "/Resl_Nalo"
	usual         = "https://sms.nalosolutions.com" + usualPath + usualReseller
)

// Adapter is the Nalo adapter.
func Adapter() provider.Adapter {
	return provider.Adapter{
		Type: "NALO", Title: "Nalo Solutions", Channel: comm.SMS, Fields: fields(), Home: loose.Home, Check: check,
		Reporting: &provider.Reporting{Read: spelling().Read},
		Open:      open,
	}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "authKey", Label: "Auth key", Kind: provider.Token, Secret: true, Max: provider.MaxKey,
			Help: "Key of the account; or give username and password instead. Stored encrypted, never shown again."},
		{Name: "username", Label: "User name", Kind: provider.Text, Max: provider.MaxID,
			Help: "User name of the account, together with password, where there is no authKey."},
		{Name: "password", Label: "Password", Kind: provider.Text, Secret: true, Max: provider.MaxKey,
			Help: "Password of the user name. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		provider.BaseURLField(usual),
	}
}

// check wants one way to log in, whole.
func check(s provider.Settings) map[string]string {
	key, user, password := s["authKey"] != "", s["username"] != "", s["password"] != ""
	switch {
	case key && user:
		return map[string]string{"authKey": "give authKey or username and password, not both; null removes a field", "username": "goes with password alone, not with authKey"}
	case key && password:
		return map[string]string{"authKey": "give authKey or username and password, not both; null removes a field", "password": "goes with username alone, not with authKey"}
	case key || user && password:
		return nil
	case user:
		return map[string]string{"password": "a user name needs a password"}
	case password:
		return map[string]string{"username": "a password needs a user name"}
	}
	return map[string]string{"authKey": "is missing: give authKey, or username and password"}
}

// spelling is how reports name things; Nalo's pages do not say.
func spelling() loose.Spelling {
	return loose.Spelling{
		Ref:    []string{"job_id", "message_id", "msg_id", "mid", "id"},
		Status: []string{"status", "dlr_status", "delivery_status", "stat"},
		At:     []string{"timestamp", "done_date", "delivered_at", "time"},
		Form:   strings.ToLower,
	}
}

// Sender sends through one Nalo account. It is safe for concurrent use.
type Sender struct {
	client   *web.Client
	settings provider.Settings
}

func open(s provider.Settings, env provider.Env) (provider.Sender, error) {
	based := loose.Based(s, "/send-message", "/send-sms")
	if raw := based["baseUrl"]; raw != "" {
		based["baseUrl"] = whole(raw)
	}
	client, err := web.Open(fields(), based, env)
	if err != nil {
		return nil, err
	}
	return &Sender{client: client, settings: s}, nil
}

// whole completes a base that is a host alone, or lacks the reseller, and takes the
// address of the form with everything in the query for that of the JSON form.
func whole(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw // web.Open says so
	}
	u.Path = strings.Replace(u.Path, usualPath+"/clientapi", usualPath, 1)
	switch strings.TrimRight(u.Path, "/") {
	case "":
		u.Path = usualPath + usualReseller
	case usualPath:
		u.Path = usualPath + usualReseller
	}
	return u.String()
}

// Close implements provider.Sender.
func (s *Sender) Close() error { return s.client.Close() }

// Send implements provider.Sender.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	return s.client.Send(ctx, m, s.call, judge)
}

// send is the body of a call that sends. Nalo takes several numbers and answers with one
// id for all of them; with one number it is known whose it is.
type send struct {
	Key      string `json:"key,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	MSISDN   string `json:"msisdn"`
	Message  string `json:"message"`
	SenderID string `json:"sender_id"`
}

func (s *Sender) call(m *provider.Message) (web.Call, *provider.Error) {
	from, refusal := provider.SenderIDOf(m, s.settings, provider.MaxSenderID)
	if refusal != nil {
		return web.Call{}, refusal
	}
	body := send{Key: s.settings["authKey"], Username: s.settings["username"], Password: s.settings["password"],
		MSISDN: m.Content.To, Message: m.Content.Body, SenderID: from}
	// Without the slash at its end the address leads elsewhere, and redirects are not followed.
	return web.Call{Path: "/send-message/", Header: loose.Sends(), Body: loose.JSON(body), Hide: loose.Hidden(m)}, nil
}
