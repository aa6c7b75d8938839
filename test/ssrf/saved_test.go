//go:build linux

package ssrf

import (
	"net/http"
	"testing"
)

// place is somewhere that an address is written to.
type place struct {
	name, field string
	try         func(w *world, r row, i int) answer
}

// subjects are what is there to be changed.
type subjects struct {
	app  map[string]string
	hook string   // an endpoint
	web  []string // configurations of webSorts
	mail string
}

// places are all that there are: of URLs, and of mail servers.
func (s *subjects) places() (urls, hosts []place) {
	const hooks, configs, servers = "/api/v1/webhooks", "/api/v1/provider-configs", "/api/admin/provider-configs"
	n := len(webSorts())
	base := func(r row, i int) map[string]any { return webSorts()[i%n].with(map[string]any{"baseUrl": r.url}) }
	relay := func(r row) map[string]any { return map[string]any{"host": r.host, "port": r.port} }
	urls = []place{
		{"new endpoint", "url", func(w *world, r row, _ int) answer {
			return w.call("POST", hooks, s.app, map[string]any{"name": "bad", "url": r.url})
		}},
		{"changed endpoint", "url", func(w *world, r row, _ int) answer {
			return w.call("PATCH", hooks+"/"+s.hook, s.app, map[string]any{"url": r.url})
		}},
		{"the app's webhookUrl", "webhookUrl", func(w *world, r row, _ int) answer {
			return w.call("PATCH", "/api/v1/app", s.app, map[string]any{"webhookUrl": r.url})
		}},
		{"a new app's webhookUrl", "webhookUrl", func(w *world, r row, i int) answer {
			app := map[string]any{"name": "Bad", "slug": "bad-" + itoa(i), "webhookUrl": r.url}
			if i%3 == 0 { // it takes 600 calls a minute
				return w.call("POST", "/api/provision/apps", provisioner(), app)
			}
			return w.call("POST", "/api/admin/apps", admin(), app)
		}},
		{"new configuration", "config.baseUrl", func(w *world, r row, i int) answer { return w.call("POST", configs, s.app, base(r, i)) }},
		{"the server's configuration", "config.baseUrl", func(w *world, r row, i int) answer { return w.call("POST", servers, admin(), base(r, i+1)) }},
		{"changed configuration", "config.baseUrl", func(w *world, r row, i int) answer {
			to := (i + 2) % n // with its secrets, which another host is not given otherwise
			return w.call("PATCH", configs+"/"+s.web[to], s.app, map[string]any{"config": webSorts()[to].with(map[string]any{"baseUrl": r.url})["config"]})
		}},
	}
	hosts = []place{
		{"new configuration", "config.host", func(w *world, r row, _ int) answer {
			return w.call("POST", configs, s.app, mailSort().with(relay(r)))
		}},
		{"the server's configuration", "config.host", func(w *world, r row, _ int) answer {
			return w.call("POST", servers, admin(), mailSort().with(relay(r)))
		}},
		{"changed configuration", "config.host", func(w *world, r row, _ int) answer {
			return w.call("PATCH", configs+"/"+s.mail, s.app, map[string]any{"config": relay(r)})
		}},
	}
	return urls, hosts
}

func newSubjects(w *world) *subjects {
	s := &subjects{app: w.app("shop")}
	s.hook = w.call("POST", "/api/v1/webhooks", s.app, map[string]any{"name": "good", "url": "https://hooks.example.com/status/204"}).id(w.t)
	for _, sort := range webSorts() {
		s.web = append(s.web, w.call("POST", "/api/v1/provider-configs", s.app, sort.with(nil)).id(w.t))
	}
	s.mail = w.call("POST", "/api/v1/provider-configs", s.app, mailSort().with(map[string]any{"host": "mail.example.com"})).id(w.t)
	return s
}

// TestBadAddressesAreNotTaken: every door refuses every row for the address alone, and sends nothing for it.
func TestBadAddressesAreNotTaken(t *testing.T) {
	w := open(t)
	s := newSubjects(w)
	urls, hosts := s.places()
	rows, distinct := refusedWhenSaved(), map[string]bool{}
	each(len(rows), func(i int) {
		r := rows[i]
		for _, p := range urls {
			if r.url != "" {
				refused(t, p, r.url, p.try(w, r, i))
			}
		}
		for _, p := range hosts {
			if r.host != "" {
				refused(t, p, r.host, p.try(w, r, i))
			}
		}
	})
	var nURLs, nHosts int
	for _, r := range rows {
		if r.url != "" && !distinct["u"+r.url] {
			nURLs, distinct["u"+r.url] = nURLs+1, true
		}
		if key := "h" + r.host + " " + itoa(r.port); r.host != "" && !distinct[key] {
			nHosts, distinct[key] = nHosts+1, true
		}
	}
	if nURLs < 600 || nHosts < 600 {
		t.Errorf("%d URLs and %d hosts, want 600 each", nURLs, nHosts)
	}
	t.Logf("%d bad URLs at %d doors, %d bad mail servers at %d", nURLs, len(urls), nHosts, len(hosts))
	w.quiet()
	if a := w.call("GET", "/api/v1/webhooks/"+s.hook, s.app, nil); a.body.URL != "https://hooks.example.com/status/204" {
		t.Errorf("the endpoint is changed: %s", a)
	}
	// Good ones pass at the same doors; changing alone leaves no configuration behind.
	good := goodHosts()
	if len(good) < 100 {
		t.Errorf("%d good hosts", len(good))
	}
	for i, h := range good {
		r := row{url: "https://" + inURL(h) + "/in", host: h, port: []int{25, 465, 587, 2525}[i%4]}
		for _, p := range []place{urls[1], urls[2], urls[6], hosts[2]} {
			if a := p.try(w, r, i); a.status != http.StatusOK {
				t.Errorf("%s: %s: %s", p.name, h, a)
			}
		}
	}
	w.quiet()
}

func refused(t *testing.T, p place, what string, a answer) {
	t.Helper()
	fields := a.body.Details.Fields
	if a.status != http.StatusBadRequest || fields[p.field] == "" && (p.field != "config.host" || fields["config.port"] == "") || len(fields) > 2 {
		t.Errorf("%s: %q: %s", p.name, what, a)
	}
}
