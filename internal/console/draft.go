package console

import (
	"errors"
	"html"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/mime"
	"github.com/commserver/commserver/internal/render"
)

// valuesOf reads the lines of values: name = value.
func valuesOf(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.SplitSeq(unixLines(text), "\n") {
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); ok && name != "" {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// pairs hands values over, and for each placeholder without one its name.
func pairs(values map[string]string, names []string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range names {
			value, ok := values[name]
			if !ok {
				value = name
			}
			if !yield(name, value) {
				return
			}
		}
	}
}

// showDraft renders what the editor holds, saved or not, for the frame beside it. It asks nobody and stores nothing.
func (v *visit) showDraft() error {
	in := v.r.PostForm
	channel := comm.Email
	version := &comm.TemplateVersion{Subject: in.Get("subject"), Body: unixLines(in.Get("body")), Text: unixLines(in.Get("text"))}
	if v.channelOf() == client.SMS {
		channel, version.Subject, version.Text = comm.SMS, "", ""
	}
	if version.Body == "" {
		return v.frame(false, "Nothing is written yet.", "")
	}
	compiled, err := render.Compile(channel, version)
	if err != nil {
		return v.frame(false, faultOf(err), "")
	}
	out, err := compiled.Render(pairs(valuesOf(in.Get("values")), compiled.Names()), render.Given{})
	if err != nil {
		return v.frame(false, faultOf(err), "")
	}
	if channel == comm.SMS {
		return v.frame(true, bubbles(phoneOf(out.Body)), "")
	}
	body := `<p style="font:600 14px system-ui,sans-serif;margin:0 0 16px;padding-bottom:10px;border-bottom:1px solid #8886">` + html.EscapeString(out.Subject) + `</p>` + out.Body
	if in.Get("as") == "text" {
		text := out.Text
		if text == "" {
			text = mime.TextOf(out.Body)
		}
		return v.frame(false, text, "")
	}
	return v.frame(true, body, in.Get("as"))
}

// faultOf is what is wrong with a draft, for its writer.
func faultOf(err error) string {
	var e *comm.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	out := []string{e.Text}
	for _, name := range sorted(e.Fields) {
		out = append(out, name+" "+e.Fields[name])
	}
	return strings.Join(out, "\n")
}

// bubbles shows an SMS in the frame as a phone does; the frame has no style sheet of ours.
func bubbles(p *smsPage) string {
	var b strings.Builder
	for _, part := range p.Parts {
		b.WriteString(`<div style="background:#e7eefc;color:#161b23;border-radius:14px 14px 14px 4px;padding:10px 14px;margin:0 0 8px;max-width:24rem;white-space:pre-wrap;font:15px/1.45 system-ui,sans-serif">`)
		for _, r := range part.Runs {
			text := html.EscapeString(r.Text)
			if r.Forced {
				text = `<mark>` + text + `</mark>`
			}
			b.WriteString(text)
		}
		b.WriteString(`</div>`)
	}
	alphabet := "the GSM alphabet"
	if p.UCS2 {
		alphabet = "UCS-2, because of the marked characters"
	}
	b.WriteString(`<p style="font:13px system-ui,sans-serif">` + html.EscapeString(plural(len(p.Parts), "segment", "segments")+", "+plural(p.Units, "character", "characters")+" in "+alphabet) + `.</p>`)
	return b.String()
}

// versionPage is an earlier version beside the one of now.
type versionPage struct {
	*templateAt
	V     *client.TemplateVersion
	Parts []difference
}

// difference is a part of a template, line by line.
type difference struct {
	Name  string
	Lines []diffLine
	Same  bool
}

func (v *visit) theVersion() (*templateAt, *client.TemplateVersion, error) {
	x, err := v.theTemplate()
	if err != nil {
		return nil, nil, err
	}
	n, err := strconv.Atoi(v.param("version"))
	if err != nil {
		return nil, nil, missing("version")
	}
	old, err := x.As.TemplateVersion(v.ctx(), x.T.ID, n)
	return x, old, err
}

func (v *visit) showVersion() error {
	x, old, err := v.theVersion()
	if err != nil {
		return err
	}
	p := &versionPage{templateAt: x, V: old}
	for _, one := range []struct{ name, was, is string }{{"Subject", old.Subject, x.T.Subject}, {"Body", old.Body, x.T.Body}, {"Plain text", old.Text, x.T.Text}} {
		if one.was != "" || one.is != "" {
			p.Parts = append(p.Parts, difference{one.name, diff(one.was, one.is), one.was == one.is})
		}
	}
	return v.show("version", page{Title: "Version " + strconv.Itoa(old.Version), Trail: x.trail(true), Data: p})
}

func (v *visit) rollBack() error {
	x, old, err := v.theVersion()
	if err != nil {
		return err
	}
	made, err := x.As.RollbackTemplate(v.ctx(), x.T.ID, old.Version)
	if err != nil {
		return v.undone(x.At, err)
	}
	return v.done(x.At, "Version "+strconv.Itoa(made.Version)+" has the content of version "+strconv.Itoa(old.Version)+".")
}

func sendForm(x *templateAt) *form {
	to := field{Name: "to", Label: "To", Kind: textField, Must: true, Length: 254, Hint: "ama@example.com"}
	if x.T.Channel == client.SMS {
		to.Hint = "233241234567"
	}
	return &form{Fields: []field{to, {Name: "values", Path: "variables", Label: "Values", Kind: longField, Mono: true, Rows: max(3, len(x.T.Variables)), Value: namesOf(x.T), Help: "One a line: name = value."}}}
}

func (v *visit) showSendTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	return v.sendTemplatePage(http.StatusOK, x, sendForm(x).renew())
}

func (v *visit) sendTemplatePage(status int, x *templateAt, f *form) error {
	lead := "The app is live: the message goes to this address."
	if x.App.SandboxMode {
		lead = "The app is in the sandbox: the message is captured, and nobody gets it."
	}
	return v.showStatus(status, "form", page{Title: "Send " + x.T.Name, Trail: x.trail(true), Data: formPage{Form: f, Action: x.At + "/send", Button: "Send it", Back: x.At, Lead: lead, Keep: true}})
}

func (v *visit) sendTemplate() error {
	x, err := v.theTemplate()
	if err != nil {
		return err
	}
	f, in := sendForm(x), v.r.PostForm
	f.take(in)
	press, err := pressOf(in)
	if err != nil {
		return err
	}
	f.Hidden = []hidden{{pressKey, press}}
	body := map[string]any{"idempotencyKey": press, "channel": x.T.Channel, "to": strings.TrimSpace(in.Get("to")), "templateKey": x.T.Key, "variables": valuesOf(in.Get("values")), "tags": []string{"console-test"}}
	var made struct {
		ID string `json:"id"`
	}
	if err := send(v, x.App.Slug, http.MethodPost, "/api/v1/messages", body, &made); err != nil {
		return v.refused(err, f, func(status int) error {
			f.sentAlready(err)
			return v.sendTemplatePage(status, x, f)
		})
	}
	return v.done(messagesPath+"/"+url.PathEscape(made.ID), "The message is accepted. Here is what becomes of it.")
}

// diffLine is a line that was there before (-), is there now (+), or both ( ).
type diffLine struct{ Sign, Text string }

// diffLines bounds what is compared: more is shown as removed and added whole.
const diffLines = 1500

// diff compares two texts by their lines: the longest common sequence stays, by dynamic programming.
func diff(was, is string) (out []diffLine) {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	if len(a) > diffLines || len(b) > diffLines {
		return append(signed("-", a), signed("+", b)...)
	}
	common := make([][]int16, len(a)+1) // of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int16, len(b)+1)
	}
	for i := range slices.Backward(a) {
		for j := range slices.Backward(b) {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			out = append(out, diffLine{" ", a[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, diffLine{"-", a[i]})
			i++
		default:
			out = append(out, diffLine{"+", b[j]})
			j++
		}
	}
	return append(append(out, signed("-", a[i:])...), signed("+", b[j:])...)
}

func signed(sign string, lines []string) (out []diffLine) {
	for _, line := range lines {
		out = append(out, diffLine{sign, line})
	}
	return out
}
