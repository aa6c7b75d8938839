package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

const importURL = suppressionsURL + "/import"

func TestAnExportComesBackThroughAnImport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	now := comm.At(time.Now())
	for i, address := range []string{"=a@example.com", "+a@example.com", "-a@example.com", "'a@example.com", "'+a@example.com", "''a@example.com", "a@example.com"} {
		s := store.Suppression{App: one.app.ID, Channel: comm.Email, Address: address, Reason: comm.SuppressionReasons()[i%4].Code, Note: []string{`say "no", please`, "=1+1", "'", "'=", "ŋ€𝄞", "", "a,b;c"}[i], CreatedAt: now}
		if _, err := w.store.Suppress(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1200 {
		putOnList(t, w, one.app, comm.SMS, fmt.Sprintf("23324%07d", i))
	}
	for _, format := range []string{client.CSV, client.JSONLines} {
		other := w.tenant("other-"+format, comm.AllScopes)
		from, err := clientOf(t, w, one).ExportSuppressions(ctx, format)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(from)
		_ = from.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == ',' }) {
			if format == client.CSV && strings.ContainsAny(strings.Trim(field, `"`)[:min(1, len(strings.Trim(field, `"`)))], "=+-@\t") {
				t.Errorf("a formula: %q", field)
			}
		}
		c := clientOf(t, w, other)
		for _, want := range []client.Imported{{Added: 1207}, {Present: 1207}} {
			got, err := c.ImportSuppressions(ctx, format, bytes.NewReader(text))
			if err != nil || got.Added != want.Added || got.Present != want.Present || got.Refused != 0 {
				t.Fatalf("%s: %+v %v", format, got, err)
			}
		}
		if !slices.Equal(w.entries(one.app), w.entries(other.app)) {
			t.Errorf("%s: another list came back", format)
		}
	}
}

// entries is what an export must keep of an app's list.
func (w *world) entries(app *comm.App) (out []string) {
	list, err := w.store.SuppressionList(context.Background(), app.ID, store.SuppressionFilter{Limit: 100_000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range list {
		out = append(out, fmt.Sprintf("%s %s %s %q", s.Channel, s.Address, s.Reason, s.Note))
	}
	slices.Sort(out)
	return out
}

// A quote that is never closed once took every line up to the next one for one field.
func TestAForgottenQuoteSpoilsOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	var csv strings.Builder
	csv.WriteString("channel,address\n")
	for i := range 1000 {
		quote := map[bool]string{true: `"`}[i == 10 || i == 500]
		fmt.Fprintf(&csv, "EMAIL,%su%d@example.com\n", quote, i)
	}
	got := w.do(one, "POST", importURL, csv.String(), map[string]string{"Content-Type": "text/csv"})
	if got.status != 200 || got.body["added"] != 998.0 || got.body["refused"] != 2.0 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestImportsRefuseLineByLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	csv := "\xef\xbb\xbfaddress,channel,reason,note\r\n+233241234567,SMS,,\r\n*,EMAIL,,\r\n\"a\nb@example.com\",EMAIL,,\r\n233241234568,SMS,because,\r\na\"b,SMS,,\r\n233241234569,SMS\r\n233241234567,SMS,,again\r\nAma@Example.com,EMAIL,complaint,\"x \"\"y\"\"\"\r\n"
	got := w.do(one, "POST", importURL, csv, map[string]string{"Content-Type": "text/csv; charset=utf-8"})
	lines := []float64{}
	list, _ := got.body["errors"].([]any)
	for _, x := range list {
		lines = append(lines, x.(map[string]any)["line"].(float64))
	}
	if got.status != 200 || got.body["added"] != 2.0 || got.body["present"] != 1.0 || got.body["refused"] != 6.0 || !slices.Equal(lines, []float64{3, 4, 5, 6, 7, 8}) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	readContract(t).answer(t, "POST", importURL, got)
	jsonl := `{"channel":"SMS","address":"233241234570"}` + "\n\n" + `{"channel":"SMS","addr":"233241234571"}` + "\nnull\n" + strings.Repeat("{}\n", 200) + `{"channel":"SMS","address":"233241234572"}`
	got = w.do(one, "POST", importURL, jsonl, map[string]string{"Content-Type": "application/x-ndjson"})
	if list, _ := got.body["errors"].([]any); got.status != 200 || got.body["added"] != 2.0 || got.body["refused"] != 202.0 || len(list) != 100 || got.body["errorsOmitted"] != 102.0 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if n := w.total(one.app); n != 4 {
		t.Errorf("%d on the list", n)
	}
}

func TestWhatIsNoImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	long := "channel,address\nSMS,\"" + strings.Repeat("a", 100_000)
	for name, c := range map[string]struct {
		kind, body string
		status     int
	}{
		"json": {"application/json", `{}`, 415}, "no type": {"", "channel,address\n", 415}, "latin": {"text/csv; charset=latin1", "channel,address\n", 415},
		"no header": {"text/csv", "SMS,233241234567\n", 400}, "no channel": {"text/csv", "address,note\na,b\n", 400}, "no address": {"text/csv", "channel,note\na,b\n", 400}, "twice": {"text/csv", "channel,channel,address\n", 400},
		"nothing": {"text/csv", "", 400}, "long record": {"text/csv", long, 400}, "long line": {"application/x-ndjson", strings.Repeat("a", 100_000), 400},
	} {
		if got := w.do(one, "POST", importURL, c.body, map[string]string{"Content-Type": c.kind}); got.status != c.status {
			t.Errorf("%s: %d %.200s", name, got.status, got.raw)
		}
	}
	if got := w.do(one, "GET", suppressionsURL+"/export?format=xml", "", nil); got.status != 400 || got.code() != "invalid_query" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if n := w.total(one.app); n != 0 {
		t.Errorf("%d on the list", n)
	}
}

// TestAFileOfWrongLinesIsAnsweredClearly: its answer tells what was stored, and the first of the wrong lines.
func TestAFileOfWrongLinesIsAnsweredClearly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	got := w.do(one, "POST", importURL, "channel,address\nSMS,233241234567\n"+strings.Repeat("SMS,x\n", 20_000), map[string]string{"Content-Type": "text/csv"})
	details := dig(got.body, "details")
	wrong, _ := details["errors"].([]any)
	if got.status != 400 || got.code() != "invalid_import" || details["added"] != 1.0 || details["refused"] != 10_000.0 || details["line"] != 10_002.0 || len(wrong) != 100 || details["errorsOmitted"] != 9900.0 {
		t.Errorf("%d %.600s", got.status, got.raw)
	}
	if n := w.total(one.app); n != 1 {
		t.Errorf("%d on the list", n)
	}
}

// TestNoAppTakesAllTransfers: an import or exports that do not end keep out their own app's alone.
func TestNoAppTakesAllTransfers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	csv := map[string]string{"Content-Type": "text/csv"}
	for _, c := range []struct {
		places       *pace.Places[comm.ID]
		method, path string
	}{{&w.api.imports, "POST", importURL}, {&w.api.exports, "GET", suppressionsURL + "/export"},
		{&w.api.exports, "GET", exportPath + "?channel=SMS&address=233241234567"}} {
		body, headers := "", map[string]string(nil)
		if c.method == "POST" {
			body, headers = "channel,address\nSMS,233241234567\n", csv
		}
		for c.places.Take(one.app.ID) {
		}
		if got := w.do(one, c.method, c.path, body, headers); got.status != 503 || got.code() != "unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s beyond its places: %d %s", c.path, got.status, got.raw)
		}
		for range 3 * c.places.All { // each gives its place back
			if got := w.do(two, c.method, c.path, body, headers); got.status != 200 {
				t.Fatalf("%s of another app: %d %s", c.path, got.status, got.raw)
			}
		}
	}
}
