//go:build linux

package ssrf

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is where the public internet is.
func good() []netip.Addr { return []netip.Addr{netip.MustParseAddr(publicAddress)} }

const (
	publicWeb  = "tcp " + publicAddress + ":443"
	publicMail = "tcp " + publicAddress + ":587"
)

// refusedWhenUsed are names of public look that lead to what is refused, each in its way.
func refusedWhenUsed() []record {
	var out []record
	for _, addr := range addresses() {
		out = append(out, record{addrs: []netip.Addr{addr}})
	}
	for _, addr := range known() {
		if !addr.Is4() {
			continue
		}
		for _, carrier := range carriers(addr) {
			out = append(out, record{addrs: []netip.Addr{carrier}})
		}
		public6 := netip.MustParseAddr("2606:4700:4700::1111")
		out = append(out, record{addrs: []netip.Addr{good()[0], addr}}, record{addrs: []netip.Addr{addr, good()[0]}}, record{addrs: []netip.Addr{addr, public6}},
			record{addrs: []netip.Addr{addr}, alias: []string{"a.example.com"}}, record{addrs: []netip.Addr{addr}, alias: []string{"a.example.com", "b.example.net", "localhost"}})
	}
	return out
}

// TestBadNamesAreNotCalled: a name is taken, since it says nothing, and refused when what it stands for is known: for
// a webhook, for a provider's API and for a mail server.
func TestBadNamesAreNotCalled(t *testing.T) {
	w := open(t)
	records := refusedWhenUsed()
	const lot = 12                                                                         // names of an app: it may have 20 endpoints, and verify 30 times a minute
	asking := slices.DeleteFunc(webSorts(), func(s sort) bool { return s.name == "NALO" }) // it cannot be asked without a message
	var heads []map[string]string
	for i := range (len(records) + lot - 1) / lot {
		heads = append(heads, w.app(fmt.Sprint("app-", i)))
	}
	w.quiet()
	paths, of := make([]string, len(records)), make([]map[string]string, len(records))
	each(len(records), func(i int) {
		head := heads[i/lot]
		name := fmt.Sprintf("n%d.example.com", i)
		w.zone.set(name, records[i])
		endpoint := w.call("POST", "/api/v1/webhooks", head, map[string]any{"name": name, "url": "https://" + name + "/status/204"}).id(t)
		paths[i], of[i] = "/api/v1/webhooks/"+endpoint+"/deliveries/"+w.call("POST", "/api/v1/webhooks/"+endpoint+"/test", head, nil).id(t), head
		w.verified(head, asking[i%len(asking)].with(map[string]any{"baseUrl": "https://" + name}), fmt.Sprint(records[i].addrs))
		w.verified(head, mailSort().with(map[string]any{"host": name, "port": []int{25, 465, 587, 2525}[i%4]}), fmt.Sprint(records[i].addrs))
	})
	for i, a := range w.settled(paths, 1, of) {
		for _, post := range a.body.AttemptLog {
			if post.Fault != "blocked_address" || post.Status != 0 || strings.Contains(string(a.raw), records[i].addrs[0].String()) {
				t.Errorf("%v: %s", records[i], a)
			}
		}
	}
	w.quiet()
	t.Logf("%d names, each as a webhook, a baseUrl and a mail server", len(records))
}

// verified makes a configuration and wants its verification to say that it may not be called, and nothing of why.
func (w *world) verified(head map[string]string, config map[string]any, what string) {
	w.t.Helper()
	const configs = "/api/v1/provider-configs"
	path := configs + "/" + w.call("POST", configs, head, config).id(w.t) + "/verify"
	a := w.call("POST", path, head, nil)
	// Few are tried at a time.
	for deadline := time.Now().Add(20 * time.Second); a.status == http.StatusServiceUnavailable && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		a = w.call("POST", path, head, nil)
	}
	if n := len(a.body.Checks); a.status != http.StatusOK || a.body.OK || n == 0 || !strings.Contains(a.body.Checks[n-1].Detail, "are not allowed") {
		w.t.Errorf("%v to %s: %s", config["providerType"], what, a)
	}
}

// TestANameThatChanges leads to the public internet when it is first asked for, and then inwards (DNS rebinding).
func TestANameThatChanges(t *testing.T) {
	w := open(t)
	head := w.app("shop")
	inner := []string{"10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd00:ec2::254"}
	var paths []string
	var heads []map[string]string
	for i, to := range inner {
		name := fmt.Sprintf("n%d.example.com", i)
		addrs := good()
		w.zone.set(name, record{addrs: addrs, later: []netip.Addr{netip.MustParseAddr(to)}})
		endpoint := w.call("POST", "/api/v1/webhooks", head, map[string]any{"name": name, "url": "https://" + name + "/status/500"}).id(t)
		paths = append(paths, "/api/v1/webhooks/"+endpoint+"/deliveries/"+w.call("POST", "/api/v1/webhooks/"+endpoint+"/test", head, nil).id(t))
		heads = append(heads, head)
	}
	w.settled(paths, 1, heads)
	w.web.CloseIdleConnections()
	for i, a := range w.settled(paths, 2, heads) {
		log := a.body.AttemptLog
		if len(log) < 2 || log[0].Status != http.StatusInternalServerError || log[1].Status == 0 && log[1].Fault != "blocked_address" {
			t.Errorf("%s: %s", inner[i], a)
		}
	}
	w.quiet(publicWeb)
}

// TestRedirectsLeadNowhere: whatever a receiver or a provider's API answers, nobody else is called.
func TestRedirectsLeadNowhere(t *testing.T) {
	w := open(t)
	w.zone.set("hooks.example.com", record{addrs: good()})
	w.zone.set("inner.example.com", record{addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	targets := []string{"https://inner.example.com/", "/elsewhere", "//10.0.0.1/", "?x"}
	rows := refusedWhenSaved()
	for i := 0; i < len(rows); i += 4 {
		if u := rows[i].url; u != "" && !strings.ContainsFunc(u, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			targets = append(targets, u)
		}
	}
	const lots = 16
	head := w.app("shop")
	each(lots, func(lot int) {
		status := []int{301, 302, 303, 307, 308}[lot%5]
		var mine []string
		for i := lot; i < len(targets); i += lots {
			mine = append(mine, targets[i])
		}
		w.out.lead(itoa(lot), mine...)
		endpoint := w.call("POST", "/api/v1/webhooks", head, map[string]any{"name": itoa(lot), "url": fmt.Sprintf("https://hooks.example.com/redirect/%d/%d", status, lot)}).id(t)
		for range 2 * len(mine) {
			w.call("POST", "/api/v1/webhooks/"+endpoint+"/test", head, nil).id(t)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); w.out.left() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d redirects were not asked for", w.out.left())
		}
	}
	const configs = "/api/v1/provider-configs"
	for i, sort := range webSorts() {
		for _, status := range []int{301, 307} {
			w.out.lead(fmt.Sprint("p", i, status), "https://inner.example.com/")
			a := w.call("POST", configs, head, sort.with(map[string]any{"baseUrl": fmt.Sprintf("https://hooks.example.com/redirect/%d/p%d%d", status, i, status)}))
			if a = w.call("POST", configs+"/"+a.id(t)+"/verify", head, nil); a.status != http.StatusOK || a.body.OK {
				t.Errorf("%s: %s", sort.name, a)
			}
		}
	}
	if w.out.hit("/elsewhere") > 0 {
		t.Error("a redirect was followed")
	}
	w.quiet(publicWeb)
	t.Logf("%d redirects", len(targets))
}

// TestWhatIsAllowedIsCalled: the same calls reach who may be reached, so that silence elsewhere means something.
func TestWhatIsAllowedIsCalled(t *testing.T) {
	w := open(t, "COMMS_ALLOW_PRIVATE_TARGETS=10.0.0.0/8")
	w.zone.set("hooks.example.com", record{addrs: good()})
	w.zone.set("inner.example.com", record{addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	head := w.app("shop")
	const configs = "/api/v1/provider-configs"
	for _, host := range []string{"hooks.example.com", "inner.example.com"} {
		endpoint := w.call("POST", "/api/v1/webhooks", head, map[string]any{"name": host, "url": "https://" + host + "/status/204"}).id(t)
		delivery := w.call("POST", "/api/v1/webhooks/"+endpoint+"/test", head, nil).id(t)
		a := w.settled([]string{"/api/v1/webhooks/" + endpoint + "/deliveries/" + delivery}, 1, []map[string]string{head})[0]
		if reached := a.body.State == "delivered"; reached != (host == "hooks.example.com") {
			t.Errorf("%s: %s", host, a)
		}
		// Nobody listens there: that was tried is enough.
		w.call("POST", configs+"/"+w.call("POST", configs, head, mailSort().with(map[string]any{"host": host})).id(t)+"/verify", head, nil)
	}
	w.quiet(publicWeb, publicMail, "tcp 10.0.0.1:443", "tcp 10.0.0.1:587")
	if w.out.hit("/status/204") != 1 {
		t.Errorf("the public internet was called %d times", w.out.hit("/status/204"))
	}
}

// TestMessagesAreNotSentInwards: a live app's message is not brought to a relay or an API within, and tells so.
func TestMessagesAreNotSentInwards(t *testing.T) {
	w := open(t)
	w.zone.set("inner.example.com", record{addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	head := w.app("shop")
	all := append(webSorts(), mailSort())
	for _, sort := range all {
		config := sort.with(map[string]any{"baseUrl": "https://inner.example.com"})
		if sort.name == "SMTP" {
			config = sort.with(map[string]any{"host": "inner.example.com"})
		}
		w.call("POST", "/api/v1/provider-configs", head, config).id(t)
	}
	if a := w.call("PATCH", "/api/v1/app", head, map[string]any{"sandboxMode": false}); a.status != http.StatusOK {
		t.Fatal(a)
	}
	tried := map[string]bool{}
	for _, m := range []map[string]any{{"channel": "SMS", "to": "233241234567", "body": "Hello"}, {"channel": "EMAIL", "to": "ama@example.org", "subject": "Hello", "body": "<p>Hello</p>"}} {
		path := "/api/v1/messages/" + w.call("POST", "/api/v1/messages", head, m).id(t)
		want := map[any]int{"SMS": 5, "EMAIL": 2}[m["channel"]]
		a := w.settled([]string{path}, want, []map[string]string{head})[0]
		for _, one := range a.body.AttemptLog {
			if tried[one.Provider] = true; one.Outcome == "failed" && !strings.Contains(one.Detail, "are not allowed") {
				t.Errorf("%s", a)
			}
		}
	}
	if len(tried) != len(all) {
		t.Errorf("tried: %v", tried)
	}
	w.quiet()
}

// TestAlertsAreNotPostedInwards: the program does not start with an address for alerts that webhooks may not have.
func TestAlertsAreNotPostedInwards(t *testing.T) {
	if outside != "" {
		t.Skip(outside)
	}
	var urls []string
	for _, r := range refusedWhenSaved() {
		if r.url != "" && !strings.Contains(r.url, "\x00") && strings.TrimSpace(r.url) == r.url {
			urls = append(urls, r.url)
		}
	}
	const step = 24
	each(len(urls)/step, func(i int) {
		cmd := exec.CommandContext(t.Context(), os.Getenv(programEnv), "config")
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "COMMS_ALERT_WEBHOOK_URL=" + urls[i*step]}
		if out, err := cmd.CombinedOutput(); err == nil || !slices.Contains(strings.FieldsFunc(string(out), func(r rune) bool { return strings.ContainsRune(" :\n", r) }), "COMMS_ALERT_WEBHOOK_URL") {
			t.Errorf("%q: %v: %s", urls[i*step], err, out)
		}
	})
}
