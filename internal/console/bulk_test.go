package console

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// manyAPI is an API with messages of a status, newest first, which change as they are cancelled or retried.
type manyAPI struct {
	*fakeAPI
	mu      sync.Mutex
	left    []manyMessage
	pages   int // that were read
	asked   []string
	before  func(id string)   // each PATCH, if there is one
	refuses map[string]string // an id's answer
}

type manyMessage struct {
	ID        string    `json:"id"`
	Status    string    `json:"status"`
	ToAddress string    `json:"toAddress"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// many are n messages that were accepted a second apart, until a minute ago.
func many(n int) *manyAPI {
	api := &manyAPI{fakeAPI: &fakeAPI{answers: full()}, refuses: map[string]string{}}
	for i := range n {
		at := now().Add(-time.Minute - time.Duration(i)*time.Second)
		api.left = append(api.left, manyMessage{fmt.Sprintf("c%024d", n-i), "QUEUED", fmt.Sprintf("a%d@example.com", n-i), at, at})
	}
	return api
}

func (m *manyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, one := strings.CutPrefix(r.URL.Path, "/api/admin/messages/")
	switch {
	case r.Method == http.MethodPatch && one:
		if m.before != nil {
			m.before(id)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		m.asked = append(m.asked, id+string(body))
		answer := `200 {"id":"` + id + `"}`
		if m.refuses[id] != "" {
			answer = m.refuses[id]
		} else {
			m.left = slices.DeleteFunc(m.left, func(one manyMessage) bool { return one.ID == id })
		}
		w.WriteHeader(whole(answer[:3]))
		_, _ = io.WriteString(w, answer[4:])
	case r.URL.Path == "/api/admin/messages":
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pages++
		q := r.URL.Query()
		until, err := time.Parse(time.RFC3339, q.Get("createdBefore"))
		out := listing[manyMessage]{Data: []manyMessage{}}
		for _, one := range m.left {
			if err != nil || !one.CreatedAt.Before(until) || q.Get("cursor") != "" && one.ID >= q.Get("cursor") {
				continue
			}
			if len(out.Data) == whole(q.Get("limit")) {
				out.Next = out.Data[len(out.Data)-1].ID
				break
			}
			out.Data = append(out.Data, one)
		}
		_ = json.NewEncoder(w).Encode(out)
	default:
		m.mu.Lock()
		defer m.mu.Unlock()
		m.fakeAPI.ServeHTTP(w, r)
	}
}

// over makes a console over it, whose steps last so long.
func (m *manyAPI) over(t *testing.T, step time.Duration) *Console {
	t.Helper()
	c := open(t, m.fakeAPI)
	c.inside, c.bulkTime = newInside(m), step
	return c
}

const (
	bulkAt  = messagesPath + "/bulk"
	ofShop  = "?action=cancel&status=QUEUED&app=shop"
	counted = "&count=on"
	forever = time.Hour
)

// TestManyAreCountedFirst: as far as that is cheap, with some of them, and nothing is done.
func TestManyAreCountedFirst(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{3: "3 messages of the app shop will be cancelled", 250: "250 messages of the app shop will be cancelled", bulkCount + 50: "More than 10 000 messages of the app shop will be cancelled"} {
		api := many(n)
		body := ask(api.over(t, forever), "GET", bulkAt+ofShop+counted, nil).Body.String()
		if !strings.Contains(strings.ReplaceAll(body, "\u202f", " "), want) || !strings.Contains(body, fmt.Sprintf("a%d@example.com", n)) || strings.Count(body, "<tr><td>") != min(n, bulkShown) {
			t.Errorf("%d are shown as %s", n, body)
		}
		if len(api.asked) != 0 || api.pages > bulkCount/bulkPage {
			t.Errorf("%d: %d pages were read, and %q done", n, api.pages, api.asked)
		}
		if typed := strings.Contains(body, `name="confirm"`); typed != (n > bulkAsks) {
			t.Errorf("%d: a word has to be typed: %v", n, typed)
		}
	}
	api := many(300)
	if body := ask(api.over(t, 0), "GET", bulkAt+ofShop+counted, nil).Body.String(); !strings.Contains(body, "More than 100 messages") || api.pages != 1 {
		t.Errorf("counting went on for %d pages beyond its time: %s", api.pages, body)
	}
	if body := ask(many(0).over(t, forever), "GET", bulkAt+ofShop, nil).Body.String(); !strings.Contains(body, "Nothing like this") {
		t.Errorf("none: %s", body)
	}
}

// TestTheFirstViewIsQuick: it reads one page. Where that is not all, nothing can be pressed until the rest is counted, for which the
// browser asks by itself, and a person by a link; and what can be pressed then is about what was counted.
func TestTheFirstViewIsQuick(t *testing.T) {
	t.Parallel()
	all := many(bulkPage)
	if body := ask(all.over(t, forever), "GET", bulkAt+ofShop, nil).Body.String(); all.pages != 1 || !strings.Contains(body, "100 messages of the app shop will be cancelled") || strings.Contains(body, "hx-trigger") {
		t.Errorf("after %d pages a page of them is not shown with its form: %s", all.pages, body)
	}
	api := many(bulkPage + 1)
	c := api.over(t, forever)
	body := ask(c, "GET", bulkAt+ofShop, nil).Body.String()
	if api.pages != 1 || !strings.Contains(body, "At least 100 messages of the app shop would be cancelled") || !strings.Contains(body, "a101@example.com") || strings.Contains(body, `name="`+pressKey+`"`) || strings.Contains(body, `action="`+bulkAt+`"`) {
		t.Errorf("after %d pages: %s", api.pages, body)
	}
	found := regexp.MustCompile(`id="bulk" hx-get="([^"]+)" hx-trigger="load"`).FindStringSubmatch(body)
	if found == nil || !strings.Contains(body, `by-hand" href="`+found[1]+`"`) {
		t.Fatalf("nobody counts them: %s", body)
	}
	later := now().Add(time.Minute) // one more came before they were counted: it is among them
	c.cfg.Now = func() time.Time { return later }
	api.left = slices.Insert(api.left, 0, manyMessage{ID: fmt.Sprintf("c%024d", 900), Status: "QUEUED", CreatedAt: later.Add(-time.Second)})
	at := html.UnescapeString(found[1])
	for name, body := range map[string]string{"part": ask(c, "GET", at, nil, "HX-Request", "true", "HX-Target", "bulk").Body.String(), "page": ask(c, "GET", at, nil).Body.String()} {
		form := hiddenIn(body, nil)
		if !strings.Contains(body, "102 messages of the app shop will be cancelled") || form.Get("until") != later.Format(time.RFC3339Nano) || form.Get("total") != "102" || form.Get(pressKey) == "" || strings.Contains(body, "hx-trigger") ||
			strings.HasPrefix(body, `<div class="card narrow" id="bulk">`) != (name == "part") {
			t.Errorf("the %s that was counted: %s", name, body)
		}
	}
}

// TestOnePressDoesAll: in steps that are bounded, each message once, and what came or changed after the list was shown is left.
func TestOnePressDoesAll(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{0, forever} {
		api := many(230)
		c := api.over(t, forever)
		form := shownOn(t, c, bulkAt+ofShop+counted, nil)
		c.bulkTime = step
		api.left = slices.Insert(api.left, 0, manyMessage{ID: fmt.Sprintf("c%024d", 900), Status: "QUEUED", CreatedAt: now().Add(time.Second)})
		steps, status, to, body := 0, 0, "", ""
		for ; steps < 300; steps++ {
			if status, to, body = post(t, c, bulkAt, form); status != http.StatusOK {
				break
			}
			if !strings.Contains(body, `hx-trigger="load"`) || !strings.Contains(body, "of 230.") {
				t.Fatalf("step %d does not go on: %s", steps, body)
			}
			form = hiddenIn(body, nil)
		}
		if status != http.StatusSeeOther || to != messagesPath+"?app=shop&status=QUEUED" || step == 0 && steps < 230/bulkBeside || step != 0 && steps != 0 {
			t.Errorf("%v: %d to %s after %d steps", step, status, to, steps)
		}
		newest := fmt.Sprintf(`c%024d{"action":"CANCEL"}`, 230)
		if len(api.asked) != 230 || len(api.left) != 1 || !slices.Contains(api.asked[:bulkBeside], newest) {
			t.Errorf("%v: %d were done, %d are left, the first %q", step, len(api.asked), len(api.left), api.asked[:bulkBeside])
		}
	}
}

// TestWhatCouldNotBeIsTold: counted by why, over all steps, and what came to its end after the list was shown is left alone.
func TestWhatCouldNotBeIsTold(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{0, forever} {
		api := many(40) // five times as many as are done at once
		for i := range 5 {
			api.refuses[api.left[i].ID] = `409 {"error":"This one is <b>SENT</b>.","details":{"code":"invalid_state"}}`
		}
		for i := 10; i < 13; i++ {
			api.left[i].UpdatedAt = now().Add(time.Second)
		}
		c := api.over(t, step)
		form := shownOn(t, c, bulkAt+"?action=retry&status=FAILED&app=shop", nil)
		body := ""
		for range 50 {
			if _, _, body = post(t, c, bulkAt, form); !strings.Contains(body, `hx-trigger="load"`) {
				break
			}
			form = hiddenUnescaped(body)
		}
		for _, want := range []string{"32 messages are queued again, 8 could not be.", "5: This one is &lt;b&gt;SENT&lt;/b&gt;.", "3: " + bulkLate, "Back to the messages"} {
			if !strings.Contains(body, want) {
				t.Errorf("%v: %q is not told: %s", step, want, body)
			}
		}
		if len(api.asked) != 37 {
			t.Errorf("%v: %d were asked for", step, len(api.asked))
		}
	}
}

// hiddenUnescaped are the hidden fields of a page with all values of each, as a browser sends them.
func hiddenUnescaped(body string) url.Values {
	out := url.Values{}
	_, body, _ = strings.Cut(body, `hx-trigger="load"`)
	body, _, _ = strings.Cut(body, "</form>")
	for _, one := range strings.Split(body, `<input type="hidden" name="`)[1:] {
		name, value, _ := strings.Cut(one, `" value="`)
		value, _, _ = strings.Cut(value, `">`)
		out.Add(name, html.UnescapeString(value))
	}
	return out
}

// TestReasonsAreBounded: however many there are.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	b := &bulk{}
	for i := range 3 * bulkWhy {
		b.refuse(fmt.Sprint(i % (2 * bulkWhy)))
	}
	if len(b.Why) != bulkWhy+1 || b.Why[0].N != 2 || b.Why[bulkWhy] != (because{bulkWhy, bulkOthers}) || b.Failed != 3*bulkWhy {
		t.Errorf("%+v", b)
	}
}

// TestManyAskForAWord: all apps at once, or very many messages, take more than a press.
func TestManyAskForAWord(t *testing.T) {
	t.Parallel()
	for query, word := range map[string]string{"?action=cancel&status=QUEUED": everyApp, "?action=retry&status=FAILED": everyApp, ofShop: "shop"} {
		api := many(bulkAsks + 1)
		c := api.over(t, forever)
		form := shownOn(t, c, bulkAt+query+counted, nil)
		for _, slip := range []string{"", "shops", "All apps"} {
			form.Set("confirm", slip)
			status, _, body := post(t, c, bulkAt, form)
			if status != http.StatusOK || len(api.asked) != 0 || !strings.Contains(body, "What was typed is not "+word+". Nothing was changed.") || !strings.Contains(body, "Type <code>"+word+"</code>") {
				t.Errorf("%s: %q does %d of them: %d %s", query, slip, len(api.asked), status, body)
			}
		}
		form.Set("confirm", word)
		status, _, body := post(t, c, bulkAt, form)
		if status != http.StatusOK || len(api.asked) != bulkMost {
			t.Errorf("%s: %q does %d of them: %d %s", query, word, len(api.asked), status, body)
		}
		if status, _, body = post(t, c, bulkAt, hiddenIn(body, nil)); status != http.StatusSeeOther || len(api.asked) != bulkAsks+1 {
			t.Errorf("%s: %d of them in two steps: %d %s", query, len(api.asked), status, body)
		}
	}
}

// TestABulkStepIsTakenOnce: a second click, or the page loaded again, finds what the first came to, and where it goes on.
func TestABulkStepIsTakenOnce(t *testing.T) {
	t.Parallel()
	api := many(9)
	c := api.over(t, 0)
	form := shownOn(t, c, bulkAt+ofShop, nil)
	next := map[string]bool{}
	for range 3 {
		_, _, body := post(t, c, bulkAt, form)
		next[hiddenIn(body, nil).Get(pressKey)] = true
	}
	if len(api.asked) != bulkBeside || len(next) != 1 || next[form.Get(pressKey)] || next[""] {
		t.Errorf("%d were done, and it goes on by %v", len(api.asked), next)
	}
	form.Del(pressKey)
	if status, _, _ := post(t, c, bulkAt, form); status != http.StatusBadRequest || len(api.asked) != bulkBeside {
		t.Errorf("without a press: %d", status)
	}
}

// TestABulkIsStopped: what is under way is waited for, so that the figures hold; and it can go on from there.
func TestABulkIsStopped(t *testing.T) {
	t.Parallel()
	api := many(9)
	c := api.over(t, 0)
	form := shownOn(t, c, bulkAt+ofShop, nil)
	good, under, goOn := token(t, c), make(chan struct{}), make(chan struct{})
	var once sync.Once
	api.before = func(string) {
		once.Do(func() { close(under) })
		<-goOn
	}
	press := func(more url.Values) *httptest.ResponseRecorder {
		sent := url.Values{"_token": {good}}
		maps.Copy(sent, form)
		maps.Copy(sent, more)
		return ask(c, "POST", bulkAt, sent)
	}
	var wg sync.WaitGroup
	wg.Go(func() { press(nil) })
	<-under
	var stopped string
	wg.Go(func() { stopped = press(url.Values{"stop": {"on"}}).Body.String() })
	close(goOn)
	wg.Wait()
	if !strings.Contains(stopped, "8 messages are cancelled, of 9.") || !strings.Contains(stopped, "You stopped it") || strings.Contains(stopped, `hx-trigger="load"`) {
		t.Errorf("%s", stopped)
	}
	form = hiddenIn(stopped, nil)
	c.bulkTime = forever
	if status, _, _ := post(t, c, bulkAt, form); status != http.StatusSeeOther || len(api.asked) != 9 {
		t.Errorf("going on: %d after %d", status, len(api.asked))
	}
	// Stopped before its next step is taken, it takes none.
	api = many(9)
	c = api.over(t, 0)
	form = shownOn(t, c, bulkAt+ofShop, url.Values{"stop": {"on"}})
	if _, _, body := post(t, c, bulkAt, form); !strings.Contains(body, "0 messages are cancelled, of 9.") || len(api.asked) != 0 {
		t.Errorf("%d were done: %s", len(api.asked), body)
	}
}

// TestABulkHalts: where the API fails, it says how far it is, and does not go on by itself.
func TestABulkHalts(t *testing.T) {
	t.Parallel()
	api := many(9)
	c := api.over(t, forever)
	bad := api.left[4].ID
	api.refuses[bad] = `503 {"error":"The database is away.","details":{"code":"unavailable"}}`
	form := shownOn(t, c, bulkAt+ofShop, nil)
	_, _, body := post(t, c, bulkAt, form)
	if !strings.Contains(body, "It stopped: The database is away.") || !strings.Contains(body, "7 messages are cancelled, of 9.") || strings.Contains(body, `hx-trigger="load"`) {
		t.Errorf("%s", body)
	}
	delete(api.refuses, bad)
	if status, _, _ := post(t, c, bulkAt, hiddenIn(body, nil)); status != http.StatusSeeOther || len(api.left) != 0 {
		t.Errorf("going on: %d, %d are left", status, len(api.left))
	}
	api.refuses[bad] = `401 {"error":"Sign in.","details":{"code":"unauthenticated"}}`
	api.left = many(9).left
	if status, to, _ := post(t, c, bulkAt, shownOn(t, c, bulkAt+ofShop, nil)); status != http.StatusSeeOther || !strings.HasPrefix(to, Root+"/sign-in") {
		t.Errorf("signed out: %d to %s", status, to)
	}
}
