package provider

import (
	"fmt"

	"github.com/commserver/commserver/internal/comm"
)

// MaxSenderID is the length up to which all SMS providers in Ghana take a sender id, in characters.
const MaxSenderID = 11

// SenderIDOf answers the sender id of a short message: its own, else the configuration's.
// most is the length that the provider takes, in characters; 0: it may judge itself. The
// error is about the message and not the account: nothing was sent, and another
// configuration may have a sender.
func SenderIDOf(m *Message, s Settings, most int) (string, *Error) {
	if m.Channel != comm.SMS {
		return "", &Error{Class: PermanentHere, Code: "wrong_channel", Text: "an SMS provider takes short messages only"}
	}
	id := m.Content.From
	if id == "" {
		id = s["senderId"]
	}
	switch {
	case id == "":
		return "", &Error{Class: PermanentHere, Code: "no_sender", Text: "neither the message nor the provider configuration names a sender"}
	case most > 0 && len(id) > most:
		return "", &Error{Class: PermanentHere, Code: "bad_sender", Text: fmt.Sprintf("the sender id is too long for this provider, which takes at most %d characters", most)}
	}
	return id, nil
}
