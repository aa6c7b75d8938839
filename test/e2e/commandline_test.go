package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/cli"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// apart are the commands that TestTheCommandLine does not drive: serve is the server that it drives the others
// against, and the three programs have tests of their own.
func apart() []string { return []string{"serve", "simulate", "bench", "prove"} }

const operatorKey = "the-key-of-the-operator-0123456789abc"

// line is a person at a command line.
type line struct {
	t    *testing.T
	env  []string
	ran  map[string]bool
	help string // docs/cli.md
}

// leaves are all commands of the program, as its reference names them.
func (l *line) leaves() (all []string) {
	for _, m := range regexp.MustCompile("(?m)^`commserver ([a-z-]+(?: [a-z-]+)?)(?: \\[|`| [A-Z])").FindAllStringSubmatch(l.help, -1) {
		all = append(all, m[1])
	}
	return all
}

// run executes a command line in this process and wants an exit code.
func (l *line) run(code int, in string, args ...string) string {
	l.t.Helper()
	var out, errs bytes.Buffer
	got := cli.Run(l.t.Context(), args, cli.Streams{In: strings.NewReader(in), Out: &out, Err: &errs, Env: l.env})
	if got != code {
		l.t.Errorf("%v: exit code %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
	}
	if strings.Contains(out.String()+errs.String(), operatorKey) {
		l.t.Errorf("%v prints the administrator's key", args)
	}
	for n := min(2, len(args)); n > 0; n-- {
		if name := strings.Join(args[:n], " "); slices.Contains(l.leaves(), name) {
			l.ran[name] = true
			break
		}
	}
	return out.String() + errs.String()
}

// ok wants success, and the words in what is printed.
func (l *line) ok(words string, args ...string) string {
	l.t.Helper()
	got := l.run(0, "", args...)
	for word := range strings.FieldsSeq(words) {
		if !strings.Contains(got, word) {
			l.t.Errorf("%v does not say %q:\n%s", args, word, got)
		}
	}
	return got
}

// both wants the words of a command as a table and one field of its JSON, and answers that.
func (l *line) both(words, field string, args ...string) string {
	l.t.Helper()
	l.ok(words, args...)
	return l.json(field, args...)
}

// json wants JSON documents, one on a line, and answers a field of the first.
func (l *line) json(field string, args ...string) (first string) {
	l.t.Helper()
	out := strings.TrimSpace(l.run(0, "", append(args, "--json")...))
	for i, text := range strings.Split(out, "\n") {
		if strings.HasPrefix(text, "Idempotency key made") || strings.HasPrefix(text, "Warning") {
			continue // on standard error
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			l.t.Errorf("%v --json: line %d is no document: %v in %q", args, i, err, text)
			return ""
		}
		var v any = doc
		for name := range strings.SplitSeq(field, ".") {
			inside, _ := v.(map[string]any)
			v = inside[name]
		}
		if text, ok := v.(string); ok && first == "" {
			first = text
		} else if v != nil && first == "" {
			raw, _ := json.Marshal(v) // it was one
			first = string(raw)
		}
	}
	if first == "" {
		l.t.Errorf("%v --json has no %s: %s", args, field, out)
	}
	return first
}

// offers wants the shell's completion of a line to hold a word.
func (l *line) offers(word string, args ...string) {
	l.t.Helper()
	if got := l.run(0, "", append([]string{"__complete"}, args...)...); !strings.Contains(got, word) {
		l.t.Errorf("the completion of %v does not offer %q:\n%s", args, word, got)
	}
}

// TestTheCommandLine drives every command of the program against a real server on
// both stores: tables and JSON, what it says when something is wrong, and its exit codes.
func TestTheCommandLine(t *testing.T) {
	help, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	for store, url := range map[string]func(t *testing.T) string{
		"SQLite":     func(*testing.T) string { return "" },
		"PostgreSQL": func(t *testing.T) string { return pgtest.Database(t) },
	} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server := []string{"COMMS_ADMIN_KEY=" + operatorKey, "COMMS_ENCRYPTION_KEYS=" + ring.Reveal(), "COMMS_DATA_DIR=" + filepath.Join(dir, "data")}
			if u := url(t); u != "" {
				server = append(server, "COMMS_DATABASE_URL="+u)
			}
			l := &line{t: t, ran: map[string]bool{}, help: string(help)}
			l.env = append(server, "HOME="+dir)
			l.both("", "state", "migrate")
			p := serve(t, dir, server...)
			l.env = []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "COMMS_URL=" + p.url, "COMMS_ADMIN_KEY=" + operatorKey}
			key := l.apps(dir)
			l.settings(dir)
			l.webhooks(dir)
			l.messages(dir)
			l.lists(dir)
			l.queue()
			l.upkeep()
			l.users(dir)
			l.copies(dir, p.url)
			l.profiles(dir, p.url, key)
			l.wrong(p.url)
			p.stop()
			l.env = append(server, "HOME="+dir)
			l.both("k1", "firstKey", "rotate-keys", "--dry-run")
			l.both("COMMS_ADMIN_KEY", "option", "config")
			l.ok("", "version")
			l.ok("", "man", filepath.Join(dir, "man1"))
			l.checked(dir)
			for _, name := range l.leaves() {
				if !l.ran[name] && !slices.Contains(apart(), name) {
					t.Errorf("commserver %s is driven by nothing here", name)
				}
			}
			if len(l.ran) < 45 {
				t.Errorf("only %d commands were found", len(l.ran))
			}
		})
	}
}

// file writes a file and answers its path.
func (l *line) file(dir, name, content string) string {
	l.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// apps makes the app flow, whose key it answers, and drives what is done to apps and keys.
func (l *line) apps(dir string) string {
	l.ok("flow", "app", "create", "Flow", "--slug", "flow", "--scope", "SEND,READ,TEMPLATES,PROVIDERS,SUPPRESSIONS", "--key-file", filepath.Join(dir, "flow.key"))
	raw, err := os.ReadFile(filepath.Join(dir, "flow.key"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.ok("gone", "app", "create", "Gone", "--slug", "gone")
	l.both("Flow flow", "slug", "app", "show", "flow")
	l.both("flow gone", "id", "app", "list", "--all")
	l.ok("77", "app", "update", "flow", "--rate-per-minute", "100000", "--name", "Flow 77")
	l.ok("", "app", "pause", "gone", "--yes")
	l.ok("", "app", "resume", "gone")
	l.ok("shown", "app", "rotate-key", "gone", "--yes")
	id := l.json("id", "key", "create", "gone", "--name", "second")
	l.both("second", "id", "key", "list", "gone")
	next := l.json("id", "key", "rotate", "gone", id, "--yes")
	l.ok("", "key", "revoke", "gone", next, "--yes")
	l.run(2, "", "app", "delete", "gone")
	l.ok("", "app", "delete", "gone", "--yes")
	l.run(3, "", "app", "show", "gone")
	l.both("app_deleted", "action", "audit", "list", "--limit", "5")
	l.both("Entries", "checked", "audit", "verify")
	l.offers("flow", "queue", "pause", "")
	return strings.TrimSpace(string(raw))
}

// settings drives provider configurations and templates.
func (l *line) settings(dir string) {
	app := func(args ...string) []string { return append(args, "--app", "flow") }
	l.both("SMTP", "type", "provider", "types")
	secret := l.file(dir, "password", "a-password-of-a-mail-server\n")
	id := l.json("id", app("provider", "add", "SMTP", "--name", "Mail", "--set", "host=mail.example.com", "--set", "username=u", "--set", "from=a@example.com", "--secret-file", "password="+secret)...)
	l.both("Mail", "id", app("provider", "list")...)
	l.both("mail.example.com", "id", app("provider", "get", id)...)
	l.ok("Renamed", app("provider", "update", id, "--name", "Renamed", "--active=false")...)
	l.run(2, "", app("provider", "test", id, "--to", "ama@example.com")...)    // nobody can be asked
	l.run(7, "", app("provider", "verify", id)...)                             // there is no such mail server
	l.run(4, "", app("provider", "rotate-callback", id, "--overlap", "1h")...) // nothing is reported to SMTP
	l.ok("", app("provider", "remove", id, "--yes")...)
	id = l.json("id", app("provider", "add", "NALO", "--set", "senderId=SHOP", "--secret-file", "authKey="+secret)...)
	l.run(2, "", app("provider", "rotate-callback", id)...) // nobody can be asked
	l.both("/api/callbacks/nalo/ before", "previousCallbackEndsAt", app("provider", "rotate-callback", id, "--overlap", "72h")...)
	l.ok("/api/callbacks/nalo/", app("provider", "rotate-callback", id, "--yes")...)
	l.ok("", app("provider", "remove", id, "--yes")...)
	id = l.json("id", app("template", "create", "hello", "--channel", "SMS", "--body", "Hi {{firstName}}")...)
	l.both("hello", "id", app("template", "list")...)
	l.both("firstName", "id", app("template", "get", id)...)
	l.ok("", app("template", "update", "hello", "--body", "Hello {{firstName}}")...)
	l.both("2", "version", app("template", "versions", "hello")...)
	l.ok("", app("template", "rollback", id, "--version", "1")...)
	l.ok("Ama", app("template", "preview", "hello", "--var", "firstName=Ama")...)
	l.run(4, "", app("template", "preview", id)...)
	l.run(3, "", app("template", "get", "helo")...)
	l.offers("hello", "template", "get", "--app", "flow", "")
	l.ok("", app("message", "send", "--to", "233241234567", "--template", "hello", "--var", "firstName=Ama", "--wait=1m")...)
	l.ok("", app("template", "delete", id, "--yes")...)
}

// webhooks drives webhook endpoints. Whether their host can be reached from here is left open.
func (l *line) webhooks(dir string) {
	app := func(args ...string) []string { return append(args, "--app", "flow") }
	const address = "https://hooks.example.com/in"
	id := l.json("id", app("webhook", "create", "crm", "--address", address, "--status", "FAILED,SUPPRESSED", "--tag", "otp")...)
	if got := l.ok("", app("webhook", "create", "own", "--address", address, "--secret-file", l.file(dir, "hook", "a-secret-of-our-own\n"))...); strings.Contains(got, "secret-of") || strings.Contains(got, "whsec_") {
		l.t.Errorf("a secret that was given is shown: %s", got)
	}
	l.run(4, "", app("webhook", "create", "crm", "--address", address)...)
	l.run(4, "", app("webhook", "create", "inside", "--address", "https://10.0.0.1/")...)
	l.both("crm own", "id", app("webhook", "list")...)
	l.both("crm FAILED otp", "id", app("webhook", "get", id)...)
	l.ok("renamed", app("webhook", "update", id, "--name", "renamed", "--status", "")...)
	l.run(2, "", app("webhook", "rotate-secret", id)...) // nobody can be asked
	l.both("whsec_ Old", "secret", app("webhook", "rotate-secret", id, "--overlap", "1h")...)
	delivery := l.json("id", app("webhook", "test", id)...)
	l.both(delivery, "id", app("webhook", "deliveries", id, "--after", "1h")...)
	l.both(delivery, "body.event", app("webhook", "delivery", id, delivery)...)
	l.ok(delivery, app("webhook", "replay", id, delivery)...)
	l.ok("Posted again 0", app("webhook", "replay", id, "--after", "1h", "--yes")...)
	l.run(2, "", app("webhook", "replay", id)...)
	l.offers(id, "webhook", "get", "--app", "flow", "")
	l.run(2, "", app("webhook", "delete", id)...) // nobody can be asked
	l.ok("", app("webhook", "delete", id, "--yes")...)
	l.run(3, "", app("webhook", "get", id)...)
}

// messages drives what an app does with messages, and what the administrator sees of them.
func (l *line) messages(dir string) {
	app := func(args ...string) []string { return append(args, "--app", "flow") }
	l.both("GSM", "channel", app("message", "preview", "--to", "233241234567", "--body", "Hi")...)
	id := l.json("id", app("message", "send", "--to", "ama@example.com", "--subject", "Hello", "--body", "<p>Hi</p>", "--tag", "first", "--wait=1m")...)
	l.both("SENT sandbox", "status", app("message", "get", id)...)
	l.both("flow ama@example.com", "app.slug", "message", "get", id) // of whichever app
	for end := time.Now().Add(time.Minute); l.run(0, "", app("message", "list", "--tag", "first", "--quiet")...) == "" && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // it is indexed behind the accepts
	}
	l.both("ama@example.com", "id", app("message", "list", "--tag", "first", "--status", "SENT")...)
	l.both("flow", "app.slug", "message", "list", "--all-apps", "--to", "Ama@Example.com")
	l.both("ama@example.com", "id", app("sandbox", "list", "--channel", "EMAIL")...)
	l.both("Hello", "id", app("sandbox", "show", id)...)
	l.both("Hello", "id", app("sandbox", "wait", "Ama@Example.com", "--for", "30s")...)
	l.run(3, "", app("sandbox", "wait", "nobody@example.com", "--for", "0s")...)
	later := l.json("id", app("message", "send", "--to", "233241234567", "--body", "Later", "--at", "2h")...)
	l.both("CANCELLED", "status", app("message", "cancel", later)...)
	l.ok("QUEUED", "message", "retry", later) // the administrator, of whichever app
	l.ok("CANCELLED", "message", "cancel", later)
	l.both("QUEUED accepted", "message.id", app("event", "follow", "--count", "1")...)
	cursor := l.json("cursor", app("event", "follow", "--count", "2")...)
	l.ok("SENDING", app("event", "follow", "--count", "1", "--after", cursor)...)
	l.run(4, "", app("event", "follow", "--after", "nonsense")...)
	l.run(4, "", app("message", "retry", id)...)
	l.run(3, "", app("message", "get", "cnothing")...)
	l.run(7, "", app("message", "send", "--to", "failed@sandbox.commserver.test", "--subject", "s", "--body", "b", "--wait=1m")...)
	l.run(8, "", app("message", "send", "--to", "233241234567", "--body", "Later", "--at", "2h", "--wait=10ms")...)
	batch := l.file(dir, "batch.jsonl", `{"channel":"SMS","to":"233241234567","body":"one"}`+"\n"+`{"channel":"SMS","to":"nobody","body":"two"}`+"\n")
	if got := l.run(4, "", app("message", "send", "--file", batch, "--idempotency-key", "july")...); !strings.Contains(got, "1 queued, 1 refused") {
		l.t.Errorf("a batch: %s", got)
	}
}

// lists drives the suppressions.
func (l *line) lists(dir string) {
	app := func(args ...string) []string { return append(args, "--app", "flow") }
	l.both("kofi@example.com telephone", "address", app("suppression", "add", "Kofi@Example.com", "--note", "telephone")...)
	l.run(4, "", app("suppression", "add", "Kofi@Example.com", "--reason", "telephone")...)
	if got := l.run(4, "", app("suppression", "import", l.file(dir, "wrong.csv", "channel,address\nSMS,nobody\n"))...); !strings.Contains(got, "line 2: ") {
		l.t.Errorf("a refused line: %s", got)
	}
	l.both("1", "added", app("suppression", "import", l.file(dir, "list.csv", "channel,address\nSMS,233241234501\n"))...)
	l.both("kofi@example.com 233241234501", "address", app("suppression", "list", "--all")...)
	l.both("flow kofi@example.com", "app.slug", "suppression", "find", "kofi@example.com")
	l.ok("233241234501", app("suppression", "export")...)
	l.ok("", app("suppression", "remove", "kofi@example.com", "--yes")...)
	l.run(3, "", app("suppression", "remove", "kofi@example.com", "--yes")...)
	if got := l.run(0, "", "suppression", "find", "kofi@example.com", "--json"); got != "" {
		l.t.Errorf("nobody has it: %q", got)
	}
}

// queue drives the administrator's view of what waits, and what is done to it.
func (l *line) queue() {
	send := func(code int) string {
		return l.run(code, "", "message", "send", "--to", "233241234567", "--body", "Waits", "--lane", "BULK", "--app", "flow", "--json")
	}
	l.both("PAUSED", "queueState", "queue", "pause", "flow")
	send(0)
	send(0)
	l.both("flow PAUSED BULK queue_paused", "due", "queue", "show", "--app", "flow", "--lane", "BULK")
	if due := l.json("due", "queue", "show", "--app", "flow", "--lane", "BULK"); due != "2" {
		l.t.Errorf("%s are due", due)
	}
	l.both("PAUSED", "queueState", "app", "show", "flow")
	l.run(2, "", "queue", "cancel", "flow") // nobody can be asked
	if n := l.json("cancelled", "queue", "cancel", "flow", "--lane", "BULK", "--yes"); n != "2" {
		l.t.Errorf("%s were cancelled", n)
	}
	l.ok("Cancelled", "queue", "cancel", "flow", "--yes")
	if got := l.run(0, "", "queue", "show", "--app", "flow", "--json"); got != "" {
		l.t.Errorf("something waits: %s", got)
	}
	l.both("DRAINING", "queueState", "queue", "drain", "flow")
	if got := send(6); !strings.Contains(got, "app_draining") {
		l.t.Errorf("a draining app: %s", got)
	}
	l.both("RUNNING", "queueState", "queue", "resume", "flow")
	send(0)
	l.run(3, "", "queue", "pause", "nobody")
	l.run(4, "", "queue", "show", "--lane", "bulk")
}

// upkeep drives what is counted, exported and erased.
func (l *line) upkeep() {
	app := func(args ...string) []string { return append(args, "--app", "flow") }
	l.both("Accepted EMAIL sandbox", "counts.sent", app("stats", "--window", "1h")...)
	l.both("flow", "counts.sent", "stats", "--admin")
	l.run(4, "", app("stats", "--window", "2h")...)
	l.both("TASK", "tasks", "upkeep", "show")
	l.ok("ALERT", "alert", "list") // nothing is wrong
	l.ok("ama@example.com <p>Hi</p>", app("person", "export", "ama@example.com")...)
	id := l.json("id", app("person", "erase", "ama@example.com", "--yes")...)
	l.both(id, "stage", app("person", "erasure", id)...)
	l.run(2, "", app("person", "erase", "ama@example.com")...) // nobody can be asked
	l.run(3, "", app("person", "erasure", "cnothing")...)
}

// profiles drives what is remembered of servers.
func (l *line) profiles(dir, url, key string) {
	env := l.env
	defer func() { l.env = env }()
	l.env = []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	l.run(0, key, "profile", "add", "mine", "--url", url, "--app", "flow", "--api-key-file", "-")
	l.ok("mine", "profile", "list")
	l.ok("", "profile", "use", "mine")
	l.both("flow", "slug", "app", "show")
	l.run(2, "", "queue", "show") // an app's key is not the administrator's
	l.offers("mine", "profile", "use", "")
	l.ok("", "profile", "remove", "mine", "--yes")
}

// wrong is what everybody does wrong once.
func (l *line) wrong(url string) {
	env := l.env
	defer func() { l.env = env }()
	l.run(2, "", "queue", "shwo")
	l.run(2, "", "message", "send", "--app", "flow")
	l.env = []string{"COMMS_URL=" + url, "COMMS_ADMIN_KEY=wrong"}
	l.run(5, "", "queue", "show")
	l.run(5, "", "message", "list", "--app", "flow")
	l.env = []string{"COMMS_URL=http://127.0.0.1:1", "COMMS_ADMIN_KEY=x"}
	l.run(6, "", "queue", "show")
}
