// Package app builds the program: it is the only place that knows every
// concrete type, and it owns the order in which things start and stop.
//
// New opens the store, brings its schema up to date, checks the key ring and
// builds every part; Run serves until its context ends and then stops in
// order: the doors first, then the dispatcher (running calls end, shards are
// handed over) beside requests that take their time, then the committer, the
// store last. When the store stops for good, so does Run, with its error. A New
// that fails closes what it had opened. It holds no rules of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/dispatch"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/metrics"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/stats"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/internal/upkeep"
	"github.com/commserver/commserver/internal/webhook"
)

// Options is what New needs besides the configuration.
type Options struct {
	Version string
	Log     *slog.Logger
	// OnFirst is called once when a new database got its demo app; on PostgreSQL, where none is
	// made, at every start of a node with the API until there is an app.
	OnFirst func(First)
	// KeysInFiles keeps keys from OnFirst, whose words somebody keeps: they stand in files of the data folder instead.
	KeysInFiles bool
}

// App is the whole program. Build it with New.
type App struct {
	cfg        config.Config
	log        *slog.Logger
	store      store.Store
	hold       *hold.Service
	book       *erased.Book // the opt-out lists
	auth       *auth.Authenticator
	identity   *identity.Service
	registry   *registry.Service
	intake     *intake.Service
	dispatcher *dispatch.Dispatcher // nil for the role api
	upkeep     *upkeep.Service
	stats      *stats.Service
	receipts   *receipt.Service
	feed       *feed.Service
	tail       *feed.Tail
	webhooks   *webhook.Service
	alerts     *alert.Service
	standIn    *standIn           // for the role api: tells of alerts when no worker is left
	herald     *dispatch.Herald   // for the role api on PostgreSQL: tells workers what was accepted
	server     *httpserver.Server // nil for the role worker without a door
	inside     *httpserver.Server // metrics and profiles on the private address; nil unless it is set
	metered    *metrics.Set
	base       string
	leaving    chan struct{}  // closed when Run stops
	closers    []func() error // run last in, first out
}

// First is what a new installation tells its operator.
type First struct {
	BaseURL string
	// AppID is the slug of the demo app and APIKey its key, in APIKeyFile instead where keys are in files; all empty on PostgreSQL.
	AppID, APIKey, APIKeyFile string
	// Provisioning says that apps can be made with the provisioning key.
	Provisioning bool
	// AdminKey is the generated admin key, empty where keys are in files, and AdminKeyFile where it is kept; both empty when the key is configured.
	AdminKey     seal.Secret
	AdminKeyFile string
}

// New builds everything and listens; nothing is served before Run. Time to
// ready is dominated by opening the store.
func New(ctx context.Context, cfg config.Config, opt Options) (*App, error) {
	a := &App{cfg: cfg, leaving: make(chan struct{})}
	a.metered = metrics.New(metrics.Build{Version: opt.Version, Go: runtime.Version(), Role: cfg.Role.String(), Store: cfg.Database.Kind.String()})
	a.log = a.metered.Log(opt.Log)
	if err := a.build(ctx, opt); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// Addr is the address that is really listened on, nil without a door.
func (a *App) Addr() net.Addr {
	if a.server == nil {
		return nil
	}
	return a.server.Addr()
}

// Run serves until ctx ends, stops in order and returns nil, or the first
// failure of a part that the others cannot go on without. Call it once.
func (a *App) Run(ctx context.Context) error {
	defer func() {
		if err := a.close(); err != nil {
			a.log.Error("close", "error", err)
		}
	}()
	ctx, stopAll := context.WithCancelCause(ctx)
	defer stopAll(nil)
	engines, stopEngines := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngines()
	committer, stopCommitter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCommitter()

	var doors, accepts, works sync.WaitGroup
	start := func(wg *sync.WaitGroup, name string, run func(context.Context) error, part context.Context) {
		wg.Go(func() {
			err := run(part)
			switch {
			case err == nil:
			case ctx.Err() != nil: // the reason to stop is another one
				a.log.Warn("a part did not stop cleanly", "part", name, "error", err)
			default:
				stopAll(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	start(&accepts, "intake", a.intake.Run, committer)
	start(&accepts, "auth", a.auth.Run, committer)
	start(&accepts, "registry", a.registry.Run, committer)
	start(&accepts, "stats", a.stats.Run, committer)
	start(&accepts, "receipts", a.receipts.Run, committer)
	if a.dispatcher != nil {
		start(&works, "dispatch", a.hold.After(a.dispatcher.Run), engines)
		start(&works, "upkeep", a.hold.After(a.upkeep.Run), ctx)
		start(&works, "feed", a.hold.After(a.feed.Run), engines)
		start(&works, "webhooks", a.hold.After(a.webhooks.Run), engines)
	}
	start(&works, "hold", a.hold.Run, ctx)
	start(&works, "alerts", a.hold.After(a.alerts.Run), ctx)
	if a.standIn != nil {
		start(&works, "stand-in", a.hold.After(a.standIn.run), ctx)
	}
	if a.herald != nil {
		start(&accepts, "announce", a.herald.Run, committer)
	}
	start(&doors, "http", a.server.Run, ctx)
	start(&doors, "streams", a.tail.Run, ctx)
	if a.inside != nil {
		start(&doors, "internal", a.insideRun, ctx)
		a.log.Info("metrics and profiles are served without a key", "addr", a.inside.Addr().String())
	}
	a.log.Info("ready", "url", a.base, "store", a.cfg.Database.Kind.String(), "role", a.cfg.Role.String())
	start(&doors, "memory", giveBack, ctx)

	broken, fault := a.breaks()
	select {
	case <-ctx.Done():
	case <-broken:
		stopAll(fmt.Errorf("store: %w", fault()))
	}
	close(a.leaving)
	a.log.Info("stopping", "drain", a.cfg.DrainTimeout.String())
	stopped := time.Now()
	// Requests that end soon are still sent from here; a slow client must not
	// add its patience to that of the calls.
	grace := time.AfterFunc(doorGrace, stopEngines)
	defer grace.Stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		doors.Wait()
		stopCommitter()
		accepts.Wait()
		stopEngines()
		works.Wait()
	}()
	select {
	case <-ended:
	case <-broken:
		// However the calls under way end, it cannot be written down.
		select {
		case <-ended:
		case <-time.After(faultGrace):
		}
	}
	a.log.Info("stopped", "took", time.Since(stopped).Round(time.Millisecond).String())
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// insideRun serves the private listener. A profile that is cut off at the end is nobody's loss.
func (a *App) insideRun(ctx context.Context) error {
	if err := a.inside.Run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

const (
	// doorGrace is how long the dispatcher goes on for requests that are ending.
	doorGrace = time.Second
	// faultGrace is how long a store that has stopped is waited with.
	faultGrace = 2 * time.Second
)

// breakable is a store that can stop for good while the process runs (SQLite,
// when its disk fails): Broken is closed then, and Fault says why.
type breakable interface {
	Broken() <-chan struct{}
	Fault() error
}

// breaks answers a channel that is closed when the store has stopped for good, and its reason.
func (a *App) breaks() (<-chan struct{}, func() error) {
	if s, ok := a.store.(breakable); ok {
		return s.Broken(), s.Fault
	}
	return nil, nil
}

func (a *App) onClose(f func() error) { a.closers = append(a.closers, f) }

func (a *App) close() error {
	var errs []error
	for _, f := range slices.Backward(a.closers) {
		errs = append(errs, f())
	}
	a.closers = nil
	return errors.Join(errs...)
}
