package client

import (
	"context"
	"net/http"
	"slices"
)

// BatchItem answers one message of SendBatch: what Send answers, or why it was refused.
type BatchItem struct {
	Index int `json:"index"`
	Accepted
	Error   string         `json:"error"` // "" when it was accepted
	Details map[string]any `json:"details"`
}

// Code is the stable code of the refusal, "" when the message was accepted.
func (i *BatchItem) Code() string {
	code, _ := i.Details["code"].(string)
	return code
}

// SendBatch queues up to 1000 messages without attachments and answers for each, in
// order. One that is refused is no matter of the others. Messages without an
// idempotency key get one, as with Send. The error is for the batch as a whole.
func (c *Client) SendBatch(ctx context.Context, messages []Message) ([]BatchItem, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		if messages[i].IdempotencyKey == "" {
			messages[i].IdempotencyKey = newKey()
		}
	}
	var out struct {
		Data []BatchItem `json:"data"`
	}
	body := map[string]any{"messages": messages}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/messages/batch", body: body, safe: true}, &out); err != nil {
		return nil, err
	}
	for i := range out.Data {
		if n := out.Data[i].Index; n >= 0 && n < len(messages) {
			out.Data[i].IdempotencyKey = messages[n].IdempotencyKey
		}
	}
	return out.Data, nil
}
