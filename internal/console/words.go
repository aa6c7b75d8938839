package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/story"
)

// funcs are what templates may call.
func (c *Console) funcs() template.FuncMap {
	return template.FuncMap{
		"asset":   c.assetPath,
		"icon":    icon,
		"clock":   clock,
		"iso":     func(t any) string { return at(t).UTC().Format(time.RFC3339) },
		"utc":     func(t any) string { return at(t).UTC().Format("2006-01-02 15:04:05") + " UTC" },
		"stamp":   func(t any) string { return stamp(at(t).UTC(), c.cfg.Now().UTC()) },
		"ago":     func(t any) string { return relative(at(t), c.cfg.Now()) },
		"isSet":   func(t any) bool { return !at(t).IsZero() },
		"after":   func(t any) bool { return at(t).After(c.cfg.Now()) },
		"number":  func(n any) string { return number(n) },
		"plural":  func(n any, one, many string) string { return plural(n, one, many) },
		"millis":  func(ms int64) string { return words(time.Duration(ms) * time.Millisecond) },
		"seconds": func(s int) string { return words(time.Duration(s) * time.Second) },
		"tone":    tone,
		"word":    statusWord,
		"became":  became,
		"lower":   strings.ToLower,
		"join":    strings.Join,
		"seg":     url.PathEscape,
		"dict":    dict,
		"json":    pretty,
		"dialog":  inDialog,
		"keyWorks": func(k client.Key) bool {
			return (k.RevokedAt == nil || k.RevokedAt.After(c.cfg.Now())) && (k.ExpiresAt == nil || k.ExpiresAt.After(c.cfg.Now()))
		},
		"percent":       percent,
		"ticks":         ticks,
		"curl":          curl,
		"list":          func(of ...string) []string { return of },
		"waits":         chain.WaitText,
		"took":          func(from, to any) string { return words(at(to).Sub(at(from))) },
		"query":         func(encoded string) template.URL { return template.URL(encoded) }, //nolint:gosec // of url.Values.Encode alone
		"bytes":         sizeWords,
		"endpointState": endpointState,
		"short":         func(s string) string { return firstOf(s, answerShown) },
		"reason":        func(s string) string { return wordsOr(reasonWords, s) },
		"providerState": healthBadge,
		"stateWords":    stateWords,
		"lasted":        c.lasted,
		"source":        func(s string) string { return wordsOr(sourceWords, s) },
		"actorKind":     func(s string) string { return wordsOr(actorWords, s) },
		"add":           func(a, b int) int { return a + b },
		"when": func(so bool, words string) string {
			if !so {
				return ""
			}
			return words
		},
	}
}

// inDialog has a link open in the dialog. It says how that is filled: else it would go by what a list around it says for itself.
func inDialog() template.HTMLAttr {
	return `hx-target="#dialog" hx-boost="true" hx-push-url="false" hx-swap="innerHTML" data-dialog`
}

// assetPath is where an asset is served.
func (c *Console) assetPath(name string) (string, error) {
	all, err := c.files()
	if err != nil {
		return "", err
	}
	return all.path(name)
}

// at reads a time of the API: a value, a pointer, or nothing.
func at(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

// stamp is an instant to the second, with its year where that is another one than now's.
func stamp(t, now time.Time) string {
	layout := "2 Jan 15:04:05 UTC"
	if t.Year() != now.Year() {
		layout = "2 Jan 2006 15:04:05 UTC"
	}
	return t.Format(layout)
}

// relative says in words how long ago t was, or how long it is until t.
func relative(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < -time.Second:
		return "in " + words((-d).Truncate(time.Second))
	case d < 2*time.Second:
		return "just now"
	}
	return words(d.Truncate(time.Second)) + " ago"
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// words is a duration for people: one unit, two where the first is small.
func words(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second && d%time.Second >= 100*time.Millisecond:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < time.Minute:
		return strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	case d < day:
		return two(int(d/time.Hour), "h", int(d%time.Hour/time.Minute), "min")
	case d < year:
		return two(int(d/day), "d", int(d%day/time.Hour), "h")
	}
	return plural(int(d/year), "year", "years")
}

// few is up to how many of the larger unit the smaller one is said too.
const few = 9

func two(large int, unit string, small int, smaller string) string {
	out := strconv.Itoa(large) + " " + unit
	if large <= few && small > 0 {
		out += " " + strconv.Itoa(small) + " " + smaller
	}
	return out
}

// number writes a whole number with its thousands apart.
func number(n any) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return sign + s
}

func plural(n any, one, many string) string {
	if fmt.Sprint(n) == "1" {
		return "1 " + one
	}
	return number(n) + " " + many
}

// tones say how a status looks: ok, info, warn, bad or quiet.
var tones = map[string]string{
	"QUEUED": "wait", "SENDING": "info", "SENT": "info", "DELIVERED": "ok", "FAILED": "bad", "SUPPRESSED": "warn", "CANCELLED": "quiet",
	"RUNNING": "ok", "PAUSED": "warn", "DRAINING": "warn",
	"accepted": "ok", "failed": "bad", "rejected": "bad", "throttled": "warn", "unknown": "warn", "not_started": "quiet", "running": "info",
	notSent: "warn", "waiting": "wait", "delivered": "ok", "raised": "bad", "cleared": "ok",
	"active": "ok", "off": "quiet", "switched off": "bad", "failing": "bad", "sandbox": "warn", "live": "ok", "paused": "warn", "ended": "quiet", "down": "bad",
}

func tone(status string) string {
	if t, ok := tones[status]; ok {
		return t
	}
	return "quiet"
}

// statusWord is a status as people read it: SENT becomes Sent, not_started becomes Not started.
func statusWord(status string) string {
	return story.Capital(strings.ReplaceAll(strings.ToLower(status), "_", " "))
}

// notSent stands for the status of a live message that the sandbox took: nobody got it, whatever its status says.
const notSent = "CAPTURED"

// became is a message's status as it is shown. sandbox says that the message was accepted in the sandbox, where nobody takes sent for more than it is.
func became(status string, sandbox bool, provider string) string {
	if !sandbox && provider == chain.Sandbox && (status == "SENT" || status == "DELIVERED") {
		return notSent
	}
	return status
}

// dict makes the data of a part out of names and values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict takes names and values")
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, errors.New("a name of dict is no text")
		}
		out[name] = pairs[i+1]
	}
	return out, nil
}

// pretty shows JSON with a line for each member.
func pretty(raw json.RawMessage) string {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return string(raw)
	}
	return string(data)
}

// pager leads through a list by its cursor.
type pager struct {
	First, Next template.URL // queries; "" where there is none
	Shown       int
}

// carried is a parameter that the pages after the first have, "" for none: the first one made it.
type carried struct{ Name, Value string }

// pagerOf makes the links of a page of this list.
func (v *visit) pagerOf(next string, shown int, more ...carried) pager {
	q := v.r.URL.Query()
	for _, one := range more {
		q.Del(one.Name)
	}
	out := pager{Shown: shown}
	if q.Get("cursor") != "" {
		q.Del("cursor")
		out.First = link(q)
	}
	if next != "" {
		q.Set("cursor", next)
		for _, one := range more {
			if one.Value != "" {
				q.Set(one.Name, one.Value)
			}
		}
		out.Next = link(q)
	}
	return out
}

// link is a query as the target of a link; its values are escaped.
func link(q url.Values) template.URL {
	return template.URL("?" + q.Encode()) //nolint:gosec // url.Values.Encode escapes everything
}

// ticks shows what stands between backticks as code. Everything is escaped.
func ticks(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		escaped := template.HTMLEscapeString(part)
		if i%2 == 1 {
			escaped = "<code>" + escaped + "</code>"
		}
		b.WriteString(escaped)
	}
	return template.HTML(b.String()) //nolint:gosec // every part is escaped
}

// curl is the command that sends a first message; it works when it is pasted.
func curl(base, app, key string) string {
	return curlOf(base, app, key, `{"channel":"SMS","to":"233241234567","body":"Hello from CommServer"}`)
}

// curlOf is the command that sends a message of this body.
func curlOf(base, app, key, body string) string {
	return `curl -X POST ` + base + `/api/v1/messages \
  -H "X-App-ID: ` + app + `" \
  -H "X-API-Key: ` + key + `" \
  -H "Content-Type: application/json" \
  -d '` + body + `'`
}

// toPaste is a command for a terminal, with what it sends.
type toPaste struct{ Name, Curl string }

// samplesOf are the commands that send a first email and a first SMS. once makes their idempotency keys this page's: else the samples of
// an app's second key would be answered with what the first one sent.
func samplesOf(base, app, key, once string) []toPaste {
	return []toPaste{
		{"An email", curlOf(base, app, key, `{
    "channel": "EMAIL",
    "to": "ama@example.com",
    "subject": "Welcome",
    "body": "<h1>Hello from CommServer</h1>",
    "idempotencyKey": "first-email-`+once+`"
  }`)},
		{"An SMS", curlOf(base, app, key, `{
    "channel": "SMS",
    "to": "233241234567",
    "body": "Hello from CommServer",
    "idempotencyKey": "first-sms-`+once+`"
  }`)},
	}
}

// sizeWords is a number of bytes for people.
func sizeWords(n int64) string {
	switch {
	case n < 1<<10:
		return plural(n, "byte", "bytes")
	case n < 1<<20:
		return strconv.FormatInt((n+1<<9)>>10, 10) + " kB"
	}
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
}

// wordsOr is the entry of a word, or the word itself as people read it where this version does not know it.
func wordsOr(table map[string]string, word string) string {
	if s, ok := table[word]; ok {
		return s
	}
	return statusWord(word)
}
