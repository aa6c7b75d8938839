package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/signature"
)

// posted is a webhook as a receiver gets it.
type posted struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

const webhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// languages runs the samples in programming languages of a page.
func (r *reader) languages(t *testing.T, samples []sample) {
	of := map[string][]sample{}
	for _, s := range samples {
		of[s.kind] = append(of[s.kind], s)
	}
	if len(of["ts"]) > 0 {
		typescript(t, of["ts"])
	}
	switch r.page {
	case "guide/sdk.md", "sdk.md": // the reader has the file by now, as the server has it
		got, err := os.ReadFile(filepath.Join(r.dir, "comms-client.ts"))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := os.ReadFile("../../sdk/comms-client.ts"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the page fetched another client than that of this version (%v): %.200s", err, got)
		}
		if r.page == "guide/sdk.md" {
			forged(t, of["ts"])
		}
	case "webhooks.md":
		posts, want := cases(t, r.webhook(t))
		for _, l := range receivers() {
			t.Run(l.kind, func(t *testing.T) {
				t.Parallel()
				if len(of[l.kind]) != 1 {
					t.Fatalf("%d samples", len(of[l.kind]))
				}
				if _, err := exec.LookPath(l.program); err != nil {
					t.Skip(l.program + " is not installed: sudo apt-get install " + l.install)
				}
				got := l.run(t, of[l.kind][0].text, posts)
				if !slices.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
			})
		}
	case "guide/errors.md":
		r.notifies(t, of["js"])
	default:
		for _, l := range receivers() {
			if len(of[l.kind]) > 0 {
				t.Errorf("nobody knows how to run the %s of this page", l.kind)
			}
		}
	}
}

// webhook is a real one: a message is sent, and this is what the server posts about it.
func (r *reader) webhook(t *testing.T) posted {
	t.Helper()
	got := make(chan posted, 16)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		p := posted{Headers: map[string]string{}, Body: string(body)}
		for name, values := range req.Header {
			p.Headers[strings.ToLower(name)] = values[0]
		}
		select {
		case got <- p:
		default:
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(hook.Close)
	if status, body, _ := r.ask(t, "POST", "/api/v1/webhooks", `{"name":"docs","url":"`+hook.URL+`/in","secret":"`+webhookSecret+`"}`, r.headers()); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ := r.ask(t, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"Akwaaba é ✓","metadata":{"é":"✓"}}`, r.headers()); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	select {
	case p := <-got:
		return p
	case <-time.After(5 * time.Minute):
		t.Fatal("no webhook came")
		return posted{}
	}
}

// cases is the real webhook, and what somebody may have made of it on its way.
func cases(t *testing.T, genuine posted) (posts []posted, want []bool) {
	t.Helper()
	add := func(valid bool, change func(p *posted)) {
		p := posted{Headers: maps.Clone(genuine.Headers), Body: genuine.Body}
		change(&p)
		posts, want = append(posts, p), append(want, valid)
	}
	signed := func(at string) func(p *posted) {
		return func(p *posted) {
			p.Headers["x-comms-timestamp"], p.Headers["x-comms-signature"] = at, signature.Guide(webhookSecret, at, []byte(p.Body))
		}
	}
	now := time.Now().Unix()
	add(true, func(*posted) {})
	add(false, func(p *posted) { p.Body = strings.Replace(p.Body, "233241234567", "233241234568", 1) })
	add(false, func(p *posted) { p.Body += " " })
	add(false, func(p *posted) { p.Headers["x-comms-timestamp"] = strconv.FormatInt(now-1000, 10) })
	add(false, func(p *posted) { p.Headers["x-comms-signature"] = strings.Repeat("0", 64) })
	add(false, func(p *posted) { p.Headers["x-comms-signature"] = p.Headers["x-comms-signature"][:63] })
	add(false, func(p *posted) { p.Headers["x-comms-signature"] = "é" })
	add(false, func(p *posted) { p.Headers["x-comms-signature"] = strings.Repeat("é", 64) }) // as many characters as a signature has
	add(false, func(p *posted) { p.Headers["x-comms-signature"] = strings.Repeat("é", 32) }) // as many bytes
	add(false, func(p *posted) { delete(p.Headers, "x-comms-signature") })
	add(false, func(p *posted) { delete(p.Headers, "x-comms-timestamp") })
	add(false, signed(strconv.FormatInt(now-600, 10))) // rightly signed, and old
	add(false, signed(strconv.FormatInt(now+600, 10)))
	add(false, signed("now"))
	add(true, signed(strconv.FormatInt(now-60, 10)))
	return posts, want
}

// receiver is a language in which the page verifies webhooks.
type receiver struct {
	kind, program, install string
	file                   string
	head, tail             string // around the sample: it reads cases and prints verdicts
	args                   []string
}

func receivers() []receiver {
	return []receiver{
		{"js", "node", "nodejs", "check.mjs", "", `
import { readFileSync } from "node:fs";
const [posts, secret] = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(posts.map((p) => valid(new Headers(p.headers), p.body, secret))));
`, nil},
		{"py", "python3", "python3", "check.py", "", `
import json
import sys


class Headers(dict):
    def get(self, name, default=None):
        return super().get(name.lower(), default)


posts, secret = json.load(sys.stdin)
print(json.dumps([valid(Headers(p["headers"]), p["body"].encode(), secret) for p in posts]))
`, nil},
		{"php", "php", "php-cli", "check.php", "", `
[$posts, $secret] = json_decode(stream_get_contents(STDIN), true);
$verdicts = [];
foreach ($posts as $p) {
    $server = [];
    foreach ($p['headers'] as $name => $value) {
        $server['HTTP_' . strtoupper(str_replace('-', '_', $name))] = $value;
    }
    $verdicts[] = valid($server, $p['body'], $secret);
}
echo json_encode($verdicts);
`, []string{"-d", "error_reporting=-1", "-d", "display_errors=stderr"}},
		{"go", "go", "golang", "main.go", `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"time"
)

`, `
func main() {
	var in []json.RawMessage
	var posts []struct {
		Headers map[string]string
		Body    string
	}
	var secret string
	if json.NewDecoder(os.Stdin).Decode(&in) != nil || json.Unmarshal(in[0], &posts) != nil || json.Unmarshal(in[1], &secret) != nil {
		os.Exit(1)
	}
	var out []bool
	for _, p := range posts {
		r := &http.Request{Header: http.Header{}}
		for name, value := range p.Headers {
			r.Header.Set(name, value)
		}
		out = append(out, valid(r, []byte(p.Body), secret))
	}
	_ = json.NewEncoder(os.Stdout).Encode(out)
}
`, []string{"run"}},
	}
}

func (l *receiver) run(t *testing.T, text string, posts []posted) (out []bool) {
	t.Helper()
	in, err := json.Marshal([]any{posts, webhookSecret})
	if err != nil {
		t.Fatal(err)
	}
	raw := execute(t, l.program, l.args, l.file, l.head+text+l.tail, in)
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return out
}

// execute runs a program that lies in a file.
func execute(t *testing.T, program string, args []string, file, text string, in []byte, env ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(slices.Clone(args), file)...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, bytes.NewReader(in), append(os.Environ(), env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v\n%s", program, err, errs.String())
	}
	return out
}

// forged has the page's receiver answer a post that nobody signed.
func forged(t *testing.T, samples []sample) {
	t.Helper()
	i := slices.IndexFunc(samples, func(s sample) bool { return strings.Contains(s.text, "export async function POST") })
	if i < 0 {
		t.Fatal("the page receives no webhooks any more")
	}
	sdk, compiler := sdkAndCompiler(t)
	if compiler == "" {
		return
	}
	dir := t.TempDir()
	client, err := os.ReadFile(sdk)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"package.json": `{"type":"module"}`, "ambient.d.ts": ambient, "comms-client.ts": string(client),
		"hook.ts":       strings.ReplaceAll(samples[i].text, "@/lib/comms-client", "./comms-client.js"),
		"tsconfig.json": `{"compilerOptions":{"strict":true,"target":"ES2022","module":"ESNext","moduleResolution":"Bundler","lib":["ES2023","DOM","DOM.Iterable"],"types":[]},"files":["ambient.d.ts","hook.ts"]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "node", compiler, "-p", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const main = `
const { POST } = await import("file://" + process.env.HOOK);
const headers = { "X-Comms-Timestamp": String(Math.floor(Date.now() / 1000)), "X-Comms-Signature": "0".repeat(64) };
console.log((await POST(new Request("http://localhost/hook", { method: "POST", body: "{}", headers }))).status);
`
	if out := execute(t, "node", nil, "forge.mjs", main, nil, "COMMS_WEBHOOK_SECRET="+webhookSecret, "HOOK="+filepath.Join(dir, "hook.js")); string(bytes.TrimSpace(out)) != "400" {
		t.Errorf("a forged post is answered %s", out)
	}
}

// notifies runs the page's function against the server: once well, once with a key that is wrong.
func (r *reader) notifies(t *testing.T, samples []sample) {
	t.Helper()
	if len(samples) != 1 {
		t.Fatalf("%d samples", len(samples))
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: sudo apt-get install nodejs")
	}
	// answers are those of whatever stands in front of the server, and whether the page says that it should be tried again.
	answers := []struct {
		Status int
		Text   string
		Again  bool
	}{{502, "<html>", true}, {503, "<html>", true}, {504, "", true}, {500, `{"error":"x","details":{"code":"internal"}}`, true}, {429, `{"error":"x","details":{"code":"rate_limited"}}`, true}, {408, "<html>", true},
		{202, "<html>", true}, {202, "", true}, {200, "null", true}, {400, `{"error":"x","details":{"code":"invalid_to"}}`, false}, {403, "<html>", false}, {404, "null", false}, {0, "", true}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n, err := strconv.Atoi(req.Header.Get("X-API-Key")) // which of the answers
		if err != nil || answers[n].Status == 0 {
			panic(http.ErrAbortHandler) // the connection ends without one
		}
		w.WriteHeader(answers[n].Status)
		_, _ = io.WriteString(w, answers[n].Text)
	}))
	t.Cleanup(front.Close)
	tail := `
async function failure() {
  try {
    await notify({ id: "request-43", email: "ama@example.com" });
  } catch (error) {
    return error;
  }
}
const id = await notify({ id: "request-42", email: "ama@example.com" });
process.env.COMMS_API_KEY = "cs_test_wrong";
const { code, again } = await failure();
process.env.COMMS_URL = "` + front.URL + `";
const inFront = [];
for (let n = 0; n < ` + strconv.Itoa(len(answers)) + `; n++) {
  process.env.COMMS_API_KEY = String(n);
  inFront.push((await failure())?.again);
}
AbortSignal.timeout = () => AbortSignal.abort(new DOMException("late", "TimeoutError"));
const late = (await failure())?.again;
console.log(JSON.stringify({ id, code, again, inFront, late }));
`
	var said struct {
		ID, Code    string
		Again, Late *bool
		InFront     []*bool
	}
	raw := execute(t, "node", nil, "notify.mjs", samples[0].text+tail, nil, "COMMS_URL="+r.url, "COMMS_APP_ID="+r.slug, "COMMS_API_KEY="+r.key)
	if err := json.Unmarshal(raw, &said); err != nil || said.ID != r.newest(t) || said.Code != "unauthenticated" || said.Again == nil || *said.Again {
		t.Errorf("%v: %s", err, raw)
	}
	for i, a := range answers {
		if i >= len(said.InFront) || said.InFront[i] == nil || *said.InFront[i] != a.Again {
			t.Errorf("%d %q is not told apart: %s", a.Status, a.Text, raw)
		}
	}
	if said.Late == nil || !*said.Late {
		t.Errorf("a call that was not answered in time: %s", raw)
	}
}

// ambient is what the snippets take from the application that they stand in.
const ambient = `
declare const process: { env: Record<string, string | undefined> };
declare const user: { email: string; phone: string };
declare const request: { id: string };
declare const queue: { later(milliseconds: number): Promise<void> };
declare const store: { once(id: string, event: unknown): Promise<void> };
declare const secretStore: { put(name: string, value: string): Promise<void> };
`

// sdkAndCompiler are the TypeScript client and what compiles it, which is "" where it is not installed.
func sdkAndCompiler(t *testing.T) (sdk, compiler string) {
	t.Helper()
	sdk, err := filepath.Abs("../../sdk/comms-client.ts")
	if err != nil {
		t.Fatal(err)
	}
	compiler = filepath.Join(filepath.Dir(sdk), "node_modules", "typescript", "bin", "tsc")
	for _, path := range []string{sdk, compiler} {
		if _, err := os.Stat(path); err != nil {
			t.Logf("the TypeScript is not compiled: %v", err)
			return sdk, ""
		}
	}
	return sdk, compiler
}

// typescript compiles a page's snippets as one module, with the SDK where the page says that it was copied to.
func typescript(t *testing.T, samples []sample) {
	t.Helper()
	sdk, compiler := sdkAndCompiler(t)
	if compiler == "" {
		return
	}
	dir := t.TempDir()
	var module strings.Builder
	for _, s := range samples {
		module.WriteString(s.text + "\n")
	}
	for name, content := range map[string]string{"ambient.d.ts": ambient, "page.ts": module.String(),
		"tsconfig.json": `{"compilerOptions":{"strict":true,"noEmit":true,"target":"ES2022","module":"ESNext","moduleResolution":"Bundler","lib":["ES2023","DOM","DOM.Iterable","DOM.AsyncIterable"],"types":[],"paths":{"@/lib/comms-client":["` + sdk + `"]}},"files":["ambient.d.ts","page.ts"]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", compiler, "-p", dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
