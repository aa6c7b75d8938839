package web

import (
	"context"

	"github.com/commserver/commserver/internal/provider"
)

// Send is provider.Sender's Send for adapters to which one message is one call: compose
// makes the call, or refuses the message before anything was sent, and may drop the
// message's content; judge reads the answer, which may repeat to, the recipient.
func (c *Client) Send(ctx context.Context, m *provider.Message, compose func(*provider.Message) (Call, *provider.Error),
	judge func(a *Answer, to string) (provider.Receipt, error)) (provider.Receipt, error) {
	to := m.Content.To
	call, refusal := compose(m)
	if refusal != nil {
		return provider.Receipt{}, refusal
	}
	call.Hurry = m.Hurry
	a, fault := c.Do(ctx, call)
	if fault != nil {
		return provider.Receipt{}, fault
	}
	return judge(a, to)
}
