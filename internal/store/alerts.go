package store

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Alerts is what the operator is told, and what it is told from. Limits bound what is read.
type Alerts interface {
	// SetProviderTroubles replaces what a node says of provider configurations that do not work for it. left are those that it
	// does not send with any more although nobody has seen them work again: they stay, as what a node said whose lease ends does.
	SetProviderTroubles(ctx context.Context, node string, list, left []ProviderTrouble) error
	// ProviderTroubles lists what nodes say of configurations that are switched on, the newest first. What nobody answers for
	// any more is among it until it is dropped, or for a week since TrimAlerts first saw that.
	ProviderTroubles(ctx context.Context, limit int) ([]ProviderTrouble, error)
	// LeftTroubles lists what nobody answers for any more: what was left, and what nodes said whose lease has ended.
	LeftTroubles(ctx context.Context, limit int) ([]ProviderTrouble, error)
	// DropTroubles removes of these configurations what nobody answers for any more.
	DropTroubles(ctx context.Context, list []ProviderTrouble) error
	// TroublesOf lists the same of one app's configurations, by configuration, and of one the longest first; of the server's
	// for the zero app.
	TroublesOf(ctx context.Context, app comm.ID) ([]ProviderTrouble, error)
	// SetProviderStrains replaces what a node says of calls through provider configurations that go badly of late. It ends with the node's lease.
	SetProviderStrains(ctx context.Context, node string, list []ProviderStrain) error
	// StrainsOf lists what living nodes say of one app's configurations, by configuration and node; of the server's for the zero app. What has passed
	// by the database's clock is left out.
	StrainsOf(ctx context.Context, app comm.ID) ([]ProviderStrain, error)
	// ProviderStrains lists the same of all apps' configurations and the server's, at most limit.
	ProviderStrains(ctx context.Context, limit int) ([]ProviderStrain, error)
	// EndpointTroubles lists webhook endpoints that fail since before an instant, and those that were switched off for it, the
	// newest trouble first.
	EndpointTroubles(ctx context.Context, before comm.Micros, limit int) ([]EndpointTrouble, error)
	// KeysEnding lists keys that end within around before or after now, are in the last quarter of their life or have ended,
	// live for longer than longer and are not revoked, nor replaced, the last end first.
	KeysEnding(ctx context.Context, now comm.Micros, around, longer time.Duration, limit int) ([]EndingKey, error)
	// Unprovided lists apps that send for real, each with a channel for which no provider configuration is switched on, neither
	// their own nor the server's: behind one, in the order of ids and channels, at most limit.
	Unprovided(ctx context.Context, behind Unprovided, limit int) ([]Unprovided, error)
	// Led says whether a living node owns the first shard: that one does what one of all nodes should.
	Led(ctx context.Context) (bool, error)
	// Alerts lists those that are open, and of the others those that were cleared last, the newest change first.
	Alerts(ctx context.Context, limit int) ([]Alert, error)
	// Alert reads one; not_found otherwise.
	Alert(ctx context.Context, kind, subject string) (*Alert, error)
	// SaveAlert writes a if its stored version is a.Version (0: there is none), which it counts up; otherwise somebody
	// changed it meanwhile, and nothing happens.
	SaveAlert(ctx context.Context, a *Alert) (saved bool, err error)
	// TrimAlerts removes alerts that were cleared before an instant. It notes since when nobody answers for a trouble, and removes it a week later, or when
	// the configuration is gone or switched off. What nodes say of strains goes with their lease.
	TrimAlerts(ctx context.Context, before comm.Micros) error
}

// ProviderTrouble is a provider configuration that does not work for a node.
type ProviderTrouble struct {
	App, ID comm.ID // App is zero at the server level
	Reason  string  // a word of chain.WaitReasons
	Code    string  // of the last answer; may be ""
	Class   string  // what that answer meant, the code of a provider.Rule; "" where it is not known
	Since   comm.Micros
	// Breaker is the state of the node's breaker for it, a word of pace.State; "" where there is nothing to call. Closed: calls fail, and too few of
	// them for it to open.
	Breaker string
	Text    string      // what it answered last, redacted; may be ""
	NextAt  comm.Micros // before it no call is made; 0: the next message is one
	Carried string      // what others of the chain took meanwhile, JSON, opaque here; "" for nothing
	// Node is whose it is, as it is read: "" where nobody answers for it any more.
	Node string
	// Name, Type, Channel and Slug (of the app, "" at the server level) are only read.
	Name, Type, Slug string
	Channel          comm.Channel
}

// ProviderStrain is a provider configuration that a node calls less than it would, or whose calls fail: one that works all the same.
type ProviderStrain struct {
	App, ID        comm.ID     // App is zero at the server level
	ThrottledUntil comm.Micros // its provider asked for no call before it; 0: it did not, or it has passed
	// Calls is how many calls ended in the last minute, Failed how many of them through the provider's fault.
	Calls, Failed int64
	Node          string // whose it is, as it is read
}

// EndpointTrouble is a webhook endpoint that fails, or was switched off because it did.
type EndpointTrouble struct {
	App, ID    comm.ID
	Name, Slug string
	Disabled   string // a reason of comm.EndpointEnds; "" while it is on
	Since      comm.Micros
}

// Unprovided is an app without a provider for a channel.
type Unprovided struct {
	App     comm.ID
	Slug    string
	Channel comm.Channel
}

// EndingKey is an API key with an end.
type EndingKey struct {
	App, ID           comm.ID
	Name, Slug        string
	CreatedAt, EndsAt comm.Micros
}

// Alert is one thing that is wrong, or was.
type Alert struct {
	Kind, Subject string
	Body          string // JSON, opaque here
	RaisedAt      comm.Micros
	ClearedAt     comm.Micros // 0 while it is open
	Told          string      // JSON, opaque here
	Version       int
}
