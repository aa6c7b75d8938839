package httpapi

import (
	"context"
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// captureView is a message as the sandbox took it.
type captureView struct {
	ID          comm.ID           `json:"id"`
	Channel     string            `json:"channel"`
	ToAddress   text              `json:"toAddress"`
	FromAddress text              `json:"fromAddress"`
	CC          []string          `json:"cc"`
	BCC         []string          `json:"bcc"`
	ReplyTo     text              `json:"replyTo"`
	Headers     map[string]string `json:"headers"`
	Subject     text              `json:"subject"`
	Body        text              `json:"body"`
	Text        text              `json:"text"`
	Attachments int               `json:"attachments"`
	Segments    number            `json:"segments"`
	Encoding    text              `json:"encoding"`
	Tags        []string          `json:"tags"`
	Metadata    comm.RawJSON      `json:"metadata"`
	CapturedAt  instant           `json:"capturedAt"`
}

func newCapture(m *comm.Message) captureView {
	c := &m.Content
	return captureView{
		ID: m.State.ID, Channel: m.Channel.String(), ToAddress: text(c.To), FromAddress: text(c.From), CC: c.CC, BCC: c.BCC, ReplyTo: text(c.ReplyTo),
		Headers: c.Headers, Subject: text(c.Subject), Body: text(c.Body), Text: text(c.Text), Attachments: c.Files, Segments: number(c.Segments),
		Encoding: text(c.Encoding), Tags: c.Tags, Metadata: c.Metadata, CapturedAt: instant(m.SentAt),
	}
}

// listCaptures is GET /api/v1/sandbox/messages.
func (a *API) listCaptures(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "to", "channel", "createdAfter", "createdBefore", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, limit, err := q.filter(caller.App.ID, "captures")
	if err != nil {
		return err
	}
	if to, ok := q["to"]; ok {
		if filter.Recipient, err = a.cfg.Intake.Recipient(filter.Channel, to); err != nil {
			return err
		}
	}
	held, err := a.enter(r.Context(), caller.App.ID, captureRows*contentBytes+2*captureBytes)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	page, before, err := a.captures(r.Context(), caller.App.ID, filter, limit)
	if err != nil {
		return err
	}
	out := listView[captureView]{Data: make([]captureView, 0, len(page))}
	for i := range page {
		out.Data = append(out.Data, newCapture(&page[i]))
	}
	if !before.IsZero() {
		out.NextCursor = text(q.cursor(caller.App.ID, "captures", before))
	}
	a.answer(w, held, out)
	return nil
}

// captures reads a page of at most limit, or of as much content as one may hold: bodies
// may be large, so that a page is read in parts. Before is where the next one begins. Where
// looks find less than they may, as among messages that the sandbox did not take, the page is as short as that.
func (a *API) captures(ctx context.Context, app comm.ID, f store.Filter, limit int) (page []comm.Message, before comm.ID, err error) {
	size, short := 0, 0
	for rows := captureRows; ; {
		f.Limit = min(rows, limit-len(page))
		part, next, err := a.someCaptures(ctx, app, f)
		if err != nil {
			return nil, before, err
		}
		page = append(page, part...)
		for i := range part {
			c := &part[i].Content
			size += len(c.Body) + len(c.Text) + len(c.Metadata)
		}
		if len(part) < f.Limit {
			short++
		}
		if next.IsZero() || len(page) == limit || size >= captureBytes || short == waitPages {
			return page, next, nil
		}
		f.Before = next
		// As many more as fit if they are like those so far.
		rows = max(captureRows, min(limit, (captureBytes-size)*len(page)/max(1, size)))
	}
}

// someCaptures is one look for at most f.Limit captures; next is where the next one begins, zero when there are no more.
func (a *API) someCaptures(ctx context.Context, app comm.ID, f store.Filter) (part []comm.Message, next comm.ID, err error) {
	if f.Recipient != "" {
		f.Captured, f.Whole = true, true
		found, err := a.cfg.Messages.Search(ctx, app, f)
		return found.Messages, found.Before, err
	}
	limit := f.Limit
	f.Limit++
	if part, err = a.cfg.Messages.Captures(ctx, app, f); err != nil {
		return nil, next, err
	}
	part, next = cut(part, limit)
	return part, next, nil
}

// getCapture is GET /api/v1/sandbox/messages/{id}.
func (a *API) getCapture(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	m, held, err := a.readWhole(r.Context(), caller.App.ID, id)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	if !captured(&m.State) {
		return comm.E("not_found", "The sandbox has not taken this message.")
	}
	a.answer(w, held, newCapture(m))
	return nil
}
