package browser

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/test/browser/staged"
)

// garden is a server with every payload in every field that takes it.
type garden struct {
	t    *testing.T
	w    *staged.World
	all  []payload
	mu   sync.Mutex
	took map[string]int // by field
	hard []string       // messages with texts that their subject did not take
	some []string       // a few of the others
	of   map[int]string // a message with each payload
}

func (g *garden) count(field string, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.took[field] += n
}

// each does something for every payload, some at a time. A refusal is no matter: that field does not take the text.
func (g *garden) each(field string, do func(p payload) error) {
	g.t.Helper()
	next := make(chan payload)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for p := range next {
				err := do(p)
				if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status < 500 {
					continue
				}
				if err != nil {
					g.t.Errorf("%s, payload %d: %v", field, p.N, err)
					continue
				}
				g.count(field, 1)
			}
		})
	}
	for _, p := range g.all {
		next <- p
	}
	close(next)
	wg.Wait()
}

// call calls the server as the administrator, for an app if one is named.
func (g *garden) call(method, path, app string, body any) (int, []byte) {
	g.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.w.URL+path, bytes.NewReader(b))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Admin-Key", g.w.AdminKey)
	if app != "" {
		req.Header.Set("X-App-Id", app)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, said
}

// numbered finds the number of a payload in a text, as executes.mjs does on a page.
var numbered = regexp.MustCompile(`[(/\\=:]([12]\d{3})\b`)

// send sends messages in batches. From one that is refused for a field that field is taken away, as often as it takes.
func (g *garden) send(app string, kind string, messages []map[string]any) {
	g.t.Helper()
	for round := 0; len(messages) > 0 && round < 12; round++ {
		status, said := g.call(http.MethodPost, "/api/v1/messages/batch", app, map[string]any{"messages": messages})
		var answer struct {
			Data []struct {
				ID      string
				Error   string
				Details struct{ Fields map[string]string }
			}
		}
		if err := json.Unmarshal(said, &answer); err != nil || status >= 300 && status != http.StatusBadRequest {
			g.t.Fatalf("%d %.300s %v", status, said, err)
		}
		var again []map[string]any
		for i, item := range answer.Data {
			if item.ID != "" {
				for field := range messages[i] {
					g.count(kind+" "+field, 1)
				}
				for _, found := range numbered.FindAllStringSubmatch(fmt.Sprint(messages[i]), -1) {
					n, _ := strconv.Atoi(found[1])
					g.of[n] = item.ID
				}
				if kind != "answered" && messages[i]["subject"] == "Plain" {
					g.hard = append(g.hard, item.ID)
				} else if i%24 == 0 {
					g.some = append(g.some, item.ID)
				}
				continue
			}
			m, fewer := messages[i], false
			for path := range item.Details.Fields {
				field := path[:len(path)-len(strings.TrimLeft(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))]
				if _, there := m[field]; there && field != "to" && field != "channel" {
					delete(m, field)
					fewer = true
				}
			}
			if !fewer {
				continue
			}
			for field, plain := range map[string]string{"subject": "Plain", "body": "Plain"} {
				if _, there := m[field]; !there && (field == "body" || m["channel"] == "EMAIL") {
					m[field] = plain
				}
			}
			again = append(again, m)
		}
		messages = again
	}
}

// answering is a provider, and a receiver of webhooks, whose every answer is a payload.
func (g *garden) answering() *httptest.Server {
	turn, named := 0, regexp.MustCompile(`payload-(\d+)`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var p payload
		if m := named.FindSubmatch(body); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			p = g.all[n-g.all[0].N]
		} else {
			g.mu.Lock()
			p, turn = g.all[turn%len(g.all)], turn+1
			g.mu.Unlock()
		}
		if strings.HasPrefix(r.URL.Path, "/hook") {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, p.Text)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if p.N%3 == 0 {
			_ = json.NewEncoder(w).Encode(map[string]any{"id": p.Text})
			return
		}
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]any{"statusCode": 422, "name": "validation_error", "message": p.Text})
	}))
	g.t.Cleanup(srv.Close)
	return srv
}

// plant puts the payloads everywhere. Every kind of thing has one app that holds all of it, so that lists show all.
func (g *garden) plant() {
	g.t.Helper()
	ctx, admin, answers := g.t.Context(), g.w.Admin(), g.answering()
	live := false
	for _, slug := range []string{"hostile", "hostile-1", "hostile-2", "answers"} {
		made, err := admin.CreateApp(ctx, client.AdminApp{Name: slug, Slug: slug, RatePerMinute: 1_000_000})
		if err != nil {
			g.t.Fatal(err)
		}
		g.w.Apps[slug] = made.App.ID
	}
	hostile := admin.For("hostile")
	resend := func(n int) map[string]any {
		return map[string]any{"apiKey": "re_payload_0123456789", "baseUrl": answers.URL + fmt.Sprint("/", n), "from": "Shop <no-reply@example.com>"}
	}
	g.each("app name", func(p payload) error {
		slug := fmt.Sprint("h-", p.N)
		made, err := admin.CreateApp(ctx, client.AdminApp{Name: p.Text, Slug: slug})
		if err == nil {
			g.mu.Lock()
			g.w.Apps[slug] = made.App.ID
			g.mu.Unlock()
		}
		return err
	})
	g.each("key name", func(p payload) error {
		_, err := admin.CreateKey(ctx, "hostile", client.NewKey{Name: p.Text})
		return err
	})
	g.each("template", func(p payload) error {
		made, err := hostile.CreateTemplate(ctx, client.NewTemplate{Key: fmt.Sprint("t-", p.N), Channel: "EMAIL", Name: p.Text, Subject: p.Text, Body: p.Text, Text: p.Text})
		if err != nil { // {{ }} is refused where it is no placeholder
			made, err = hostile.CreateTemplate(ctx, client.NewTemplate{Key: fmt.Sprint("t-", p.N), Channel: "EMAIL", Name: p.Text, Subject: "Plain", Body: "Plain"})
		}
		if err == nil && p.N%10 == 0 { // a second version, for the difference
			_, err = hostile.UpdateTemplate(ctx, made.ID, client.TemplateChange{Body: new(made.Body + "<p>" + "more")})
		}
		return err
	})
	g.each("provider name", func(p payload) error {
		app := "hostile" // which has room for a hundred
		if p.N%3 > 0 {
			app = fmt.Sprint("hostile-", p.N%3)
		}
		_, err := admin.For(app).CreateProvider(ctx, client.ProviderChange{ProviderType: "RESEND", Name: &p.Text, Config: resend(p.N)})
		return err
	})
	g.each("suppression note", func(p payload) error {
		_, _, err := hostile.Suppress(ctx, "EMAIL", fmt.Sprintf("n%d@example.com", p.N), "manual", p.Text)
		return err
	})
	g.each("endpoint", func(p payload) error {
		app := "hostile" // which has room for twenty
		if p.N%15 != 0 {
			app = fmt.Sprint("h-", p.N)
		}
		_, err := admin.For(app).CreateEndpoint(ctx, client.EndpointChange{Name: p.Text, URL: answers.URL + "/hook/" + url.PathEscape(p.Text), Tags: &[]string{fmt.Sprint("hook-", p.N%15)}})
		if err != nil {
			_, err = admin.For(app).CreateEndpoint(ctx, client.EndpointChange{Name: fmt.Sprint("n", p.N), URL: answers.URL + "/hook/" + url.PathEscape(p.Text)})
		}
		return err
	})
	var mails, texts, live1 []map[string]any
	for _, p := range g.all {
		mails = append(mails, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("m%d@example.com", p.N), "subject": p.Text, "body": "<p>" + p.Text, "text": p.Text, "from": strconv.Quote(strings.Map(printable, p.Text)) + " <no-reply@example.com>",
			"replyTo": strconv.Quote(strings.Map(printable, p.Text)) + " <r@example.com>", "tags": []string{cut(p.Text, 50), "hook-0"}, "metadata": map[string]any{"key": p.Text, p.Text: 1}, "idempotencyKey": strings.Map(printable, p.Text) + fmt.Sprint("-", p.N),
			"headers": map[string]string{"X-Campaign": p.Text}})
		texts = append(texts, map[string]any{"channel": "SMS", "to": fmt.Sprint("23324100", p.N), "body": p.Text, "from": cut(p.Text, 11), "tags": []string{cut(p.Text, 50)}, "metadata": map[string]any{"key": p.Text}})
		live1 = append(live1, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("a%d@example.com", p.N), "subject": fmt.Sprint("payload-", p.N), "body": "Plain"})
	}
	g.send("hostile", "mail", mails)
	g.send("hostile", "sms", texts)
	if _, err := admin.For("answers").CreateProvider(ctx, client.ProviderChange{ProviderType: "RESEND", Name: new("Answers"), Config: resend(0)}); err != nil {
		g.t.Fatal(err)
	}
	if _, err := admin.UpdateApp(ctx, "answers", client.AdminApp{SandboxMode: &live}); err != nil {
		g.t.Fatal(err)
	}
	g.send("answers", "answered", live1)
}

// printable leaves out what a quoted name in a header cannot hold.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// TestNothingRuns puts every payload into every field and opens the pages that show them: nothing runs, opens, asks or is planted.
func TestNothingRuns(t *testing.T) {
	need(t)
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	w, err := staged.Empty(t.Context(), staged.Options{Program: path, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	console(t, w)
	g := &garden{t: t, w: w, all: payloads(), took: map[string]int{}, of: map[int]string{}}
	g.plant()
	packed, named := g.pack("hostile")
	for field, least := range map[string]int{"app name": 150, "template": 150, "provider name": 150, "endpoint": 150, "mail subject": 150, "mail body": 150, "mail metadata": 150, "sms body": 150, "answered body": 150,
		"packed attachments": 50, "packed cc": 150, "packed bcc": 150} {
		if g.took[field] < least {
			t.Errorf("the field %q took %d payloads", field, g.took[field])
		}
	}
	t.Logf("payloads by field: %v", g.took)
	l := looked{World: w, Full: full(), Start: []string{"/console"}, Below: "/console", Slugs: slices.Collect(maps.Keys(w.Apps)), Most: 5, Fill: 4, Payloads: g.all}
	if full() {
		l.Most, l.Fill = 1000, len(g.all)
	}
	for _, id := range slices.Concat(g.hard, g.some) {
		l.Start = append(l.Start, "/console/messages/"+id)
	}
	for _, id := range packed {
		l.Start = append(l.Start, "/console/sandbox/hostile/"+id, "/console/sandbox/hostile/"+id+"?view=source", "/console/messages/"+id)
	}
	for _, p := range g.all {
		if full() || p.N%40 == 0 { // addresses that nothing is at, and what is asked for in them
			l.Start = append(l.Start, "/console/"+url.PathEscape(p.Text), "/console/messages?find="+url.QueryEscape(p.Text), "/docs/search?q="+url.QueryEscape(p.Text))
		}
	}
	shown, pages := map[int]bool{}, 0
	walk := func(l looked) []verdict {
		all := node.do(t, "executes", l)
		for _, v := range all {
			pages += v.Asked
			for _, n := range v.Numbers {
				shown[n] = true
				if v.Page == "/console/sandbox/{app}/{id}" {
					delete(named, n)
				}
			}
			t.Logf("%d pages %s show %d payloads", v.Asked, v.Page, len(v.Numbers))
		}
		return all
	}
	all := walk(l)
	// Which pages of a kind are opened differs; what stood on none of them stands on the page of its message.
	rest := looked{World: w, Full: full(), Below: "/nothing", Slugs: l.Slugs, Most: 1, Payloads: g.all}
	for _, p := range g.all {
		if !shown[p.N] && g.of[p.N] != "" {
			rest.Start = append(rest.Start, "/console/messages/"+g.of[p.N])
		}
	}
	if len(rest.Start) > 0 {
		all = append(all, walk(rest)...)
	}
	if len(named) > 0 {
		t.Errorf("no page of a captured mail shows the files that are named by the payloads %v", slices.Sorted(maps.Keys(named)))
	}
	missing := 0
	for _, p := range g.all {
		if !shown[p.N] {
			missing++
			t.Logf("nowhere: %s: %q", p.Class, p.Text)
		}
	}
	t.Logf("%d pages were opened, %d of %d payloads stood on them", pages, len(g.all)-missing, len(g.all))
	if missing > 0 {
		t.Errorf("%d payloads stood on no page that was opened", missing)
	}
	report(t, all)
}
