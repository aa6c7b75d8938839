package upkeep

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Exporting notes in the audit log that somebody exports what an app holds about a person,
// before the first line is given out. The log does not say about whom.
func (s *Service) Exporting(ctx context.Context, app comm.ID, ch comm.Channel) error {
	return s.cfg.Store.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), App: app, Action: comm.AuditPersonExported, Target: app.String(),
		Detail: `{"channel":{"to":"` + ch.String() + `"}}`}})
}

// Held is what an app holds about a person: the opt-out, nil without one.
func (s *Service) Held(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error) {
	listed, err := s.cfg.Book.Suppression(ctx, app, ch, address)
	if comm.IsKind(err, comm.Missing) {
		return nil, nil
	}
	return listed, err
}

// MessagesTo lists the app's messages to an address, newest first, a page at a time; the
// next page begins at before, zero when there is none.
func (s *Service) MessagesTo(ctx context.Context, app comm.ID, ch comm.Channel, address string, before comm.ID) (ids []comm.ID, next comm.ID, err error) {
	found, err := s.cfg.Store.Search(ctx, app, store.Filter{Recipient: address, Before: before, Limit: pageOf})
	for i := range found.Messages {
		if st := &found.Messages[i].State; st.Channel == ch {
			ids = append(ids, st.ID)
		}
	}
	return ids, found.Before, err
}
