package hostile

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNoInputTakesLong (S22): no bad input, and none of those that only look bad, costs more
// than a tenth of a second of processor time. It runs alone in its process, so that what is
// used meanwhile is used for the one request that is under way, its client's part included.
func TestNoInputTakesLong(t *testing.T) {
	const most = 100 * time.Millisecond
	w := open(t, false)
	w.furnish(t)
	n, worst, which := 0, time.Duration(0), ""
	judge := func(what string, q *request) {
		n++
		took := w.used(t, q)
		for again := 0; took > most && again < 10; again++ { // something else may have been at work
			took = min(took, w.used(t, q))
		}
		if took > most {
			t.Errorf("%s: %v", what, took)
		}
		if took > worst {
			worst, which = took, what
		}
	}
	for _, l := range table() {
		if l.tries == nil || l.slow {
			continue
		}
		a := w.tenant(t, l.slug(), l.members)
		a.fixtures(t)
		if l.before != nil {
			l.before(t, a)
		}
		for _, x := range l.tries(t, a) {
			judge(fmt.Sprintf("B%d, %s: %s %.60s %.60q", l.number, x.name, x.method, x.path, x.body), &x.request)
		}
	}
	a := w.tenant(t, "costly", "")
	a.fixtures(t)
	for what, body := range costly() {
		for _, path := range []string{messagesURL, previewURL, "/api/v1/templates", "/api/v1/suppressions"} {
			judge(what+": "+path, &request{method: "POST", path: path, header: a.headers(jsonType()), body: []byte(body)})
		}
	}
	t.Logf("%d requests, the costliest %v: %s", n, worst, which)
	if n < fewest/2 {
		t.Errorf("only %d requests", n)
	}
}

// costly are bodies of a megabyte that a careless reader would spend long on.
func costly() map[string]string {
	const size = maxBody - 200
	fill := func(with string) string { return strings.Repeat(with, size/len(with)) }
	out := map[string]string{
		"open lists": fill("["), "open objects": fill(`{"a":`), "escapes": email("body", `"`+fill(`\u00e9`)+`"`), "half of the digits of a number": sms("ttlSeconds", fill("9")),
		"an exponent": `{"channel":"SMS","to":"233241234567","body":"x","metadata":{"a":1e` + fill("9") + `}}`, "equal members": "{" + strings.TrimSuffix(fill(`"a":1,`), ",") + "}",
		"an address of labels": email("to", quoted("a@"+fill("a."))), "an address in another script": email("to", quoted("a@"+fill("é."))), "a number": sms("to", quoted(fill("1"))),
		"tags of HTML": email("body", quoted(strings.Repeat("<b>", 170_000))), "comments": email("body", quoted(strings.Repeat("<!--", 130_000))), "quotes": email("from", quoted(fill(`\"`))),
		"combining marks": sms("body", quoted(strings.Repeat("\u0301", 400_000))), "of two alphabets": sms("body", quoted(strings.Repeat("aж", 300_000))), "braces": `{"key":"k","channel":"SMS","body":` + quoted(strings.Repeat("{{", 120_000)) + `}`,
		"placeholders": `{"key":"k","channel":"EMAIL","subject":"s","body":` + quoted(strings.Repeat("{{a}}", 52_000)) + `}`, "attributes": `{"key":"k","channel":"EMAIL","subject":"s","body":` + quoted("<a "+strings.Repeat(`x="`, 80_000)) + `}`,
		"values": `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":` + quoted(fill("{{x}}")) + `}}`, "a media type": email("attachments", `[{"filename":"a","contentType":`+quoted("a/b;"+fill(`x="\",`))+`,"content":""}]`),
	}
	return out
}

// used sends a request and answers how much processor time went by.
func (w *world) used(t *testing.T, q *request) time.Duration {
	t.Helper()
	before := processorTime(t)
	w.send(t, q)
	return processorTime(t) - before
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
