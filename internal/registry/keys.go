package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// KeySpec asks for a new key.
type KeySpec struct {
	Name      string // may be empty
	Scopes    []string
	HasScopes bool        // without them: SEND and READ
	ExpiresAt comm.Micros // 0: never
}

// Issued is a new key with its raw text, which is known this once.
type Issued struct {
	Key  *comm.Key
	Text string
}

// CreateKey makes another key for the app. Its prefix tells the app's mode of now.
func (s *Service) CreateKey(ctx context.Context, app *comm.App, spec KeySpec) (*Issued, error) {
	e := comm.E("invalid_field")
	if spec.Name != "" {
		if why := checkName(spec.Name); why != "" {
			e.Field("name", why)
		}
	}
	if spec.ExpiresAt != 0 && spec.ExpiresAt <= s.now() {
		e.Field("expiresAt", "lies in the past")
	}
	scopes := readScopes(e, spec.Scopes, spec.HasScopes)
	if len(e.Fields) > 0 {
		return nil, e
	}
	if scopes == 0 {
		scopes = defaultScopes
	}
	text, key := s.mint(ctx, app, scopes)
	key.Name, key.ExpiresAt = spec.Name, spec.ExpiresAt
	if err := s.cfg.Keys.AddKey(ctx, key); err != nil {
		return nil, err
	}
	s.cfg.Changed(app.ID)
	return &Issued{key, text}, nil
}

// RotateKey makes a key with the name, scopes, end and origin of an old one, which
// ends after the overlap (0 to 86400 seconds). So a key that provisioning issued is
// followed by one that rotateKey ends, and no rotation outlives what was allowed.
func (s *Service) RotateKey(ctx context.Context, app *comm.App, id comm.ID, overlapSeconds int64) (*Issued, error) {
	if overlapSeconds < 0 || overlapSeconds > maxOverlap {
		return nil, comm.E("invalid_field").Field("overlapSeconds", "must be 0 to 86400")
	}
	old, err := s.cfg.Keys.Key(ctx, app.ID, id)
	if err != nil {
		return nil, err
	}
	text, key := s.mint(ctx, app, old.Scopes)
	key.Name, key.ExpiresAt, key.Provisioned = old.Name, old.ExpiresAt, old.Provisioned
	if err := s.cfg.Keys.ReplaceKey(ctx, key, id, key.CreatedAt.Add(time.Duration(overlapSeconds)*time.Second)); err != nil {
		return nil, err
	}
	s.cfg.Changed(app.ID)
	return &Issued{key, text}, nil
}

// RevokeKey ends a key of the app now; one that has ended stays so. not_found without it.
func (s *Service) RevokeKey(ctx context.Context, app, id comm.ID) error {
	if err := s.cfg.Keys.RevokeKey(ctx, app, id, s.now()); err != nil {
		return err
	}
	s.cfg.Changed(app)
	return nil
}

// KeyList pages through the app's keys, oldest first.
func (s *Service) KeyList(ctx context.Context, app, after comm.ID, limit int) ([]comm.Key, error) {
	keys, err := s.cfg.Keys.KeyPage(ctx, app, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return keys, nil
}
