package comm

// Word is a stable word of the API with its meaning, for programs and for the docs.
type Word struct{ Code, Meaning string }

// Why a CANCEL or RETRY is refused: details.reason of invalid_state.
const (
	ReasonInFlight     = "in_flight"
	ReasonMaybeSent    = "may_have_been_sent"
	ReasonTooLate      = "too_late"
	ReasonNotRetryable = "not_retryable"
	ReasonExpired      = "expired"
	ReasonContentGone  = "content_gone"
)

// Reasons is every details.reason of invalid_state.
func Reasons() []Word { return reasons[:] }

var reasons = [...]Word{
	{ReasonInFlight, "CANCEL: a provider call is running. The wish is kept: no further attempt starts."},
	{ReasonMaybeSent, "CANCEL: an earlier attempt may have reached the provider. No further attempt starts, but the message cannot be called cancelled."},
	{ReasonTooLate, "CANCEL: the message is not QUEUED any more."},
	{ReasonNotRetryable, "RETRY: the message is neither FAILED nor CANCELLED."},
	{ReasonExpired, "RETRY: the message's ttlSeconds have passed."},
	{ReasonContentGone, "RETRY: the message's content has been removed."},
}

// The codes of warnings in answers that are no errors.
const (
	WarnNoProvider  = "no_provider"
	WarnProviderOff = "provider_off"
	WarnCannotSend  = "provider_cannot_send"
	WarnNoSender    = "no_sender"
	WarnSuppressed  = "recipient_suppressed"
	WarnUCS2        = "ucs2_forced"
	WarnUnused      = "unused_variables"
	WarnDown        = "provider_down"
	WarnCredentials = "credentials_unavailable"
	WarnUnsupported = "provider_unsupported"
)

// Warning is something in an answer that is no error but should be known.
type Warning struct{ Code, Text string }

// Warnings is every code of a warning.
func Warnings() []Word { return warnings[:] }

var warnings = [...]Word{
	{WarnNoProvider, "The app is live and nothing is configured to send the channel with, for the app or for the server."},
	{WarnProviderOff, "Every provider configuration of the channel is switched off: such messages wait."},
	{WarnCannotSend, "This version keeps and checks configurations of the provider's type but cannot send with it yet: the chain leaves them out, and where there is no other one such messages wait."},
	{WarnNoSender, "Neither the request nor any configuration of the chain names a sender: the message will fail."},
	{WarnSuppressed, "The recipient is on the app's opt-out list: the message will end SUPPRESSED unless the entry is removed first."},
	{WarnUCS2, "A few characters outside of the GSM alphabet make the SMS take more segments."},
	{WarnUnused, "A preview was given values that the template has no placeholder for: a misspelt name, perhaps."},
	{WarnDown, "Calls through the provider configuration fail, or its account does not work: messages take the next one of the chain, and wait where there is none. The text has the last answer's code."},
	{WarnCredentials, "The credentials of the provider configuration cannot be opened, for a key of the server is missing: messages take the next one of the chain, and wait where there is none."},
	{WarnUnsupported, "A node that sends does not know the type of the provider configuration, or cannot use its settings: messages take the next one of the chain, and wait where there is none."},
}

// Why an address is on an app's suppressions.
const (
	SuppressManual       = "manual"
	SuppressHardBounce   = "hard_bounce"
	SuppressComplaint    = "complaint"
	SuppressUnsubscribed = "unsubscribed"
)

// SuppressionReasons is every reason of a suppression.
func SuppressionReasons() []Word { return suppressionReasons[:] }

var suppressionReasons = [...]Word{
	{SuppressManual, "Somebody put it there; the default."},
	{SuppressHardBounce, "The provider said that the address does not exist."},
	{SuppressComplaint, "The recipient reported a message as unwanted."},
	{SuppressUnsubscribed, "The recipient opted out, by a link or by an answer such as STOP."},
}

// Who put an address on an app's suppressions.
const (
	SuppressByAPI      = "api"
	SuppressByImport   = "import"
	SuppressByProvider = "provider"
	SuppressReturned   = "returned"
)

// SuppressionSources is every source of a suppression.
func SuppressionSources() []Word { return suppressionSources[:] }

var suppressionSources = [...]Word{
	{SuppressByAPI, "A call of the API."},
	{SuppressByImport, "An import."},
	{SuppressByProvider, "A provider's answer or report."},
	{SuppressReturned, "It was kept as a hash when the person was erased, and is shown again because the app wrote to the address."},
}
