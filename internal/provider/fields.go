package provider

import "github.com/commserver/commserver/internal/comm"

// CallbackToken is the name among a configuration's secrets under which the token
// of its callback URL is kept, for types that report (Adapter.Reporting). It is drawn
// when the configuration is made, survives changes and the rotation of keys, and is
// no field: nobody can set it. Senders find it in their Settings.
const CallbackToken = "callbackToken"

// CallbackTokens are the names of the callback's tokens: the current one's, and those of the ones before, which are taken until the
// instants that comm.CallbackEnds names, in the same order.
func CallbackTokens() []string { return callbackTokens[:] }

var callbackTokens = [1 + comm.MaxReplaced]string{CallbackToken, "previousCallbackToken", "earlierCallbackToken"}

// ReplacedTokens are the callback tokens before the current one of a configuration, of which these are the opened secrets.
func ReplacedTokens(c *comm.ProviderConfig, secrets map[string]string) (out []comm.Replaced[string]) {
	for i, end := range comm.CallbackEnds() {
		if token, until := secrets[callbackTokens[1+i]], c.CallbackEnd(end); token != "" && until != 0 {
			out = append(out, comm.Replaced[string]{Secret: token, Until: until})
		}
	}
	return out
}

// ReplaceTokens puts tokens where ReplacedTokens finds them, and nothing else there. It writes to the configuration's settings.
func ReplaceTokens(c *comm.ProviderConfig, secrets map[string]string, tokens []comm.Replaced[string]) {
	for i, end := range comm.CallbackEnds() {
		delete(secrets, callbackTokens[1+i])
		delete(c.Settings, end)
		if i < len(tokens) {
			secrets[callbackTokens[1+i]], c.Settings[end] = tokens[i].Secret, tokens[i].Until.String()
		}
	}
}

// Lengths of what providers issue, in bytes, with room to spare.
const (
	MaxKey = 512 // keys, tokens and passwords
	MaxID  = 128 // account names and numbers
)

// BaseURLField is the field that sends the calls of an HTTP provider elsewhere:
// to a region, a reseller's path or a stand-in.
func BaseURLField(usual string) Field {
	return Field{Name: "baseUrl", Label: "Base URL", Kind: URL, Default: usual,
		Help: "Address that the provider's API is called at, if other than the usual one."}
}

// SenderIDField is the sender of short messages that name none.
func SenderIDField() Field {
	return Field{Name: "senderId", Label: "Sender id", Kind: SenderID,
		Help: "Sender of messages that name none: up to 11 letters and digits, or a number. The provider must have approved it."}
}
