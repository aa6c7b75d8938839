// Package arkesel knows the settings of Arkesel, an SMS provider in Ghana.
//
// It promises that a configuration which it accepts is complete and well-formed.
// It does not send yet: configurations are kept until it does.
package arkesel

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Arkesel adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "ARKESEL", Title: "Arkesel", Channel: comm.SMS, Reports: true, Fields: fields()}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "apiKey", Label: "API key", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Key of Arkesel's SMS API, version 2. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		{Name: "webhookSecret", Label: "Webhook secret", Kind: provider.Token, Secret: true, Max: provider.MaxKey,
			Help: "Secret that Arkesel signs delivery reports with, if the account has one. Reports are then accepted only if they are signed with it."},
		provider.BaseURLField("https://sms.arkesel.com"),
	}
}
