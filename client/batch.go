package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// BatchItem answers one message of SendBatch: what Send answers, or why it was refused.
type BatchItem struct {
	Index int `json:"index"`
	Accepted
	Error   string         `json:"error"` // "" when it was accepted
	Details map[string]any `json:"details"`
	// Cause is set when the request that held the message failed, or an earlier one did: the message may be sent again under its key.
	Cause error `json:"-"`
}

// Code is the stable code of the refusal, "" when the message was accepted or no answer of the server says why it was not.
func (i *BatchItem) Code() string {
	code, _ := i.Details["code"].(string)
	return code
}

// silent says that the item does not tell what became of its message.
func (i BatchItem) silent() bool { return i.ID == "" && i.Error == "" }

// What the server takes in one request, and a little less of its 16 MiB.
const (
	batchMost  = 1000
	batchBytes = 15 << 20
)

// BatchError is the error of SendBatch when nobody knows whether messages were accepted, or none was: sending them again
// under the same keys cannot send them twice.
type BatchError struct {
	IdempotencyKeys []string // given or made, one for each message in order
	Err             error
}

func (e *BatchError) Error() string { return e.Err.Error() }

// Unwrap is the reason, an *Error when the server has refused.
func (e *BatchError) Unwrap() error { return e.Err }

// SendBatch queues any number of messages without attachments, in requests of up to 1000 that follow one another, and
// answers for each in order. One that is refused is no matter of the others. Messages without an idempotency key get
// one, as with Send. The error is a *BatchError if the first request was made and failed; when a later one fails, its messages and those behind it
// come as refused, with Cause.
func (c *Client) SendBatch(ctx context.Context, messages []Message) ([]BatchItem, error) {
	keys := make([]string, len(messages))
	encoded := make([]json.RawMessage, len(messages))
	for i, m := range messages {
		if m.IdempotencyKey == "" {
			m.IdempotencyKey = newKey()
		}
		keys[i] = m.IdempotencyKey
		var err error
		if encoded[i], err = json.Marshal(m); err != nil {
			return nil, fmt.Errorf("encode message %d: %w", i, err)
		}
	}
	out := make([]BatchItem, 0, len(messages))
	for from := 0; from < len(messages); {
		to := part(encoded, from)
		items, err := c.sendPart(ctx, encoded[from:to])
		if err != nil && from == 0 {
			return nil, &BatchError{keys, err}
		}
		if err != nil {
			return append(out, untried(keys, from, err)...), nil
		}
		for i, item := range items {
			item.Index, item.IdempotencyKey = from+i, keys[from+i]
			out = append(out, item)
		}
		from = to
	}
	return out, nil
}

// part is where a request that begins with a message ends. One that is too large alone has a request of its own, which is refused.
func part(encoded []json.RawMessage, from int) (to int) {
	size := 0
	for to = from; to < len(encoded) && to-from < batchMost; to++ {
		if size += len(encoded[to]) + 1; size > batchBytes && to > from {
			break
		}
	}
	return to
}

func (c *Client) sendPart(ctx context.Context, encoded []json.RawMessage) ([]BatchItem, error) {
	raw := make([][]byte, len(encoded))
	for i, m := range encoded {
		raw[i] = m
	}
	body := append(append([]byte(`{"messages":[`), bytes.Join(raw, []byte(","))...), "]}"...)
	const path = "/api/v1/messages/batch"
	var out struct {
		Data []BatchItem `json:"data"`
	}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: path, body: json.RawMessage(body), safe: true}, &out); err != nil {
		return nil, err
	}
	if len(out.Data) != len(encoded) || slices.ContainsFunc(out.Data, BatchItem.silent) {
		return nil, fmt.Errorf("read the answer of POST %s: %w: it does not have an item for each of %d messages", path, ErrAnswer, len(encoded))
	}
	return out.Data, nil
}

// untried are the items of messages from a place on, because of an error.
func untried(keys []string, from int, err error) []BatchItem {
	item := BatchItem{Error: err.Error(), Cause: err, Details: map[string]any{}}
	if e, ok := errors.AsType[*Error](err); ok {
		item.Error = e.Message
		maps.Copy(item.Details, e.Details)
	}
	out := make([]BatchItem, 0, len(keys)-from)
	for i, key := range keys[from:] {
		item.Index, item.IdempotencyKey = from+i, key
		out = append(out, item)
	}
	return out
}
