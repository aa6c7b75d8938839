package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AppRef names an app beside what belongs to it.
type AppRef struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// AppMessage is a message with the app that it belongs to.
type AppMessage struct {
	App AppRef `json:"app"`
	Stored

	// What else was sent is in the answer of Message only, for as long as its content is kept.
	CC      []string          `json:"cc"`
	BCC     []string          `json:"bcc"`
	ReplyTo string            `json:"replyTo"`
	Headers map[string]string `json:"headers"`
	Text    string            `json:"text"` // of an email, beside Body
	Files   []AttachedFile    `json:"files"`
}

// AttachedFile is an attachment without its content.
type AttachedFile struct {
	Filename    string `json:"filename"`
	ContentType string `json:"contentType"`
	Bytes       int64  `json:"bytes"`
}

// MessageSearch narrows a list of all apps' messages; empty members do not. Tag and
// TemplateKey need App; ID goes alone or with App.
type MessageSearch struct {
	ID, App string
	ListOptions
}

const (
	adminMessages     = "/api/admin/messages"
	adminSuppressions = "/api/admin/suppressions"
	adminQueue        = "/api/admin/queue"
)

// Messages walks through the messages of all apps, newest first, reading page after
// page, empty ones too. It stops at the first error, which comes with a zero message.
func (a *Admin) Messages(ctx context.Context, s MessageSearch) iter.Seq2[AppMessage, error] {
	query := s.query()
	for name, value := range map[string]string{"id": s.ID, "app": s.App} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return pages[AppMessage](ctx, a.c, adminMessages, query, 0)
}

// Message reads a message of any app with its log.
func (a *Admin) Message(ctx context.Context, id string) (*AppMessage, error) {
	return adminDo[AppMessage](ctx, a, http.MethodGet, adminMessages+"/"+escape(id), nil, true)
}

// CancelMessage cancels a queued message of any app. Repeating it is harmless.
func (a *Admin) CancelMessage(ctx context.Context, id string) (*AppMessage, error) {
	return adminDo[AppMessage](ctx, a, http.MethodPatch, adminMessages+"/"+escape(id), map[string]string{"action": "CANCEL"}, true)
}

// RetryMessage queues a failed or cancelled message of any app again. It is not repeated by itself.
func (a *Admin) RetryMessage(ctx context.Context, id string) (*AppMessage, error) {
	return adminDo[AppMessage](ctx, a, http.MethodPatch, adminMessages+"/"+escape(id), map[string]string{"action": "RETRY"}, false)
}

// AppSuppression is an address on an app's list.
type AppSuppression struct {
	App AppRef `json:"app"`
	Suppression
}

// FindSuppressions walks through the apps that have an address on their list; channel
// "" is any, app "" all. Without an address it walks through the app's list.
func (a *Admin) FindSuppressions(ctx context.Context, channel, address, app string) iter.Seq2[AppSuppression, error] {
	query := url.Values{}
	for name, value := range map[string]string{"channel": channel, "address": address, "app": app} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return pages[AppSuppression](ctx, a.c, adminSuppressions, query, 0)
}

// QueueUnit is what waits of an app in a channel and a lane.
type QueueUnit struct {
	App              AppRef     `json:"app"`
	IsActive         bool       `json:"isActive"`
	QueueState       string     `json:"queueState"` // RUNNING, PAUSED, DRAINING
	Channel          string     `json:"channel"`
	Lane             string     `json:"lane"`
	Due              int        `json:"due"`
	Later            int        `json:"later"`
	Sending          int        `json:"sending"`
	AtLeast          bool       `json:"atLeast"` // there are more than were counted
	Bytes            int64      `json:"bytes"`
	OldestDueAt      *time.Time `json:"oldestDueAt"`
	OldestAgeSeconds int        `json:"oldestAgeSeconds"`
	NextDueAt        *time.Time `json:"nextDueAt"`
	WaitingFor       string     `json:"waitingFor"`
	WaitingUntil     *time.Time `json:"waitingUntil"`
}

// QueueCalls is how many attempts of a provider configuration are under way, and how many messages would be tried there first now. A message belongs
// to no provider before its attempt.
type QueueCalls struct {
	ID           string `json:"id"`
	App          string `json:"app"`
	Name         string `json:"name"`
	ProviderType string `json:"providerType"`
	Channel      string `json:"channel"`
	Sending      int    `json:"sending"`
	Due          int    `json:"due"`
	AtLeast      bool   `json:"atLeast"` // there are more than Due

	OldestDueAt      *time.Time `json:"oldestDueAt"`
	OldestAgeSeconds int        `json:"oldestAgeSeconds"`
}

// QueueTotals is what waits of all apps.
type QueueTotals struct {
	Waiting int  `json:"waiting"`
	AtLeast bool `json:"atLeast"`
	Sending int  `json:"sending"`
}

// Queue is a page of what waits.
type Queue struct {
	Units     []QueueUnit  `json:"data"`
	Next      string       `json:"nextCursor"` // QueueFilter.Cursor of the next page; "" when there is none
	CountedTo int          `json:"countedTo"`
	CountedAt time.Time    `json:"countedAt"` // by the clock that CreatedAt of messages is of; see QueueOrder
	Totals    QueueTotals  `json:"totals"`
	Providers []QueueCalls `json:"providers"`
}

// QueueFilter narrows the view of the queue; empty members do not.
type QueueFilter struct {
	App, Channel, Lane, Cursor string
	Apps                       int // of a page; 0: the server's default of 20; at most 100
}

// Queue reads a page of what waits to be sent.
func (a *Admin) Queue(ctx context.Context, f QueueFilter) (*Queue, error) {
	query := url.Values{}
	for name, value := range map[string]string{"app": f.App, "channel": f.Channel, "lane": f.Lane, "cursor": f.Cursor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Apps > 0 {
		query.Set("limit", strconv.Itoa(f.Apps))
	}
	out := &Queue{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: adminQueue, query: query, admin: true, safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// QueueChanged is an app's queue after an action on it.
type QueueChanged struct {
	App             AppRef `json:"app"`
	QueueState      string `json:"queueState"`
	Cancelled       int    `json:"cancelled"`
	MayHaveBeenSent int    `json:"mayHaveBeenSent"`
	Remaining       int    `json:"remaining"`
	AtLeast         bool   `json:"atLeast"`
	NextCursor      string `json:"nextCursor"`
}

// PauseQueue keeps the app's messages from being started; accepting goes on.
func (a *Admin) PauseQueue(ctx context.Context, app string) (*QueueChanged, error) {
	return a.queueAction(ctx, map[string]string{"action": "PAUSE", "app": app}, true)
}

// DrainQueue refuses new messages of the app while what waits goes out.
func (a *Admin) DrainQueue(ctx context.Context, app string) (*QueueChanged, error) {
	return a.queueAction(ctx, map[string]string{"action": "DRAIN", "app": app}, true)
}

// ResumeQueue ends PauseQueue and DrainQueue.
func (a *Admin) ResumeQueue(ctx context.Context, app string) (*QueueChanged, error) {
	return a.queueAction(ctx, map[string]string{"action": "RESUME", "app": app}, true)
}

// QueueOrder says what of an app's queue is to be cancelled.
type QueueOrder struct {
	App, Slug     string    // the app, by id or slug, and its slug, which says that it is meant
	Channel, Lane string    // of these alone; "": of all
	CreatedBefore time.Time // what was accepted before; zero: before the call
}

// CancelQueue cancels what is queued of an app, or of its channel and lane where they are
// not "", and was accepted before the call. slug, the app's slug, says that it is meant. See CancelQueued.
func (a *Admin) CancelQueue(ctx context.Context, app, slug, channel, lane string, progress func(QueueChanged)) (*QueueChanged, error) {
	return a.CancelQueued(ctx, QueueOrder{App: app, Slug: slug, Channel: channel, Lane: lane}, progress)
}

// CancelQueued cancels what is queued of an app as the order says.
// It calls until nothing is left to do and tells progress, which may be nil, of each call; what it answers is of all of them,
// beside an error too. The first call, which is the order, is not repeated by itself: the next one would be a new order.
func (a *Admin) CancelQueued(ctx context.Context, o QueueOrder, progress func(QueueChanged)) (*QueueChanged, error) {
	body := map[string]string{"action": "CANCEL", "app": o.App, "confirm": o.Slug}
	for name, value := range map[string]string{"channel": o.Channel, "lane": o.Lane} {
		if value != "" {
			body[name] = value
		}
	}
	if !o.CreatedBefore.IsZero() {
		body["createdBefore"] = o.CreatedBefore.UTC().Format(time.RFC3339Nano)
	}
	all := &QueueChanged{}
	for {
		one, err := a.queueAction(ctx, body, body["cursor"] != "")
		if err != nil {
			return all, err
		}
		one.Cancelled += all.Cancelled
		one.MayHaveBeenSent += all.MayHaveBeenSent
		all = one
		if progress != nil {
			progress(*one)
		}
		if one.NextCursor == "" {
			return all, nil
		}
		body["cursor"] = one.NextCursor
	}
}

func (a *Admin) queueAction(ctx context.Context, body map[string]string, safe bool) (*QueueChanged, error) {
	return adminDo[QueueChanged](ctx, a, http.MethodPost, adminQueue, body, safe)
}
