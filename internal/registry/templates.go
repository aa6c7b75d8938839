package registry

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/render"
	"github.com/commserver/commserver/internal/store"
)

// Bounds of an app's templates.
const (
	MaxTemplates = 1000 // of an app
	MaxVersions  = 100  // of a template: the newest are kept
)

// TemplateChange is what is asked of a template; nil members are left as they are.
type TemplateChange struct {
	Key, Channel  *string // of a new one; they cannot be changed later
	Name          *string // the key, if a new one has none
	Subject, Body *string
	Text          *string // "" takes it away
}

// Template is a template as it is shown.
type Template struct {
	comm.Template
	Variables []string // the names of its placeholders, sorted
}

// CreateTemplate stores a new template as its version 1.
func (s *Service) CreateTemplate(ctx context.Context, app comm.ID, change TemplateChange) (*Template, error) {
	if change.Key == nil || !render.Key(*change.Key) {
		return nil, comm.E("invalid_template_key", "key %s.", render.KeyRule).Field("key", render.KeyRule)
	}
	ch, ok := comm.ParseChannel(value(change.Channel))
	if !ok {
		return nil, comm.E("invalid_channel").Field("channel", "must be EMAIL or SMS")
	}
	now := s.now()
	t := &comm.Template{App: app, ID: comm.NewID(now), Key: *change.Key, Channel: ch, Name: *change.Key, CreatedAt: now, UpdatedAt: now,
		Current: comm.TemplateVersion{Version: 1, CreatedAt: now}}
	out, err := change.apply(t, &t.Current)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Templates.CreateTemplate(ctx, t, MaxTemplates); err != nil {
		return nil, err
	}
	s.cfg.Changed(app)
	return out, nil
}

// UpdateTemplate changes a template. Content that differs from what is stored becomes
// the next version; the name alone, or the same content again, does not.
func (s *Service) UpdateTemplate(ctx context.Context, app, id comm.ID, change TemplateChange) (*Template, error) {
	return s.editTemplate(ctx, app, id, func(t *comm.Template) (*comm.TemplateVersion, error) {
		switch {
		case change.Key != nil && *change.Key != t.Key:
			return nil, comm.E("invalid_template_key", "The key of a template cannot be changed; create another template.").Field("key", "cannot be changed")
		case change.Channel != nil && *change.Channel != t.Channel.String():
			return nil, comm.E("invalid_channel", "The channel of a template cannot be changed; create another template.").Field("channel", "cannot be changed")
		}
		next := t.Current
		if _, err := change.apply(t, &next); err != nil {
			return nil, err
		}
		if next == t.Current {
			return nil, nil
		}
		return &next, nil
	})
}

// RollbackTemplate makes the content of an earlier version the next version.
func (s *Service) RollbackTemplate(ctx context.Context, app, id comm.ID, version int64) (*Template, error) {
	return s.editTemplate(ctx, app, id, func(t *comm.Template) (*comm.TemplateVersion, error) {
		if version < 1 || version > int64(t.Current.Version) {
			return nil, noVersion(version, t.Current.Version)
		}
		v, err := s.cfg.Templates.TemplateVersion(ctx, app, id, int(version))
		if comm.IsKind(err, comm.Missing) {
			return nil, noVersion(version, t.Current.Version)
		}
		if err != nil {
			return nil, err
		}
		if _, err := render.Compile(t.Channel, v); err != nil {
			return nil, err // by rules of a newer server
		}
		next := *v
		return &next, nil
	})
}

func noVersion(version int64, newest int) error {
	return comm.E("not_found", "The template has no version %d: its newest is %d, and the newest %d are kept.", version, newest, MaxVersions).Field("version", "is not kept")
}

// editTemplate changes a template as it is stored now. change answers the next version's content, or nil when it stays.
func (s *Service) editTemplate(ctx context.Context, app, id comm.ID, change func(t *comm.Template) (*comm.TemplateVersion, error)) (*Template, error) {
	var next *comm.TemplateVersion
	same := false
	t, err := anew(ctx, func() (*comm.Template, error) { return s.cfg.Templates.Template(ctx, app, id) },
		func(t *comm.Template) (err error) {
			name := t.Name
			next, err = change(t)
			same = next == nil && t.Name == name
			return err
		},
		func(t *comm.Template) error {
			if same {
				return nil
			}
			now := s.now()
			if next != nil {
				next.Version, next.CreatedAt = t.Current.Version+1, now
			}
			return s.cfg.Templates.UpdateTemplate(ctx, t, next, MaxVersions, now)
		})
	if err != nil {
		return nil, fmt.Errorf("change the template: %w", err)
	}
	if !same {
		s.cfg.Changed(app)
	}
	return show(t)
}

// apply puts the change into the name of t and the content of v, after every check.
func (c *TemplateChange) apply(t *comm.Template, v *comm.TemplateVersion) (*Template, error) {
	if c.Name != nil {
		if why := checkName(*c.Name); why != "" {
			return nil, comm.E("invalid_field").Field("name", why)
		}
		t.Name = *c.Name
	}
	for _, x := range []struct {
		from *string
		into *string
	}{{c.Subject, &v.Subject}, {c.Body, &v.Body}, {c.Text, &v.Text}} {
		if x.from != nil {
			*x.into = *x.from
		}
	}
	if t.Channel == comm.SMS && c.Subject != nil {
		return nil, comm.E("field_not_allowed").Field("subject", "goes with channel EMAIL only")
	}
	compiled, err := render.Compile(t.Channel, v)
	if err != nil {
		return nil, err
	}
	return &Template{Template: *t, Variables: compiled.Names()}, nil
}

// show makes the form that is answered.
func show(t *comm.Template) (*Template, error) {
	names, err := variables(&t.Current)
	return &Template{Template: *t, Variables: names}, err
}

// variables are the placeholders of stored content.
func variables(v *comm.TemplateVersion) ([]string, error) {
	names, err := render.Names(v)
	if err != nil {
		return nil, fmt.Errorf("read the placeholders of a stored template: %w", err)
	}
	return names, nil
}

// DeleteTemplate removes a template with its versions; not_found otherwise.
func (s *Service) DeleteTemplate(ctx context.Context, app, id comm.ID) error {
	if err := s.cfg.Templates.DeleteTemplate(ctx, app, id); err != nil {
		return err
	}
	s.cfg.Changed(app)
	return nil
}

// TemplateByID reads a template of the app; not_found otherwise.
func (s *Service) TemplateByID(ctx context.Context, app, id comm.ID) (*Template, error) {
	t, err := s.cfg.Templates.Template(ctx, app, id)
	if err != nil {
		return nil, err
	}
	return show(t)
}

// TemplateList reads a page of the app's templates, newest first; more says that there are further ones.
func (s *Service) TemplateList(ctx context.Context, app comm.ID, f store.TemplateFilter) (out []Template, more bool, err error) {
	page, more, err := s.cfg.Templates.TemplateList(ctx, app, f)
	if err != nil {
		return nil, false, err
	}
	for i := range page {
		t, err := show(&page[i])
		if err != nil {
			return nil, false, err
		}
		out = append(out, *t)
	}
	return out, more, nil
}

// TemplateVersions lists the versions that are kept, newest first, without body and text.
func (s *Service) TemplateVersions(ctx context.Context, app, id comm.ID) ([]comm.TemplateVersion, error) {
	return s.cfg.Templates.TemplateVersions(ctx, app, id)
}

// TemplateVersion reads a template as one of its versions has it; not_found otherwise.
func (s *Service) TemplateVersion(ctx context.Context, app, id comm.ID, version int) (*comm.TemplateVersion, []string, error) {
	v, err := s.cfg.Templates.TemplateVersion(ctx, app, id, version)
	if err != nil {
		return nil, nil, err
	}
	names, err := variables(v)
	return v, names, err
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
