package providertest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// HTTP is an adapter of a provider with an HTTP API as the suite needs it. All else
// stands in its vectors, files of the txtar form in Dir:
//
//	defaults.txtar   settings and message (JSON) of every vector that has none of its own, and of
//	                 the suite's behaviours; echo: an answer that refuses, in which {echo} stands
//	                 where the provider repeats what it was sent
//	send-*.txtar     request: exactly what must go out; answer, expect: what comes back, and what it
//	                 means (class, code, ref, text, detail, after, hard); more pairs as "answer NAME",
//	                 "expect NAME". An attempt section ("2" or "2 3") sets attempt and generation
//	ask-*.txtar      ref, request, then answer and expect as above; expect is a report, or a class
//	verify-*.txtar   request and answer, "request 2" and "answer 2" …; expect: a line for each check,
//	                 "connect: ok" or "login: fails"
//	report-*.txtar   "report NAME", "expect NAME": a request to the callback URL without regard to its
//	                 signature, and the reports in it with an empty line between; or "nothing", "unreadable"
//	signed-*.txtar   likewise, with the signature: "forged" is expected where it is wrong; a section
//	                 now (RFC 3339) says when it came in
//
// A request's first line is "POST /path HTTP/1.1", that of a report "POST ?query", to be
// added to the callback URL. Of a request's headers Content-Length and User-Agent are left out.
// Default addresses are called over http, so that no certificates are needed.
type HTTP struct {
	Adapter provider.Adapter
	// StatusDecides says that a 2xx means acceptance whatever its body holds; otherwise
	// the body decides, and one that cannot be read leaves the outcome unknown.
	StatusDecides bool
	Dir           string // "testdata" if it is empty
}

// publicURL is the base of the suite's callbacks.
const publicURL = "https://comm.test"

// exchange is a peer that answers requests in turn and keeps them; the last answer is for all further ones.
type exchange struct {
	Dial     Dialer
	mu       sync.Mutex
	requests []string
}

func newExchange(t testing.TB, answers ...string) *exchange {
	x := &exchange{}
	x.Dial = Peer(t, func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			text, err := readRequest(in)
			if err != nil {
				return
			}
			x.mu.Lock()
			n := len(x.requests)
			x.requests = append(x.requests, text)
			x.mu.Unlock()
			if _, err := io.WriteString(c, answers[min(n, len(answers)-1)]); err != nil {
				return
			}
		}
	})
	return x
}

func (x *exchange) seen() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.requests)
}

// readRequest reads one request and writes it as vectors do.
func readRequest(in *bufio.Reader) (string, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\nHost: %s\n", req.Method, req.RequestURI, req.Host)
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		if name != "Content-Length" && name != "User-Agent" {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(req.Header[name], ", "))
		}
	}
	if req.UserAgent() == "" {
		b.WriteString("(no User-Agent)\n")
	}
	if len(body) > 0 {
		b.WriteString("\n" + string(body))
	}
	return strings.TrimRight(b.String(), "\n"), nil
}

// wireAnswer makes of an answer as vectors write it what goes over the wire.
func wireAnswer(text string) string {
	head, body, _ := strings.Cut(strings.TrimRight(text, "\n"), "\n\n")
	head = strings.ReplaceAll(strings.TrimRight(head, "\n"), "\n", "\r\n")
	if !strings.Contains(strings.ToLower(head), "content-length:") && !strings.Contains(head, " 204") {
		head += fmt.Sprintf("\r\nContent-Length: %d", len(body))
	}
	return head + "\r\n\r\n" + body
}

// lifted makes addresses of settings callable without certificates, and fills the default one in.
func (h *HTTP) lifted(s provider.Settings) provider.Settings {
	s = maps.Clone(s)
	for _, f := range h.Adapter.Fields {
		if f.Name == "baseUrl" {
			s["baseUrl"] = strings.Replace(cmp.Or(s["baseUrl"], f.Default), "https://", "http://", 1)
		}
	}
	if _, given := s[provider.CallbackURL]; !given && h.Adapter.Reports() {
		s[provider.CallbackURL] = h.callback()
	}
	if h.Adapter.Reports() {
		s[provider.CallbackToken] = callbackToken
	}
	return s
}

// callbackToken ends the callback URL and is a secret of every configuration.
const callbackToken = "callback-token-4711"

// callback is the callback URL of the suite's configuration.
func (h *HTTP) callback() string {
	id, _ := comm.ParseID(MessageID)
	return provider.CallbackAddress(publicURL, &comm.ProviderConfig{Type: h.Adapter.Type, ID: id}, callbackToken)
}

// base is the vectors' default values: defaults.txtar.
func (h *HTTP) base(t testing.TB) *Vector {
	t.Helper()
	return &Vectors(t, filepath.Join(cmp.Or(h.Dir, "testdata"), "defaults.txtar"))[0]
}

// vectors are those whose names begin so; there may be none.
func (h *HTTP) vectors(t testing.TB, prefix string) []Vector {
	t.Helper()
	pattern := filepath.Join(cmp.Or(h.Dir, "testdata"), prefix+"*.txtar")
	if files, _ := filepath.Glob(pattern); len(files) == 0 {
		return nil
	}
	all := Vectors(t, pattern)
	defaults := h.base(t)
	for i := range all {
		for _, name := range []string{"settings", "message"} {
			if all[i].sections[name] == "" {
				all[i].sections[name] = defaults.sections[name]
			}
		}
	}
	return all
}

// cases are the names that follow a word in a vector's sections: "" for the word alone.
func (v *Vector) cases(word string) []string {
	var names []string
	for section := range v.sections {
		if section == word {
			names = append(names, "")
		} else if rest, ok := strings.CutPrefix(section, word+" "); ok {
			names = append(names, " "+rest)
		}
	}
	slices.Sort(names)
	return names
}

func (h *HTTP) open(t testing.TB, v *Vector, env provider.Env) (provider.Sender, provider.Settings) {
	t.Helper()
	settings := provider.Settings{}
	v.decode(t, "settings", &settings)
	if check := h.Adapter.Check; check != nil {
		if faults := check(settings); len(faults) > 0 {
			t.Fatalf("the settings are wrong: %v", faults)
		}
	}
	settings = h.lifted(settings)
	env.Hostname, env.PublicURL = "client.test", publicURL
	sender, err := h.Adapter.Open(settings, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sender.Close() })
	return sender, settings
}

// message is the vector's, as the dispatcher gives it to senders.
func (h *HTTP) message(t testing.TB, v *Vector) *provider.Message {
	t.Helper()
	var c content
	v.decode(t, "message", &c)
	m := Email(t, c.Content, c.Attachments...)
	m.Channel, m.Generation = h.Adapter.Channel, 1
	if text := v.Section("attempt"); text != "" {
		if _, err := fmt.Sscan(text, &m.Attempt, &m.Generation); err != nil && m.Attempt == 0 {
			t.Fatalf("section attempt: %v", err)
		}
	}
	return m
}

// wantRequest compares what came in with a section of the vector, if it has it.
func (v *Vector) wantRequest(t *testing.T, section, got string) {
	t.Helper()
	want := strings.TrimRight(v.Section(section), "\n")
	if want != "" && got != want {
		t.Errorf("request\n%s\nwant\n%s", got, want)
	}
}

func (h *HTTP) sends(t *testing.T) {
	all := h.vectors(t, "send-")
	if len(all) == 0 {
		t.Fatal("no send vectors")
	}
	for _, v := range all {
		names := v.cases("answer")
		if len(names) == 0 {
			t.Fatalf("%s has no answer", v.Name)
		}
		for _, name := range names {
			t.Run(v.Name+"/"+strings.TrimSpace(name), func(t *testing.T) {
				t.Parallel()
				x := newExchange(t, wireAnswer(v.Section("answer"+name)))
				sender, _ := h.open(t, &v, provider.Env{DialHTTP: x.Dial})
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				receipt, err := sender.Send(ctx, h.message(t, &v))
				v.judgeAs(t, "expect"+name, outcome(receipt, err))
				requests := x.seen()
				if len(requests) > 1 || len(requests) == 0 && v.Section("request") != "" {
					t.Fatalf("%d requests", len(requests))
				}
				if len(requests) == 1 {
					if v.Section("request") == "" {
						t.Error("a request went out that the vector does not know")
					}
					v.wantRequest(t, "request", requests[0])
				}
			})
		}
	}
}

func (h *HTTP) asks(t *testing.T) {
	for _, v := range h.vectors(t, "ask-") {
		for _, name := range v.cases("answer") {
			t.Run(v.Name+"/"+strings.TrimSpace(name), func(t *testing.T) {
				t.Parallel()
				x := newExchange(t, wireAnswer(v.Section("answer"+name)))
				sender, _ := h.open(t, &v, provider.Env{DialHTTP: x.Dial})
				asker, ok := sender.(provider.Asker)
				if !ok {
					t.Fatal("the sender cannot ask")
				}
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				report, err := asker.Ask(ctx, strings.TrimSpace(v.Section("ref")))
				if err != nil {
					v.judgeAs(t, "expect"+name, outcome(provider.Receipt{}, err))
				} else {
					wantReports(t, v.Section("expect"+name), []provider.Report{report})
				}
				for _, got := range x.seen() {
					v.wantRequest(t, "request", got)
				}
			})
		}
	}
}

func (h *HTTP) verifies(t *testing.T) {
	for _, v := range h.vectors(t, "verify-") {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			var answers []string
			for _, name := range v.cases("answer") {
				answers = append(answers, wireAnswer(v.Section("answer"+name)))
			}
			x := newExchange(t, answers...)
			sender, _ := h.open(t, &v, provider.Env{DialHTTP: x.Dial})
			verifier, ok := sender.(provider.Verifier)
			if !ok {
				t.Fatal("the sender cannot verify")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			var got strings.Builder
			for _, c := range verifier.Verify(ctx) {
				word := "fails"
				if c.OK {
					word = "ok"
				}
				fmt.Fprintf(&got, "%s: %s: %s\n", c.Name, word, c.Detail)
				if c.Detail == "" || len(c.Detail) > 256 {
					t.Errorf("%s has a detail of %d bytes", c.Name, len(c.Detail))
				}
			}
			wantLines(t, v.Section("expect"), got.String())
			for n, request := range x.seen() {
				section := "request"
				if n > 0 {
					section = fmt.Sprintf("request %d", n+1)
				}
				v.wantRequest(t, section, request)
			}
		})
	}
}

// wantLines compares line by line; a wanted line may be the beginning of what there is.
func wantLines(t *testing.T, want, got string) {
	t.Helper()
	w, g := strings.Split(strings.TrimSpace(want), "\n"), strings.Split(strings.TrimSpace(got), "\n")
	same := len(w) == len(g)
	for i := 0; same && i < len(w); i++ {
		same = strings.HasPrefix(g[i], w[i])
	}
	if !same {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// callbackOf makes a callback of a report as vectors write it.
func (h *HTTP) callbackOf(t testing.TB, text string, at time.Time) *provider.Callback {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	method, query, _ := strings.Cut(strings.TrimSpace(first), " ")
	u, err := url.Parse(h.callback() + query)
	if err != nil {
		t.Fatal(err)
	}
	cb := &provider.Callback{Method: method, URL: u, Header: http.Header{}, Body: bytes.TrimRight([]byte(body), "\n"), At: at}
	for line := range strings.Lines(rest) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			cb.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return cb
}

func (h *HTTP) reports(t *testing.T) {
	if h.Adapter.Reporting == nil {
		return
	}
	for _, prefix := range []string{"report-", "signed-"} {
		for _, v := range h.vectors(t, prefix) {
			at := time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC)
			if text := strings.TrimSpace(v.Section("now")); text != "" {
				var err error
				if at, err = time.Parse(time.RFC3339, text); err != nil {
					t.Fatal(err)
				}
			}
			settings := provider.Settings{}
			v.decode(t, "settings", &settings)
			settings = h.lifted(settings)
			for _, name := range v.cases("report") {
				t.Run(v.Name+"/"+strings.TrimSpace(name), func(t *testing.T) {
					cb := h.callbackOf(t, v.Section("report"+name), at)
					want := v.Section("expect" + name)
					if prefix == "signed-" {
						if h.verdict(t, settings, cb, want) {
							return
						}
					}
					got, err := h.Adapter.Reporting.Read(cb)
					if strings.TrimSpace(want) == "unreadable" {
						if err == nil {
							t.Errorf("read as %+v", got)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					wantReports(t, want, got)
				})
			}
		}
	}
}

// verdict checks the signature; true when no more is to be looked at.
func (h *HTTP) verdict(t *testing.T, s provider.Settings, cb *provider.Callback, want string) bool {
	t.Helper()
	err := h.Adapter.Reporting.Verify(s, cb)
	if strings.TrimSpace(want) == "forged" {
		if err == nil {
			t.Error("a forged report was believed")
		}
		return true
	}
	if err != nil {
		t.Fatalf("a signed report is refused: %v", err)
	}
	return false
}

// wantReports compares reports with what a vector expects: all that it names, and no field beside it but At and Text.
func wantReports(t *testing.T, want string, got []provider.Report) {
	t.Helper()
	var wanted []map[string]string
	if want = strings.TrimSpace(want); want != "nothing" {
		for block := range strings.SplitSeq(want, "\n\n") {
			wanted = append(wanted, lines(block))
		}
	}
	if len(got) != len(wanted) {
		t.Fatalf("%d reports, want %d: %+v", len(got), len(wanted), got)
	}
	for i := range got {
		for _, fault := range reportFaults(&got[i]) {
			t.Errorf("report %d: %s", i+1, fault)
		}
		shown := showReport(&got[i])
		for _, key := range []string{"at", "text"} {
			if wanted[i][key] == "" {
				delete(shown, key)
			}
		}
		if !maps.Equal(shown, wanted[i]) {
			t.Errorf("report %d is %v, want %v", i+1, shown, wanted[i])
		}
	}
}

func lines(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			out[key] = value
		}
	}
	return out
}

// fates are the names that vectors give to fates.
func fates() map[provider.Fate]string {
	return map[provider.Fate]string{provider.Noted: "noted", provider.OnItsWay: "on its way", provider.Delivered: "delivered",
		provider.Undelivered: "undelivered", provider.Complained: "complained", provider.OptedOut: "opted out", provider.OptedIn: "opted in"}
}

func showReport(r *provider.Report) map[string]string {
	out := map[string]string{"fate": fates()[r.Fate]}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	set("ref", r.Ref)
	set("suppress", r.Suppress)
	set("address", r.Address)
	set("code", r.Code)
	set("text", r.Text)
	if !r.Message.IsZero() {
		out["message"] = r.Message.String()
	}
	if r.Attempt != 0 {
		out["attempt"] = fmt.Sprint(r.Attempt)
	}
	if r.Correctable {
		out["correctable"] = "true"
	}
	if !r.At.IsZero() {
		out["at"] = r.At.UTC().Format(time.RFC3339Nano)
	}
	return out
}

// reportFaults are what no report may be, whatever a provider sends.
func reportFaults(r *provider.Report) (faults []string) {
	say := func(bad bool, text string) {
		if bad {
			faults = append(faults, text)
		}
	}
	personal := r.Fate == provider.OptedOut || r.Fate == provider.OptedIn
	known := slices.ContainsFunc(comm.SuppressionReasons(), func(w comm.Word) bool { return w.Code == r.Suppress })
	say(fates()[r.Fate] == "", "no fate")
	say(r.Suppress != "" && !known, "suppresses for an unknown reason")
	say(personal != (r.Address != ""), "an address belongs to opting out and in, and to nothing else")
	say(!personal && r.Ref == "" && r.Message.IsZero() && r.Fate != provider.Noted, "names no message")
	say(len(r.Ref) > 256 || len(r.Code) > 64 || len(r.Text) > 256, "is too long")
	say(strings.Contains(r.Text, "@"), "the text holds an address")
	say(strings.ContainsAny(r.Ref+r.Code+r.Text, "\x00\r\n"), "holds a line break")
	say(r.Correctable && r.Fate != provider.Undelivered, "can be corrected without being undelivered")
	say(r.Attempt < 0 || r.Attempt > 0 && r.Message.IsZero(), "names an attempt without a message")
	say(!r.At.IsZero() && (r.At.Year() < 2000 || r.At.Year() > 2200), "happened at no time of ours")
	return faults
}
