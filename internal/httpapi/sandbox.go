package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
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
	q, err := readQuery(r, "channel", "createdAfter", "createdBefore", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, limit, err := q.filter(caller.App.ID, "captures")
	if err != nil {
		return err
	}
	list, err := a.cfg.Messages.Captures(r.Context(), caller.App.ID, filter)
	if err != nil {
		return err
	}
	page, before := cut(list, limit)
	out := listView[captureView]{Data: make([]captureView, 0, len(page))}
	for i := range page {
		out.Data = append(out.Data, newCapture(&page[i]))
	}
	if !before.IsZero() {
		out.NextCursor = text(q.cursor(caller.App.ID, "captures", before))
	}
	write(w, http.StatusOK, out)
	return nil
}

// getCapture is GET /api/v1/sandbox/messages/{id}.
func (a *API) getCapture(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	m, err := a.cfg.Messages.Message(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	if m.Provider != chain.Sandbox || m.SentAt == 0 {
		return comm.E("not_found", "The sandbox has not taken this message.")
	}
	write(w, http.StatusOK, newCapture(m))
	return nil
}
