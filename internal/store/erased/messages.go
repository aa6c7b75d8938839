package erased

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Messages is the store's messages, of which a RETRY finds the opt-outs that are kept as hashes.
func (b *Book) Messages(s store.Messages) store.Messages { return messages{s, b} }

type messages struct {
	store.Messages
	book *Book
}

// Retry implements store.Messages. The message will be started again, as one that is accepted will be.
func (m messages) Retry(ctx context.Context, app, id comm.ID, actor string) (st comm.State, result comm.RetryResult, err error) {
	has, err := m.book.has(ctx, app)
	if err == nil && has {
		err = m.returnRecipient(ctx, app, id)
	}
	if err != nil {
		return st, result, err
	}
	return m.Messages.Retry(ctx, app, id, actor)
}

func (m messages) returnRecipient(ctx context.Context, app, id comm.ID) error {
	x, err := m.Message(ctx, app, id)
	if err != nil || x.ContentGone {
		return err // without its content it is not started
	}
	key := x.To
	if x.Channel == comm.Email {
		email, err := address.ParseEmail(x.To)
		if err != nil {
			return fmt.Errorf("read the recipient of a message: %w", err)
		}
		key = email.Key
	}
	return m.book.Return(ctx, app, x.Channel, key)
}
