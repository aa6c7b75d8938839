// Package mnotify knows the settings of mNotify, an SMS provider in Ghana.
//
// It promises that a configuration which it accepts is complete and well-formed.
// It does not send yet: configurations are kept until it does.
package mnotify

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Adapter is the mNotify adapter. It cannot send yet.
func Adapter() provider.Adapter {
	return provider.Adapter{Type: "MNOTIFY", Title: "mNotify", Channel: comm.SMS, Reports: true, Fields: fields()}
}

func fields() []provider.Field {
	return []provider.Field{
		{Name: "apiKey", Label: "API key", Kind: provider.Token, Required: true, Secret: true, Max: provider.MaxKey,
			Help: "Key of mNotify's API, version 2. Stored encrypted, never shown again."},
		provider.SenderIDField(),
		provider.BaseURLField("https://api.mnotify.com/api"),
	}
}
