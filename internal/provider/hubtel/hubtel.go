// Package hubtel knows the settings of Hubtel, an SMS provider in Ghana.
//
// It promises that a configuration which it accepts is complete and well-formed.
// It does not send yet: configurations are kept until it does.
package hubtel

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the Hubtel adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "HUBTEL", Title: "Hubtel", Channel: comm.SMS, Reports: true, Fields: fields()}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "clientId", Label: "Client id", Kind: provider.Token, Required: true, Max: provider.MaxID,
			Help: "Client id of Hubtel's SMS API; it is another one than that of payments."},
		{Name: "clientSecret", Label: "Client secret", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Secret that belongs to the client id. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		provider.BaseURLField("https://sms.hubtel.com"),
	}
}
