// Package trial tries a provider configuration out on demand: it verifies settings
// and credentials without sending, and sends one real test message.
//
// It promises that both are bounded in number and time, connect through the
// guarded dialer alone and hold no database connection while they do; that a test
// message goes through the named configuration and nothing else, obeys the app's
// suppressions and is never repeated; and that neither answers nor logs hold
// secrets or the recipient's address.
//
// It stores nothing, does not count against the configuration's limits, and tells
// the dispatcher's breakers nothing.
package trial

import (
	"context"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

// Bounds of trials. Numbers are per app, minute and node.
const (
	verifyTime = 15 * time.Second
	testTime   = 30 * time.Second
	maxVerify  = 30
	maxTest    = 10
	maxAtOnce  = 32 // of all apps
	maxOfApp   = 4  // of one of them
)

// Providers reads configurations; not_found for another app's.
type Providers interface {
	ProviderConfig(ctx context.Context, app, id comm.ID) (*comm.ProviderConfig, error)
	ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error)
}

// Suppressions is the app's opt-out list.
type Suppressions interface {
	Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error)
}

// Config is what a Service needs.
type Config struct {
	Providers    Providers
	Suppressions Suppressions
	Troubles     Troubles
	// To normalises a recipient as accepting does: wire is what the provider is given, key what suppressions are kept by.
	To          func(ch comm.Channel, to string) (wire, key string, err error)
	OpenSecrets func(*comm.ProviderConfig) (map[string]string, error)
	Adapters    []provider.Adapter
	Env         provider.Env
	Now         func() time.Time // nil: time.Now
	Log         *slog.Logger
}

// Service tries configurations. It is safe for concurrent use.
type Service struct {
	cfg             Config
	places          pace.Places[comm.ID] // what is tried at this moment
	verified, tests quota
}

// New makes a Service.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Service{cfg: cfg, places: pace.Places[comm.ID]{All: maxAtOnce, OfApp: maxOfApp}, verified: quota{most: maxVerify}, tests: quota{most: maxTest}}
}

// Verified answers Verify.
type Verified struct {
	OK     bool // every check passed
	Checks []provider.Check
	Took   time.Duration
}

// Verify checks a configuration of the app (zero: of the server) without sending,
// within 15 seconds. What does not work is in the answer; an error means that it
// was not tried: not_found, rate_limited, unavailable.
func (s *Service) Verify(ctx context.Context, app, id comm.ID) (Verified, error) {
	c, err := s.cfg.Providers.ProviderConfig(ctx, app, id)
	if err != nil {
		return Verified{}, err
	}
	leave, err := s.enter(&s.verified, app)
	if err != nil {
		return Verified{}, err
	}
	defer leave()
	trying, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	begun := time.Now()
	v := Verified{Checks: s.check(trying, c), OK: true}
	v.Took = time.Since(begun)
	if ctx.Err() != nil { // the call ended, not the provider
		return Verified{}, context.Cause(ctx)
	}
	for _, one := range v.Checks {
		v.OK = v.OK && one.OK
	}
	s.cfg.Log.Info("provider configuration verified", "app", app, "provider", id, "type", c.Type, "ok", v.OK, "took_ms", v.Took.Milliseconds())
	return v, nil
}

// check makes the checks, the first of which is the configuration itself.
func (s *Service) check(ctx context.Context, c *comm.ProviderConfig) (out []provider.Check) {
	sender, refusal := s.open(c)
	switch {
	case errors.Is(refusal, errCannotSend):
		return []provider.Check{{Name: "settings", OK: true, Detail: "the fields are complete and well-formed"},
			{Name: "adapter", Detail: cannotSend(c.Type)}}
	case refusal != nil:
		return []provider.Check{{Name: "settings", Detail: provider.Classify(refusal).Text}}
	}
	defer func() { _ = sender.Close() }()
	out = []provider.Check{{Name: "settings", OK: true, Detail: "the fields are complete and the credentials can be read"}}
	verifier, ok := sender.(provider.Verifier)
	if !ok {
		return append(out, provider.Check{Name: "credentials", Detail: "This provider has no way to check credentials without sending: send a test message instead."})
	}
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("adapter failed", "type", c.Type, "provider", c.ID, "panic", fmt.Sprintf("%T", v))
			out = append(out, provider.Check{Name: "adapter", Detail: "The adapter failed on this configuration."})
		}
	}()
	return append(out, verifier.Verify(ctx)...)
}

// Tested answers Test.
type Tested struct {
	// Class is what the provider's answer means; provider.Accepted is the only good one.
	Class provider.Class
	Code  string // the provider's or protocol's, "" when there is none
	Text  string // redacted, for people
	Ref   string // the provider's id of the message
	Took  time.Duration
}

// OK says that the provider took the message.
func (t *Tested) OK() bool { return t.Class == provider.Accepted }

// Test sends one real message through a configuration of the app (zero: of the
// server), whatever the app's mode, within 30 seconds and once. What the provider
// made of it is in the answer; an error means that nothing was sent: not_found, a
// wrong recipient, address_suppressed, provider_cannot_send, rate_limited, unavailable.
// It goes on when the client goes away: a message that is under way is not cut off. When
// the caller's key or app ends it is, and the error, ctx's cause, tells mayHaveBeenSent.
func (s *Service) Test(ctx context.Context, app, id comm.ID, to string) (Tested, error) {
	c, err := s.cfg.Providers.ProviderConfig(ctx, app, id)
	if err != nil {
		return Tested{}, err
	}
	wire, key, err := s.cfg.To(c.Channel, to)
	if err != nil {
		return Tested{}, err
	}
	if !app.IsZero() {
		suppressed, err := s.cfg.Suppressions.Suppressed(ctx, app, c.Channel, key)
		if err != nil {
			return Tested{}, fmt.Errorf("look at the suppressions: %w", err)
		}
		if suppressed {
			return Tested{}, comm.E("address_suppressed")
		}
	}
	sender, refusal := s.open(c)
	switch {
	case errors.Is(refusal, errCannotSend):
		return Tested{}, comm.E("provider_cannot_send", "%s", cannotSend(c.Type))
	case refusal != nil:
		e := provider.Classify(refusal)
		return Tested{Class: e.Class, Code: e.Code, Text: e.Text}, nil
	}
	defer func() { _ = sender.Close() }()
	leave, err := s.enter(&s.tests, app)
	if err != nil {
		return Tested{}, err
	}
	defer leave()
	if err := ended(ctx); err != nil {
		return Tested{}, err
	}
	sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), testTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if ended(ctx) != nil {
			cancel()
		}
	})()
	begun := time.Now()
	out := s.send(sending, c, sender, s.message(c, wire))
	out.Took = time.Since(begun)
	s.cfg.Log.Info("test message", "app", app, "provider", id, "type", c.Type, "class", out.Class.String(), "code", out.Code, "took_ms", out.Took.Milliseconds())
	if err := ended(ctx); err != nil && !out.OK() {
		return Tested{}, err.With("mayHaveBeenSent", out.Class == provider.Ambiguous)
	}
	return out, nil
}

// ended is why the call ended that asked for this, if it was its caller who ended: a cause
// that may be answered. A client that went away has none.
func ended(ctx context.Context) *comm.Error {
	e, _ := errors.AsType[*comm.Error](context.Cause(ctx))
	return e
}

// send calls the adapter once and catches its panics: what such a call did, nobody can tell.
func (s *Service) send(ctx context.Context, c *comm.ProviderConfig, sender provider.Sender, m *provider.Message) (out Tested) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.Error("adapter failed", "type", c.Type, "provider", c.ID, "panic", fmt.Sprintf("%T", v))
			out = Tested{Class: provider.Ambiguous, Code: comm.CauseInternalError.String(), Text: "the adapter failed on the message; it may have been sent"}
		}
	}()
	receipt, err := sender.Send(ctx, m)
	if err == nil {
		return Tested{Class: provider.Accepted, Text: receipt.Detail, Ref: receipt.Ref}
	}
	e := provider.Classify(err)
	if e.Class == provider.Accepted { // an adapter's mistake: an error is no acceptance
		return Tested{Class: provider.Ambiguous, Code: e.Code, Text: "the adapter contradicted itself; the message may have been sent"}
	}
	return Tested{Class: e.Class, Code: e.Code, Text: e.Text}
}

// message says of itself what it is.
func (s *Service) message(c *comm.ProviderConfig, to string) *provider.Message {
	now := s.cfg.Now()
	content := &comm.Content{To: to, Body: "CommServer test message: this provider configuration works.", Encoding: "GSM7", Segments: 1}
	if c.Channel == comm.Email {
		text := "This is a test message of CommServer. Whoever manages the provider configuration \"" + c.Name + "\" asked for it, to see that it works. Nothing is to be done."
		content = &comm.Content{To: to, Subject: "CommServer test message: " + c.Name, Text: text, Body: "<p>" + html.EscapeString(text) + "</p>"}
	}
	return &provider.Message{ID: comm.NewID(comm.At(now)), App: c.App, Attempt: 1, Channel: c.Channel, Content: content, Date: now}
}

var errCannotSend = errors.New("this version cannot send with the type")

func cannotSend(kind string) string {
	return "This version keeps and checks configurations of " + kind + " and cannot send with it yet."
}

// open makes a sender of its own for the trial. The error is errCannotSend, or a
// *provider.Error that says what is wrong with the configuration.
func (s *Service) open(c *comm.ProviderConfig) (provider.Sender, error) {
	unusable := func(word string, cause error) error {
		s.cfg.Log.Warn("a provider configuration cannot be tried", "provider", c.ID, "reason", word, "err", cause)
		return &provider.Error{Class: provider.Account, Code: word, Text: chain.WaitText(word), Cause: cause}
	}
	adapter := s.adapter(c)
	if adapter == nil {
		return nil, unusable(chain.WaitAdapter, errors.New("the type is not known"))
	}
	secrets, err := s.cfg.OpenSecrets(c)
	if err != nil {
		return nil, unusable(chain.WaitCredentials, err)
	}
	if adapter.Open == nil {
		return nil, errCannotSend
	}
	sender, err := adapter.OpenConfig(c, secrets, s.cfg.Env)
	if err != nil {
		return nil, unusable(chain.WaitAdapter, err)
	}
	return sender, nil
}

// adapter is that of the configuration's type, nil when there is none.
func (s *Service) adapter(c *comm.ProviderConfig) *provider.Adapter {
	i := slices.IndexFunc(s.cfg.Adapters, func(a provider.Adapter) bool { return a.Type == c.Type })
	if i < 0 {
		return nil
	}
	return &s.cfg.Adapters[i]
}
