package providertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Vector is one recorded case: a file of named sections ("-- name --" lines,
// the txtar form). What stands before the first section explains the case.
type Vector struct {
	Name     string
	sections map[string]string
}

// Section answers a section's text, "" if there is none.
func (v *Vector) Section(name string) string { return v.sections[name] }

// Vectors reads the files that match a pattern; there must be some.
func Vectors(t testing.TB, pattern string) []Vector {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors at %s (%v)", pattern, err)
	}
	out := make([]Vector, 0, len(files))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Vector{Name: strings.TrimSuffix(filepath.Base(f), ".txtar"), sections: parseSections(string(text))})
	}
	return out
}

func parseSections(text string) map[string]string {
	out := map[string]string{}
	name := ""
	for line := range strings.SplitAfterSeq(text, "\n") {
		trimmed := strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(trimmed, "-- ") && strings.HasSuffix(trimmed, " --") && len(trimmed) > 6 {
			name = trimmed[3 : len(trimmed)-3]
			continue
		}
		out[name] += line
	}
	return out
}

// content is the JSON of a vector's message: content and files.
type content struct {
	comm.Content
	Attachments []comm.Attachment `json:"attachments"`
}

// SMTPVectors runs vectors of a mail adapter. Sections: settings and message
// (JSON), dialogue (an SMTPScript; further connections in "dialogue 2" …),
// mail (what must have arrived, line ends as LF) and expect: lines of
// "class: …", "code: …", "text: …", "hard: true", "after: 5m", "ref: …", "detail: …".
func SMTPVectors(t *testing.T, a provider.Adapter, pattern string) {
	for _, v := range Vectors(t, pattern) {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			v.runSMTP(t, a)
		})
	}
}

func (v *Vector) runSMTP(t *testing.T, a provider.Adapter) {
	settings := provider.Settings{"host": "mail.test", "from": "Shop <no-reply@shop.test>"}
	v.decode(t, "settings", &settings)
	var c content
	v.decode(t, "message", &c)
	scripts := []string{v.Section("dialogue")}
	for n := 2; v.Section(fmt.Sprintf("dialogue %d", n)) != ""; n++ {
		scripts = append(scripts, v.Section(fmt.Sprintf("dialogue %d", n)))
	}
	server := ServeSMTP(t, nil, scripts...)
	sender, err := a.Open(settings, provider.Env{Dial: server.Dial, Hostname: "client.test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	receipt, err := sender.Send(ctx, Email(t, c.Content, c.Attachments...))
	_ = sender.Close()
	v.judge(t, outcome(receipt, err))
	if want := v.Section("mail"); want != "" {
		mails := server.Mails()
		if len(mails) != 1 {
			t.Fatalf("%d mails arrived", len(mails))
		}
		if got := strings.ReplaceAll(string(mails[0]), "\r\n", "\n"); got != want {
			t.Errorf("mail\n%s\nwant\n%s", got, want)
		}
	}
}

func (v *Vector) decode(t testing.TB, section string, into any) {
	t.Helper()
	if text := v.Section(section); text != "" {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatalf("section %s: %v", section, err)
		}
	}
}

// outcome writes a result as the expect section does.
func outcome(r provider.Receipt, err error) map[string]string {
	out := map[string]string{"class": provider.Accepted.String(), "ref": r.Ref, "detail": r.Detail}
	if err == nil {
		return out
	}
	var e *provider.Error
	if !errors.As(err, &e) {
		return map[string]string{"class": "none: " + err.Error()}
	}
	out = map[string]string{"class": e.Class.String(), "code": e.Code, "text": e.Text}
	if e.HardBounce {
		out["hard"] = "true"
	}
	if e.OptedOut {
		out["opted out"] = "true"
	}
	if e.RetryAfter > 0 {
		out["after"] = e.RetryAfter.String()
	}
	return out
}

// judge compares with the section expect.
func (v *Vector) judge(t *testing.T, got map[string]string) {
	t.Helper()
	v.judgeAs(t, "expect", got)
}

// judgeAs compares; ref, detail and text count only if the section names them, everything else always.
func (v *Vector) judgeAs(t *testing.T, section string, got map[string]string) {
	t.Helper()
	want := lines(v.Section(section))
	if want["class"] == "" {
		t.Fatal("the vector expects no class")
	}
	for _, key := range []string{"ref", "detail", "text"} {
		if _, named := want[key]; !named {
			delete(got, key)
		}
	}
	if !maps.Equal(got, want) {
		for _, k := range slices.Sorted(maps.Keys(got)) {
			t.Logf("got %s: %s", k, got[k])
		}
		t.Errorf("want %v", want)
	}
}
