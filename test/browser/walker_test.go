package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// faulty are pages with one fault each, and the check that must see it; "" for a page without any.
func faulty() map[string]struct{ page, policy, check string } {
	type fault = struct{ page, policy, check string }
	whole := func(body string) string {
		return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>A page</title>
<style>body{color:#111;background:#fff}</style></head><body><main><h1>A page</h1><p><a href="#end">The end</a></p>` + body + `<form><p><label>Name <input name="name" autofocus></label></p>
<fieldset><legend>Lane</legend><label><input type="radio" name="lane" value="a" checked> A</label><label><input type="radio" name="lane" value="b"> B</label></fieldset>
<details><summary>More</summary><a href="#end">inside</a></details><p id="end"><button>Send</button></p></form></main></body></html>`
	}
	return map[string]fault{
		"well":                 {page: whole(""), policy: "default-src 'self'; style-src 'unsafe-inline'"},
		"error in the console": {page: whole(`<script>console.error("no")</script>`), check: "console"},
		"exception":            {page: whole(`<script>nobody()</script>`), check: "console"},
		"refused by policy":    {page: whole(`<p onclick="go()" tabindex="0" role="button">Go</p>`), policy: "script-src 'self'", check: "policy"},
		"asks another host":    {page: whole(`<img alt="" src="http://elsewhere.test/x.png">`), check: "hosts"},
		"wide":                 {page: whole(`<div style="width:900px">wide</div>`), check: "width"},
		"no contrast":          {page: whole(`<p style="color:#bbb">You cannot read this.</p>`), check: "axe"},
		"no label":             {page: whole(`<input name="x">`), check: "axe"},
		"two titles":           {page: whole(`<h1>Another page</h1>`), check: "heading"},
		"large":                {page: whole("<p hidden>" + strings.Repeat("0123456789", 16_000) + "</p>"), check: "size"},
		"not by keyboard":      {page: whole(`<div role="button" tabindex="-1">Delete</div>`), check: "keyboard"},
		"only by mouse":        {page: whole(`<span onclick="alert(1)">Delete</span>`), check: "keyboard"},
		"focus not shown":      {page: whole(`<style>#x:focus{outline:none}</style><a id="x" href="#end">hidden focus</a>`), check: "keyboard"},
		"focus covered": {page: whole(`<div style="position:fixed;left:0;right:0;bottom:0;height:4000px;max-height:100vh;background:#fff;z-index:2"><p>cover</p></div>`),
			check: "keyboard"},
		"trap": {page: whole(`<input aria-label="trap" onkeydown="event.key==='Tab'&&event.preventDefault()">`), check: "keyboard"},
		"gone": {check: "status"},
	}
}

// TestTheWalkSeesFaults plants one fault in each of some pages: the walk must find it, and nothing else.
func TestTheWalkSeesFaults(t *testing.T) {
	need(t)
	pages := faulty()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/favicon.ico" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		f := pages[strings.TrimPrefix(r.URL.Path, "/")]
		if f.page == "" {
			w.WriteHeader(http.StatusNotFound)
			f.page = pages["well"].page
		}
		if f.policy != "" {
			w.Header().Set("Content-Security-Policy", f.policy)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, f.page)
	}))
	defer srv.Close()
	var rows []map[string]any
	for name := range pages {
		rows = append(rows, map[string]any{"name": name, "path": "/" + name, "signedOut": true})
	}
	found := map[string][]string{}
	for _, v := range node.do(t, "rows", map[string]any{"base": srv.URL, "rows": rows, "only": "phone-light"}) {
		if !v.OK && !slices.Contains(found[v.Page], v.Check) {
			found[v.Page] = append(found[v.Page], v.Check)
			t.Logf("%s, %s, %s: %s", v.Page, v.Setting, v.Check, v.Detail)
		} else if found[v.Page] == nil {
			found[v.Page] = []string{}
		}
	}
	for name, f := range pages {
		t.Run(name, func(t *testing.T) {
			got, looked := found[name]
			want := []string{}
			if f.check != "" {
				want = append(want, f.check)
			}
			// A page that is answered 404 says so in the console, too, unless its row expects that.
			if f.check == "status" || f.check == "hosts" {
				got = slices.DeleteFunc(got, func(c string) bool { return c == "console" })
			}
			if !looked || !slices.Equal(got, want) {
				t.Errorf("found %v, want %v", got, want)
			}
		})
	}
}
