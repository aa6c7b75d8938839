package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
)

// over makes a console whose API is any handler, and a visit of it.
func over(t *testing.T, api http.HandlerFunc, ctx context.Context) (*Console, *visit) {
	t.Helper()
	c := open(t, &fakeAPI{})
	c.inside = newInside(api)
	r := httptest.NewRequestWithContext(ctx, "GET", "https://comms.example/console/messages?status=FAILED", nil)
	r.Header.Set("Cookie", cookie)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	r.Header.Set("X-Admin-Key", "never passed on")
	return c, &visit{c: c, w: httptest.NewRecorder(), r: r}
}

// TestInside: the API is called as the browser would call it, and no key comes from the console.
func TestInside(t *testing.T) {
	t.Parallel()
	_, v := over(t, func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-Admin-Key", "X-Api-Key", "X-Provisioning-Key"} {
			if _, there := r.Header[name]; there {
				t.Errorf("%s was sent", name)
			}
		}
		if r.Host != "comms.example" || r.RemoteAddr == "" || r.Header.Get("Cookie") != cookie || r.Header.Get("X-Forwarded-For") != "192.0.2.7" || r.RequestURI != "/api/v1/templates?limit=5" || r.Header.Get("X-App-Id") != "shop" {
			t.Errorf("%s %s %s %v", r.Host, r.RemoteAddr, r.RequestURI, r.Header)
		}
		w.Header().Set("Set-Cookie", "fresh=1")
		w.WriteHeader(http.StatusContinue)
		_, _ = io.WriteString(w, `{"data":[{"key":"a"}],"nextCursor":null}`)
	}, t.Context())
	got, err := fetch[listing[struct{ Key string }]](v, "shop", "/api/v1/templates", url.Values{"limit": {"5"}})
	if err != nil || len(got.Data) != 1 || got.Data[0].Key != "a" || got.Next != "" {
		t.Errorf("%+v %v", got, err)
	}
	if v.w.Header().Get("Set-Cookie") != "fresh=1" {
		t.Error("the API's cookie did not reach the browser")
	}
}

func TestInsideEnds(t *testing.T) {
	t.Parallel()
	for name, api := range map[string]http.HandlerFunc{
		"panics": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"panics in the middle": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"data":`)
			panic("x")
		},
	} {
		_, v := over(t, api, t.Context())
		if _, err := fetch[listing[int]](v, "", "/api/admin/apps", nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// What answers nothing ends with the browser.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	_, v := over(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		_, _ = io.WriteString(w, "what nobody reads")
		close(ended)
	}, ctx)
	if _, err := fetch[listing[int]](v, "", "/api/admin/apps", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-ended
	// A reader that has enough ends its handler.
	stopped := make(chan error, 1)
	_, v = over(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<10)); err != nil {
				stopped <- err
				return
			}
		}
	}, t.Context())
	req, err := http.NewRequestWithContext(v.ctx(), "GET", origin+"/api/v1/suppressions/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := v.c.inside.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 5000)); err != nil {
		t.Error(err)
	}
	_ = res.Body.Close()
	<-stopped
	if req, err = http.NewRequestWithContext(t.Context(), "GET", origin, nil); err != nil {
		t.Fatal(err)
	}
	if res, err := v.c.inside.http.Do(req); err == nil {
		_ = res.Body.Close()
		t.Error("a call without a visit was made")
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 ms", 999 * time.Millisecond: "999 ms", time.Second: "1 s", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", time.Minute: "1 min", 61 * time.Minute: "1 h 1 min",
		20*time.Hour + 5*time.Minute: "20 h", 26 * time.Hour: "1 d 2 h", 15 * day: "15 d", 3 * year: "3 years",
	} {
		if got := words(d); got != want {
			t.Errorf("%v reads %q, not %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "just now", 5 * time.Minute: "5 min ago", -time.Hour: "in 1 h"} {
		if got := relative(now().Add(-d), now()); got != want {
			t.Errorf("%v reads %q, not %q", d, got, want)
		}
	}
	if got := relative(time.Time{}, now()); got != "never" {
		t.Error(got)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1\u202f000", -1234567: "-1\u202f234\u202f567"} {
		if got := number(n); got != want {
			t.Errorf("%d reads %q", n, got)
		}
	}
	for _, tc := range []struct {
		part, whole int64
		want        string
	}{{0, 0, ""}, {0, 5, ""}, {1, 3, "33.3 %"}, {1, 1_000_000, "< 0.1 %"}, {999_999, 1_000_000, "> 99.9 %"}, {5, 5, "100 %"}} {
		if got := percent(tc.part, tc.whole); got != tc.want {
			t.Errorf("%+v reads %q", tc, got)
		}
	}
	if got := ticks("Run `a <b>` & see"); got != "Run <code>a &lt;b&gt;</code> &amp; see" {
		t.Error(got)
	}
	for name, want := range map[string]string{"My app": "my-app", "  Ünï & Co. ": "n-co", "A": "a", "": "", strings.Repeat("ab ", 40): strings.TrimSuffix(strings.Repeat("ab-", 13), "-") + "-a"} {
		if got := slugOf(name); got != want {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	c := columns("x", "X", []series{{Name: "a", Class: "c-ok"}, {Name: "b", Class: "c-bad"}}, []step{{now(), []int64{999_999, 1}}, {now().Add(time.Hour), []int64{0, 0}}}, "15:04")
	if c.Empty || c.Top != "1\u202f000\u202f000" || c.Series[0].Total != 999_999 || len(c.Columns[0].Bars) != 2 || len(c.Columns[1].Bars) != 0 {
		t.Errorf("%+v", c)
	}
	for _, b := range c.Columns[0].Bars {
		if b.H <= 0 || b.Y < 0 || b.Y+b.H > chartHeight+1 {
			t.Errorf("%+v", b)
		}
	}
	for n, want := range map[int64]int64{0: 1, 1: 1, 3: 5, 11: 20, 20: 20, 21: 50, 999: 1000, 1 << 62: 5_000_000_000_000_000_000} {
		if got := roundUp(n); got < n || n < 1000 && got != want {
			t.Errorf("%d is rounded up to %d", n, got)
		}
	}
	if none := columns("x", "X", []series{{Name: "a"}}, nil, "15:04"); !none.Empty || none.Labels != nil {
		t.Errorf("%+v", none)
	}
}

// TestChartOfWaits: half of the messages before nearly all of them, in times that read well.
func TestChartOfWaits(t *testing.T) {
	t.Parallel()
	steps := []step{{now(), []int64{35, 1400}}, {now().Add(time.Hour), []int64{0, 0}}, {now().Add(2 * time.Hour), []int64{90, 90}}}
	c := waitsOf("x", "X", client.StatsWait{Count: 3, P50: 40, P95: 1300}, steps, "15:04")
	if c.Empty || c.Top != "2 s" || c.Series[0].Shown != "40 ms" || c.Series[1].Shown != "1.3 s" || len(c.Columns) != 3 || len(c.Columns[1].Bars) != 0 || len(c.Labels) == 0 {
		t.Fatalf("%+v", c)
	}
	behind, before := c.Columns[0].Bars[0], c.Columns[0].Bars[1]
	if behind.Class != c.Series[1].Class || before.Class != c.Series[0].Class || behind.H != 70 || before.H >= behind.H || math.Abs(behind.Y+behind.H-chartHeight) > 0.2 || math.Abs(before.Y+before.H-chartHeight) > 0.2 {
		t.Errorf("%+v %+v", behind, before)
	}
	if c.Columns[0].Tip != "10:00: half within 35 ms, 95 % within 1.4 s" || c.Columns[1].Tip != "11:00: none sent" || c.Say(0) != "none" {
		t.Errorf("%+v", c.Columns)
	}
	if none := waitsOf("x", "X", client.StatsWait{}, []step{{now(), []int64{0, 0}}}, "15:04"); !none.Empty || none.Nothing != "Nothing was sent in this time." {
		t.Errorf("%+v", none)
	}
	for ms, want := range map[int64]string{1: "1 ms", 3: "5 ms", 501: "1 s", 1001: "2 s", 31_000: "50 s", 51_000: "1 min", 61_000: "2 min", 3_000_001: "1 h", 20*3_600_000 + 1: "1 d", 3 * 86_400_000: "5 d"} {
		if got := roundWait(ms); got < ms || wait(got) != want {
			t.Errorf("%d is rounded to %s, want %s", ms, wait(got), want)
		}
	}
}

func TestFormErrors(t *testing.T) {
	t.Parallel()
	f := form{Fields: []field{{Name: "host", Path: "config.host", Label: "Host"}, {Name: "tags", Label: "Tags"}}}
	err := fmt.Errorf("save: %w", &client.Error{Status: 400, Message: "Wrong; see details.fields.", Fields: map[string]string{"config.host": "must be a name", "tags[2]": "is too long.", "other": "is unknown"}})
	if !f.blame(err) || f.Fields[0].Error != "Must be a name." || f.Fields[1].Error != "Is too long." || len(f.Lost) != 1 || strings.Contains(f.Error, "details") || len(f.Wrong()) != 2 {
		t.Errorf("%+v", f)
	}
	if got := f.Fields[0].Described(); got != "f-host-error" {
		t.Error(got)
	}
	for _, not := range []error{io.EOF, &client.Error{Status: 401}, &client.Error{Status: 503}} {
		if (&form{}).blame(not) {
			t.Errorf("%v was shown in a form", not)
		}
	}
}

// TestKeysArePaged: a key that the first page of an app's keys does not have is shown on the next, and can be revoked.
func TestKeysArePaged(t *testing.T) {
	t.Parallel()
	answers := full()
	answers["GET /api/admin/apps/a/keys"] = `200 {"data":[{"id":"c00000000000000000000002a","prefix":"cs_test_abcd","lastFour":"abcd"}],"nextCursor":"older"}`
	api := &fakeAPI{answers: answers, role: "ADMIN"}
	c := open(t, api)
	if page := ask(c, "GET", appsPath+"/shop", nil).Body.String(); !strings.Contains(page, `href="?cursor=older"`) {
		t.Error("the page of an app with more keys does not lead to them")
	}
	_ = ask(c, "GET", appsPath+"/shop?cursor=older", nil)
	if !slices.Contains(api.calls, "GET /api/admin/apps/a/keys?cursor=older&limit=100 ") {
		t.Errorf("asked %q", api.calls)
	}
	api.calls = nil
	_ = ask(c, "GET", appsPath+"/shop/keys/c00000000000000000000009a/revoke", nil)
	if last := api.calls[len(api.calls)-1]; last != "GET /api/admin/apps/a/keys?cursor=older&limit=100 " {
		t.Errorf("the key of another page was not looked for there: %q", api.calls)
	}
}

// TestActs goes through forms as a browser does: what reaches the API, and what is told afterwards.
func TestActs(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{})
	for _, tc := range []struct {
		path string
		form url.Values
		call string // what the API was asked last
		body string
		at   string // where the browser goes; "" for a page
		says string
	}{
		{newAppPath, url.Values{"name": {"My app"}, "scopes": {"SEND", "READ"}}, "POST /api/admin/apps ", `{"name":"My app","slug":"my-app","scopes":["SEND","READ"]}`, "", "cs_test_of-a-test"},
		{appsPath + "/shop/settings", url.Values{"name": {"Shop"}, "ratePerMinute": {"many"}, "onUnknownOutcome": {"FAIL"}, "allowedSenders": {"My Shop\r\nb@example.com,c"}, "smsPerDay": {""}, "smsPrefixes": {""}, "smsPerDayByPrefix": {"233 = 5000\r\n1876=0\nmany\n44=few"}}, "PATCH /api/admin/apps/a ",
			`{"allowedSenders":["My Shop","b@example.com","c"],"name":"Shop","onUnknownOutcome":"FAIL","ratePerMinute":"many","smsPerDayByPrefix":{"1876":0,"233":5000,"44":"few","many":null},"smsPrefixes":[]}`, appsPath + "/shop", ""},
		{appsPath + "/shop/do/off", url.Values{}, "PATCH /api/admin/apps/a ", `{"isActive":false}`, appsPath + "/shop", ""},
		{appsPath + "/shop/do/pause", url.Values{}, "POST /api/admin/queue ", `{"action":"PAUSE","app":"a"}`, appsPath + "/shop", ""},
		{appsPath + "/shop/do/delete", url.Values{"confirm": {"other"}}, "GET /api/admin/queue?app=a ", "", "", "Nothing was changed."},
		{appsPath + "/shop/do/delete", url.Values{"confirm": {"shop"}}, "DELETE /api/admin/apps/a?confirm=shop ", "", appsPath, ""},
		{appsPath + "/shop/keys/new", url.Values{"name": {"CI"}, "scopes": {"READ"}, "days": {"1"}}, "POST /api/admin/apps/a/keys ", `{"name":"CI","scopes":["READ"],"expiresAt":"2026-07-04T10:00:00Z"}`, "", "cs_test_of-a-test"},
		{appsPath + "/shop/keys/c00000000000000000000002a/rotate", url.Values{"overlap": {"3600"}}, "POST /api/admin/apps/a/keys/c00000000000000000000002a/rotate ", `{"overlapSeconds":3600}`, "", "cs_test_of-a-test"},
		{appsPath + "/shop/keys/c00000000000000000000002a/revoke", url.Values{}, "DELETE /api/admin/apps/a/keys/c00000000000000000000002a ", "", appsPath + "/shop", ""},
		{messagesPath + "/c00000000000000000000001a/retry", url.Values{}, "PATCH /api/admin/messages/c00000000000000000000001a ", `{"action":"RETRY"}`, messagesPath + "/c00000000000000000000001a", ""},
		{messagesPath + "/bulk", url.Values{"action": {"retry"}, "status": {"FAILED"}, "until": {"2026-07-03T09:00:00Z"}, "press": {"a"}, "confirm": {everyApp}}, "PATCH /api/admin/messages/c00000000000000000000001a ", `{"action":"RETRY"}`, messagesPath + "?status=FAILED", ""},
	} {
		answers := full()
		for _, key := range []string{"POST /api/admin/apps", "POST /api/admin/apps/a/keys", "POST /api/admin/apps/a/keys/c00000000000000000000002a/*"} {
			answers[key] = `201 {"app":{"slug":"my-app","name":"My app"},"apiKey":"cs_test_of-a-test"}`
		}
		for _, key := range []string{"PATCH /api/admin/apps/a", "DELETE /api/admin/apps/a", "POST /api/admin/queue", "DELETE /api/admin/apps/a/keys/*", "PATCH /api/admin/messages/*"} {
			answers[key] = `200 {}`
		}
		answers["GET /api/admin/messages"] = `200 {"data":[{"id":"c00000000000000000000001a"}],"nextCursor":null}`
		api := &fakeAPI{answers: answers, role: "ADMIN"}
		c.inside = newInside(api)
		if strings.HasSuffix(tc.path, "/settings") {
			tc.form = shownOn(t, c, tc.path, tc.form)
		}
		tc.form.Set("_token", token(t, c))
		w := ask(c, "POST", tc.path, tc.form)
		last := len(api.calls) - 1
		if api.calls[last] != tc.call || api.bodies[last] != tc.body {
			t.Errorf("%s asked %q %s", tc.path, api.calls[last], api.bodies[last])
		}
		if tc.at != "" && (w.Code != http.StatusSeeOther || w.Header().Get("Location") != tc.at || !strings.Contains(fmt.Sprint(w.Header()["Set-Cookie"]), toastCookie)) {
			t.Errorf("%s: %d %v", tc.path, w.Code, w.Header())
		}
		if tc.at == "" && (w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tc.says)) {
			t.Errorf("%s: %d %.2000s", tc.path, w.Code, w.Body)
		}
	}
}
