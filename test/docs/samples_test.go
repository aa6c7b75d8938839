// Package docs runs what the documentation tells its readers to type: every sample of every page of the repository, and those of the guide
// as a server of this version serves it.
package docs

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/openapi"
	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/build"
)

var product build.Program

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

// Secrets of the server that the samples speak to.
const (
	adminKey        = "the-administrators-key-of-a-test"
	provisioningKey = "the-bootstrap-secret-of-this-test"
)

// sample is a fenced block of a page.
type sample struct {
	kind, note string // of ```kind note
	text       string
	line       int
}

// guide is a page with its samples.
type guide struct {
	file    string // below docs/
	samples []sample
}

var fence = regexp.MustCompile("(?ms)^ *```([a-z]*)([^\n]*)\n(.*?)^ *```$")

func samplesOf(source string) (out []sample) {
	for _, m := range fence.FindAllStringSubmatchIndex(source, -1) {
		part := func(i int) string { return source[m[2*i]:m[2*i+1]] }
		out = append(out, sample{part(1), strings.TrimSpace(part(2)), part(3), strings.Count(source[:m[0]], "\n") + 1})
	}
	return out
}

// elsewhere are pages whose commands have tests of their own.
func elsewhere() map[string]string {
	return map[string]string{
		"cli.md":      "TestExamplesAreUnderstood of internal/cli reads every command line of the help",
		"simulate.md": "TestTheDrill of test/e2e follows the drill on ports of its own",
	}
}

// world is a server and what the samples need of it.
type world struct {
	url      string
	data     string // its folder
	program  string
	contract *openapi.Contract
}

// start runs the product until the test ends.
func start(t *testing.T) *world {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(context.Background(), path, "serve")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "COMMS_ADDR=localhost:0", "COMMS_LOG_FORMAT=json", "COMMS_ADMIN_KEY=" + adminKey, "COMMS_PROVISIONING_KEY=" + provisioningKey,
		"COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_AUTH_FAILURES_PER_MINUTE=1000",
		"COMMS_ALERT_PATIENCE=1s", "COMMS_ALERT_WAITING=10s", "COMMS_ALERT_FREE_SPACE=1048576GiB"}
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	ready := make(chan string, 1)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(logs); lines.Scan(); {
			var line struct{ Msg, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
				ready <- line.URL
			}
		}
	}()
	select {
	case url := <-ready:
		if url == "" {
			t.Fatal("the server ended")
		}
		c, err := openapi.Read()
		if err != nil {
			t.Fatal(err)
		}
		return &world{url, filepath.Join(dir, "data"), path, c}
	case <-time.After(5 * time.Minute):
		t.Fatal("the server is not ready")
		return nil
	}
}

// ask makes a request and answers status and body.
func (w *world) ask(t *testing.T, method, path, body string, headers map[string]string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	if body != "" && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw), res.Header
}

// pages reads what the server itself says that there is.
func (w *world) pages(t *testing.T) (out []guide) {
	t.Helper()
	_, index, _ := w.ask(t, "GET", "/llms.txt", "", nil)
	for _, m := range regexp.MustCompile(`\(`+regexp.QuoteMeta(w.url)+`(/docs/([^)]+\.md))\)`).FindAllStringSubmatch(index, -1) {
		status, source, _ := w.ask(t, "GET", m[1], "", nil)
		if status != http.StatusOK {
			t.Fatalf("%s: %d", m[1], status)
		}
		out = append(out, guide{m[2], samplesOf(source)})
	}
	return out
}

// reader is an app of a page's own: what one page does is not seen by another.
type reader struct {
	*world
	page, slug, key, dir string

	// What the page's stage adds.
	values               []string // of the page's names the reader's, in pairs
	env                  []string // variables that the page has set by then
	without              []string // variables that a reader of this page has not
	types                string   // what is typed at a terminal; without it there is none
	said                 string   // by the last commands
	sim                  *simulate.Server
	posts                chan string // of events, by their ids
	mended               atomic.Bool // the receiver works
	config, message, old string
}

func (w *world) reader(t *testing.T, page string) *reader {
	t.Helper()
	slug := "reader-" + regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimSuffix(page, ".md")), "-")
	status, body, _ := w.ask(t, "POST", "/api/admin/apps", `{"name":"Reader","slug":"`+slug[:min(len(slug), 40)]+`","scopes":["SEND","READ","TEMPLATES","PROVIDERS","SUPPRESSIONS"]}`, map[string]string{"X-Admin-Key": adminKey})
	var made struct {
		App    struct{ Slug string }
		APIKey string
	}
	if err := json.Unmarshal([]byte(body), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("%d: %s", status, body)
	}
	return &reader{world: w, page: page, slug: made.App.Slug, key: made.APIKey, dir: t.TempDir()}
}

// filled puts the reader's own values where the page has placeholders.
func (r *reader) filled(text string) string {
	return strings.NewReplacer(append(slices.Clone(r.values), "your-app-slug", r.slug, "cs_test_...", r.key, "cs_test_…", r.key, "X-App-ID: demo", "X-App-ID: "+r.slug,
		"a-long-random-bootstrap-secret", provisioningKey, anApp, r.slug+"-2", "FlowBase", "Second")...).Replace(text)
}

func (r *reader) headers() map[string]string {
	return map[string]string{"X-App-ID": r.slug, "X-API-Key": r.key}
}

// newest is the id of the message that was sent last; a sample calls it $MESSAGE_ID.
func (r *reader) newest(t *testing.T) string {
	t.Helper()
	_, body, _ := r.ask(t, "GET", "/api/v1/messages?limit=1", "", r.headers())
	var page struct{ Data []struct{ ID string } }
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if len(page.Data) == 0 {
		return ""
	}
	return page.Data[0].ID
}

// TestSamples runs every sample in the order of its page. A sort of sample that nobody can check fails.
func TestSamples(t *testing.T) {
	w := start(t)
	skipped := elsewhere()
	kinds, staged, needed := map[string]int{}, stages(), map[exception]bool{}
	for _, g := range w.pages(t) {
		if skipped[g.file] != "" || strings.HasPrefix(g.file, "api/") || len(g.samples) == 0 {
			delete(skipped, g.file)
			continue
		}
		for _, s := range g.samples {
			kinds[s.kind]++
			if e, is := excepted(g.file, s.text); is {
				needed[e] = true
			}
		}
		stage := staged[g.file]
		delete(staged, g.file)
		t.Run(g.file, func(t *testing.T) {
			t.Parallel()
			w.reader(t, g.file).follow(t, g.samples, stage)
		})
	}
	for page := range staged {
		t.Errorf("%s has a stage and no samples", page)
	}
	for page := range besides() {
		for _, s := range repository(t, page) {
			if e, is := excepted(page, s.text); is {
				needed[e] = true
			}
		}
	}
	for _, e := range unrun() {
		if !needed[e] {
			t.Errorf("%s has no sample with %q: it is no exception", e.page, e.has)
		}
	}
	if len(skipped) > 0 {
		t.Errorf("excepted and not there: %v", skipped)
	}
	for _, kind := range []string{"sh", "json", "http", "env", "yaml", "js", "go", "py", "php", "ts", "text"} {
		if kinds[kind] == 0 {
			t.Errorf("there is no sample of the sort %q any more", kind)
		}
	}
}

// follow does what the page says, from its top to its end.
func (r *reader) follow(t *testing.T, samples []sample, on stage) {
	t.Helper()
	for _, s := range samples {
		for program, its := range map[string]string{"curl": "curl", "jq": "jq", "ssh-keygen": "openssh-client"} {
			if _, err := exec.LookPath(program); err != nil && s.kind == "sh" && strings.Contains(s.text, program+" ") {
				t.Skip(program + " is not installed: sudo apt-get install " + its)
			}
		}
	}
	if on.begin != nil {
		on.begin(t, r)
	}
	for _, s := range samples {
		if s.kind != "sh" {
			r.try(t, &s)
			continue
		}
		if _, is := excepted(r.page, s.text); is {
			said := r.said
			r.shell(t, &s, "-n")
			r.said = said // nothing was carried out
			continue
		}
		if on.before != nil {
			on.before(t, r, s.text)
		}
		r.shell(t, &s, "-e", "-o", "pipefail")
	}
	if on.end != nil && !t.Failed() {
		on.end(t, r)
	}
	r.languages(t, samples)
}

func (r *reader) try(t *testing.T, s *sample) {
	t.Helper()
	switch s.kind {
	case "http":
		r.request(t, s)
	case "json":
		r.value(t, s)
	case "env":
		environment(t, s)
	case "yaml":
		if err := yaml.Unmarshal([]byte(s.text), new(any)); err != nil {
			t.Errorf("line %d: %v", s.line, err)
		}
	case "promql": // that of a rule, which Prometheus itself reads in internal/metrics
		rules, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
		if bare := func(s string) string { return strings.Join(strings.Fields(s), "") }; err != nil || !strings.Contains(bare(string(rules)), bare(s.text)) {
			t.Errorf("line %d: no rule has this expression (%v): %s", s.line, err, s.text)
		}
	case "js", "go", "py", "php", "ts": // together, at the end of the page
	case "text", "mermaid": // what is shown, and the diagram of the generated page
	default:
		t.Errorf("line %d: nobody knows how to check a sample of the sort %q", s.line, s.kind)
	}
}

// around lets curl fail on errors, and show them; where a sample says itself that it is to fail (-f…) it is left alone.
// A server that a sample starts runs beside the commands that follow, which are told its address, and ends with them.
const around = `curl() { case "$1" in -f*) command curl "$@" ;; *) command curl --silent --show-error --fail-with-body "$@" ;; esac; }
commserver() {
  if [ "$1" != serve ]; then command commserver "$@"; return; fi
  COMMS_ADDR=localhost:0 COMMS_LOG_FORMAT=json command commserver "$@" 2> serve.log &
  served=$!
  trap 'kill $served; wait $served || true' EXIT
  until COMMS_URL=$(sed -n 's/.*"msg":"ready","url":"\([^"]*\)".*/\1/p' serve.log) && [ -n "$COMMS_URL" ]; do kill -0 $served || { cat serve.log; return 1; }; sleep 0.05; done
  export COMMS_URL
}
`

// terminal gives a command a terminal, at which is typed what comes in.
const terminal = `import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))`

// shell runs commands as a reader would who has made the page's environment theirs; curl fails on errors.
func (r *reader) shell(t *testing.T, s *sample, options ...string) {
	t.Helper()
	if s.note != "" {
		t.Errorf("line %d: %q says nothing about a sample", s.line, s.note)
	}
	text := r.filled(s.text)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	args := append(append([]string{"bash"}, options...), "-c", around+text)
	if r.types != "" {
		if _, err := exec.LookPath("python3"); err != nil {
			t.Skip("python3 is not installed: sudo apt-get install python3")
		}
		args = append([]string{"python3", "-c", terminal}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = r.dir, strings.NewReader(r.types)
	cmd.Env = append([]string{"PATH=" + filepath.Dir(r.program) + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "COMMS_URL=" + r.url, "COMMS_APP_ID=" + r.slug, "COMMS_API_KEY=" + r.key,
		"COMMS_ADMIN_KEY=" + adminKey, "COMMS_PROVISIONING_KEY=" + provisioningKey, "MESSAGE_ID=" + r.newest(t)}, r.env...)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { name, _, _ := strings.Cut(v, "="); return slices.Contains(r.without, name) })
	out, err := cmd.CombinedOutput()
	if r.said = string(out); err != nil {
		t.Errorf("line %d: %v\n%s\n%s", s.line, err, text, out)
	}
}

// request makes a request that is written as one, with the reader's credentials.
func (r *reader) request(t *testing.T, s *sample) {
	t.Helper()
	first, rest, _ := strings.Cut(r.filled(s.text), "\n")
	method, path, ok := strings.Cut(first, " ")
	if !ok {
		t.Fatalf("line %d: %q is no request", s.line, first)
	}
	headers := r.headers()
	for rest != "" && rest[0] != '{' {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if name, value, ok := strings.Cut(line, ": "); ok {
			headers[name] = value
		}
	}
	status, body, got := r.ask(t, method, path, rest, headers)
	if status >= 300 {
		t.Errorf("line %d: %s: %d %s", s.line, first, status, body)
	}
	for _, wrong := range r.contract.Answer(method, path, status, got.Get("Content-Type"), []byte(body)) {
		t.Errorf("line %d: %s", s.line, wrong)
	}
}

// value holds JSON against the schema that its note names; without one it must be JSON.
func (r *reader) value(t *testing.T, s *sample) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s.text), &v); err != nil {
		t.Errorf("line %d: %v", s.line, err)
		return
	}
	if s.note == "" {
		return
	}
	schema := openapi.Dig(r.contract.Schemas, s.note)
	if schema == nil {
		t.Errorf("line %d: the contract has no schema %q", s.line, s.note)
		return
	}
	for _, wrong := range r.contract.Check(schema, v, "sample") {
		t.Errorf("line %d: %s", s.line, wrong)
	}
}

// environment knows each variable, and gives the server's to the product's own reader.
func environment(t *testing.T, s *sample) {
	t.Helper()
	var given []string
	for line := range strings.SplitSeq(strings.TrimSpace(s.text), "\n") {
		name, value, ok := strings.Cut(line, "=")
		if !ok || !slices.ContainsFunc(config.Options(), func(o config.Option) bool { return name == o.Env() || name == o.Env()+"_FILE" }) && !strings.Contains("COMMS_URL COMMS_APP_ID COMMS_API_KEY COMMS_WEBHOOK_SECRET", name) {
			t.Errorf("line %d: no option is called %s", s.line, name)
		}
		if file, is := strings.CutSuffix(name, "_FILE"); is { // it lies on the reader's machine: here is one like it
			name, value = file, "a-secret-of-at-least-thirty-two-characters-"+file
			if file == "COMMS_ENCRYPTION_KEYS" {
				key := make([]byte, 32)
				_, _ = rand.Read(key)
				value = "k1:" + base64.StdEncoding.EncodeToString(key)
			}
		}
		given = append(given, name+"="+value)
	}
	if _, err := config.Load(config.Source{Env: given}); err != nil {
		t.Errorf("line %d: %v", s.line, err)
	}
}

// TestTheReferencesCalls makes every call of the reference as it stands there. Those about things that this reader
// does not have are answered 404 or 409; what is refused for its form, or for its credentials, is wrong.
func TestTheReferencesCalls(t *testing.T) {
	w := start(t)
	r := w.reader(t, "reference")
	calls := 0
	for _, g := range w.pages(t) {
		if !strings.HasPrefix(g.file, "api/") {
			continue
		}
		for _, s := range g.samples {
			calls++
			r.call(t, g.file, s.text)
		}
	}
	if n := len(w.contract.Operations()); calls != n {
		t.Errorf("%d calls for %d operations", calls, n)
	}
}

var (
	curlAddress = regexp.MustCompile(`^curl (?:-X ([A-Z]+) )?"\$COMMS_URL([^"]*)"`)
	curlHeader  = regexp.MustCompile(`-H "([^:]+): ([^"]*)"`)
	curlBody    = regexp.MustCompile(`(?s)-d '(.*)'\s*$`)
)

func (r *reader) call(t *testing.T, file, text string) {
	t.Helper()
	m := curlAddress.FindStringSubmatch(text)
	if m == nil {
		t.Errorf("%s: %s", file, text)
		return
	}
	values := strings.NewReplacer("$COMMS_APP_ID", r.slug, "$COMMS_API_KEY", r.key, "$COMMS_ADMIN_KEY", adminKey, "$COMMS_PROVISIONING_KEY", provisioningKey, "$APP", "nobody", "$VERSION", "1", "$TYPE", "resend")
	method, path := m[1], regexp.MustCompile(`\$(ID|DELIVERY|CONFIGID|TOKEN)\b`).ReplaceAllString(values.Replace(m[2]), "cmr0123456789abcdefghijkl0")
	if method == "" {
		method = http.MethodGet
	}
	if strings.HasPrefix(path, "/api/admin/session") || path == "/api/admin/hold" && method == http.MethodPost {
		return // of browsers that have signed in, and of a restored server: this one has neither
	}
	headers, body := map[string]string{}, ""
	for _, h := range curlHeader.FindAllStringSubmatch(text, -1) {
		headers[h[1]] = values.Replace(h[2])
	}
	if b := curlBody.FindStringSubmatch(text); b != nil {
		body = strings.ReplaceAll(b[1], `'\''`, "'")
	}
	if strings.HasSuffix(path, "/wait") || strings.Contains(path, "/wait?") || strings.HasSuffix(path, "/stream") {
		path += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "timeout=0"
	}
	status, answer, got := r.ask(t, method, path, body, headers)
	known := status < 300 || status == http.StatusNotFound || status == http.StatusConflict || strings.Contains(answer, "unknown_app") || strings.Contains(answer, "forged_report")
	if !known || strings.Contains(answer, "No such path here") {
		t.Errorf("%s: %s %s: %d %s\n%s", file, method, path, status, answer, text)
	}
	plain, _, _ := strings.Cut(path, "?")
	for _, wrong := range r.contract.Answer(method, plain, status, got.Get("Content-Type"), bytes.TrimSpace([]byte(answer))) {
		t.Errorf("%s: %s", file, wrong)
	}
}
