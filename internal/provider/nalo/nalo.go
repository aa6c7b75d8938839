// Package nalo knows the settings of Nalo Solutions, an SMS provider in Ghana that
// takes a key or a user name with its password.
//
// It promises that a configuration which it accepts has exactly one of the two. It
// does not send yet: configurations are kept until it does.
package nalo

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Nalo adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "NALO", Title: "Nalo Solutions", Channel: comm.SMS, Reports: true, Fields: fields(), Check: check}
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
		provider.BaseURLField("https://sms.nalosolutions.com/smsbackend/Resl_Nalo"),
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
