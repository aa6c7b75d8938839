package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Each stored change of a template names its app, so that nodes read it again; what changes nothing does not.
func TestChangesOfTemplatesAreAnnounced(t *testing.T) {
	t.Parallel()
	s, _, changed := open(t)
	ctx, app := t.Context(), comm.ID{7}
	made, err := s.CreateTemplate(ctx, app, TemplateChange{Key: new("k"), Channel: new("EMAIL"), Subject: new("s"), Body: new("{{a}}")})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
		told bool
	}{
		{"the same content", func() error {
			_, err := s.UpdateTemplate(ctx, app, made.ID, TemplateChange{Body: new("{{a}}"), Text: new("")})
			return err
		}, false},
		{"a name", func() error {
			_, err := s.UpdateTemplate(ctx, app, made.ID, TemplateChange{Name: new("n")})
			return err
		}, true},
		{"content", func() error {
			_, err := s.UpdateTemplate(ctx, app, made.ID, TemplateChange{Text: new("t")})
			return err
		}, true},
		{"what is wrong", func() error {
			if _, err := s.UpdateTemplate(ctx, app, made.ID, TemplateChange{Body: new("{{")}); err == nil {
				return fmt.Errorf("stored")
			}
			return nil
		}, false},
		{"a rollback", func() error { _, err := s.RollbackTemplate(ctx, app, made.ID, 1); return err }, true},
		{"a deletion", func() error { return s.DeleteTemplate(ctx, app, made.ID) }, true},
	} {
		before := len(changed.all())
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
		if told := len(changed.all()) > before; told != step.told {
			t.Errorf("%s: announced %v", step.what, told)
		}
	}
	if got := changed.all(); slices.ContainsFunc(got, func(id comm.ID) bool { return id != app }) {
		t.Errorf("changes of %v", got)
	}
}

// Many changes of one template at the same instant are all made, each on the one before;
// of the versions the newest are kept.
func TestManyChangesOfOneTemplate(t *testing.T) {
	t.Parallel()
	s, _, _ := open(t)
	ctx, app := t.Context(), comm.ID{7}
	made, err := s.CreateTemplate(ctx, app, TemplateChange{Key: new("k"), Channel: new("SMS"), Body: new("first")})
	if err != nil {
		t.Fatal(err)
	}
	const n, rounds = 20, 6
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if _, err := s.UpdateTemplate(ctx, app, made.ID, TemplateChange{Body: new(fmt.Sprint(round, " ", i))}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	got, err := s.TemplateByID(ctx, app, made.ID)
	if err != nil || got.Current.Version != 1+n*rounds {
		t.Fatalf("%+v %v", got, err)
	}
	list, err := s.TemplateVersions(ctx, app, made.ID)
	if err != nil || len(list) != MaxVersions || list[0].Version != 1+n*rounds {
		t.Errorf("%d versions, %v", len(list), err)
	}
	if _, err := s.RollbackTemplate(ctx, app, made.ID, 1); !comm.IsKind(err, comm.Missing) {
		t.Errorf("back to a version that is not kept: %v", err)
	}
	if back, err := s.RollbackTemplate(ctx, app, made.ID, 1+n*rounds); err != nil || back.Current.Version != 2+n*rounds || back.Current.Body != got.Current.Body {
		t.Errorf("%+v %v", back, err)
	}
}

// bounded remembers the bound that a new template is stored under; the suite of the stores tests what it does.
type bounded struct {
	store.Templates
	most int
}

func (b *bounded) CreateTemplate(ctx context.Context, t *comm.Template, most int) error {
	b.most = most
	return b.Templates.CreateTemplate(ctx, t, 0)
}

func TestAnAppHasSoManyTemplates(t *testing.T) {
	t.Parallel()
	s, st, changed := open(t)
	b := &bounded{Templates: st}
	s.cfg.Templates = b
	_, err := s.CreateTemplate(t.Context(), comm.ID{7}, TemplateChange{Key: new("k"), Channel: new("SMS"), Body: new("x")})
	if !comm.IsKind(err, comm.Invalid) || b.most != MaxTemplates || len(changed.all()) != 0 {
		t.Errorf("%v, at most %d", err, b.most)
	}
}
