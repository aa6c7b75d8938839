package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/mime"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

// Sender sends through one relay with one login. It is safe for concurrent use:
// each Send under way has a session of its own.
type Sender struct {
	config   config
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	hostname string
	log      *slog.Logger
	tls      *tls.Config
	times    timeouts
	pool     pool
	buffers  sync.Pool // of *[]byte, the text of mails
}

// keepBuffer bounds the memory that a buffer may keep between mails.
const keepBuffer = 64 << 10

func open(settings provider.Settings, env provider.Env) (*Sender, error) {
	c, faults := read(settings)
	if len(faults) > 0 {
		return nil, fmt.Errorf("open an SMTP configuration: %d wrong fields", len(faults))
	}
	if env.Dial == nil {
		return nil, errors.New("open an SMTP configuration: no dialer given")
	}
	s := &Sender{
		config:   c,
		dial:     env.Dial,
		hostname: hostname(env.Hostname),
		log:      env.Log,
		tls:      &tls.Config{ServerName: c.host, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(16)},
		times:    defaultTimeouts(),
		pool:     pool{max: env.MaxIdle},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.pool.max <= 0 {
		s.pool.max = defaultIdle
	}
	s.buffers.New = func() any { b := make([]byte, 0, 4<<10); return &b }
	return s, nil
}

// hostname keeps only what may stand after EHLO.
func hostname(given string) string {
	for i := 0; i < len(given); i++ {
		c := given[i]
		if c != '.' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return ""
		}
	}
	return given
}

// Send implements provider.Sender. A message to several recipients (cc, bcc)
// is accepted if its own recipient is; copies that were refused are counted in
// the receipt's detail. After the final dot Send waits ten minutes for the
// answer, or until ctx ends: then the outcome is Ambiguous.
func (s *Sender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	buf := s.buffers.Get().(*[]byte)
	j, id, refusal := s.prepare(m, *buf)
	if refusal != nil {
		s.buffers.Put(buf)
		return provider.Receipt{}, refusal
	}
	keep := func() {
		if *buf = j.mail.Buffer()[:0]; cap(*buf) <= keepBuffer {
			s.buffers.Put(buf)
		}
		buf = nil
	}
	j.release, j.hurry = func() { keep(); m.Release() }, m.Hurry
	res, f := s.deliver(ctx, &j)
	if buf != nil {
		keep()
	}
	if f != nil {
		e := f.interrupted(ctx).hurried(j.hurry).asError(s.veil(&j))
		// With copies, a refusal after the content may be about any of the recipients.
		e.HardBounce = e.HardBounce && (f.phase == rcptTo || len(j.to) == 1)
		return provider.Receipt{}, e
	}
	return provider.Receipt{Ref: id, Detail: s.detail(&j, &res)}, nil
}

// deliver finds a session and sends, replacing at most one dead reused session.
func (s *Sender) deliver(ctx context.Context, j *job) (result, *fault) {
	if err := ctx.Err(); err != nil {
		return result{}, &fault{phase: connecting, err: err}
	}
	if ses := s.pool.take(); ses != nil {
		res, f := ses.deliver(ctx, j, false)
		if f == nil || !f.stale(ctx) {
			s.giveBack(ses, f)
			return res, f
		}
		ses.drop()
		s.pool.dropIdle()
	}
	ses, f := s.connect(ctx, j.hurry)
	if f != nil {
		return result{}, f
	}
	s.log.DebugContext(ctx, "smtp session opened", "host", s.config.host, "encrypted", ses.encrypted,
		"login", s.config.username != "", "pipelining", ses.ext.pipelining)
	res, f := ses.deliver(ctx, j, true)
	s.giveBack(ses, f)
	return res, f
}

func (s *Sender) giveBack(ses *session, f *fault) {
	if ses.broken || f != nil && !f.keepsSession() {
		ses.drop()
		return
	}
	s.pool.put(ses)
}

// Close implements provider.Sender.
func (s *Sender) Close() error {
	s.pool.close()
	return nil
}

// prepare checks addresses and composes. id is the Message-ID, which is also
// what the message can be found by at the relay.
func (s *Sender) prepare(m *provider.Message, buf []byte) (j job, id string, refusal *provider.Error) {
	if m.Channel != comm.Email {
		return job{}, "", &provider.Error{Class: provider.PermanentHere, Code: "wrong_channel", Text: "a mail server takes email only"}
	}
	mail := mime.Message{Date: m.Date, Subject: m.Content.Subject, HTML: m.Content.Body, Text: m.Content.Text, Headers: m.Content.Headers}
	from := s.config.from
	if m.Content.From != "" {
		var err error
		if from, err = address.ParseMailbox(m.Content.From); err != nil {
			return job{}, "", badAddress("bad_sender", "the sender cannot be used", err)
		}
	}
	if from.Email.Address == "" {
		return job{}, "", &provider.Error{Class: provider.PermanentHere, Code: "no_sender",
			Text: "neither the message nor the provider configuration names a sender"}
	}
	mail.From = mime.Address{Name: from.Name, Addr: from.Email.Address}
	j.from = from.Email.Address
	if s.config.returnPath != "" {
		j.from = s.config.returnPath
	}
	if refusal = recipients(m.Content, &j, &mail); refusal != nil {
		return job{}, "", refusal
	}
	for _, f := range m.Files {
		mail.Files = append(mail.Files, mime.File{Name: f.Filename, ContentType: f.ContentType, Content: f.Content})
	}
	id = m.ID.String() + "@" + from.Email.Domain()
	mail.ID = id
	composed, err := mime.Compose(buf, &mail)
	if err != nil {
		return job{}, "", &provider.Error{Class: provider.PermanentMessage, Code: "bad_content", Text: "the message cannot be written as a mail: " + err.Error(), Cause: err}
	}
	j.mail = composed
	return j, id, nil
}

// recipients fills the envelope and the header: to, cc, bcc (envelope only), each once.
func recipients(c *comm.Content, j *job, mail *mime.Message) *provider.Error {
	seen := map[string]bool{}
	each := func(list []string, header *[]mime.Address, copies bool) *provider.Error {
		for _, text := range list {
			box, err := address.ParseMailbox(text)
			if err != nil {
				return badAddress("bad_recipient", "a recipient's address cannot be used", err)
			}
			if header != nil {
				*header = append(*header, mime.Address{Name: box.Name, Addr: box.Email.Address})
			}
			if copies && !seen[box.Email.Key] {
				seen[box.Email.Key] = true
				j.to = append(j.to, box.Email.Address)
			}
		}
		return nil
	}
	if e := each([]string{c.To}, &mail.To, true); e != nil {
		return e
	}
	if e := each(c.CC, &mail.CC, true); e != nil {
		return e
	}
	if e := each(c.BCC, nil, true); e != nil {
		return e
	}
	if c.ReplyTo == "" {
		return nil
	}
	return each([]string{c.ReplyTo}, &mail.ReplyTo, false)
}

// badAddress refuses what intake should not have let through. An address
// outside ASCII could go elsewhere; anything else is bad everywhere.
func badAddress(code, what string, err error) *provider.Error {
	class := provider.PermanentMessage
	var bad *address.Error
	if errors.As(err, &bad) && bad.Code == "smtputf8_unsupported" {
		class, code = provider.PermanentHere, bad.Code
	}
	return &provider.Error{Class: class, Code: code, Text: what + ": " + err.Error(), Cause: err}
}

// detail is the server's acceptance for people, and what became of the copies.
func (s *Sender) detail(j *job, res *result) string {
	said := s.veil(j).Redact(res.reply.text)
	out := strings.TrimSpace(res.reply.String() + " " + veil.Cut(said, 150))
	if n := len(res.refused); n > 0 {
		codes := make([]string, 0, n)
		for i := range res.refused {
			if c := res.refused[i].String(); !slices.Contains(codes, c) && len(codes) < 4 {
				codes = append(codes, c)
			}
		}
		out += fmt.Sprintf("; %d of %d copies refused (%s)", n, len(j.to)-1, strings.Join(codes, ", "))
	}
	return veil.Cut(out, veil.MaxText)
}

// veil lists what must not appear in a text: credentials in the forms that a
// server may echo, and the parts of addresses before the @ (whole addresses are
// recognised by themselves).
func (s *Sender) veil(j *job) veil.Veil {
	var v veil.Veil
	if c := &s.config; c.username != "" {
		v.Secrets = []string{encode64("\x00" + c.username + "\x00" + c.password), encode64(c.password), encode64(c.username), c.password, c.username}
		v.Words = append(v.Words, localPart(c.username))
	}
	for _, a := range append([]string{j.from}, j.to...) {
		v.Words = append(v.Words, localPart(a))
	}
	return v
}

func localPart(a string) string {
	local, _, _ := strings.Cut(a, "@")
	return local
}
