package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The channels.
const (
	Email = "EMAIL"
	SMS   = "SMS"
)

// Message is what Send takes. Empty members are not sent.
type Message struct {
	Channel     string         `json:"channel"`
	To          string         `json:"to"`
	Body        string         `json:"body,omitempty"`
	Subject     string         `json:"subject,omitempty"`
	TemplateKey string         `json:"templateKey,omitempty"`
	Variables   map[string]any `json:"variables,omitempty"`
	// IdempotencyKey names the business event, such as "request-42-approved-email".
	// When it is empty, Send makes one: repeats within that call are then safe,
	// a repeat of the call is not.
	IdempotencyKey string            `json:"idempotencyKey,omitempty"`
	ScheduledAt    *time.Time        `json:"scheduledAt,omitempty"`
	From           string            `json:"from,omitempty"`
	Metadata       any               `json:"metadata,omitempty"`
	Lane           string            `json:"lane,omitempty"` // CRITICAL, NORMAL, BULK
	TTLSeconds     int               `json:"ttlSeconds,omitempty"`
	Tags           []string          `json:"tags,omitempty"`
	CC             []string          `json:"cc,omitempty"`
	BCC            []string          `json:"bcc,omitempty"`
	ReplyTo        string            `json:"replyTo,omitempty"`
	Text           string            `json:"text,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	Attachments    []Attachment      `json:"attachments,omitempty"`
}

// Attachment is a file of an email.
type Attachment struct {
	Filename    string `json:"filename"`
	ContentType string `json:"contentType"`
	Content     []byte `json:"content"`
}

// Accepted is the answer of Send: queued, not delivered.
type Accepted struct {
	ID           string    `json:"id"`
	Status       string    `json:"status"`
	Deduplicated bool      `json:"deduplicated"`
	Segments     int       `json:"segments"`
	Encoding     string    `json:"encoding"`
	Warnings     []Warning `json:"warnings"`
	// IdempotencyKey is the one that was used, given or made.
	IdempotencyKey string `json:"-"`
}

// Warning says what the caller should know.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// SendError is the error of Send when the message was not accepted, or nobody knows whether it was: sending it again
// under the same key cannot send it twice.
type SendError struct {
	IdempotencyKey string // given or made
	Err            error
}

func (e *SendError) Error() string { return e.Err.Error() }

// Unwrap is the reason, an *Error when the server has refused.
func (e *SendError) Unwrap() error { return e.Err }

// Send queues a message. It returns when the server has stored it durably; its error is a *SendError.
func (c *Client) Send(ctx context.Context, m Message) (*Accepted, error) {
	if m.IdempotencyKey == "" {
		m.IdempotencyKey = newKey()
	}
	out := &Accepted{}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/messages", body: m, safe: true}, out); err != nil {
		return nil, &SendError{m.IdempotencyKey, err}
	}
	if out.ID == "" {
		return nil, &SendError{m.IdempotencyKey, fmt.Errorf("read the answer of POST /api/v1/messages: %w: it names no message", ErrAnswer)}
	}
	out.IdempotencyKey = m.IdempotencyKey
	return out, nil
}

// Stored is a message as the server keeps it. In lists Body, Events and
// AttemptLog are empty.
type Stored struct {
	ID                string          `json:"id"`
	Channel           string          `json:"channel"`
	Status            string          `json:"status"`
	ToAddress         string          `json:"toAddress"`
	FromAddress       string          `json:"fromAddress"`
	Subject           string          `json:"subject"`
	Body              string          `json:"body"`
	ContentRemoved    string          `json:"contentRemoved"` // content_purged or erased: why the content is gone; unreadable: the server cannot read it
	TemplateKey       string          `json:"templateKey"`
	TemplateVersion   int             `json:"templateVersion"`
	ProviderName      string          `json:"providerName"`
	ProviderMessageID string          `json:"providerMessageId"`
	ErrorCode         string          `json:"errorCode"`
	ErrorMessage      string          `json:"errorMessage"`
	Attempts          int             `json:"attempts"`
	PossibleDuplicate bool            `json:"possibleDuplicate"`
	MayHaveBeenSent   bool            `json:"mayHaveBeenSent"`
	Unconfirmed       bool            `json:"unconfirmed"`  // SENT, and the provider has not reported in time
	MayDuplicate      bool            `json:"mayDuplicate"` // answer of Retry only
	WaitingFor        string          `json:"waitingFor"`
	NextAttemptAt     *time.Time      `json:"nextAttemptAt"`
	RetriesUntil      *time.Time      `json:"retriesUntil"` // a QUEUED message is not tried after it
	ScheduledAt       *time.Time      `json:"scheduledAt"`
	ExpiresAt         *time.Time      `json:"expiresAt"`
	CreatedAt         time.Time       `json:"createdAt"`
	UpdatedAt         time.Time       `json:"updatedAt"`
	SentAt            *time.Time      `json:"sentAt"`
	DeliveredAt       *time.Time      `json:"deliveredAt"`
	Metadata          json.RawMessage `json:"metadata"`
	Tags              []string        `json:"tags"`
	Lane              string          `json:"lane"`
	Sandbox           bool            `json:"sandbox"`
	Segments          int             `json:"segments"`
	Encoding          string          `json:"encoding"`
	IdempotencyKey    string          `json:"idempotencyKey"`
	Events            []Event         `json:"events"`
	AttemptLog        []Attempt       `json:"attemptLog"`
}

// Final says that nothing more will be attempted unless somebody asks for it.
func (s *Stored) Final() bool { return s.Status != "QUEUED" && s.Status != "SENDING" }

// Event is one fact in a message's life.
type Event struct {
	Sequence          int       `json:"sequence"`
	Type              string    `json:"type"`
	From              string    `json:"from"`
	To                string    `json:"to"`
	At                time.Time `json:"at"`
	Attempt           int       `json:"attempt"`
	Provider          string    `json:"provider"`
	ProviderMessageID string    `json:"providerMessageId"`
	ErrorCode         string    `json:"errorCode"`
	Detail            string    `json:"detail"`
}

// Attempt is one provider call.
type Attempt struct {
	Attempt           int        `json:"attempt"`
	Generation        int        `json:"generation"`
	Provider          string     `json:"provider"`
	ConfigID          string     `json:"configId"`    // of the provider configuration; "" of the sandbox's, and for an app of one that is not its own
	ConfigName        string     `json:"configName"`  // as it is called now; "" with ConfigID, and once it is deleted
	ConfigLevel       string     `json:"configLevel"` // APP or SERVER: whose configuration it is; "" if nobody can tell any more
	StartedAt         time.Time  `json:"startedAt"`
	EndedAt           *time.Time `json:"endedAt"`
	Outcome           string     `json:"outcome"`
	ProviderMessageID string     `json:"providerMessageId"`
	ErrorCode         string     `json:"errorCode"`
	Detail            string     `json:"detail"`
}

// Get reads a message with its log.
func (c *Client) Get(ctx context.Context, id string) (*Stored, error) {
	out := &Stored{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/messages/" + escape(id), safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Cancel cancels a queued message. Repeating it is harmless.
func (c *Client) Cancel(ctx context.Context, id string) (*Stored, error) {
	return c.act(ctx, id, "CANCEL", true)
}

// Retry queues a failed or cancelled message again. It is not repeated by
// itself: an answer that is lost may stand for a message that is queued.
func (c *Client) Retry(ctx context.Context, id string) (*Stored, error) {
	return c.act(ctx, id, "RETRY", false)
}

func (c *Client) act(ctx context.Context, id, action string, safe bool) (*Stored, error) {
	out := &Stored{}
	body := map[string]string{"action": action}
	if _, err := c.do(ctx, call{method: http.MethodPatch, path: "/api/v1/messages/" + escape(id), body: body, safe: safe}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ListOptions narrow a list; empty members do not.
type ListOptions struct {
	Status, Channel             string
	To                          string // recipient, in any form that Send takes
	Tag                         string // exactly; not for Captures
	TemplateKey                 string // of the template that messages were rendered from; not for Captures
	CreatedAfter, CreatedBefore time.Time
	PageSize                    int // 0: the server's default of 20; at most 100
}

// page is one page of a list.
type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"nextCursor"`
}

// List walks through messages, newest first, reading page after page, empty ones
// too. It stops at the first error, which comes with a zero message.
func (c *Client) List(ctx context.Context, o ListOptions) iter.Seq2[Stored, error] {
	return walk[Stored](ctx, c, "/api/v1/messages", o)
}

// Captured is a message as the sandbox took it.
type Captured struct {
	ID          string            `json:"id"`
	Channel     string            `json:"channel"`
	ToAddress   string            `json:"toAddress"`
	FromAddress string            `json:"fromAddress"`
	CC          []string          `json:"cc"`
	BCC         []string          `json:"bcc"`
	ReplyTo     string            `json:"replyTo"`
	Headers     map[string]string `json:"headers"`
	Subject     string            `json:"subject"`
	Body        string            `json:"body"`
	Text        string            `json:"text"`
	Attachments int               `json:"attachments"`
	Segments    int               `json:"segments"`
	Encoding    string            `json:"encoding"`
	Tags        []string          `json:"tags"`
	Metadata    json.RawMessage   `json:"metadata"`
	CapturedAt  *time.Time        `json:"capturedAt"`
}

// Captures walks through what the sandbox took, newest first. Status, Tag and TemplateKey of the options are not used.
func (c *Client) Captures(ctx context.Context, o ListOptions) iter.Seq2[Captured, error] {
	o.Status, o.Tag, o.TemplateKey = "", "", ""
	return walk[Captured](ctx, c, "/api/v1/sandbox/messages", o)
}

// Capture reads one message that the sandbox took.
func (c *Client) Capture(ctx context.Context, id string) (*Captured, error) {
	out := &Captured{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/sandbox/messages/" + escape(id), safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// CaptureSource streams a captured email as a mail server would have got it (RFC 5322), with its attachments; the caller closes it.
func (c *Client) CaptureSource(ctx context.Context, id string) (io.ReadCloser, error) {
	return c.stream(ctx, http.MethodGet, "/api/v1/sandbox/messages/"+escape(id)+"/source", "", "", nil)
}

// WaitOptions says what WaitForCapture waits for. Zero values leave it to the server.
type WaitOptions struct {
	Channel      string
	CreatedAfter time.Time     // only what was accepted later; zero: up to a minute before the call
	Timeout      time.Duration // whole seconds, 50 at most; zero: 30
}

// WaitForCapture waits until the sandbox takes a message to the address, in any form that Send takes,
// and answers the newest one. When the time is up the error's code is nothing_captured.
func (c *Client) WaitForCapture(ctx context.Context, to string, o WaitOptions) (*Captured, error) {
	query := ListOptions{To: to, Channel: o.Channel, CreatedAfter: o.CreatedAfter}.query()
	if o.Timeout > 0 {
		query.Set("timeout", strconv.Itoa(int(o.Timeout/time.Second)))
	}
	out := &Captured{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/sandbox/messages/wait", query: query, safe: true, timeout: waitTime}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// waitTime is longer than the server lets anybody wait.
const waitTime = 60 * time.Second

func walk[T any](ctx context.Context, c *Client, path string, o ListOptions) iter.Seq2[T, error] {
	return walkFrom[T](ctx, c, call{method: http.MethodGet, path: path, query: o.query(), safe: true})
}

// walkFrom walks through a list from the page that the call reads.
func walkFrom[T any](ctx context.Context, c *Client, first call) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next := first
		next.query = maps.Clone(first.query)
		for {
			var p page[T]
			if _, err := c.do(ctx, next, &p); err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range p.Data {
				if !yield(item, nil) {
					return
				}
			}
			if p.NextCursor == nil || *p.NextCursor == "" {
				return
			}
			if *p.NextCursor == next.query.Get("cursor") {
				var zero T
				yield(zero, fmt.Errorf("read the list %s: %w: a page leads to itself", first.path, ErrAnswer))
				return
			}
			next.query.Set("cursor", *p.NextCursor)
		}
	}
}

func (o ListOptions) query() url.Values {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("status", o.Status)
	set("channel", o.Channel)
	set("to", o.To)
	set("tag", o.Tag)
	set("templateKey", o.TemplateKey)
	if !o.CreatedAfter.IsZero() {
		set("createdAfter", o.CreatedAfter.UTC().Format(time.RFC3339Nano))
	}
	if !o.CreatedBefore.IsZero() {
		set("createdBefore", o.CreatedBefore.UTC().Format(time.RFC3339Nano))
	}
	if o.PageSize > 0 {
		set("limit", strconv.Itoa(o.PageSize))
	}
	return q
}
