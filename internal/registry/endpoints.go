package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Bounds of what an endpoint filters by.
const (
	maxEndpointTags = 20
	maxEndpointTag  = 64 // as a message's: in bytes
)

// EndpointChange is what is asked of a webhook endpoint; nil members are left as they are, or take their default in a new one.
type EndpointChange struct {
	Name     *string
	URL      *string
	Secret   *string // of a new one alone; afterwards it is rotated
	Active   *bool   // true also takes off that the server switched it off
	Statuses *[]string
	Channels *[]string
	Tags     *[]string
}

// EndpointChanged is an endpoint after a change. Secret is set when one was generated: it is shown this once.
type EndpointChanged struct {
	comm.Endpoint
	NewSecret string
}

// Endpoints lists an app's webhook endpoints by name.
func (s *Service) Endpoints(ctx context.Context, app comm.ID) ([]comm.Endpoint, error) {
	return s.cfg.Endpoints.Endpoints(ctx, app)
}

// Endpoint reads one of the app's; not_found otherwise.
func (s *Service) Endpoint(ctx context.Context, app, id comm.ID) (*comm.Endpoint, error) {
	return s.cfg.Endpoints.Endpoint(ctx, app, id)
}

// CreateEndpoint stores a new endpoint. A secret is generated when none is given. The one named
// comm.DefaultEndpoint is the app's webhookUrl.
func (s *Service) CreateEndpoint(ctx context.Context, app comm.ID, change EndpointChange) (*EndpointChanged, error) {
	now := s.now()
	out := &EndpointChanged{Endpoint: comm.Endpoint{ID: comm.NewID(now), App: app, Active: true, CreatedAt: now, UpdatedAt: now}}
	e := comm.E("invalid_field")
	for field, missing := range map[string]bool{"name": change.Name == nil, "url": change.URL == nil} {
		if missing {
			e.Field(field, "is missing")
		}
	}
	if len(e.Fields) > 0 {
		return nil, e
	}
	if *change.Name == comm.DefaultEndpoint {
		out.ID, out.Name = app, *change.Name
	}
	if err := s.applyEndpoint(&out.Endpoint, change); err != nil {
		return nil, err
	}
	var err error
	if out.Secret, out.NewSecret, err = s.sealSecret(&out.Endpoint, change.Secret); err != nil {
		return nil, err
	}
	if err := s.cfg.Endpoints.CreateEndpoint(ctx, &out.Endpoint); err != nil {
		return nil, err
	}
	s.cfg.Changed(app)
	return out, nil
}

// UpdateEndpoint changes an endpoint of the app; not_found otherwise.
func (s *Service) UpdateEndpoint(ctx context.Context, app, id comm.ID, change EndpointChange) (*comm.Endpoint, error) {
	return s.editEndpoint(ctx, app, id, func(e *comm.Endpoint) error { return s.applyEndpoint(e, change) })
}

// RotateSecret gives an endpoint another secret: the one that is sent, or one that is generated. What is posted is
// signed with the old one too for so many seconds, 0 to 86400; for those before it, see comm.Replace, which may refuse.
func (s *Service) RotateSecret(ctx context.Context, app, id comm.ID, overlapSeconds int64, secret *string) (*EndpointChanged, error) {
	if overlapSeconds < 0 || overlapSeconds > maxOverlap {
		return nil, comm.E("invalid_field").Field("overlapSeconds", "must be 0 to 86400")
	}
	generated := ""
	e, err := s.editEndpoint(ctx, app, id, func(e *comm.Endpoint) (err error) {
		overlap := time.Duration(overlapSeconds) * time.Second
		if e.Secret == nil {
			overlap = 0
		}
		if e.Replaced, err = comm.Replace(e.Replaced, e.Secret, overlap, s.now()); err != nil {
			return err
		}
		e.Secret, generated, err = s.sealSecret(e, secret)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &EndpointChanged{*e, generated}, nil
}

// editEndpoint changes an endpoint as it is stored now.
func (s *Service) editEndpoint(ctx context.Context, app, id comm.ID, change func(e *comm.Endpoint) error) (*comm.Endpoint, error) {
	var taken error // another try would find the name taken again
	apply := func(e *comm.Endpoint) error {
		if err := change(e); err != nil || e.Unreadable == "" {
			return err
		}
		return comm.E("invalid_state", "This version of the server cannot read the endpoint (%s). Send isActive, statuses, channels and tags to replace what is there, or delete the endpoint.", e.Unreadable)
	}
	e, err := anew(ctx, func() (*comm.Endpoint, error) { return s.cfg.Endpoints.Endpoint(ctx, app, id) }, apply,
		func(e *comm.Endpoint) error {
			e.UpdatedAt = max(s.now(), e.UpdatedAt+1)
			err := s.cfg.Endpoints.UpdateEndpoint(ctx, e)
			if is, ok := errors.AsType[*comm.Error](err); ok && is.Code == "already_exists" {
				taken = err
				return nil
			}
			return err
		})
	if err == nil {
		err = taken
	}
	if err != nil {
		return nil, fmt.Errorf("change the webhook endpoint: %w", err)
	}
	s.cfg.Changed(app)
	return e, nil
}

// DeleteEndpoint removes an endpoint of the app, and what waits for it; not_found otherwise.
func (s *Service) DeleteEndpoint(ctx context.Context, app, id comm.ID) error {
	if err := s.cfg.Endpoints.DeleteEndpoint(ctx, app, id); err != nil {
		return err
	}
	s.cfg.Changed(app)
	return nil
}

// sealSecret seals the secret that is given, or one that it generates.
func (s *Service) sealSecret(e *comm.Endpoint, given *string) (packed []byte, generated string, err error) {
	if why := checkSecret(given); why != "" {
		return nil, "", comm.E("invalid_field").Field("secret", why)
	}
	value := ""
	if given != nil {
		value = *given
	} else {
		value = newWebhookSecret()
		generated = value
	}
	sealed, err := s.webhooks.Seal([]byte(value), store.WebhookSecrets().Place(e.App, e.ID))
	if err != nil {
		return nil, "", fmt.Errorf("seal the webhook secret: %w", err)
	}
	return sealed.Pack(), generated, nil
}

// applyEndpoint puts a change into e after every check, but for the secret.
func (s *Service) applyEndpoint(to *comm.Endpoint, change EndpointChange) error {
	e := comm.E("invalid_field")
	if change.Name != nil && (*change.Name == "" || *change.Name != to.Name) {
		why := checkName(*change.Name)
		switch {
		case to.Default():
			why = "cannot be changed: this is the endpoint that the app's webhookUrl makes"
		case *change.Name == comm.DefaultEndpoint:
			why = "is kept for the endpoint that the app's webhookUrl makes"
		}
		if why != "" {
			e.Field("name", why)
		}
		to.Name = *change.Name
	}
	readFilter(e, "statuses", change.Statuses, &to.Events, len(comm.Statuses()), comm.ParseStatus, "must be a status of messages, such as DELIVERED")
	readFilter(e, "channels", change.Channels, &to.Channels, len(comm.Channels()), comm.ParseChannel, "must be EMAIL or SMS")
	readFilter(e, "tags", change.Tags, &to.Tags, maxEndpointTags, parseTag, "must be 1 to 64 bytes without control characters and without spaces at its ends")
	if len(e.Fields) > 0 {
		return e
	}
	if change.URL != nil {
		kept, err := s.checkWebhookURL("url", *change.URL)
		if err != nil {
			return err
		}
		if kept != to.URL && to.Disabled != "" { // another address begins anew
			to.Active, to.Disabled, to.DisabledAt = true, "", 0
		}
		to.URL = kept
	}
	if change.Active != nil {
		to.Active, to.Disabled, to.DisabledAt = *change.Active, "", 0
	}
	if change.Active != nil && change.Statuses != nil && change.Channels != nil && change.Tags != nil {
		to.Unreadable = "" // nothing is left of what could not be read
	}
	return nil
}

// readFilter reads a list of words that events are chosen by; an empty one chooses all.
func readFilter[T comparable](e *comm.Error, field string, words *[]string, into *[]T, most int, parse func(string) (T, bool), must string) {
	if words == nil {
		return
	}
	if len(*words) > most {
		e.Field(field, fmt.Sprintf("has at most %d entries", most))
		return
	}
	var out []T
	for i, word := range *words {
		v, ok := parse(word)
		if !ok {
			e.Field(fmt.Sprintf("%s[%d]", field, i), must)
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	*into = out
}

func parseTag(tag string) (string, bool) {
	return tag, tag != "" && len(tag) <= maxEndpointTag && strings.TrimSpace(tag) == tag && comm.ControlAt(tag, "") < 0
}
