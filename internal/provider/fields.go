package provider

// CallbackToken is the name among a configuration's secrets under which the token
// of its callback URL is kept, for types that report (Adapter.Reporting). It is drawn
// when the configuration is made, survives changes and the rotation of keys, and is
// no field: nobody can set it. Senders find it in their Settings.
const CallbackToken = "callbackToken"

// PreviousCallbackToken is the name of the token before it, which is taken until comm.ProviderConfig.PreviousCallbackEnd.
const PreviousCallbackToken = "previousCallbackToken"

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
