package alert

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/provider"
)

// The kinds. The words are a promise to programs: never rename one.
const (
	ProviderDown    = "provider_down"
	MessagesWaiting = "messages_waiting"
	EndpointFailing = "endpoint_failing"
	NoProvider      = "app_without_provider"
	KeyEnding       = "key_expiring"
	StorageFailing  = "storage_failing"
	StorageLow      = "storage_low"
)

// Kind is one sort of alert: a row of the table that the engine and docs/alerts.md are made from.
type Kind struct {
	Word    string
	Title   string // what is wrong, in a few words
	Subject string // what the subject names
	Of      Of
	Means   string
	Do      string
	Over    string        // said in the all-clear
	Hold    time.Duration // how long it lasts before it is told
	Calm    time.Duration // how long it must be well before the all-clear
}

// Of is the sort of thing that an alert is about. The words are a promise to programs, too.
type Of string

// The sorts of things.
const (
	OfProvider Of = "provider_config"
	OfApp      Of = "app"
	OfWebhook  Of = "webhook"
	OfKey      Of = "key"
	OfStorage  Of = "storage"
)

// Kinds lists every kind, in the order of the documentation.
func Kinds() []Kind { return slices.Clone(kinds[:]) }

var kinds = [...]Kind{
	{ProviderDown, "A provider does not work", "the id of the provider configuration", OfProvider,
		"At least two calls in a row failed through the provider's fault, or its breaker is open, or its credentials cannot be read. Messages take the next provider of the chain; where there is none, they wait. A provider with little traffic is noticed by its second failed call, not by the clock; and it counts as down until a call goes well, whichever node makes it and whatever is restarted meanwhile, until the configuration is switched off, or for a week in which no node that sends with it runs.",
		"Look at the code in the text. With `connect_failed` or a time-out there are two questions. " + unreached + " An account, credit or credentials problem: log in at the provider. " + check + " " + again,
		"It works again.", 15 * time.Second, time.Minute},
	{MessagesWaiting, "Messages wait too long", "the id of the app", OfApp,
		"A message of the app has been due for longer than `COMMS_ALERT_WAITING` and has not been started. Apps that are switched off and queues that are paused are left out, queues that are being drained are not.",
		"`commserver queue show` shows what each app waits for. A provider that is down or too slow is the usual reason; otherwise look at the load of the workers, and whether there are any.",
		"No message of the app waits too long any more.", 10 * time.Second, time.Minute},
	{EndpointFailing, "A webhook endpoint fails", "the id of the endpoint (the app's id for the one named default)", OfWebhook,
		"An app does not take its events: several calls in a row failed, or the endpoint was switched off because it answered 410 or failed for as long as an event is tried, three to four days. Nothing is lost meanwhile: events are tried again, and stay in the app's feed.",
		"Tell whoever runs the app. When the endpoint works again, switch it on if it is off: what waits for it goes out then, and what was given up can be replayed. Events of the time while it was off cannot, for nobody was to get them: the app reads them from `GET /api/v1/events`.",
		"The endpoint takes events again, or is not used any more.", time.Minute, time.Minute},
	{NoProvider, "A live app has no provider", "the id of the app", OfApp,
		"The app is out of its sandbox, and neither it nor the server has a provider configuration that is switched on; or there is none for a channel for which the app was given messages in the last 24 hours, which the text names. Such messages are not delivered to anybody (`COMMS_LIVE_FALLBACK`). It is looked for every five minutes, or as often as `COMMS_ALERT_PATIENCE` says.",
		"Add a provider with `commserver provider add`, switch one on, or put the app back into its sandbox.",
		"The app has a provider for what it sends, or does not send it for real any more.", 5 * time.Minute, 0}, // two looks, and one
	{KeyEnding, "An API key is about to end", "the id of the key", OfKey,
		"A key ends within a week (of a short-lived key: within the last quarter of its life), or has ended in the last week and nobody replaced it. The app cannot send with it afterwards.",
		"Make another with `commserver key create` (`key rotate` gives the new one the old one's end), give it to the app, and revoke the old one. Keys that live for two days or less are not told of.",
		"The key was replaced or revoked, or it has ended a week ago.", 0, 0},
	{StorageFailing, "The database does not take writes", "storage", OfStorage,
		"The node that leads cannot write to the database, as `/readyz` says, too. Nothing is accepted meanwhile; what was accepted is kept.",
		"PostgreSQL: is it running, reachable, and its disk not full? SQLite: is the disk full or read-only? The server's log has the error. It goes on by itself.",
		"The database takes writes again.", 15 * time.Second, 30 * time.Second},
	{StorageLow, "The disk is nearly full", "storage", OfStorage,
		"Less than `COMMS_ALERT_FREE_SPACE` is left where the SQLite file is. At 64 MiB nothing more is accepted. Of PostgreSQL's disk the server knows nothing.",
		"Make room or enlarge the disk; shorten `COMMS_RETAIN_CONTENT` and `COMMS_RETAIN_MESSAGES` if it fills again.",
		"There is room again.", 30 * time.Second, 5 * time.Minute},
}

// What is said about a provider beside the remedies of package chain and package provider.
const (
	unreached = "Is the provider's own status page red? Is the way out of this machine open?"
	check     = "“Check it” on the configuration's page, or `commserver provider verify`, says whether it works then, and sends nothing."
	again     = "It is tried again by itself as long as there are messages to send."
)

// todo is what to do about an alert of the kind. Where it is known why a provider does not work, that is the remedy of the
// reason, or of the class of the last answer: nobody has to look a code up at night.
func (k *Kind) todo(o *Outage) string {
	if k.Word != ProviderDown || o == nil {
		return k.Do
	}
	if o.Reason != chain.WaitDown { // there is nothing to call
		if first := chain.Remedy(o.Reason); first != "" {
			return first + " " + check
		}
		return k.Do
	}
	switch first := provider.Remedy(o.Class); {
	case o.Class == provider.Transient.Rule().Code, o.Class == provider.Ambiguous.Rule().Code: // theirs are about a message
		return unreached + " " + check + " " + again
	case first != "":
		return first + " " + check + " " + again
	}
	return k.Do
}

func kindOf(word string) *Kind {
	for i := range kinds {
		if kinds[i].Word == word {
			return &kinds[i]
		}
	}
	return nil
}
