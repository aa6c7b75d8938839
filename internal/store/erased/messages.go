package erased

import (
	"context"

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
	ch, address, err := m.book.store.Recipient(ctx, app, id)
	if err != nil || address == "" {
		return err // of one that was erased nothing is left to be started
	}
	return m.book.Return(ctx, app, ch, address)
}
