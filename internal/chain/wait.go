package chain

import "github.com/commserver/commserver/internal/comm"

// The words for why a message waits. They are stored with holds and shown as
// waitingFor: never rename one.
const (
	WaitSchedule    = "schedule"
	WaitRetry       = "retry"
	WaitTurn        = "turn"
	WaitAppPaused   = "app_paused"
	WaitQueuePaused = "queue_paused"
	WaitThrottled   = "provider_throttled"
	WaitDown        = comm.WarnDown
	WaitRate        = "provider_rate"
	WaitBusy        = "provider_busy"
	WaitMemory      = "server_busy"
	WaitCredentials = comm.WarnCredentials
	WaitAdapter     = comm.WarnUnsupported
	WaitOff         = comm.WarnProviderOff
	WaitCannotSend  = comm.WarnCannotSend
	WaitRepeat      = "repeat"
	WaitHeld        = "held"
)

// WaitReason is one row of the vocabulary.
type WaitReason struct {
	Word string // stable, for machines
	Text string // a sentence for people
	// Remedy is what somebody can do about it; "" of reasons that end by themselves.
	Remedy string
	// End is what ends it, after "as soon as"; "" of reasons that end by themselves.
	End string
}

// WaitReasons is every reason why a queued message does not start.
func WaitReasons() []WaitReason { return waitReasons[:] }

var waitReasons = [...]WaitReason{
	{WaitSchedule, "It waits for its scheduled time.", "", ""},
	{WaitRetry, "The last attempt failed; the next one starts at the time shown.", "", ""},
	{WaitTurn, "It is due and waits for its turn.", "", ""},
	{WaitRepeat, "A provider that may have taken it already, and takes it only once, is asked again before another one is tried.", "", ""},
	{WaitAppPaused, "The app is switched off; its messages wait until it is active again.", "Switch the app on again when its messages may go out.", "the app is switched on"},
	{WaitQueuePaused, "An operator paused the app's queue.", "Resume the app's queue when its messages may go out.", "the app's queue is resumed"},
	{WaitHeld, "The server was restored from a backup and sends nothing until the operator releases it.", "Decide what becomes of what may have been sent since the backup, and release the server.", "the server is released"},
	{WaitThrottled, "The provider asked us to slow down.", "", ""},
	{WaitDown, "The provider fails too often, does not answer or refuses the account; it is tried again from time to time.", "Look at the provider's last answers, and verify the configuration.", "the provider works again, which is tried from time to time"},
	{WaitRate, "The configured rate of the provider, per second or per day, is used up for now.", "", ""},
	{WaitBusy, "All connections that the provider configuration allows are in use.", "", ""},
	{WaitMemory, "This server has as many bytes of large messages under way as COMMS_MAX_BYTES_IN_FLIGHT allows.", "", ""},
	{WaitCredentials, "The provider's credentials cannot be read; check the encryption keys.", "Check the encryption keys of this server: the credentials of the provider cannot be opened.", "the credentials can be read"},
	{WaitOff, "Every provider configuration for it is switched off; switch one on or add another.", "Switch a provider configuration on, or add another.", "a provider configuration is switched on"},
	{WaitCannotSend, "This version keeps the provider's configuration but cannot send with its type yet; add another configuration, or update the server.", "Add a provider configuration of another type, or update the server.", "there is a configuration that can be sent with"},
	{WaitAdapter, "This program does not know the provider's type or cannot use its settings.", "Change the configuration, or update the server.", "there is a configuration that can be sent with"},
}

// Alone is said after the remedy of a configuration that is down, where it is the only one in use for a channel.
const Alone = "It is the only one in use for such messages: with a second one they would go out meanwhile."

// Stopped is why nothing of an app starts because somebody wants it so, a word; "" when its messages may go out.
func Stopped(a *comm.App) string {
	switch {
	case !a.Active:
		return WaitAppPaused
	case a.QueuePaused:
		return WaitQueuePaused
	}
	return ""
}

// WaitText is the sentence of a word; the word itself when it is unknown.
func WaitText(word string) string {
	for _, w := range waitReasons {
		if w.Word == word {
			return w.Text
		}
	}
	return word
}

// Remedy is what somebody can do about a word; "" when it ends by itself, or is unknown.
func Remedy(word string) string {
	for _, w := range waitReasons {
		if w.Word == word {
			return w.Remedy
		}
	}
	return ""
}

// EndOf is what ends the wait for a word, after "as soon as"; "" when it ends by itself, or is unknown.
func EndOf(word string) string {
	for _, w := range waitReasons {
		if w.Word == word {
			return w.End
		}
	}
	return ""
}

// WaitingFor says what a message waits for at now and until when (0 = not
// known). hold and until are the stored reason why its unit does not send, ""
// when there is none. Of its own time and a hold with a known end, the later
// one is named: nothing starts before both. A message that is not QUEUED waits
// for nothing.
func WaitingFor(s *comm.State, hold string, until, now comm.Micros) (word string, till comm.Micros) {
	switch {
	case s.Status != comm.Queued:
		return "", 0
	case s.Due > now && hold != "" && until > s.Due:
		return hold, before(s.ExpiresAt, until)
	case s.Due > now && s.Attempts > 0 && s.Due != s.ScheduledAt:
		return WaitRetry, before(s.ExpiresAt, s.Due)
	case s.Due > now:
		return WaitSchedule, s.Due
	case hold != "":
		if until != 0 && until < now {
			until = 0 // the stored reason is about to be replaced
		}
		return hold, before(s.ExpiresAt, until)
	case s.Flags.Has(comm.RepeatOwed):
		return WaitRepeat, 0
	}
	return WaitTurn, 0
}

// before is the instant of an attempt, 0 when the message expires first: then none will start.
func before(expires, at comm.Micros) comm.Micros {
	if expires != 0 && at >= expires {
		return 0
	}
	return at
}
