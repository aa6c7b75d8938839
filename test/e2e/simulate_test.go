package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/freeport"
	"github.com/commserver/commserver/internal/simulate"
)

// drill is docs/simulate.md's drill: its commands, in order, each with the words that the page
// promises after it.
type drill struct {
	command string
	said    []string
}

var drillBlock = regexp.MustCompile("(?s)```(sh|text)\n(.*?)```")

func readDrill(t *testing.T) (all []drill) {
	t.Helper()
	page, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## A failover drill\n")
	section, _, ends := strings.Cut(section, "\n## ")
	if !ok || !ends {
		t.Fatal("docs/simulate.md has lost its drill")
	}
	for _, m := range drillBlock.FindAllStringSubmatch(section, -1) {
		if m[1] == "sh" {
			all = append(all, drill{command: m[2]})
			continue
		}
		last := &all[len(all)-1]
		last.said = append(last.said, strings.Split(strings.TrimSpace(m[2]), "\n")...)
	}
	return all
}

// freePorts are ports that nobody uses now, for those that the page names.
func freePorts(t *testing.T, names ...string) *strings.Replacer {
	t.Helper()
	ports, err := freeport.On(len(names))
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for i, name := range names {
		pairs = append(pairs, name, strconv.Itoa(ports[i]))
	}
	return strings.NewReplacer(pairs...)
}

// shell runs commands as a reader of the page would, in one folder, with the program in the path.
func shell(t *testing.T, dir, text string, env ...string) *exec.Cmd {
	t.Helper()
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", text)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + filepath.Dir(path) + ":" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	return cmd
}

// background starts a command that goes on, and waits until something answers at url. It is ended as
// with Ctrl-C, and must end well.
func background(t *testing.T, cmd *exec.Cmd, url string) {
	t.Helper()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%v: %v\n%s", cmd.Args, err, said.String())
			}
		case <-time.After(40 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("%v does not end", cmd.Args)
		}
	})
	for end := time.Now().Add(time.Minute); !isUp(t, url); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v does not answer", cmd.Args)
		}
	}
}

func isUp(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// TestTheDrill follows docs/simulate.md as it is written, on other ports.
func TestTheDrill(t *testing.T) {
	t.Parallel()
	dir, steps := t.TempDir(), readDrill(t)
	ports := freePorts(t, "3018", "3025", "3026", "3008")
	server, simulator := ports.Replace("http://127.0.0.1:3008"), ports.Replace("http://127.0.0.1:3018")
	env := []string{"COMMS_URL=" + server}
	var exports strings.Builder
	ran := 0
	for _, step := range steps {
		command := ports.Replace(step.command)
		switch {
		case strings.HasPrefix(command, "commserver simulate "):
			command = strings.TrimSpace(command) + ports.Replace(" --addr 127.0.0.1:3018")
			background(t, shell(t, dir, command), simulator+"/_simulate/")
			continue
		case strings.HasSuffix(command, "commserver serve\n"):
			background(t, shell(t, dir, command, ports.Replace("COMMS_ADDR=127.0.0.1:3008")), server+"/readyz")
			continue
		}
		out, err := shell(t, dir, exports.String()+command, env...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", command, err, out)
		}
		for _, words := range step.said {
			if !strings.Contains(string(out), words) {
				t.Errorf("%s\ndoes not say %q:\n%s", command, words, out)
			}
		}
		for line := range strings.Lines(command) {
			if strings.HasPrefix(line, "export ") {
				exports.WriteString(line)
			}
		}
		ran++
	}
	if len(steps) != 8 || ran != 6 {
		t.Errorf("%d steps, of which %d ran", len(steps), ran)
	}
	// What the page says of the ledger: which relay took what.
	raw, err := os.ReadFile(filepath.Join(dir, "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	first, second := ports.Replace("3025"), ports.Replace("3026")
	var taken []string
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Port    int
			Outcome string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		taken = append(taken, fmt.Sprint(e.Port, " ", e.Outcome))
	}
	want := []string{first + " accepted", second + " accepted", first + " accepted", first + " accepted"}
	if len(taken) != 5 || strings.Join(taken[:4], ", ") != strings.Join(want, ", ") || !strings.HasSuffix(taken[4], " accepted") { // who took the repeat depends on how long ago the first one worked
		t.Errorf("the ledger says %v, want %v and one more", taken, want)
	}
}

// TestEveryTypeOfProvider sends through each type that this version can send with: what goes well, what is refused
// for good, what was taken while the answer was lost, and what is reported as it was entered at the provider. The ledger counts the copies.
func TestEveryTypeOfProvider(t *testing.T) {
	t.Parallel()
	sim, err := simulate.Start(t.Context(), simulate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	config := configsFor(t, sim)
	p := serveMail(t, t.TempDir())
	var can sync.Map
	t.Run("types", func(t *testing.T) {
		for _, kind := range simulate.Types() {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				q := &process{t: t, url: p.url}
				a, id, sends := q.through(strings.ToLower(kind), kind, config[kind])
				if !sends {
					return
				}
				q.reportsGoTo(sim, kind, q.call(a, nil, http.MethodGet, "/api/v1/provider-configs/"+id, nil)["callbackUrl"])
				can.Store(kind, true)
				q.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
				meets(q, a, kind, sim)
			})
		}
	})
	if _, ok := can.Load("SMTP"); !ok {
		t.Error("this version cannot send through a relay")
	}
}

// configsFor are configurations of every type that lead to a simulator.
func configsFor(t *testing.T, sim *simulate.Server) map[string]map[string]any {
	t.Helper()
	host, text, err := net.SplitHostPort(sim.Relays()[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{
		"SMTP": {"host": host, "port": port, "from": "shop@example.com", "username": "user", "password": "simulate"}, "RESEND": {"apiKey": "re_simulate", "from": "shop@example.com", "webhookSecret": sim.WebhookSecret()},
		"ARKESEL": {"apiKey": "simulate", "senderId": "SHOP"}, "HUBTEL": {"clientId": "simulate", "clientSecret": "simulate", "senderId": "SHOP"},
		"NALO": {"authKey": "simulate", "senderId": "SHOP"}, "MNOTIFY": {"apiKey": "simulate", "senderId": "SHOP"},
		"TWILIO": {"accountSid": "AC00000000000000000000000000000001", "authToken": "simulate", "senderId": "SHOP"},
	}
	for kind, config := range all {
		if base := sim.BaseURL(kind); base != "" {
			config["baseUrl"] = base
		}
	}
	return all
}

// reportsGoTo enters a configuration's callback URL at the simulated provider, as one does at a real one.
func (p *process) reportsGoTo(sim *simulate.Server, kind string, url any) {
	p.t.Helper()
	if kind == "SMTP" {
		if url != nil {
			p.t.Errorf("a relay reports to %v", url)
		}
		return
	}
	target := map[string]any{"url": url}
	if kind == "RESEND" {
		target["secret"] = sim.WebhookSecret()
	}
	body, err := json.Marshal(target)
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPut, sim.URL()+"/_simulate/callbacks/"+kind, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	said, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		p.t.Fatalf("%s: %d %s", kind, res.StatusCode, said)
	}
}

// through makes an app with one provider, and says whether this version can send with that.
func (p *process) through(slug, kind string, config map[string]any) (a tenant, id string, sends bool) {
	p.t.Helper()
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": kind, "slug": slug, "scopes": []string{"SEND", "READ", "PROVIDERS", "SUPPRESSIONS"}})
	a = tenant{id: slug, key: fmt.Sprint(made["apiKey"])}
	kept := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": kind, "config": config})
	return a, fmt.Sprint(kept["id"]), !strings.Contains(fmt.Sprint(kept["warnings"]), "provider_cannot_send")
}

// meets sends to three recipients through the app's one provider and holds message and ledger against what each orders.
func meets(p *process, a tenant, kind string, sim *simulate.Server) {
	p.t.Helper()
	copies := func(to string) (n int) {
		for _, c := range sim.Copies(simulate.Filter{Type: kind, Recipient: to}) {
			n += c.Copies
		}
		return n
	}
	var bounced string
	lost, tries, arrives, failed := 2, 2, "DELIVERED", "FAILED"
	switch kind {
	case "SMTP":
		arrives, failed = "SENT", "SENT" // it reports nothing
	case "TWILIO", "ARKESEL", "RESEND":
		// They are given a callback URL that names message and attempt, or a tag that names the message: their reports prove that the
		// message was taken, before its retry is due, and say that it arrived.
		lost, tries = 1, 1
	}
	for _, tt := range []struct {
		name, status     string
		attempts, copies int
	}{{"delivered", arrives, 1, 1}, {"refused", "FAILED", 1, 0}, {"lost", arrives, tries, lost}, {"failed", failed, 1, 1}, {"bounced", failed, 1, 1}} {
		var to string
		for _, f := range simulate.FixedRecipients() {
			if f.Name == tt.name {
				to = f.Number
			}
		}
		body := map[string]any{"channel": "SMS", "to": to, "body": "Hello"}
		if kind == "SMTP" || kind == "RESEND" {
			to = tt.name + "@" + simulate.FixedDomain
			body = map[string]any{"channel": "EMAIL", "to": to, "subject": "Hello", "body": "<p>Hello</p>"}
		}
		bounced = to // in the end
		id := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", body)["id"])
		var m map[string]any
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			m = p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
			if m["status"] == tt.status || time.Now().After(end) {
				break
			}
		}
		if m["status"] != tt.status || m["attempts"] != float64(tt.attempts) || copies(to) != tt.copies {
			p.t.Errorf("%s: %v after %v attempts with %d copies, want %s, %d and %d: %v", tt.name, m["status"], m["attempts"], copies(to), tt.status, tt.attempts, tt.copies, m)
		}
	}
	// Of what does not exist these two say so for good; the others' words for it do not.
	listed := fmt.Sprint(p.call(a, nil, http.MethodGet, "/api/v1/suppressions", nil)["data"])
	if want := kind == "TWILIO" || kind == "RESEND"; strings.Contains(listed, bounced) != want {
		p.t.Errorf("%s is on the list: %v, want %v: %s", bounced, !want, want, listed)
	}
}

// TestEveryDocumentedErrorHasItsClass orders each documented error of each type that this version can send with, and
// asks through the API what the product makes of it.
func TestEveryDocumentedErrorHasItsClass(t *testing.T) {
	t.Parallel()
	const perApp = 8 // an app may try out ten times a minute
	p := serveMail(t, t.TempDir())
	for _, kind := range simulate.Types() {
		sim, err := simulate.Start(t.Context(), simulate.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sim.Close() })
		config := configsFor(t, sim)[kind]
		var a tenant
		id, n, sends := "", 0, true
		for _, r := range simulate.Refusals() {
			if r.Type != kind || !sends {
				continue
			}
			if n%perApp == 0 {
				a, id, sends = p.through(fmt.Sprintf("%s-%d", strings.ToLower(kind), n), kind, config)
			}
			if n++; !sends {
				continue
			}
			sim.Clear()
			if _, err := sim.Add(simulate.Rule{Type: kind, Fault: simulate.Refuse, Error: r.Name}); err != nil {
				t.Fatal(simulate.Explain(err))
			}
			to := fmt.Sprintf("2332440%05d", n)
			if kind == "SMTP" || kind == "RESEND" {
				to = fmt.Sprintf("ama%d@example.com", n)
			}
			got := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs/"+id+"/test", map[string]any{"to": to})
			if got["class"] != r.Class.String() {
				t.Errorf("%s %s: %v, the simulator's table says %s", kind, r.Name, got, r.Class)
			}
		}
		if sends && n == 0 || kind == "SMTP" && !sends {
			t.Errorf("%s: no error was ordered", kind)
		}
	}
}
