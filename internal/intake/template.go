package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/render"
)

// all are the variables as rendering takes them.
func (v *Variables) all(yield func(name, value string) bool) {
	for i := range v.List {
		if !yield(v.List[i].Name, v.List[i].Value) {
			return
		}
	}
}

// inline checks the parts of an email that a request with a template gives itself:
// they win over the template's.
func (p *prepared) inline(q *Request) error {
	if p.sub.Channel != comm.Email || !q.Subject.Given && !q.Text.Given {
		return nil
	}
	return p.parts()
}

// fill renders a template into the content. What its values make wrong is 422.
func (p *prepared) fill(t *compiled, q *Request) error {
	if t.channel != p.sub.Channel {
		return comm.E("template_channel_mismatch", "The template %s is one for %s; use one for %s, or the other channel.", p.content.TemplateKey, t.channel, p.sub.Channel).
			Field("templateKey", "is a template for "+t.channel.String())
	}
	got, err := t.template.Render(q.Variables.all, render.Given{Subject: p.content.Subject != "", Text: p.content.Text != ""})
	if err != nil {
		return err
	}
	p.content.TemplateVer, p.content.Body = t.version, got.Body
	if p.content.Subject == "" {
		p.content.Subject = got.Subject
	}
	if p.content.Text == "" {
		p.content.Text = got.Text
	}
	return rendered(p.finishBody())
}

// rendered turns the refusal of a body into one of the values that made it.
func rendered(err error) error {
	refused, ok := errors.AsType[*comm.Error](err)
	if !ok || refused.Kind != comm.Invalid {
		return err
	}
	e := comm.Rendered(refused.Code)
	e.Text, e.Fields, e.Details = refused.Text, refused.Fields, refused.Details
	return e
}

// Sample is what a template makes of values.
type Sample struct {
	Subject, Body, Text string
	Encoding            string // SMS
	Segments            int    // SMS
	Warnings            []comm.Warning
}

// Sample renders a template as Accept would, with the same refusals, and stores nothing.
func (s *Service) Sample(t *comm.Template, values Variables) (*Sample, error) {
	one, err := compile(t)
	if err != nil {
		return nil, err
	}
	p := &prepared{}
	p.sub.Channel = t.Channel
	if err := p.fill(one, &Request{Variables: values}); err != nil {
		return nil, err
	}
	return &Sample{Subject: p.content.Subject, Body: p.content.Body, Text: p.content.Text, Encoding: p.encoding, Segments: p.segments,
		Warnings: append(p.warnings, one.unused(&values)...)}, nil
}

// maxUnused bounds how many values that a template does not use a warning names.
const maxUnused = 10

// unused warns of values that the template has no placeholder for. Sending ignores them:
// many templates may be given one set of values.
func (c *compiled) unused(values *Variables) []comm.Warning {
	names := c.template.Unused(values.all)
	if len(names) == 0 {
		return nil
	}
	list, more := names[:min(len(names), maxUnused)], ""
	if len(names) > len(list) {
		more = fmt.Sprintf(" and %d more", len(names)-len(list))
	}
	return []comm.Warning{{Code: comm.WarnUnused, Text: "The template has no placeholder for " + strings.ToValidUTF8(strings.Join(list, ", "), "") + more + ": check the spelling; such values are ignored."}}
}

// Bound is how much memory the content that a request's template makes may need beside
// the request, in bytes; 0 without a template, and where Accept will refuse it.
func (s *Service) Bound(ctx context.Context, app *comm.App, q *Request) int64 {
	if !q.TemplateKey.Given || !render.Key(q.TemplateKey.Value) {
		return 0
	}
	t, err := s.shelf.of(ctx, app.ID, q.TemplateKey.Value)
	if err != nil {
		return 0
	}
	return int64(t.template.Bound(q.Variables.all))
}

// compiled is the newest version of a template, as far as this process knows.
type compiled struct {
	id       comm.ID
	channel  comm.Channel
	version  int
	template *render.Template
	bytes    int
}

func compile(t *comm.Template) (*compiled, error) {
	v := &t.Current
	template, err := render.Compile(t.Channel, v)
	if err != nil {
		// It was refused neither when it was stored nor for its values: the rules became stricter since.
		return nil, comm.E("internal").Because(fmt.Errorf("compile a stored template: %w", err))
	}
	return &compiled{t.ID, t.Channel, v.Version, template, len(v.Subject) + len(v.Body) + len(v.Text)}, nil
}

// templatesLive is how long a template is taken for the newest; a change in this
// process or an announcement makes it be read again earlier.
const templatesLive = 5 * time.Second

// Bounds of what is remembered; past one of them everything is forgotten once.
const (
	maxTemplates     = 10_000
	maxTemplateBytes = 64 << 20 // of content as stored; compiled it takes about as much
)

// shelf remembers compiled templates of apps. Since a version never changes, one that is
// read again and is the same is not compiled again. It is safe for concurrent use.
type shelf struct {
	from Templates
	now  func() time.Time

	mu         sync.Mutex
	generation int
	bytes      int
	byKey      map[templateName]*shelved
}

type templateName struct {
	app comm.ID
	key string
}

type shelved struct {
	*compiled
	until      time.Time
	generation int
}

func newShelf(from Templates, now func() time.Time) *shelf {
	return &shelf{from: from, now: now, byKey: map[templateName]*shelved{}}
}

// forget makes every template be read again. What is compiled stays for when it is the same.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
}

// of answers the app's template with this key, or template_not_found.
func (s *shelf) of(ctx context.Context, app comm.ID, key string) (*compiled, error) {
	name := templateName{app, key}
	s.mu.Lock()
	got, generation := s.byKey[name], s.generation
	if got != nil && got.generation == generation && s.now().Before(got.until) {
		s.mu.Unlock()
		return got.compiled, nil
	}
	s.mu.Unlock()
	t, err := s.from.TemplateByKey(ctx, app, key)
	if comm.IsKind(err, comm.Missing) {
		s.put(name, nil)
		return nil, comm.E("template_not_found").Field("templateKey", "is not the key of a template of this app")
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("read the template: %w", err))
	}
	if got != nil && got.id == t.ID && got.version == t.Current.Version {
		s.put(name, &shelved{got.compiled, s.now().Add(templatesLive), generation})
		return got.compiled, nil
	}
	fresh, err := compile(t)
	if err != nil {
		return nil, err
	}
	s.put(name, &shelved{fresh, s.now().Add(templatesLive), generation})
	return fresh, nil
}

// put remembers a template; nil: it is gone. One that was read before the last forget
// is remembered with the generation of then, so that it is read again.
func (s *shelf) put(name templateName, one *shelved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byKey[name]; old != nil {
		s.bytes -= old.bytes
		delete(s.byKey, name)
	}
	if one == nil {
		return
	}
	if len(s.byKey) >= maxTemplates || s.bytes+one.bytes > maxTemplateBytes {
		clear(s.byKey)
		s.bytes = 0
	}
	s.byKey[name] = one
	s.bytes += one.bytes
}
