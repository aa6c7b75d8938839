package httpapi

import (
	"net/http/httptest"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
)

// TestLiveChains: what deleting or switching off the last configuration means depends on what else there is.
func TestLiveChains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := w.tenant("one", comm.AllScopes), w.tenant("other", comm.AllScopes)
	config := probes()["POST /api/v1/provider-configs"].body
	own := w.do(one, "POST", "/api/v1/provider-configs", config, nil).str("id")
	mail := func(query string) client.LiveChain {
		t.Helper()
		var out client.LiveChain
		got := w.root("GET", "/api/admin/chains"+query, "")
		readContract(t).answer(t, "GET", "/api/admin/chains", got)
		list, _ := got.body["data"].([]any)
		if got.status != 200 || len(list) != 2 {
			t.Fatalf("%s: %d %s", query, got.status, got.raw)
		}
		x := list[0].(map[string]any)
		out.Level, _ = x["level"].(string)
		out.WaitingFor, _ = x["waitingFor"].(string)
		out.Sandbox, out.NoProvider = x["sandbox"].(bool), x["noProvider"].(bool)
		for _, one := range x["warnings"].([]any) {
			out.Warnings = append(out.Warnings, client.Warning{Code: one.(map[string]any)["code"].(string)})
		}
		return out
	}
	is := func(what string, got client.LiveChain, level, waits string, sandbox bool, warning string) {
		t.Helper()
		code := ""
		if len(got.Warnings) > 0 {
			code = got.Warnings[0].Code
		}
		if got.Level != level || got.WaitingFor != waits || got.Sandbox != sandbox || got.NoProvider || code != warning {
			t.Errorf("%s: %+v", what, got)
		}
	}
	is("as it is, in the sandbox", mail("?app=one"), "APP", "", false, "")
	is("without its only one", mail("?app=one&without="+own), "", "", true, comm.WarnNoProvider)
	is("with its only one off", mail("?app=one&off="+own), "", chain.WaitOff, false, chain.WaitOff)
	is("no app, no server's", mail(""), "", "", true, comm.WarnNoProvider)
	server := w.root("POST", "/api/admin/provider-configs", config).str("id")
	is("without its only one, the server has one", mail("?app=one&without="+own), "SERVER", "", false, "")
	is("with its only one off, the server has one", mail("?app=one&off="+own), "SERVER", "", false, "")
	is("neither", mail("?app=one&without="+own+"&off="+server), "", chain.WaitOff, false, chain.WaitOff)
	is("the server's, for apps without", mail(""), "SERVER", "", false, "")
	is("the server's gone, for apps without", mail("?without="+server), "", "", true, comm.WarnNoProvider)
	for _, query := range []string{"?app=other&without=" + own, "?without=" + own, "?app=nobody"} {
		if got := w.root("GET", "/api/admin/chains"+query, ""); got.status != 404 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	for _, query := range []string{"?without=x", "?off=", "?nope=1"} {
		if got := w.root("GET", "/api/admin/chains"+query, ""); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	door := httptest.NewServer(w.handler)
	t.Cleanup(door.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: door.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if two := w.do(one, "POST", "/api/v1/provider-configs", config, nil).str("id"); two == "" {
		t.Error("no second one")
	} else {
		for off, want := range map[string]int{"": 2, two: 1} {
			got, err := admin.LiveChains(t.Context(), one.app.Slug, client.Supposed{Off: off})
			if err != nil || len(got) != 2 || got[0].Candidates != want || got[1].Candidates != 0 {
				t.Errorf("with %q off: %+v %v", off, got, err)
			}
		}
	}
	got, err := admin.LiveChains(t.Context(), other.app.Slug, client.Supposed{Without: server})
	if err != nil || len(got) != 2 || got[0].Channel != client.Email || !got[0].Sandbox || got[0].Level != "" || got[1].Channel != client.SMS || len(got[1].Warnings) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if now := w.do(one, "GET", "/api/v1/provider-configs/"+own, "", nil); now.body["isActive"] != true {
		t.Errorf("asking changed it: %s", now.raw)
	}
}
