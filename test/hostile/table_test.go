// Package hostile sends the server what nobody should: the list of bad inputs B1 to
// B92 as one table, each with its variants, over real connections, on both databases.
//
// Every line says where its input goes, what the answer must be, and which inputs that
// look as bad must be taken. A refused request changes nothing: what the app has is
// compared before and after. No answer is a 5xx, none takes longer than a client would
// wait, and each error has a sentence and a code that is documented.
package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// last is the number of lines that the list has.
const last = 92

// line is one row of the table.
type line struct {
	number int
	place  string // path or member that the input goes to
	says   string // what the list expects
	// differs says where the product answers otherwise than the list, and why.
	differs string
	// elsewhere says which part of the line is not run here, and why.
	elsewhere string
	// members are further members of the creation of the line's app.
	members string
	// slow lines wait for a clock, and hold nobody up.
	slow bool
	// before makes what the tries need; then the app's state is taken down.
	before func(t *testing.T, a *tenant)
	// tries are single requests, each with its answer.
	tries func(t *testing.T, a *tenant) []try
	// scene is what takes several requests; it answers how many messages it stored.
	scene func(t *testing.T, a *tenant) int
}

// try is one request with the answer that it must get.
type try struct {
	name string
	request
	status int
	code   string // details.code; "" of an error: any that is documented
	stores int    // messages that it adds
	// item is set where the answer is a batch of one: status is of the batch, code of its item.
	item bool
	// refused is set where the item is.
	refused bool
	// holds checks more of the answer.
	holds func(t *testing.T, got answer)
}

// table is the whole list.
func table() []line {
	return slices.Concat(bodyLines(), headLines(), recipientLines(), contentLines(), templateLines(), memberLines(), resourceLines(), settingsLines())
}

// TestEveryLineIsInTheTable fails when a number is missing, stands twice, or says nothing.
func TestEveryLineIsInTheTable(t *testing.T) {
	t.Parallel()
	for _, wrong := range gaps(table()) {
		t.Error(wrong)
	}
	short := table()[1:]
	if len(gaps(short)) != 1 || len(gaps(append(table(), table()[0]))) != 1 {
		t.Error("a table with a line too few or too many is taken")
	}
}

func gaps(lines []line) (wrong []string) {
	seen := map[int]int{}
	for _, l := range lines {
		seen[l.number]++
		if l.place == "" || l.says == "" {
			wrong = append(wrong, fmt.Sprintf("B%d does not say where it goes and what is expected", l.number))
		}
		if l.tries == nil && l.scene == nil && l.elsewhere == "" {
			wrong = append(wrong, fmt.Sprintf("B%d does nothing and gives no reason", l.number))
		}
	}
	for n := 1; n <= last; n++ {
		if seen[n] != 1 {
			wrong = append(wrong, fmt.Sprintf("B%d stands %d times in the table", n, seen[n]))
		}
		delete(seen, n)
	}
	for n := range seen {
		wrong = append(wrong, fmt.Sprintf("B%d is not in the list", n))
	}
	return wrong
}

func TestBadInputsOnSQLite(t *testing.T) {
	t.Parallel()
	run(t, false)
}

func TestBadInputsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	run(t, true)
}

// fewest is how many requests of the table's variants there must be.
const fewest = 2000

// atOnce is how many lines run at a time.
const atOnce = 4

// furnish makes what the lines take to be there: the server's configurations, and another app, which it answers.
func (w *world) furnish(t *testing.T) (other *tenant) {
	t.Helper()
	for _, config := range []string{`{"providerType":"SMTP","config":{"host":"mail.example.com"}}`, `{"providerType":"ARKESEL","config":{"apiKey":"none"}}`} {
		if got := w.admin(t, "POST", "/api/admin/provider-configs", config); got.status != 201 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	other = w.tenant(t, "other", "")
	if got := other.do(t, "POST", "/api/v1/templates", `{"key":"theirs","channel":"SMS","body":"x"}`); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	return other
}

func run(t *testing.T, postgres bool) {
	w := open(t, postgres)
	other := w.furnish(t)
	lines := table()
	tried := make([]int, len(lines))
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, l := range lines {
		wg.Go(func() {
			if !l.slow {
				places <- struct{}{}
				defer func() { <-places }()
			}
			t.Run(fmt.Sprintf("B%d", l.number), func(t *testing.T) { tried[i] = w.play(t, l) })
		})
	}
	wg.Wait()
	total := 0
	for _, n := range tried {
		total += n
	}
	if total < fewest {
		t.Errorf("only %d variants, want at least %d", total, fewest)
	}
	t.Logf("%d variants of %d lines, %d requests in all", total, len(lines), w.requests.Load())
	w.nothingWasMade(t, lines)
	log := w.log.String()
	for _, secret := range []string{"DROP TABLE", "Bcc: b@y.com", "233241234567", "a@x.com", other.key, adminKey, provisioningKey} {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("the log holds %q: %.300s", secret, log[max(0, at-150):])
		}
	}
}

// nothingWasMade looks for apps that no line was given.
func (w *world) nothingWasMade(t *testing.T, lines []line) {
	t.Helper()
	want := map[string]bool{"demo": true, "other": true}
	for _, l := range lines {
		want[l.slug()] = true
		want[l.slug()+"-other"] = true
	}
	for cursor := ""; ; {
		got := w.admin(t, "GET", "/api/admin/apps?limit=100"+cursor, "")
		for _, one := range got.list() {
			if slug, _ := one["slug"].(string); !want[slug] && !strings.HasPrefix(slug, "made-") {
				t.Errorf("a refused request made the app %s", slug)
			}
		}
		if got.str("nextCursor") == "" {
			return
		}
		cursor = "&cursor=" + got.str("nextCursor")
	}
}

func (l *line) slug() string { return fmt.Sprintf("b%d", l.number) }

// play runs one line and answers how many requests its variants are.
func (w *world) play(t *testing.T, l line) int {
	if l.tries == nil && l.scene == nil {
		return 0
	}
	a := w.tenant(t, l.slug(), l.members)
	a.fixtures(t)
	if l.before != nil {
		l.before(t, a)
	}
	var refused, taken []try
	if l.tries != nil {
		for _, x := range l.tries(t, a) {
			if x.status >= 300 || x.refused {
				refused = append(refused, x)
			} else {
				taken = append(taken, x)
			}
		}
	}
	codes := documented()
	before, had := a.state(t), a.messages(t)
	each(refused, func(x *try) { x.judge(t, w, codes) })
	if after := a.state(t); after != before {
		t.Errorf("refused requests changed something:\n%s\nwas\n%s", after, before)
	}
	if have := a.messages(t); !slices.Equal(have, had) {
		t.Errorf("refused requests stored %d messages", len(have)-len(had))
	}
	stored := 0
	each(taken, func(x *try) { x.judge(t, w, codes) })
	for _, x := range taken {
		stored += x.stores
	}
	if l.scene != nil {
		stored += l.scene(t, a)
	}
	if have := a.messages(t); len(have)-len(had) != stored {
		t.Errorf("%d messages were stored, %d should be", len(have)-len(had), stored)
	}
	return len(refused) + len(taken)
}

// each runs f for all of a list, some at a time.
func each[T any](list []T, f func(*T)) {
	const workers = 3
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for i := n; i < len(list); i += workers {
				f(&list[i])
			}
		})
	}
	wg.Wait()
}

// judge sends the try and holds the answer against what it must be.
func (x *try) judge(t *testing.T, w *world, codes map[string]bool) {
	t.Helper()
	got := w.send(t, &x.request)
	what := fmt.Sprintf("%s: %s %.80s %.120q", x.name, x.method, x.path, x.body)
	if got.status != x.status {
		t.Errorf("%s: status %d, want %d (%s): %.300s", what, got.status, x.status, x.code, got.raw)
		return
	}
	shown := got
	if list := got.list(); x.item && len(list) == 1 {
		shown.body = list[0]
	}
	if shown.code() != x.code && (x.code != "" || x.status < 300 && !x.refused) {
		t.Errorf("%s: code %q, want %q: %.300s", what, shown.code(), x.code, got.raw)
	}
	if x.status >= 400 || x.refused {
		shown.isError(t, what, codes)
	}
	if got.header.Get("X-Request-Id") == "" || got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: headers %v", what, got.header)
	}
	if x.holds != nil {
		x.holds(t, shown)
	}
}

// isError holds an error against the guide's shape.
func (a answer) isError(t *testing.T, what string, codes map[string]bool) {
	t.Helper()
	const longest = 2000
	switch {
	case !codes[a.code()]:
		t.Errorf("%s: the code %q is not documented", what, a.code())
	case len(strings.Fields(a.str("error"))) < 3:
		t.Errorf("%s: no sentence: %.300s", what, a.raw)
	case len(a.raw) > longest:
		t.Errorf("%s: an error of %d bytes", what, len(a.raw))
	}
}

// waitFor reads a message until it has the status.
func (a *tenant) waitFor(t *testing.T, id, status string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		got := a.do(t, "GET", "/api/v1/messages/"+id, "")
		if got.str("status") == status {
			return got
		}
		if ctx.Err() != nil {
			t.Fatalf("never %s: %s", status, got.raw)
		}
	}
}

// quoted is a text as JSON writes it.
func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// unknownID is an id that nothing has.
func unknownID() string { return comm.NewID(1_795_000_000_000_000).String() }
