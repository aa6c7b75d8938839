package httpapi

import (
	"net/http"
	"strconv"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/mime"
)

// nobody is the sender in the source of a captured mail that named none: a provider configuration would have.
const nobody = "sandbox@sandbox.commserver.test"

// getCaptureSource is GET /api/v1/sandbox/messages/{id}/source.
func (a *API) getCaptureSource(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	m, held, err := a.readWhole(r.Context(), caller.App.ID, id)
	defer func() { a.bodies.leave(held) }()
	if err != nil {
		return err
	}
	switch {
	case !captured(&m.State):
		return comm.E("not_found", "The sandbox has not taken this message.")
	case m.Channel != comm.Email:
		return comm.E("not_found", "An SMS has no source.")
	case m.ContentGone:
		return comm.E("not_found", "The content of this message is no longer there.")
	}
	var files []comm.Attachment
	if m.Content.Files > 0 {
		a.bodies.leave(held) // that of the whole takes its place
		if held, err = a.enter(r.Context(), caller.App.ID, min(3*m.State.Bytes, maxFiles)); err != nil {
			return err
		}
		if files, err = a.cfg.Files.Files(r.Context(), caller.App.ID, id); err != nil {
			return err
		}
	}
	mail, err := sourceOf(m, files)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "message/rfc822")
	h.Set("Content-Disposition", `attachment; filename="`+id.String()+`.eml"`)
	h.Set("Content-Length", strconv.FormatInt(mail.Size(), 10))
	out := newExport(r.Context(), w)
	defer out.end()
	defer a.held.Begin(out.LongAnswer, held != nil && held.seated)()
	_, _ = mail.WriteTo(out) // the reader is gone, if it fails
	return nil
}

// sourceOf is the mail that a relay would have got. What intake accepted can be written.
func sourceOf(m *comm.Message, files []comm.Attachment) (mime.Mail, error) {
	c := &m.Content
	out := mime.Message{ID: m.State.ID.String() + "@sandbox.commserver.test", Date: m.CreatedAt.Time(), Subject: c.Subject, HTML: c.Body, Text: c.Text, Headers: c.Headers}
	from := c.From
	if from == "" {
		from = nobody
	}
	var sender []mime.Address
	for _, header := range []struct {
		into *[]mime.Address
		from []string
	}{{&sender, []string{from}}, {&out.To, []string{c.To}}, {&out.CC, c.CC}, {&out.ReplyTo, some(c.ReplyTo)}} {
		for _, one := range header.from {
			box, err := address.ParseMailbox(one)
			if err != nil {
				return mime.Mail{}, err
			}
			*header.into = append(*header.into, mime.Address{Name: box.Name, Addr: box.Email.Address})
		}
	}
	out.From = sender[0]
	for _, f := range files {
		out.Files = append(out.Files, mime.File{Name: f.Filename, ContentType: f.ContentType, Content: f.Content})
	}
	return mime.Compose(nil, &out)
}

// some is a list of one, or of none.
func some(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
