package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/address/national"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/dispatch"
	"github.com/commserver/commserver/internal/docsite"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/httpapi"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/provider/sandbox"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/stats"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/internal/suppress"
	"github.com/commserver/commserver/internal/trial"
	"github.com/commserver/commserver/internal/upkeep"
	"github.com/commserver/commserver/internal/webhook"
)

// build opens and wires every part, lowest floor first.
func (a *App) build(ctx context.Context, opt Options) error {
	phones, err := phonesOf(a.cfg.DefaultRegion)
	if err != nil {
		return err
	}
	if err := checkCertificate(a.cfg); err != nil {
		return err
	}
	s, err := openStarting(ctx, a.cfg, a.log, startPatience)
	if err != nil {
		return err
	}
	a.store = s
	a.onClose(s.Close)
	ring, err := openRing(ctx, a.cfg, s, a.log)
	if err != nil {
		return err
	}
	if a.hold, err = hold.Open(ctx, hold.Config{Store: s, Works: a.cfg.Role.Works(), Log: a.log}); err != nil {
		return err
	}
	if a.book, err = erased.Open(ctx, s, ring); err != nil {
		return err
	}
	var keyFile string
	if a.cfg.AdminKey, keyFile, err = openAdminKey(a.cfg, a.log); err != nil {
		return err
	}
	// The address is taken before anything runs and before the demo app is made,
	// whose key is shown once; requests are served from Run on.
	var handler http.Handler
	if a.server, err = httpserver.Listen(ctx, httpserver.Config{Addr: a.cfg.Addr, TLSCert: a.cfg.TLSCert, TLSKey: a.cfg.TLSKey, Log: a.log, Drain: a.cfg.DrainTimeout,
		PerAddress: a.cfg.ConnectionsPerAddress, TrustedProxies: a.cfg.TrustedProxies,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) })}); err != nil {
		return fmt.Errorf("open the API (COMMS_ADDR, COMMS_TLS_CERT, COMMS_TLS_KEY): %w", err)
	}
	a.onClose(a.server.Close)
	if err := a.listenInside(ctx); err != nil {
		return err
	}
	a.base = a.cfg.BaseURL(a.server.Addr().String())

	out := a.doors()
	reg := registry.New(registry.Config{Apps: s, Keys: s, Providers: s, Endpoints: s, Templates: s, Messages: s, Audit: s, Troubles: s, Adapters: all.Adapters(), Ring: ring, Mail: out.mail, Web: out.web, Fallback: fallback(a.cfg), PublicURL: a.base,
		Changed: a.changed, Log: a.log})
	a.registry = reg
	if err := a.engines(opt, reg, ring, out, phones); err != nil {
		return err
	}
	a.hooks(opt, ring, out)
	up := upkeep.Config{Store: s, Book: a.book, Ring: ring, Leads: a.leads, Settle: erasuresSettle, Recording: webhook.Recording, Content: a.cfg.RetainContent, Messages: a.cfg.RetainMessages, Log: a.log}
	if a.cfg.Database.Kind == config.PostgreSQL {
		up.Gentle, up.Hurried = upkeepGentle, upkeepHurried
	}
	a.upkeep = upkeep.New(up)
	if handler, err = a.withConsole(opt, a.door(opt, reg, out, phones, httpapi.Door{Serves: docsite.Serves, Handler: docsite.New(docsite.Config{PublicURL: a.base})})); err != nil {
		return err
	}
	a.measured()
	return a.tellFirst(ctx, opt, keyFile)
}

// erasuresSettle is how long an erasure waits for what was on its way when it began: no webhook tells of the person once it is done.
const erasuresSettle = webhook.Lag + 2*time.Second

// On PostgreSQL a transaction of upkeep keeps nobody from writing, and is mostly round trips.
var (
	upkeepGentle  = upkeep.Pace{Aim: 10 * time.Millisecond, Share: 0.05}
	upkeepHurried = upkeep.Pace{Aim: 30 * time.Millisecond, Share: 0.3}
)

// doors are the guarded dialers: for mail servers, for HTTPS, and for HTTP without encryption.
type doors struct{ mail, web, plain *guard.Dialer }

func (a *App) doors() doors {
	allow := a.cfg.AllowPrivateTargets
	return doors{mail: &guard.Dialer{Allow: allow, Ports: guard.SMTPPorts()}, web: &guard.Dialer{Allow: allow, Ports: guard.WebPorts()}, plain: &guard.Dialer{Allow: allow, OnlyAllowed: true}}
}

// phonesOf reads national numbers of a region, if there is one. It stands before
// anything that a start writes.
func phonesOf(region string) (phones address.Phones, err error) {
	if region == "" {
		return phones, nil
	}
	if phones.National, err = national.For(region); err != nil {
		return phones, fmt.Errorf("COMMS_DEFAULT_REGION: %w", err)
	}
	return phones, nil
}

// checkCertificate reads the files of a server that serves HTTPS. It stands before anything that a start writes.
func checkCertificate(cfg config.Config) error {
	if cfg.TLSCert == "" {
		return nil
	}
	certificate, err := os.ReadFile(cfg.TLSCert)
	if err != nil {
		return fmt.Errorf("read the TLS certificate (COMMS_TLS_CERT, --tls-cert): %w", err)
	}
	key, err := os.ReadFile(cfg.TLSKey)
	if err != nil {
		return fmt.Errorf("read the key of the TLS certificate (COMMS_TLS_KEY, --tls-key): %w", err)
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return fmt.Errorf("use the TLS certificate %s (COMMS_TLS_CERT) with the key %s (COMMS_TLS_KEY): %w", cfg.TLSCert, cfg.TLSKey, err)
	}
	return nil
}

// engines makes auth, dispatch, intake and stats.
func (a *App) engines(opt Options, reg *registry.Service, ring *seal.Ring, out doors, phones address.Phones) error {
	a.auth = auth.New(auth.Config{Keys: a.store, Apps: a.store, FailuresPerMinute: a.cfg.AuthFailuresPerMinute, ProvisioningKey: a.cfg.ProvisioningKey.Reveal(),
		AdminKey: a.cfg.AdminKey.Reveal(), Uses: a.store, Log: a.log})
	a.identity = identity.New(identity.Config{Users: a.store, Sessions: a.store, Ring: ring, AdminKey: a.cfg.AdminKey.Reveal(), Note: a.auth.Note, Log: a.log})
	a.stats = stats.New(stats.Config{Store: a.store, Apps: a.store, Now: a.store.Now, Log: a.log})
	a.intake = intake.New(intake.Config{Store: a.metered.Accepts(a.store), Answered: a.metered.Answered, Listed: a.book, Look: a.store, Configs: a.store, Templates: a.store, Health: a.store, Phones: phones,
		Node: nodeName(), Fallback: fallback(a.cfg), CannotSend: provider.CannotSend(all.Adapters()), Reserve: a.cfg.CriticalReserve, Pushed: a.pushed, Alarm: a.alarm})
	a.receipts = receipt.New(receipt.Config{Store: a.store, Lists: a.book, Adapters: all.Adapters(), Sandbox: sandbox.Reporter(), OpenSecrets: reg.OpenSecrets, Recipient: a.intake.Recipient,
		Env: a.world(out), Leads: a.leadsReports, Node: nodeName(), Patience: a.cfg.ReceiptTimeout, Log: a.log})
	return a.dispatch(opt, reg, out)
}

// alarm tells the operator of an app whose SMS are out of proportion today: perhaps a key was stolen.
func (a *App) alarm(app comm.ID, alarm comm.SMSAlarm) {
	a.log.Warn("an app sends far more SMS today than usual", "app", app.String(), "prefix", alarm.Prefix, "segments", alarm.Use.Used, "usual", alarm.Use.Usual)
	detail := fmt.Sprintf(`{"segments":{"to":%d},"usual":{"to":%d}}`, alarm.Use.Used, alarm.Use.Usual)
	if alarm.Prefix != "" {
		detail = fmt.Sprintf(`{"prefix":{"to":"%s"},%s`, alarm.Prefix, detail[1:])
	}
	a.auth.Note(store.AuditEntry{Actor: comm.Actor{Kind: comm.ActorSystem}, App: app, Action: comm.AuditSMSAlarm, Target: app.String(), Detail: detail})
}

func (a *App) dispatch(opt Options, reg *registry.Service, out doors) error {
	tell, _ := a.store.(store.Announcer)
	if !a.cfg.Role.Works() {
		if tell != nil {
			a.herald = dispatch.NewHerald(tell, a.log)
		}
		return nil
	}
	d, err := dispatch.New(dispatch.Config{
		Queue: a.metered.Turns(a.store), Meter: a.metered, Shards: a.store, Apps: a.store, Providers: a.store, Suppressions: a.book, CatchUp: a.receipts.CatchUp, Announcer: tell, Troubles: a.store,
		Adapters: all.Adapters(), Logger: sandbox.New(a.log, a.receipts.Rehearse), OpenSecrets: reg.OpenSecrets,
		Env:      a.world(out),
		Fallback: fallback(a.cfg), SettingsHeard: a.forget, Role: a.cfg.Role.String(), Version: opt.Version,
		Lease: a.cfg.Lease, Heartbeat: a.cfg.Heartbeat, Drain: a.cfg.DrainTimeout, Horizon: a.cfg.RetryHorizon,
		Retry:       pace.Backoff{Steps: a.cfg.RetrySchedule, Jitter: pace.Retry().Jitter},
		MaxInFlight: a.cfg.MaxInFlight, MaxBytes: a.cfg.MaxBytesInFlight, CriticalReserve: reserve(a.cfg.CriticalReserve), Log: a.log,
	})
	if err != nil {
		return err
	}
	a.dispatcher = d
	return nil
}

// world is what senders get of it.
func (a *App) world(out doors) provider.Env {
	host, _ := os.Hostname()
	return provider.Env{Dial: out.mail.DialContext, DialHTTPS: out.web.DialContext, DialHTTP: out.plain.DialContext, Hostname: host, PublicURL: a.base, Log: a.log}
}

// reserve translates the option, in which 0 means none.
func reserve(percent int) int {
	if percent == 0 {
		return -1
	}
	return percent
}

func fallback(cfg config.Config) chain.Fallback {
	if cfg.LiveFallback == config.FallbackFail {
		return chain.FallbackFail
	}
	return chain.FallbackSandbox
}

// leads says whether this node does what one of all nodes should: the owner of the first shard.
func (a *App) leads() bool { return a.dispatcher != nil && a.dispatcher.Owns(0) }

// leadsReports is leads for the reports of providers, which are applied while nothing is sent: whoever applies one applies it once.
func (a *App) leadsReports() bool { return a.leads() || a.hold.Held() }

// door makes the HTTP API, with the other doors beside it.
func (a *App) door(opt Options, reg *registry.Service, out doors, phones address.Phones, beside ...httpapi.Door) http.Handler {
	checks := []httpapi.Check{{Name: "storage", Run: a.store.Ping}}
	if a.dispatcher != nil {
		checks = append(checks, httpapi.Check{Name: "worker", Run: func(context.Context) error {
			if a.hold.Held() { // it accepts, and sends once it may
				return nil
			}
			if s := a.dispatcher.Stats(); !s.Healthy {
				return errors.New("the worker cannot send: " + s.LastError)
			}
			return nil
		}})
	}
	tries := a.tries(reg, out)
	waits := backlog.New(a.store, backlog.Rules{Fallback: fallback(a.cfg), CannotSend: provider.CannotSend(all.Adapters()), Reserve: a.cfg.CriticalReserve})
	a.watch(opt, out, waits, tries)
	return httpapi.New(httpapi.Config{
		Beside:         beside,
		Auth:           a.auth,
		Identity:       a.identity,
		Intake:         a.intake,
		Registry:       reg,
		Trial:          tries,
		Messages:       a.book.Messages(a.store),
		Files:          a.store,
		Stats:          a.stats,
		Feed:           a.feed,
		Watch:          feed.NewWatch(a.store),
		Tail:           a.tail,
		Deliveries:     webhook.NewLog(webhook.LogConfig{Store: a.store, Endpoint: reg.Endpoint, TestBody: feed.TestBody, Now: a.store.Now, Stir: a.webhooks.Stir}),
		Everywhere:     a.store,
		Backlog:        waits,
		Alerts:         a.alerts,
		Suppressions:   suppress.New(suppress.Config{Store: a.book, Across: a.store, Phones: phones}),
		Upkeep:         a.upkeep,
		RetryHorizon:   a.cfg.RetryHorizon,
		Receipts:       a.receipts,
		Checks:         checks,
		Metrics:        a.metered.Handler(),
		Meter:          a.metered,
		Hold:           a.hold,
		Backup:         a.backup(opt.Version),
		Leaving:        a.leaving,
		HealthOnly:     !a.cfg.Role.ServesAPI(),
		Pushed:         a.pushed,
		PublicURL:      a.base,
		BrowsersAt:     a.cfg.PublicURL,
		TrustedProxies: a.cfg.TrustedProxies,
		Log:            a.log,
	}).Handler()
}

// tries makes what tries provider configurations out.
func (a *App) tries(reg *registry.Service, out doors) *trial.Service {
	return trial.New(trial.Config{Providers: a.store, Suppressions: a.book, Troubles: a.store, To: a.intake.To, OpenSecrets: reg.OpenSecrets, Adapters: all.Adapters(), Env: a.world(out), Log: a.log})
}

// pushed hands a new queue row to whoever sends it. It never blocks.
func (a *App) pushed(u comm.Unit, h store.Head) {
	switch {
	case a.hold.Held(): // it is found in the queue
	case a.dispatcher != nil:
		a.dispatcher.Push(u, h)
	case a.herald != nil:
		a.herald.Tell(store.Wake{Unit: u, Due: h.Due})
	}
}

// changed makes every part of this process read settings again and announces the
// change. A node that misses the announcement sees it by the configuration
// version, or when what it remembers is five seconds old.
func (a *App) changed(app comm.ID) {
	a.forget(app)
	switch {
	case a.dispatcher != nil:
		a.dispatcher.Invalidate(app)
	case a.herald != nil:
		a.herald.Tell(store.SettingsChanged(app))
	}
}

// forget makes the parts that remember an app's settings, besides the dispatcher, read them again.
func (a *App) forget(app comm.ID) {
	a.auth.Invalidate()
	a.intake.Invalidate()
	a.receipts.Forget()
	a.webhooks.Changed(app)
}

// tellFirst makes the demo app of a new SQLite installation and reports it. In a
// PostgreSQL without apps it makes nothing, and reports that: any node may be the
// first, and nobody says that its output is read by the one who should have the key
// (docs/decisions/0005-first-start-on-postgresql.md).
func (a *App) tellFirst(ctx context.Context, opt Options, adminKeyFile string) error {
	if !a.cfg.Role.ServesAPI() || opt.OnFirst == nil {
		return nil
	}
	if a.cfg.Database.Kind == config.PostgreSQL {
		apps, err := a.store.AppList(ctx, comm.ID{}, 1)
		if err != nil {
			return fmt.Errorf("look for apps: %w", err)
		}
		if len(apps) == 0 {
			opt.OnFirst(First{BaseURL: a.base, Provisioning: a.cfg.ProvisioningKey != ""})
		}
		return nil
	}
	var keep *secretFile
	if opt.KeysInFiles {
		keep = demoKeyIn(a.cfg)
	}
	first, err := firstApp(ctx, a.store, keep)
	if err != nil {
		return err
	}
	if first != nil {
		first.BaseURL = a.base
		if adminKeyFile != "" {
			first.AdminKey, first.AdminKeyFile = a.cfg.AdminKey, adminKeyFile
		}
		if opt.KeysInFiles {
			first.AdminKey = ""
		}
		opt.OnFirst(*first)
	}
	return nil
}

// nodeName names this process in the log of the messages that it accepts.
func nodeName() string { return "api-" + comm.NewID(comm.At(time.Now())).String()[9:17] }
