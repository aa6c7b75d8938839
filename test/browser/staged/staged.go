// Package staged is a server with a past: the built program in front of its own simulator, with messages that went
// wrong in every way that a reader of the console has to understand, and some that went well.
//
// It promises that each story of Stories has one message, which stands where the story says by the time that Start
// answers, except for what takes longer by nature (Story.After). It is for tests, screenshots and for looking around
// (go run ./test/browser/stage). Nothing of it leaves the machine.
package staged

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/freeport"
)

// Options say what to start, and where.
type Options struct {
	Program string   // the built program
	Dir     string   // for data and logs; it must be there and empty
	Addr    string   // where the server listens; "": on any port of localhost
	Past    bool     // a day of messages that went well lies behind it, for the charts
	Env     []string // further options of the server, as COMMS_…=…
}

// World is the server with its past. Its fields do not change after Start.
type World struct {
	URL       string            `json:"base"` // of the server
	AdminKey  string            `json:"adminKey"`
	Simulator string            `json:"simulator"` // its URL
	Log       string            `json:"log"`       // file with what the server says
	Stories   []Story           `json:"stories"`
	Apps      map[string]string `json:"apps"` // ids by slug
	Keys      map[string]string `json:"keys"` // their first keys by slug

	admin             *client.Admin
	simulator, server *process
	relays            [2]int            // ports of mail relays; the second one is down
	texts             map[string]string // addresses of simulated providers by type
}

// Story is one message, with what a reader must be able to say who knows the message page alone.
type Story struct {
	Name     string   `json:"name"` // also the message's tag
	App      string   `json:"app"`  // slug
	Happened string   `json:"happened"`
	Next     string   `json:"next"`
	Status   string   `json:"status"`
	Waiting  string   `json:"waitingFor"` // "": for nothing
	Says     []string `json:"says"`       // words of the story that make both answers possible
	Page     []string `json:"page"`       // what the message page has beside those: what happens next, what can be done
	After    int      `json:"after"`      // seconds from its acceptance until it stands there; 0: soon
	Message  string   `json:"message"`    // its id, once staged
}

//go:embed stories.json
var storiesFile []byte

// Stories reads the stories, without their messages.
func Stories() ([]Story, error) {
	var all []Story
	if err := json.Unmarshal(storiesFile, &all); err != nil {
		return nil, fmt.Errorf("read stories.json: %w", err)
	}
	return all, nil
}

const adminKey = "the-administrator-of-a-staged-server-0123"

var (
	serverReady    = regexp.MustCompile(`"msg":"ready","url":"([^"]+)"`)
	firstPrinted   = regexp.MustCompile(`(?s)CommServer is running on (\S+)\n.*The admin key, [^\n]*shown this once[^\n]*\n\n +(\S+)\n`)
	simulatorReady = regexp.MustCompile(`(?s)running on (http://[^ ]+)\..*_simulate/ledger`)
	simulatorText  = regexp.MustCompile(`(RESEND|ARKESEL|TWILIO) +\{.*"baseUrl":"([^"]+)"`)
)

// Start starts simulator and server and stages everything. End both with Stop.
func Start(ctx context.Context, o Options) (*World, error) {
	w, err := Empty(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := w.stage(ctx, o); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

// Empty starts simulator and server without a past.
func Empty(ctx context.Context, o Options) (*World, error) {
	w := &World{AdminKey: adminKey, Apps: map[string]string{}, Keys: map[string]string{}, texts: map[string]string{}}
	if err := w.start(ctx, o); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

// First starts the server alone, as a newcomer does, with nothing set but a free port. What it prints the first time has the
// address and the administrator's key.
func First(ctx context.Context, o Options) (*World, error) {
	w := &World{}
	var said []byte
	var err error
	if w.server, said, err = start(ctx, o, "server", append([]string{"COMMS_ADDR=" + cmp.Or(o.Addr, "localhost:0")}, o.Env...), firstPrinted, "serve"); err != nil {
		return nil, err
	}
	found := firstPrinted.FindSubmatch(said)
	w.URL, w.AdminKey, w.Log = string(found[1]), string(found[2]), w.server.log
	return w, nil
}

func (w *World) start(ctx context.Context, o Options) (err error) {
	// Two relays in the order in which they are named: only the port that is chosen here can be told from the other one.
	ports, err := freeport.On(len(w.relays))
	if err != nil {
		return err
	}
	w.relays = [2]int(ports)
	var said []byte
	w.simulator, said, err = start(ctx, o, "simulator", nil, simulatorReady, "simulate", "--addr", "127.0.0.1:0",
		"--smtp-addr", fmt.Sprint("127.0.0.1:", w.relays[0]), "--smtp-addr", fmt.Sprint("127.0.0.1:", w.relays[1]),
		"--rule", "type=SMTP,port="+strconv.Itoa(w.relays[1])+",fault=down")
	if err != nil {
		return err
	}
	w.Simulator = string(simulatorReady.FindSubmatch(said)[1])
	for _, m := range simulatorText.FindAllSubmatch(said, -1) {
		w.texts[string(m[1])] = string(m[2])
	}
	return w.serve(ctx, o)
}

// serve starts the server, or starts it again on the database and the address that it had.
func (w *World) serve(ctx context.Context, o Options) (err error) {
	addr, name := cmp.Or(o.Addr, "localhost:0"), "server"
	if w.URL != "" {
		w.admin.Close()
		addr, name = w.URL[len("http://"):], "server-again"
	}
	env := append([]string{"COMMS_ADDR=" + addr, "COMMS_LOG_FORMAT=json", "COMMS_ADMIN_KEY=" + adminKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8,::1/128",
		"COMMS_RETRY_SCHEDULE=1s,1h", "COMMS_LIVE_FALLBACK=fail", "COMMS_RECEIPT_TIMEOUT=1m", "COMMS_DEFAULT_REGION=GH"}, o.Env...)
	var said []byte
	if w.server, said, err = start(ctx, o, name, env, serverReady, "serve"); err != nil {
		return err
	}
	w.URL, w.Log = string(serverReady.FindSubmatch(said)[1]), w.server.log
	w.admin, err = client.NewAdmin(client.Options{BaseURL: w.URL, AdminKey: adminKey, Timeout: time.Minute})
	if err != nil {
		return fmt.Errorf("call the staged server: %w", err)
	}
	return nil
}

// Stop ends server and simulator.
func (w *World) Stop() error {
	if w.admin != nil {
		w.admin.Close()
	}
	return errors.Join(w.server.stop(), w.simulator.stop())
}

// Admin calls the server for its administrator.
func (w *World) Admin() *client.Admin { return w.admin }

// Story is that of a name; nil if there is none.
func (w *World) Story(name string) *Story {
	for i := range w.Stories {
		if w.Stories[i].Name == name {
			return &w.Stories[i]
		}
	}
	return nil
}
