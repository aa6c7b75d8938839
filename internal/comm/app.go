package comm

import "time"

// App is the tenant: one application with its settings. Everything else belongs to one App.
type App struct {
	ID            ID
	Slug          string
	Name          string
	Active        bool // an inactive app's keys are refused and its queued messages wait
	Sandbox       bool // the logger takes every message
	OnUnknown     UnknownPolicy
	RatePerMinute int  // submissions per fixed minute
	ShardSpread   int  // 1, or over how many shards a giant app is spread
	QueuePaused   bool // nothing of the app starts; accepting goes on
	QueueDraining bool // new messages are refused; what waits goes out
	// The app's endpoint named DefaultEndpoint: see store.Endpoints.
	WebhookURL     string
	WebhookSecret  []byte // sealed; nil when none
	WebhookVersion int    // of the endpoint, as it was read; 0 when none
	AllowedFrom    []string
	SMSPerDay      int      // segments of live SMS in a UTC day; 0: any number
	SMSPrefixes    []string // beginnings of the numbers that live SMS may go to; empty: any
	SMSPrefixCaps  []SMSCap // of numbers that begin so, in the order of the prefixes, each at most once; 0: none
	SMSDays        SMSDays  // as they were when the app was read; the accepts keep them, not the app's settings
	CreatedAt      Micros
	UpdatedAt      Micros
}

// Mode is the mode that a message accepted now is pinned to.
func (a *App) Mode() Mode {
	if a.Sandbox {
		return Sandbox
	}
	return Live
}

// The words for what an app's queue does. They are shown as queueState: never rename one.
const (
	QueueRunning  = "RUNNING"
	QueuePaused   = "PAUSED"
	QueueDraining = "DRAINING"
)

// QueueState is what the app's queue does; it is never paused and drained at once.
func (a *App) QueueState() string {
	switch {
	case a.QueuePaused:
		return QueuePaused
	case a.QueueDraining:
		return QueueDraining
	}
	return QueueRunning
}

// Key is an app's API key. Only its hash is known.
type Key struct {
	ID          ID
	App         ID
	Name        string   // for people; may be empty
	Hash        [32]byte // SHA-256 of the whole key text
	Prefix      string   // what may be shown: "cs_test_ab12"
	LastFour    string
	Scopes      Scopes
	Provisioned bool // issued by provisioning: rotateKey ends it
	CreatedAt   Micros
	ExpiresAt   Micros // 0 = never
	RevokedAt   Micros // 0 = not revoked; ahead of now while a rotation's overlap lasts
	LastUsedAt  Micros // 0 = never; up to about a minute late
	CreatedBy   string // a word of ActorKinds
}

// Usable says whether the key opens anything at the instant now.
func (k *Key) Usable(now Micros) bool {
	return (k.RevokedAt == 0 || now < k.RevokedAt) && (k.ExpiresAt == 0 || now < k.ExpiresAt)
}

// ProviderConfig is a configured account at a provider, an app's own or (with
// a zero App) one of the server-level chain.
type ProviderConfig struct {
	ID        ID
	App       ID     // zero: server-level
	Type      string // "SMTP": the adapter's name
	Channel   Channel
	Name      string
	Priority  int // lower is tried first; ties by age
	Active    bool
	Settings  map[string]string // fields without secrets, as text
	Secrets   []byte            // sealed JSON object of the secret fields; nil when none
	KeyID     string            // which key of the ring sealed Secrets
	Limits    ProviderLimits
	Version   int // +1 at every change: senders are opened again
	CreatedAt Micros
	UpdatedAt Micros
}

// CallbackRotatedAt is a setting of a configuration that is no field of its type: when its callback token was drawn again, an instant as
// Micros writes it.
const CallbackRotatedAt = "callbackRotatedAt"

// CallbackEnds are likewise the names of the instants until which the callback tokens before are taken as well, the newest first.
func CallbackEnds() []string { return callbackEnds[:] }

var callbackEnds = [MaxReplaced]string{"previousCallbackEndsAt", "earlierCallbackEndsAt"}

// CallbackEnd is the instant under one of the names of CallbackEnds; 0: there is none.
func (c *ProviderConfig) CallbackEnd(name string) Micros {
	at, err := time.Parse(millisLayout, c.Settings[name])
	if err != nil {
		return 0
	}
	return At(at)
}

// ProviderLimits are what an operator allows this configuration. Zero means no limit of that sort.
type ProviderLimits struct {
	RatePerSecond int
	RatePerDay    int
	MaxConcurrent int
	Pinned        bool // the operator's pin: used first and never opened by the breaker
}

// DayFor is how many calls of a day, of those that RatePerDay allows, messages may take that are CRITICAL or are not: reserve percent are kept for
// CRITICAL, so that a campaign of the morning leaves the evening's login codes something. 0 without a limit.
func (l *ProviderLimits) DayFor(critical bool, reserve int) int {
	if critical {
		return l.RatePerDay
	}
	return l.RatePerDay - (l.RatePerDay/100*reserve + l.RatePerDay%100*reserve/100)
}
