package console

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"

	ownmime "github.com/commserver/commserver/internal/mime"
)

// attached is an attachment of a mail.
type attached struct {
	name, kind string
	content    []byte
}

// attachmentsOf reads the attachments of a mail that our own server wrote: the parts of its outermost level that have a
// file's name. What cannot be read is left out.
func attachmentsOf(source []byte) (out []attached) {
	m, err := mail.ReadMessage(bytes.NewReader(source))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err != nil { // io.EOF, as a rule
			return out
		}
		if part.FileName() == "" {
			continue
		}
		var body io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			return out
		}
		one := attached{name: part.FileName(), content: content}
		if one.kind, _, err = mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil {
			one.kind = "application/octet-stream"
		}
		out = append(out, one)
	}
}

// mailView is a mail as one of its tabs shows it.
type mailView struct {
	View   string
	Tabs   []tab
	Frame  string // the path of its content
	Text   string
	Made   bool // Text is made from the HTML
	Source string
	Cut    bool // there is more of the source
}

// mailView is how the query wants a mail to be shown, else the first way that there is. here is the page, and place where on it the mail
// stands, "" for its top. sourced says that its source can be shown, which is filled in by who has it.
func (v *visit) mailView(here, place, markup, text string, sourced bool) *mailView {
	type way struct{ name, view string }
	ways := []way{{"Text", viewText}}
	if markup != "" {
		ways = []way{{"HTML", viewLight}, {"HTML, dark", viewDark}, ways[0]}
	}
	if sourced {
		ways = append(ways, way{"Source", viewSource})
	}
	m := &mailView{View: v.asked("view"), Frame: here + "/content", Text: text}
	if !slices.ContainsFunc(ways, func(w way) bool { return w.view == m.View }) {
		m.View = ways[0].view
	}
	if m.View == viewText && text == "" {
		m.Text, m.Made = ownmime.TextOf(markup), true
	}
	for _, one := range ways {
		q := v.r.URL.Query() // whether the page updates by itself is kept
		q.Set("view", one.view)
		m.Tabs = append(m.Tabs, tab{one.name, here + "?" + q.Encode() + place, one.view == m.View})
	}
	return m
}

// showSource shows as much of a source as a page may hold.
func (m *mailView) showSource(source string) {
	m.Source, m.Cut = strings.ToValidUTF8(source[:min(len(source), sourceShown)], "\uFFFD"), len(source) > sourceShown
}

// headersOf are the headers that were asked for, by name.
func headersOf(all map[string]string) (out []hidden) {
	for _, name := range sorted(all) {
		out = append(out, hidden{name, all[name]})
	}
	return out
}

// sorted are the keys of a map in order.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
