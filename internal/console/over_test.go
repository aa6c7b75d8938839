package console

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/alert"
)

// TestWhatIsOverIsTold: what was wrong within a day stands folded below what is wrong now: raised, over, for how long, of what,
// with its page and the incident's; what is older is left out, and many are bounded.
func TestWhatIsOverIsTold(t *testing.T) {
	t.Parallel()
	const id = "c00000000000000000000001a"
	kind := alert.Kinds()[slices.IndexFunc(alert.Kinds(), func(k alert.Kind) bool { return k.Word == alert.ProviderDown })]
	over := func(title, since, cleared string) string {
		return fmt.Sprintf(`{"id":"1","alert":"provider_down","state":"cleared","subject":"%s","app":"shop","since":"2026-07-%sZ","clearedAt":"2026-07-%sZ","title":"All clear: %s","text":"%s Before: %s refused every call.","page":""}`,
			id, since, cleared, title, kind.Over, title)
	}
	page := func(alerts ...string) string {
		api := &fakeAPI{answers: full()}
		api.answers["GET /api/admin/alerts"] = `200 {"data":[` + strings.Join(alerts, ",") + `],"nextCursor":null}`
		w := ask(open(t, api), "GET", Root, nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	now := strings.TrimSuffix(strings.TrimPrefix(raised(alert.ProviderDown, "provider_config", id, `"shop"`), `200 {"data":[`), `],"nextCursor":null}`)
	got := page(now, over("The first relay", "03T01:00:00", "03T01:30:00"), over("The second relay", "03T02:14:07", "03T03:00:00"), over("The old relay", "01T02:00:00", "02T09:59:59"))
	wrong, rest, found := strings.Cut(got, `<details class="card over">`)
	if !found || !strings.Contains(wrong, `id="h-wrong"`) {
		t.Fatalf("it does not stand below what is wrong: %t", found)
	}
	rest, _, _ = strings.Cut(rest, "</details>")
	holds(t, rest, "Over, last 24 h", "2 alerts, the last one since", "The second relay</h3>", "lasted 45 min", `title="7 h 45 min ago">3 Jul 02:14:07 UTC</time>`, `>3 Jul 03:00:00 UTC</time>`, "<p>The second relay refused every call.</p>",
		kind.Over, `<a href="/console/providers/`+id+`?app=shop">The provider</a>`, `<a href="/docs/incidents/provider_down">The incident page</a>`)
	if strings.Index(rest, "The second relay") > strings.Index(rest, "The first relay") || strings.Contains(rest, "old relay") || strings.Contains(rest, "All clear") || strings.Contains(rest, "more are") {
		t.Errorf("%s", rest)
	}
	if strings.Contains(page(now), `class="card over"`) {
		t.Error("nothing is over, and it is told")
	}
	many := slices.Repeat([]string{over("A relay", "03T01:00:00", "03T01:30:00")}, overShown+2)
	if got = page(many...); strings.Count(got, "lasted 30 min") != overShown || !strings.Contains(got, "22 alerts") || !strings.Contains(got, "2 more are listed by <code>commserver alert list</code>") {
		t.Error("many are not bounded")
	}
}
