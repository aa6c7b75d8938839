package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/commserver/commserver/client"
)

const connectionHelp = `Which server, and as whom: the profile that --profile or COMMS_PROFILE names; else COMMS_URL, COMMS_APP_ID, COMMS_API_KEY
and COMMS_ADMIN_KEY (the keys also as …_FILE); else the profile in use; else http://localhost:3008. Where that names no key and the server is on this
machine, the administrator's key is read from the file admin-key in COMMS_DATA_DIR (./data). The administrator acts for an app by --app.`

// defaultURL is where `commserver serve` listens without configuration.
const defaultURL = "http://localhost:3008"

// identity is a server and who calls it.
type identity struct {
	URL      string `json:"url"`
	App      string `json:"app,omitempty"`
	APIKey   string `json:"apiKey,omitempty"`
	AdminKey string `json:"adminKey,omitempty"`
}

// remote is a server as a command sees it.
type remote struct {
	s    Streams
	cmd  *cobra.Command
	term Terminal
	out  *printer
	id   identity
	raw  *client.Raw
}

// bindClient gives a command, and those below it, the flags of everything that calls a server.
func bindClient(cmd *cobra.Command) {
	cmd.PersistentFlags().AddFlagSet(clientFlags())
	bindOutput(cmd)
}

// clientFlags say which server is called, as whom, and how long one waits for it.
func clientFlags() *pflag.FlagSet {
	f := pflag.NewFlagSet("client", pflag.ContinueOnError)
	f.String("profile", "", "profile to use, see 'commserver profile' [$COMMS_PROFILE]")
	f.String("url", "", "address of the server [$COMMS_URL]")
	f.String("app", "", "id or slug of the app [$COMMS_APP_ID]")
	f.String("api-key-file", "", "file that holds the app's API key, - for standard input [$COMMS_API_KEY]")
	f.String("admin-key-file", "", "file that holds the administrator's key, - for standard input [$COMMS_ADMIN_KEY]")
	f.Duration("timeout", client.DefaultTimeout, "longest time for one answer")
	return f
}

// bindOutput gives a command the flags that say how results look.
func bindOutput(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.Bool("json", false, "print what the API answered; a list as one JSON document per line")
	f.BoolP("quiet", "q", false, "print ids only")
	f.Bool("utc", false, "show times in UTC instead of local time")
}

// group is a command that only holds others.
func group(use, short, long, example string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(below...)
	return cmd
}

// calling makes the body of a command that calls a server.
func calling(s Streams, run func(ctx context.Context, r *remote, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		r, err := connect(s, cmd)
		if err != nil {
			return err
		}
		defer r.raw.Close()
		return run(cmd.Context(), r, args)
	}
}

// connect finds out which server is meant. It calls nothing.
func connect(s Streams, cmd *cobra.Command) (*remote, error) {
	r, err := unconnected(s, cmd)
	if err != nil {
		return nil, err
	}
	if r.id, err = findIdentity(s, cmd); err != nil {
		return nil, err
	}
	timeout, err := cmd.Flags().GetDuration("timeout")
	if err != nil || timeout <= 0 {
		return nil, usagef("--timeout must be longer than nothing, such as 15s")
	}
	o := client.Options{BaseURL: r.id.URL, App: r.id.App, Key: r.id.APIKey, Timeout: timeout}
	if r.raw, err = client.NewRaw(o, r.id.AdminKey); err != nil {
		return nil, usageError{err}
	}
	return r, nil
}

// unconnected has no server, for a command that only prints as those do that call one.
func unconnected(s Streams, cmd *cobra.Command) (*remote, error) {
	r := &remote{s: s, cmd: cmd, term: s.terminal()}
	var err error
	r.out, err = newPrinter(s, cmd, r.term)
	return r, err
}

func newPrinter(s Streams, cmd *cobra.Command, t Terminal) (*printer, error) {
	p := &printer{w: s.Out, json: flagged(cmd, "json"), quiet: flagged(cmd, "quiet"), width: t.Width, zone: time.Local, now: s.now}
	if p.json && p.quiet {
		return nil, usagef("--json and --quiet exclude each other; keep one of them")
	}
	if flagged(cmd, "utc") {
		p.zone = time.UTC
	}
	p.colour = t.Out && s.env("NO_COLOR") == "" && s.env("TERM") != "dumb"
	return p, nil
}

func flagged(cmd *cobra.Command, name string) bool {
	on, err := cmd.Flags().GetBool(name)
	return err == nil && on
}

func flagText(cmd *cobra.Command, name string) string {
	text, err := cmd.Flags().GetString(name)
	if err != nil {
		return ""
	}
	return text
}

// env is the value of a variable, "" when it is not set.
func (s Streams) env(name string) string {
	value := ""
	for _, pair := range s.Env {
		if n, v, ok := strings.Cut(pair, "="); ok && n == name {
			value = v
		}
	}
	return value
}

// secretEnv is the value of a variable or of the file that its _FILE form names.
func (s Streams) secretEnv(name string) (string, error) {
	value, file := s.env(name), s.env(name+"_FILE")
	switch {
	case value != "" && file != "":
		return "", usagef("%s and %s_FILE are both set; unset one of them", name, name)
	case file != "":
		return s.secretFile(name+"_FILE", file)
	}
	return strings.TrimSpace(value), nil
}

// secretLimit is more than any secret needs.
const secretLimit = 64 << 10

// secretFile reads a secret from a file, or from standard input where the path is "-".
func (s Streams) secretFile(what, path string) (string, error) {
	from := s.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", usagef("%s: %w", what, err)
		}
		defer func() { _ = f.Close() }() // only read
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, secretLimit))
	if err != nil {
		return "", usagef("%s: %w", what, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", usagef("%s: %s is empty; write the secret into it", what, path)
	}
	return text, nil
}

// findIdentity takes server and keys from one source, never a key from one and the
// server from another, unless a flag of this very command says so.
func findIdentity(s Streams, cmd *cobra.Command) (identity, error) {
	id, err := sourceIdentity(s, flagText(cmd, "profile"))
	if err != nil {
		return id, err
	}
	if text := flagText(cmd, "url"); text != "" {
		id.URL = text
	}
	if text := flagText(cmd, "app"); text != "" && text != id.App {
		id.App = text
		if id.AdminKey != "" {
			id.APIKey = "" // the administrator acts for the other app
		}
	}
	for flag, key := range map[string]*string{"api-key-file": &id.APIKey, "admin-key-file": &id.AdminKey} {
		path := flagText(cmd, flag)
		if path == "" {
			continue
		}
		if *key, err = s.secretFile("--"+flag, path); err != nil {
			return id, err
		}
		if flag == "admin-key-file" && flagText(cmd, "api-key-file") == "" {
			id.APIKey = ""
		}
	}
	if id.URL == "" {
		id.URL = defaultURL
	}
	if dir := flagText(cmd, dataFlag); dir != "" {
		id.AdminKey, err = keyOfFolder(dir, flagText(cmd, adminKeyFlag), &id)
	} else if id.APIKey == "" && id.AdminKey == "" && onThisMachine(id.URL) {
		id.AdminKey, err = localAdminKey(cmp.Or(s.env("COMMS_DATA_DIR"), "data"))
	}
	return id, err
}

func sourceIdentity(s Streams, named string) (identity, error) {
	if named == "" {
		named = s.env("COMMS_PROFILE")
	}
	if named != "" {
		return s.profile(named)
	}
	id := identity{URL: s.env("COMMS_URL"), App: s.env("COMMS_APP_ID")}
	var err error
	if id.APIKey, err = s.secretEnv("COMMS_API_KEY"); err != nil {
		return id, err
	}
	if id.AdminKey, err = s.secretEnv("COMMS_ADMIN_KEY"); err != nil {
		return id, err
	}
	if id != (identity{}) {
		return id, nil
	}
	return s.profile("")
}

// onThisMachine says that the address is a loopback one: only there is the key of the data folder the right one.
func onThisMachine(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// adminKeyFile is where a server keeps the key that it made, in its data folder.
const adminKeyFile = "admin-key"

// localAdminKey is the key that `serve` made in its data folder, "" when there is none to be read.
func localAdminKey(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, adminKeyFile))
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return "", usagef("read the admin key: %w; run as the user that runs the server, or set COMMS_API_KEY", err)
		}
		return "", nil
	}
	return strings.TrimSpace(string(b)), nil
}

// call asks the server. It says what to set where no key is known.
func (r *remote) call(ctx context.Context, q client.Request) (json.RawMessage, error) {
	if q.Admin {
		if err := r.administrator(); err != nil {
			return nil, err
		}
	}
	switch {
	case !q.Admin && r.id.APIKey == "" && r.id.AdminKey == "":
		return nil, usagef("no API key is known; set COMMS_APP_ID and COMMS_API_KEY, or add a profile with `commserver profile add`")
	case !q.Admin && r.id.App == "":
		return nil, usagef("no app is named; set COMMS_APP_ID, or give --app with the id or slug of the app")
	}
	raw, err := r.raw.Do(ctx, q)
	if err == nil {
		if len(raw) > 0 && bytes.TrimSpace(raw)[0] != '{' { // whatever CommServer answers is one
			return nil, fmt.Errorf("the answer of %s %s is no JSON object; is this a CommServer?", q.Method, q.Path)
		}
		return raw, nil
	}
	return nil, r.explained(ctx, err)
}

// administrator refuses a call of the administrator for which there is no key.
func (r *remote) administrator() error {
	if r.id.AdminKey == "" {
		return usagef("this is the administrator's; set COMMS_ADMIN_KEY or COMMS_ADMIN_KEY_FILE, give --admin-key-file, or, on the server's machine, set COMMS_DATA_DIR to its data folder")
	}
	return nil
}

// explained is the error of a call as people are told it: a server that was not reached is named.
func (r *remote) explained(ctx context.Context, err error) error {
	if _, refused := errors.AsType[*client.Error](err); refused || ctx.Err() != nil {
		return err
	}
	if broken, ok := errors.AsType[*url.Error](err); ok {
		return &callError{url: r.id.URL, err: broken.Err} // without the address, which callError has
	}
	_, lost := errors.AsType[*net.OpError](err)
	if broke := errors.Is(err, io.ErrUnexpectedEOF); broke || lost || errors.Is(err, context.DeadlineExceeded) {
		return &callError{url: r.id.URL, err: err, broke: broke || lost}
	}
	return err
}

// get reads one resource.
func (r *remote) get(ctx context.Context, path string, admin bool) (json.RawMessage, error) {
	return r.call(ctx, client.Request{Method: http.MethodGet, Path: path, Admin: admin, Safe: true})
}

// page is one page of a list.
type page struct {
	Data       []json.RawMessage `json:"data"`
	NextCursor *string           `json:"nextCursor"`
}

// pageSize is what the server gives at most.
const pageSize = 100

// list walks through a list, page after page, until limit items were seen (0: all)
// or see says stop by an error.
func (r *remote) list(ctx context.Context, q client.Request, limit int, see func(json.RawMessage) error) error {
	q.Method, q.Safe = http.MethodGet, true
	if q.Query == nil {
		q.Query = url.Values{}
	}
	for seen := 0; ; {
		if limit > 0 && q.Query.Has("limit") {
			q.Query.Set("limit", strconv.Itoa(min(pageSize, limit-seen)))
		}
		raw, err := r.call(ctx, q)
		if err != nil {
			return err
		}
		var p page
		if err := json.Unmarshal(raw, &p); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		for _, item := range p.Data {
			if err := see(item); err != nil {
				return err
			}
			if seen++; seen == limit {
				return nil
			}
		}
		if p.NextCursor == nil {
			return nil
		}
		q.Query.Set("cursor", *p.NextCursor)
	}
}

// print lists to standard output.
func (r *remote) print(ctx context.Context, q client.Request, limit int, id string, columns []column) error {
	rows := r.out.rows(id, columns)
	return rows.finish(r.list(ctx, q, limit, rows.add))
}

// note tells a person something that is no result.
func (r *remote) note(format string, args ...any) {
	fmt.Fprintf(r.s.Err, format+"\n", args...)
}
