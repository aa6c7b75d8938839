package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// vector is a story of calls, with the server or with a peer that fails as it is told to; sdk/README.md describes it.
type vector struct {
	Name  string `json:"name"`
	Full  bool   `json:"full"` // takes much: at full sizes only
	fault bool   // of an operation, for which there is one like it
	Peer  []act  `json:"peer"`
	Steps []step `json:"steps"`
}

// step is one call and what should come of it.
type step struct {
	Call         string            `json:"call"`
	Args         map[string]any    `json:"args"`
	Client       map[string]any    `json:"client"`
	AbortAfterMs *int              `json:"abortAfterMs"`
	Expect       any               `json:"expect"`
	Error        map[string]any    `json:"error"`
	Until        bool              `json:"until"` // again until it is as expected
	Note         map[string]string `json:"note"`  // names for members of the result
	Requests     []any             `json:"requests"`
	AtLeastMs    []int64           `json:"atLeastMs"` // between one request and the next
	Posted       string            `json:"posted"`    // instead of a call: waits for a webhook to this path, and notes it as hook
}

// needs are the calls of a vector, and what it needs beside.
func (v *vector) needs() []string {
	var out []string
	for _, s := range v.Steps {
		out = append(out, s.Call)
		if s.AbortAfterMs != nil {
			out = append(out, "abort")
		}
		if s.Call == "waitForDelivery" && s.Args["after"] != nil {
			out = append(out, "waitForDelivery along the stream")
		}
	}
	return out
}

// readJSON reads a file of vectors strictly: a misspelt member would be an expectation that is not looked at.
func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// row is an operation of the contract as a client makes it.
type row struct {
	Operation string         `json:"operation"`
	Call      string         `json:"call"`
	Method    string         `json:"method"`
	Path      string         `json:"path"`
	Repeat    bool           `json:"repeat"`
	Args      map[string]any `json:"args"`
	Status    int            `json:"status"`
	Answer    any            `json:"answer"`
	Stream    string         `json:"stream"` // the type of an answer that is read while it arrives
	Text      string         `json:"text"`
	Note      string         `json:"note"`
}

const folder = "../../sdk/vectors/"

func rows(t *testing.T) (out []row) {
	t.Helper()
	readJSON(t, folder+"operations.json", &out)
	return out
}

// vectors are all of them: those that are written out, and some for every operation.
func vectors(t *testing.T) (out []vector) {
	t.Helper()
	files, err := filepath.Glob(folder + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if filepath.Base(path) == "operations.json" {
			continue
		}
		var some []vector
		readJSON(t, path, &some)
		out = append(out, some...)
	}
	for i, r := range rows(t) {
		out = append(out, r.vectors(i)...)
	}
	return out
}

// TestEveryOperationHasItsRow: a route that clients do not call fails here, and one that is called otherwise than the contract says.
func TestEveryOperationHasItsRow(t *testing.T) {
	t.Parallel()
	contract := operations(t)
	covered := map[string]bool{}
	for _, r := range rows(t) {
		covered[r.Operation] = true
		o, ok := contract[r.Operation]
		if !ok {
			t.Errorf("%s is no operation of the contract for apps", r.Operation)
			continue
		}
		parts, want := strings.Split(r.Path, "/"), strings.Split(o.Path, "/")
		same := r.Method == o.Method && len(parts) == len(want)
		for i := range min(len(parts), len(want)) {
			same = same && (parts[i] == want[i] || strings.HasPrefix(want[i], "{"))
		}
		if !same {
			t.Errorf("%s is %s, not %s %s", r.Operation, o.Name(), r.Method, r.Path)
		}
		if r.Method == "GET" && !r.Repeat && r.Note == "" || r.Method != "GET" && r.Repeat && r.Note == "" {
			t.Errorf("%s: a note must say why it is repeated, or why not", r.Operation)
		}
	}
	real := map[string]bool{}
	for _, v := range vectors(t) {
		if v.Peer == nil {
			for _, s := range v.Steps {
				if s.Error == nil {
					real[s.Call] = true
				}
			}
		}
	}
	for name := range contract {
		if !covered[name] {
			t.Errorf("%s has no row in sdk/vectors/operations.json", name)
		}
		if !real[name] {
			t.Errorf("%s is not called in a vector with the real server", name)
		}
	}
}

// vectors are what every operation must do: be asked as the contract says, once if it fails for good, and once or
// again when the connection is lost.
func (r *row) vectors(n int) []vector {
	name := fmt.Sprintf("%s %02d", r.Operation, n)
	answer := map[string]any{"status": r.Status}
	switch {
	case r.Stream != "":
		answer["text"], answer["headers"] = r.Text, map[string]string{"Content-Type": r.Stream}
	case r.Answer != nil:
		answer["body"] = r.Answer
	}
	query, headers := map[string]any{}, map[string]any{}
	for member, value := range r.Args {
		if r.Method == "POST" || member == "body" || member == "take" || strings.HasSuffix(r.Path, "/"+fmt.Sprint(value)) || strings.Contains(r.Path, "/"+fmt.Sprint(value)+"/") {
			continue
		}
		if r.Operation == "streamEvents" && member == "after" {
			headers["last-event-id"] = value
			continue
		}
		query[member] = timeOr(member, fmt.Sprint(value))
	}
	request := map[string]any{"method": r.Method, "path": r.Path, "query": query, "headers": headers}
	if body, ok := r.Args["body"].(map[string]any); ok {
		written := map[string]any{}
		for member, value := range body {
			written[member] = timeOr(member, value)
		}
		request["body"] = written
	}
	connect := map[string]any{"retries": 1, "timeoutMs": 60_000}
	if r.Operation == "provisionApp" {
		headers["x-provisioning-key"] = provisioningKey
	} else {
		headers["x-app-id"], headers["x-api-key"] = "app", "key"
	}
	tries := []any{request}
	failed := map[string]any{"kind": "connection"}
	if r.Repeat {
		tries = append(tries, request)
		failed = nil
	}
	again := []act{{Cut: "after"}, actOf(answer)}
	refusal := actOf(map[string]any{"status": 418, "headers": map[string]string{"X-Request-Id": "req_1"}, "body": map[string]any{"error": "Wrong.", "details": map[string]any{"code": "of_a_newer_server", "more": 1}}})
	return []vector{
		{Name: name + ": asked as the contract says", Peer: []act{actOf(answer)}, Steps: []step{{Call: r.Call, Args: r.Args, Client: connect, Requests: []any{request}}}},
		{Name: name + ": the answer is lost", fault: true, Peer: again, Steps: []step{{Call: r.Call, Args: r.Args, Client: connect, Requests: tries, Error: failed}}},
		{Name: name + ": refused", fault: true, Peer: []act{refusal}, Steps: []step{{Call: r.Call, Args: r.Args, Client: connect, Requests: []any{request},
			Error: map[string]any{"kind": "api", "status": 418.0, "code": "of_a_newer_server", "message": "Wrong.", "requestId": "req_1", "details": map[string]any{"more": 1.0}}}}},
	}
}

// timeOr is what to expect of a member: a time may be written with or without milliseconds.
func timeOr(member string, value any) any {
	if strings.HasPrefix(member, "created") {
		return map[string]any{"$match": "^" + strings.TrimSuffix(fmt.Sprint(value), ".000Z") + `(\.000)?Z$`}
	}
	return value
}

func actOf(answer map[string]any) (a act) {
	raw, err := json.Marshal(map[string]any{"answer": answer})
	if err != nil {
		panic(err)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		panic(err)
	}
	return a
}

// TestClients runs every vector with every client.
func TestClients(t *testing.T) {
	t.Parallel()
	s := running(t)
	all := vectors(t)
	for _, of := range languages(t) {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			if of.missing != "" {
				t.Skip(of.missing)
			}
			d := newDrivers(t, of)
			w := &world{server: s, drivers: d, app: "app-" + strings.ToLower(of.name)}
			w.key = s.app(t, w.app)
			w.hello(t, all)
			for i, v := range all {
				if (v.Full || v.fault && of.brief) && os.Getenv("COMMS_TEST_FULL") == "" {
					continue
				}
				if slices.ContainsFunc(v.needs(), func(call string) bool { return slices.Contains(of.cannot, call) }) {
					continue
				}
				t.Run(v.Name, func(t *testing.T) {
					t.Parallel()
					w.run(t, &v, i)
				})
			}
		})
	}
}

// world is what the vectors of one client run in.
type world struct {
	server   *server
	drivers  *drivers
	app, key string
}

// hello asks a driver what it knows: every call of every vector, and nothing that no vector calls.
func (w *world) hello(t *testing.T, all []vector) {
	t.Helper()
	one, err := w.drivers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := one.do(map[string]any{"call": "hello"})
	if err != nil {
		t.Fatal(err)
	}
	w.drivers.free <- one
	knows, _ := got.Result.(map[string]any)["calls"].([]any)
	needed := map[string]bool{}
	for _, v := range all {
		for _, s := range v.Steps {
			if s.Call != "" {
				needed[s.Call] = true
			}
		}
	}
	for _, call := range slices.Sorted(maps.Keys(needed)) {
		if !slices.Contains(knows, any(call)) && !slices.Contains(w.drivers.of.cannot, call) {
			t.Errorf("the driver does not know %s", call)
		}
	}
	for _, call := range knows {
		if !needed[call.(string)] {
			t.Errorf("no vector calls %s", call)
		}
	}
	if methods, ok := got.Result.(map[string]any)["methods"].([]any); ok {
		for name := range operations(t) {
			if !slices.Contains(methods, any(name)) {
				t.Errorf("the client has no method %s", name)
			}
		}
	}
}

func (w *world) run(t *testing.T, v *vector, number int) {
	t.Helper()
	one, err := w.drivers.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { w.drivers.free <- one }()
	run := fmt.Sprintf("%d-%d", number, time.Now().UnixNano())
	known := names{"run": run, "app": w.app, "key": w.key, "url": w.server.url, "hookUrl": w.server.hook.URL + "/" + run, "provisioningKey": provisioningKey,
		"now": time.Now().UTC().Format(time.RFC3339Nano), "minuteAgo": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano), "hourAhead": time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano),
		"digits": fmt.Sprintf("%09d", time.Now().UnixNano()/1000%1_000_000_000)}
	if v.Full {
		known["eightMiB"] = strings.Repeat("x", 8<<20)
	}
	var p *peer
	if v.Peer != nil {
		p = newPeer(t, v.Peer)
		defer p.close()
		known["url"], known["app"], known["key"] = p.url(), "app", "key"
	}
	for i, s := range v.Steps {
		if s.Posted != "" {
			post, ok := w.server.posted(t.Context(), "/"+run)
			if !ok {
				t.Fatalf("step %d: no webhook was posted", i)
			}
			known[s.Posted] = post
			continue
		}
		if wrong := w.step(one, &s, known, p); wrong != "" {
			t.Fatalf("step %d, %s: %s", i, s.Call, wrong)
		}
	}
}

// step has a step done, again until its time is up if it is to be waited for.
func (w *world) step(one *driver, s *step, known names, p *peer) string {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		wrong := w.once(one, s, known, p)
		if wrong == "" || !s.Until || time.Now().After(end) {
			return wrong
		}
	}
}

func (w *world) once(one *driver, s *step, known names, p *peer) string {
	connect := map[string]any{"baseUrl": "${url}", "appId": "${app}", "apiKey": "${key}"}
	if s.Call == "provisionApp" {
		connect = map[string]any{"baseUrl": "${url}", "provisioningKey": "${provisioningKey}"}
	}
	maps.Copy(connect, s.Client)
	said := map[string]any{"call": s.Call, "client": connect, "args": s.Args}
	if s.AbortAfterMs != nil {
		said["abortAfterMs"] = *s.AbortAfterMs
	}
	filled, err := known.fill(said)
	if err != nil {
		return err.Error()
	}
	got, err := one.do(filled.(map[string]any))
	if err != nil {
		return err.Error()
	}
	wrong := ""
	switch want, err := known.fill(map[string]any{"expect": s.Expect, "error": s.Error}); {
	case err != nil:
		return err.Error()
	case s.Error == nil && got.Error != nil:
		wrong = "it failed: " + short(got.Error)
	case s.Error != nil && got.Error == nil:
		wrong = "it did not fail: " + short(got.Result)
	case s.Error != nil:
		wrong = known.match(want.(map[string]any)["error"], any(got.Error), "the error")
	case s.Expect != nil:
		wrong = known.match(want.(map[string]any)["expect"], got.Result, "the result")
	}
	if wrong == "" && s.Requests != nil {
		wrong = requested(s, known, p)
	}
	for name, path := range s.Note {
		value, found := dig(got.Result, strings.Split(path, "."))
		if !found && wrong == "" {
			wrong = "the result has no " + path + ": " + short(got.Result)
		}
		known[name] = value
	}
	return wrong
}

// requested holds what the peer got against what it should have got, since the vector began.
func requested(s *step, known names, p *peer) string {
	got := p.requests()
	if len(got) != len(s.Requests) {
		return fmt.Sprintf("%d requests, not %d", len(got), len(s.Requests))
	}
	for i, want := range s.Requests {
		want, err := known.fill(want)
		if err != nil {
			return err.Error()
		}
		request := got[i].value()
		if got[i].Cut {
			request = map[string]any{"cut": true}
		}
		if wrong := known.match(want, any(request), fmt.Sprintf("request %d", i)); wrong != "" {
			return wrong
		}
	}
	for i, least := range s.AtLeastMs {
		if gap := got[i+1].AtMs - got[i].AtMs; gap < least {
			return fmt.Sprintf("request %d came %d ms after the one before, not %d", i+1, gap, least)
		}
	}
	return ""
}
