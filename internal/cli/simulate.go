package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/simulate"
)

const simulateHelp = `Stands in for every type of provider, and for receivers of webhooks, on loopback: it takes messages as they
would, keeps a ledger of them, and fails as you order it to. It delivers nothing to anybody. At the start it prints what to paste
into a provider configuration of each type; any credentials will do.

Faults are ordered for recipients, times and shares of the requests by rules: on the command line (--rule), in a file (--rules,
{"rules":[…],"callbacks":{…}}), or while it runs, over HTTP below /_simulate/. Some recipients order their own faults, such as
lost@simulate.commserver.test. See docs/simulate.md for all of them and for a drill.

Reports go to the address that a message brings with it (Arkesel, Twilio), else to that of --callback.

It stops on SIGTERM or SIGINT.`

// simulateFlags are the words of one run.
type simulateFlags struct {
	addr, rulesFile, ledger string
	smtp, rules, callbacks  []string
	own, allow              []string
	seed                    uint64
	entries                 int
	delay                   time.Duration
	expose, content         bool
}

func simulateCommand(s Streams) *cobra.Command {
	var f simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Stand in for providers and webhook receivers, with faults to order",
		Long:  simulateHelp,
		Example: `  commserver simulate
  commserver simulate --smtp-addr 127.0.0.1:3025 --smtp-addr 127.0.0.1:3026 --rule type=SMTP,port=3025,fault=down,every=10m,for=1m
  commserver simulate --rules faults.json --ledger ledger.jsonl --seed 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSimulate(cmd, f, s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.addr, "addr", "127.0.0.1:3018", "address of the HTTP listener: providers, receivers, orders")
	flags.StringArrayVar(&f.smtp, "smtp-addr", []string{"127.0.0.1:3025"}, "address of a mail relay; repeat it for several")
	flags.StringArrayVar(&f.own, "own-addr", nil, "a provider's own address besides, as TYPE=ADDRESS, so that the fault down can close its port")
	flags.StringVar(&f.rulesFile, "rules", "", "file with rules and callbacks as JSON")
	flags.StringArrayVar(&f.rules, "rule", nil, "one rule, as name=value with commas between; repeat it for several")
	flags.StringArrayVar(&f.callbacks, "callback", nil, "where a provider's reports go, as TYPE=URL; repeat it for several")
	flags.StringVar(&f.ledger, "ledger", "", "file that every line of the ledger is appended to as JSON")
	flags.BoolVar(&f.content, "content", false, "keep the text of messages in the ledger")
	flags.IntVar(&f.entries, "entries", simulate.DefaultEntries, "lines of the ledger to keep in memory")
	flags.DurationVar(&f.delay, "report-delay", simulate.DefaultReportDelay, "time from taking a message to its last report")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of ids and shares")
	flags.StringArrayVar(&f.allow, "allow-target", nil, "network, such as 10.0.0.0/8, that may be reported to besides loopback")
	flags.BoolVar(&f.expose, "expose", false, "allow addresses other than loopback; whoever reaches them can give orders")
	flags.SortFlags = false
	return cmd
}

// config is what the flags order.
func (f simulateFlags) config() (simulate.Config, error) {
	cfg := simulate.Config{Addr: f.addr, SMTPAddrs: f.smtp, Seed: f.seed, LedgerFile: f.ledger, Content: f.content, Entries: f.entries, ReportDelay: f.delay, Expose: f.expose,
		Own: map[string]string{}, Callbacks: map[string]simulate.Target{}}
	if f.rulesFile != "" {
		raw, err := os.ReadFile(f.rulesFile)
		if err != nil {
			return cfg, fmt.Errorf("read the rules: %w", err)
		}
		o, err := simulate.ReadOrders(raw)
		if err != nil {
			return cfg, fmt.Errorf("%s: %s", f.rulesFile, simulate.Explain(err))
		}
		cfg.Rules = o.Rules
		maps.Copy(cfg.Callbacks, o.Callbacks)
	}
	for _, text := range f.rules {
		r, err := simulate.ParseRule(text)
		if err != nil {
			return cfg, fmt.Errorf("--rule %s: %s", text, simulate.Explain(err))
		}
		cfg.Rules = append(cfg.Rules, r)
	}
	for _, text := range f.callbacks {
		kind, target, ok := strings.Cut(text, "=")
		if !ok {
			return cfg, fmt.Errorf("--callback %s: write it as RESEND=http://127.0.0.1:3008/…", text)
		}
		cfg.Callbacks[strings.ToUpper(kind)] = simulate.Target{URL: target}
	}
	for _, text := range f.own {
		kind, addr, ok := strings.Cut(text, "=")
		if !ok {
			return cfg, fmt.Errorf("--own-addr %s: write it as RESEND=127.0.0.1:3031", text)
		}
		cfg.Own[strings.ToUpper(kind)] = addr
	}
	for _, text := range f.allow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return cfg, fmt.Errorf("--allow-target %s: write it as 10.0.0.0/8", text)
		}
		cfg.AllowTargets = append(cfg.AllowTargets, prefix)
	}
	return cfg, nil
}

func runSimulate(cmd *cobra.Command, f simulateFlags, s Streams) error {
	cfg, err := f.config()
	if err != nil {
		return usageError{err}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	sim, err := simulate.Start(ctx, cfg)
	if err != nil {
		return errors.New(simulate.Explain(err))
	}
	printSimulator(s.Out, sim)
	go func() { <-ctx.Done(); stop() }() // a second signal ends it at once
	return sim.Run()
}

// printSimulator says what to paste where.
func printSimulator(w io.Writer, sim *simulate.Server) {
	const from = "Shop <no-reply@example.com>"
	fmt.Fprintf(w, "\nThe simulator is running on %s. It stands in for providers and delivers nothing to anybody.\n\n", sim.URL())
	fmt.Fprint(w, "Start CommServer with COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8, and paste one of these as the config of a provider\nconfiguration. Any credentials will do.\n\n")
	show := func(kind string, config map[string]any) {
		raw, err := json.Marshal(config)
		if err == nil {
			fmt.Fprintf(w, "  %-8s %s\n", kind, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(raw)))
		}
	}
	for _, addr := range sim.Relays() {
		host, text, _ := net.SplitHostPort(addr)
		port, _ := strconv.Atoi(text)
		show(simulate.SMTP, map[string]any{"host": host, "port": port, "from": from})
	}
	for _, kind := range simulate.WebTypes() {
		config := map[string]any{"baseUrl": sim.BaseURL(kind)}
		switch kind {
		case "RESEND":
			config["apiKey"], config["from"], config["webhookSecret"] = "re_simulate", from, sim.WebhookSecret()
		case "HUBTEL":
			config["clientId"], config["clientSecret"], config["senderId"] = "simulate", "simulate", "SHOP"
		case "NALO":
			config["authKey"], config["senderId"] = "simulate", "SHOP"
		case "TWILIO":
			config["accountSid"], config["authToken"], config["senderId"] = "AC00000000000000000000000000000001", "simulate", "SHOP"
		default:
			config["apiKey"], config["senderId"] = "simulate", "SHOP"
		}
		show(kind, config)
	}
	fmt.Fprintf(w, `
Webhooks can be sent to %[1]s/hooks/{name}. Order faults and read what was taken:

  curl %[1]s/_simulate/rules -H 'Content-Type: application/json' -d '{"type":"SMTP","fault":"down","for":"1m"}'
  curl %[1]s/_simulate/ledger

`, sim.URL())
}
