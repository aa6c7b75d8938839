package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// shownOn are the hidden fields of a page, with what is filled in.
func shownOn(t *testing.T, c *Console, path string, filled url.Values) url.Values {
	t.Helper()
	w := ask(c, "GET", path, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d", path, w.Code)
	}
	return hiddenIn(w.Body.String(), filled)
}

func hiddenIn(body string, filled url.Values) url.Values {
	out := url.Values{}
	for _, found := range regexp.MustCompile(`<input type="hidden" name="([a-zA-Z][^"]*)" value="([^"]*)">`).FindAllStringSubmatch(body, -1) {
		out.Set(found[1], found[2])
	}
	maps.Copy(out, filled)
	return out
}

// TestATemplateIsSentOnce: two clicks, or the form sent once more by loading, are one message; the form shown again is another.
func TestATemplateIsSentOnce(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":true}`
	api.answers["GET /api/v1/templates/"+oneID] = `200 {"id":"` + oneID + `","key":"code","channel":"SMS","name":"Code","body":"Hi","version":3}`
	api.answers["POST /api/v1/messages"] = `202 {"id":"c00000000000000000000007a","status":"QUEUED"}`
	c, at := open(t, api), templatesPath+"/shop/"+oneID+"/send"
	keyOf := regexp.MustCompile(`"idempotencyKey":"([^"]+)"`)
	sent := func() (keys []string) {
		for _, body := range api.asked("POST /api/v1/messages") {
			found := keyOf.FindStringSubmatch(body)
			if found == nil {
				t.Fatalf("%s has no key", body)
			}
			keys = append(keys, found[1])
		}
		return keys
	}
	for range 2 {
		form := shownOn(t, c, at, url.Values{"to": {"233241234567"}})
		for range 2 {
			if status, to, _ := post(t, c, at, form); status != http.StatusSeeOther || to != messagesPath+"/c00000000000000000000007a" {
				t.Errorf("%d to %s", status, to)
			}
		}
	}
	if keys := sent(); len(keys) != 4 || keys[0] != keys[1] || keys[2] != keys[3] || keys[0] == keys[2] {
		t.Errorf("%q", keys)
	}
	// Sent again with other entries: it says so, and the next press goes out.
	api.answers["POST /api/v1/messages"] = `409 {"error":"This key was used.","details":{"code":"idempotency_key_reused"}}`
	form := shownOn(t, c, at, url.Values{"to": {"233241234568"}})
	status, _, body := post(t, c, at, form)
	if again := hiddenIn(body, nil); status != http.StatusConflict || !strings.Contains(body, "was sent already, with other entries") || !strings.Contains(body, `value="233241234568"`) || again.Get(pressKey) == "" || again.Get(pressKey) == form.Get(pressKey) {
		t.Errorf("%d %q", status, again)
	}
	// One that is refused keeps its key: nothing was sent under it.
	api.answers["POST /api/v1/messages"] = `400 {"error":"A field is wrong.","details":{"code":"invalid_to","fields":{"to":"is no number"}}}`
	if _, _, body := post(t, c, at, form); hiddenIn(body, nil).Get(pressKey) != form.Get(pressKey) {
		t.Error("a refused form has another key")
	}
	form.Del(pressKey)
	if before := len(sent()); true {
		if status, _, _ := post(t, c, at, form); status != http.StatusBadRequest || len(sent()) != before {
			t.Errorf("without a key: %d", status)
		}
	}
}

func TestATestOfAProviderIsSentOnce(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	const call = "POST " + ofAll + "/" + oneID + "/test"
	api.answers[call] = `200 {"ok":true,"class":"accepted","reference":"ref-1","tookMs":9}`
	c, at := open(t, api), providersPath+"/"+oneID
	form := shownOn(t, c, at, url.Values{"to": {"ama@example.com"}})
	for n := range 3 {
		status, _, body := post(t, c, at+"/test", form)
		if status != http.StatusOK || !strings.Contains(body, "The provider took the message") || !strings.Contains(body, "ref-1") || len(api.asked(call)) != 1 {
			t.Errorf("press %d: %d, %d were sent", n, status, len(api.asked(call)))
		}
		if next := hiddenIn(body, nil).Get(pressKey); next == "" || next == form.Get(pressKey) {
			t.Error("the form that is shown beside the answer cannot be sent")
		}
	}
	form.Set("to", "kofi@example.com")
	if post(t, c, at+"/test", form); len(api.asked(call)) != 2 {
		t.Error("another address is not written to")
	}
	form = shownOn(t, c, at, url.Values{"to": {"ama@example.com"}})
	api.answers[call] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	if status, _, _ := post(t, c, at+"/test", form); status != http.StatusServiceUnavailable {
		t.Errorf("%d", status)
	}
	api.answers[call] = `200 {"ok":true,"class":"accepted","tookMs":9}`
	if status, _, _ := post(t, c, at+"/test", form); status != http.StatusOK || len(api.asked(call)) != 4 {
		t.Errorf("after an error: %d, %d were sent", status, len(api.asked(call)))
	}
	form.Del(pressKey)
	if status, _, _ := post(t, c, at+"/test", form); status != http.StatusBadRequest || len(api.asked(call)) != 4 {
		t.Errorf("without a key: %d", status)
	}
}

// TestPresses: presses at once are done once, also when the first of the two is given up; how many are remembered is bounded.
func TestPresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &presses[int]{most: 3}
		done, go1 := 0, make(chan struct{})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if got, err := p.once(t.Context(), "a", func() (int, error) { <-go1; done++; return 7, nil }); got != 7 || err != nil {
					t.Error(got, err)
				}
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.once(gone, "a", nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(go1)
		wg.Wait()
		if done != 1 {
			t.Errorf("done %d times", done)
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = p.once(t.Context(), "b", func() (int, error) { panic("x") })
		}()
		for _, key := range []string{"b", "c", "d", "e"} {
			if got, err := p.once(t.Context(), key, func() (int, error) { return 8, nil }); got != 8 || err != nil {
				t.Error(key, got, err)
			}
		}
		if len(p.known) != 3 || len(p.order) != 3 {
			t.Errorf("%d and %d are remembered", len(p.known), len(p.order))
		}
	})
}

// TestAPressOutlastsItsBrowser: what the first of two clicks began goes on when the browser gives it up, so that the second finds it.
func TestAPressOutlastsItsBrowser(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	_, v := over(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		if r.Context().Err() != nil {
			t.Error("the call ended with the browser")
		}
		w.WriteHeader(http.StatusNoContent)
	}, ctx)
	if err := send(v.lasting(), "", http.MethodPost, ofAll+"/"+oneID+"/test", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestPressesAreShort: the name of a showing is ours, and short; a long one is refused before anything is asked for, and nothing of it is kept.
func TestPressesAreShort(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":true}`
	api.answers["GET /api/v1/templates/"+oneID] = `200 {"id":"` + oneID + `","key":"code","channel":"SMS","name":"Code","body":"Hi","version":3}`
	api.answers["POST /api/v1/messages"] = `202 {"id":"c00000000000000000000007a","status":"QUEUED"}`
	api.answers["POST "+ofAll+"/"+oneID+"/test"] = `200 {"ok":true,"class":"accepted","tookMs":9}`
	api.answers["GET /api/admin/messages"] = `200 {"data":[]}`
	c := open(t, api)
	for at, form := range map[string]url.Values{
		templatesPath + "/shop/" + oneID + "/send": {"to": {"233241234567"}},
		providersPath + "/" + oneID + "/test":      {"to": {"ama@example.com"}},
		messagesPath + "/bulk":                     {"action": {"cancel"}, "status": {"QUEUED"}, "app": {"shop"}},
	} {
		for length, good := range map[int]bool{len(newPress()): true, 100: true, 101: false, 1 << 20: false} {
			form.Set(pressKey, strings.Repeat("p", length))
			posted, kept := len(api.asked("POST")), len(c.tests.known)+len(c.bulks.known)
			status, _, body := post(t, c, at, form)
			if !good && (status != http.StatusBadRequest || !strings.Contains(body, "was not sent by a page of this console") || len(api.asked("POST")) != posted || len(c.tests.known)+len(c.bulks.known) != kept) || good && status >= http.StatusBadRequest {
				t.Errorf("%s with %d bytes: %d", at, length, status)
			}
		}
	}
	form := url.Values{pressKey: {"p"}, "action": {"cancel"}, "status": {"QUEUED"}, "app": {"shop"}, "tag": {strings.Repeat("t", 40<<10)}}
	if status, _, _ := post(t, c, messagesPath+"/bulk", form); status != http.StatusBadRequest {
		t.Errorf("a step that is remembered with 40 KiB: %d", status)
	}
}
