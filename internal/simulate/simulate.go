// Package simulate stands in for providers: every type that CommServer knows
// (Resend, Arkesel, Hubtel, Nalo, mNotify and Twilio over HTTP, and mail relays
// over SMTP) and receivers of webhooks, in one process on loopback, with faults
// to order and a ledger of what it took.
//
// It promises that what a provider would have taken stands in the ledger before
// the answer leaves, once for each copy and recipient; that each fault is exact
// (what was not taken is never counted as taken); that its memory is bounded;
// that equal requests with an equal seed meet equal faults and get equal ids, in
// whatever order recipients come; and that it reaches nothing but loopback unless
// it is told to. Credentials are asked for and never kept, except that reports
// are signed with them as the providers do.
//
// It delivers nothing to anybody, and it knows no adapter: the wire formats
// are written a second time here, from the providers' documentation, so that a
// mistake in an adapter is not made twice.
package simulate

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/commserver/commserver/internal/comm"
)

// SMTP is the type of mail relays; the other types speak HTTP.
const SMTP = "SMTP"

// Defaults and limits.
const (
	// DefaultEntries is how many lines the ledger keeps in memory.
	DefaultEntries = 100_000
	// DefaultReportDelay is the time from taking a message to its last report.
	DefaultReportDelay = 200 * time.Millisecond
	// stopTime is how long running requests may take to end.
	stopTime = 3 * time.Second
	// doorTime is how soon a door follows a rule whose time has come.
	doorTime = 20 * time.Millisecond
)

// Config describes a simulator. The zero value listens on free loopback ports.
type Config struct {
	Addr      string            // of the HTTP listener; empty: 127.0.0.1:0
	SMTPAddrs []string          // of the mail relays; empty: 127.0.0.1:0
	Own       map[string]string // a type's own address besides, so that its port can be closed
	Expose    bool              // allows addresses that are not loopback
	Rules     []Rule
	Callbacks map[string]Target // where a type's account-wide reports go
	Seed      uint64
	// Entries bounds the ledger in memory; 0: DefaultEntries.
	Entries int
	// LedgerFile gets every line of the ledger as JSON, appended; empty: none.
	LedgerFile string
	// Entered is told each line as it is entered, before the answer leaves; by many
	// goroutines at once. It is not told again when an answer turns out to be lost.
	Entered func(Entry)
	// Content keeps the text of messages in the ledger, up to 64 KiB each.
	Content bool
	// ReportDelay is the time from taking a message to its last report; 0: DefaultReportDelay.
	ReportDelay time.Duration
	// AllowTargets may be reported to, besides loopback.
	AllowTargets []netip.Prefix
	Log          *slog.Logger
	Now          func() time.Time // nil: the machine's clock
}

// Server is a running simulator. It is safe for concurrent use.
type Server struct {
	cfg     Config
	rules   *rules
	ledger  *ledger
	store   *store
	reports *reporter
	hooks   *hooks
	http    *http.Server
	mail    *smtp.Server
	front   *door
	relays  []*door
	own     map[string]*door
	doors   []*door
	ctx     context.Context // ends when the server stops
	stop    context.CancelFunc
	work    sync.WaitGroup
	closing sync.Once
	closed  error
}

// Start listens and serves until ctx ends or Close is called. A busy port, a
// wrong rule or an address that is not loopback is an error.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, store: newStore(cfg.Seed), hooks: newHooks(cfg.Now), own: map[string]*door{}}
	s.rules = newRules(cfg.Seed)
	for _, r := range cfg.Rules {
		if _, err := s.rules.add(r, cfg.Now()); err != nil {
			return nil, err
		}
	}
	var err error
	if s.ledger, err = newLedger(cfg.Entries, cfg.LedgerFile, cfg.Entered); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.reports = newReporter(s)
	for kind, target := range cfg.Callbacks {
		if err := s.reports.aim(kind, target); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.http = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, portKey{}, portOf(c.LocalAddr()))
		},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug)}
	s.mail = s.mailServer()
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.work.Go(s.reports.run)
	s.work.Go(s.watch)
	s.work.Go(func() {
		select {
		case <-ctx.Done():
			s.stop()
		case <-s.ctx.Done():
		}
	})
	return s, nil
}

// complete fills in what was left out and refuses what cannot be.
func (c *Config) complete() error {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if len(c.SMTPAddrs) == 0 {
		c.SMTPAddrs = []string{"127.0.0.1:0"}
	}
	if c.Entries <= 0 {
		c.Entries = DefaultEntries
	}
	if c.ReportDelay <= 0 {
		c.ReportDelay = DefaultReportDelay
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	all := append([]string{c.Addr}, c.SMTPAddrs...)
	for kind, addr := range c.Own {
		if !slices.Contains(WebTypes(), kind) {
			return fmt.Errorf("%q has no HTTP address of its own; the types are %s", kind, strings.Join(WebTypes(), ", "))
		}
		all = append(all, addr)
	}
	for _, addr := range all {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("%q is no address: write it as 127.0.0.1:3018", addr)
		}
		if !c.Expose && !isLoopback(host) {
			return fmt.Errorf("%s is not loopback, and whoever reaches the simulator can order it about; use 127.0.0.1, or allow it by --expose", addr)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// listen opens every door.
func (s *Server) listen() error {
	open := func(kind, addr string, serve func(net.Listener) error) (*door, error) {
		d := &door{kind: kind, place: len(s.relays), addr: addr, serve: serve, work: &s.work, links: map[*link]bool{}}
		if err := d.openFirst(); err != nil {
			return nil, fmt.Errorf("%w; stop the program that listens there, or choose another address", err)
		}
		s.doors = append(s.doors, d)
		return d, nil
	}
	var err error
	if s.front, err = open("", s.cfg.Addr, s.http.Serve); err != nil {
		return err
	}
	for kind, addr := range s.cfg.Own {
		if s.own[kind], err = open(kind, addr, s.http.Serve); err != nil {
			return err
		}
	}
	for _, addr := range s.cfg.SMTPAddrs {
		d, err := open(SMTP, addr, s.mail.Serve)
		if err != nil {
			return err
		}
		s.relays = append(s.relays, d)
	}
	return s.settle()
}

// watch opens and closes doors as the rules' times come and go.
func (s *Server) watch() {
	tick := time.NewTicker(doorTime)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			if err := s.settle(); err != nil {
				s.cfg.Log.Warn("a door cannot be opened again", "error", err)
			}
		}
	}
}

// settle brings every door into the state that the rules want now.
func (s *Server) settle() error {
	var errs []error
	for _, d := range s.doors {
		if d.kind != "" && s.ctx.Err() == nil {
			errs = append(errs, d.set(s.rules.down(d.kind, d.port(), s.cfg.Now())))
		}
	}
	return errors.Join(errs...)
}

// Run waits until the server stops, because the context of Start ended, and ends it.
func (s *Server) Run() error {
	<-s.ctx.Done()
	return s.Close()
}

// Close stops listening, lets answers under way end for a moment, drops reports
// that were not sent, and closes the ledger. It may be called twice.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.stop()
		for _, d := range s.doors {
			d.close()
		}
		if s.http != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopTime)
			defer cancel()
			if err := s.http.Shutdown(ctx); err != nil {
				_ = s.http.Close()
			}
			_ = s.mail.Close()
		}
		for _, d := range s.doors {
			d.cut()
		}
		s.work.Wait()
		s.closed = s.ledger.close()
	})
	return s.closed
}

// URL is the base of everything over HTTP, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.front.addr }

// BaseURL is what a provider configuration of a type takes as its baseUrl; empty for SMTP.
func (s *Server) BaseURL(kind string) string {
	t, found := tongues()[kind]
	if !found {
		return ""
	}
	addr := s.front.addr
	if d, own := s.own[kind]; own {
		addr = d.addr
	}
	return "http://" + addr + "/" + strings.ToLower(kind) + t.base()
}

// WebhookSecret is what Resend's reports are signed with when the target names no
// secret of its own. It follows from the seed.
func (s *Server) WebhookSecret() string {
	d := draw(s.cfg.Seed, "webhook secret")
	return "whsec_" + base64.StdEncoding.EncodeToString(d[:])
}

// Relays are the addresses of the mail relays, host:port.
func (s *Server) Relays() (all []string) {
	for _, d := range s.relays {
		all = append(all, d.addr)
	}
	return all
}

// Add orders a fault and answers the rule's id. It is in force, doors included,
// when Add returns. The error is a *comm.Error.
func (s *Server) Add(r Rule) (string, error) {
	id, err := s.rules.add(r, s.cfg.Now())
	if err != nil {
		return "", err
	}
	return id, s.settle()
}

// Remove ends a rule; it says whether there was one.
func (s *Server) Remove(id string) bool {
	found := s.rules.remove(id)
	_ = s.settle() // a door that cannot be opened now is tried again
	return found
}

// Clear ends every rule.
func (s *Server) Clear() {
	s.rules.clear()
	_ = s.settle() // a door that cannot be opened now is tried again
}

// Entries are the lines of the ledger that match, oldest first, from memory.
func (s *Server) Entries(f Filter) []Entry { return s.ledger.find(f) }

// Copies says how often each message was taken, by those that match.
func (s *Server) Copies(f Filter) []Copies { return s.ledger.copiesOf(f) }

// Forget empties the ledger in memory, the receivers, planned reports and what was
// remembered of messages, keys and tries. Rules, callbacks and the file stay.
func (s *Server) Forget() {
	s.reports.forget()
	s.store.forget()
	s.ledger.forget()
	s.hooks.forget()
}

// WebTypes are the types that speak HTTP.
func WebTypes() []string { return []string{"RESEND", "ARKESEL", "HUBTEL", "NALO", "MNOTIFY", "TWILIO"} }

// Types are all types that are stood in for.
func Types() []string { return append(WebTypes(), SMTP) }

// invalid is the error for one wrong field of an order.
func invalid(field, why string, a ...any) *comm.Error {
	return comm.E("invalid_field").Field(field, fmt.Sprintf(why, a...))
}
