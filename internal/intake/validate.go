package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/render"
	"github.com/commserver/commserver/internal/sms"
	"github.com/commserver/commserver/internal/store"
)

// Limits of the members that both channels have.
const (
	maxKey   = 255
	maxTags  = 10
	maxTag   = 64
	maxTTL   = 366 * 24 * 60 * 60
	maxAhead = 366 * 24 * time.Hour
)

// drainRetry is when a message that was refused because its app is drained may be tried again, in seconds.
const drainRetry = 30

// prepared is a request that passed validation, ready for the store.
type prepared struct {
	sub      store.Submission
	content  comm.Content
	encoding string
	segments int
	warnings []comm.Warning
	result   *Result
}

func (p *prepared) unit() comm.Unit {
	return comm.Unit{Shard: p.sub.Shard, App: p.sub.App, Channel: p.sub.Channel, Lane: p.sub.Lane}
}

// prepare validates q. It answers nil and nil when the result is complete
// already: a replay recognised before a check that would refuse it today.
func (s *Service) prepare(ctx context.Context, app *comm.App, q *Request, r *Result) (*prepared, error) {
	now := comm.At(s.cfg.Now())
	p := &prepared{result: r}
	p.sub = store.Submission{
		App: app.ID, ID: comm.NewID(now), Mode: app.Mode(), OnUnknown: app.OnUnknown, Node: s.cfg.Node,
		Lane: comm.Normal, RatePerMinute: app.RatePerMinute,
	}
	p.sub.Shard = comm.ShardOf(app.ID, p.sub.ID, app.ShardSpread)
	if err := p.common(q, now); err != nil {
		return nil, err
	}
	if err := p.address(q, s.cfg.Phones); err != nil {
		return nil, err
	}
	if err := p.source(q); err != nil {
		return nil, err
	}
	if p.sub.HasKey {
		p.sub.Fingerprint = p.fingerprint(q)
	}
	if err := s.today(ctx, app, q, p); err != nil {
		if p.sub.HasKey {
			replay, away := s.replayed(ctx, app, p)
			if replay {
				return nil, nil
			}
			err = cmp.Or(away, err)
		}
		return nil, err
	}
	payload, err := store.EncodeContent(&p.content)
	if err != nil {
		return nil, comm.E("internal").Because(err)
	}
	p.sub.Payload = payload
	return p, nil
}

// today makes the checks whose answer may change with time.
func (s *Service) today(ctx context.Context, app *comm.App, q *Request, p *prepared) error {
	if app.QueueDraining {
		e := comm.E("app_draining")
		e.RetryAfter = drainRetry
		return e
	}
	if q.TemplateKey.Given {
		t, err := s.shelf.of(ctx, app.ID, q.TemplateKey.Value)
		if err != nil {
			return err
		}
		if err := p.fill(t, q); err != nil {
			return err
		}
	}
	if p.sub.Mode == comm.Live {
		if err := checkCost(app, p); err != nil {
			return err
		}
		return s.checkSender(ctx, app, p)
	}
	return nil
}

// replayed fills in the result when the idempotency key is known: the original
// for an equal request, a conflict for another one. The error says that nobody
// could tell: what would be refused today may have been accepted before.
func (s *Service) replayed(ctx context.Context, app *comm.App, p *prepared) (bool, error) {
	known, err := s.cfg.Store.KnownKey(ctx, app.ID, p.sub.Mode, p.sub.KeyHash)
	if comm.IsKind(err, comm.Missing) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(fmt.Errorf("look up the idempotency key: %w", err))
	}
	if known.Fingerprint != p.sub.Fingerprint {
		p.result.Err = comm.E("idempotency_key_reused")
		return true, nil
	}
	p.replay(known.ID, known.Status)
	return true, nil
}

// replay answers with the original message. What a template makes today says nothing of
// what it made then.
func (p *prepared) replay(id comm.ID, status comm.Status) {
	r := p.result
	r.ID, r.Status, r.Deduplicated = id, status, true
	if p.content.TemplateKey == "" {
		r.Encoding, r.Segments = p.encoding, p.segments
	}
}

// common checks what both channels have.
func (p *prepared) common(q *Request, now comm.Micros) (err error) {
	var ok bool
	if p.sub.Channel, ok = comm.ParseChannel(q.Channel.Value); !ok {
		return refuse("invalid_channel", "channel", "must be EMAIL or SMS")
	}
	if q.Lane.Given {
		if p.sub.Lane, ok = comm.ParseLane(q.Lane.Value); !ok {
			return refuse("invalid_field", "lane", "must be CRITICAL, NORMAL or BULK")
		}
	}
	if q.TTLSeconds.Given {
		if q.TTLSeconds.Value < 1 || q.TTLSeconds.Value > maxTTL {
			return refuse("invalid_field", "ttlSeconds", "must be 1 to 31622400 (366 days)")
		}
		p.sub.TTL = q.TTLSeconds.Value * int64(time.Second/time.Microsecond)
	}
	if q.ScheduledAt.Given {
		if p.sub.ScheduledAt, err = parseSchedule(q.ScheduledAt.Value, now); err != nil {
			return err
		}
	}
	if q.IdempotencyKey.Given {
		if err := p.key(q.IdempotencyKey.Value); err != nil {
			return err
		}
	}
	p.content.Metadata = comm.RawJSON(q.Metadata.Raw)
	return p.tags(q)
}

func (p *prepared) key(key string) error {
	if len(key) == 0 || len(key) > maxKey || !printable(key) {
		return refuse("invalid_idempotency_key", "idempotencyKey", "must be 1 to 255 printable ASCII characters")
	}
	p.sub.HasKey, p.content.IdempotencyKey, p.sub.KeyHash = true, key, store.KeyHash(key)
	return nil
}

func (p *prepared) tags(q *Request) error {
	if len(q.Tags.Value) > maxTags {
		return refuse("invalid_field", "tags", "at most 10 tags")
	}
	for i, tag := range q.Tags.Value {
		if !validTag(tag) {
			return refuse("invalid_field", at("tags", i), tagRule)
		}
		p.sub.Terms = append(p.sub.Terms, store.Term{Kind: store.TagTerm, Value: tag})
	}
	p.content.Tags = q.Tags.Value
	return nil
}

// To normalises a recipient as Accept does: wire is what a provider is given, key what
// suppressions and searches compare. The error is the one that Accept would give.
func (s *Service) To(ch comm.Channel, to string) (wire, key string, err error) {
	return recipient(ch, to, s.cfg.Phones)
}

func recipient(ch comm.Channel, to string, phones address.Phones) (wire, key string, err error) {
	if strings.TrimSpace(to) == "" {
		return "", "", refuse("invalid_to", "to", "is empty: give one recipient")
	}
	if ch == comm.SMS {
		digits, err := phones.Parse(to)
		if err != nil {
			return "", "", addressError(err, "invalid_phone", "to")
		}
		return digits, digits, nil
	}
	email, err := address.ParseEmail(to)
	if err != nil {
		return "", "", addressError(err, "invalid_to", "to")
	}
	return email.Address, email.Key, nil
}

// address normalises to and checks that from could be a sender.
func (p *prepared) address(q *Request, phones address.Phones) error {
	var err error
	if p.content.To, p.sub.Recipient, err = recipient(p.sub.Channel, q.To.Value, phones); err != nil || !q.From.Given {
		return err
	}
	if p.sub.Channel == comm.SMS {
		if err := sms.CheckSender(q.From.Value); err != nil {
			return refuse("invalid_from", "from", err.Error())
		}
		p.content.From = q.From.Value
		return nil
	}
	from, err := address.ParseMailbox(q.From.Value)
	if err != nil {
		return refuse("invalid_from", "from", err.Error())
	}
	p.content.From = from.String()
	return nil
}

// source checks that there is exactly one source of the body, and the rules of the channel.
func (p *prepared) source(q *Request) error {
	switch {
	case q.Body.Given && q.TemplateKey.Given:
		return refuse("body_and_template", "templateKey", "body is given too")
	case q.TemplateKey.Given:
		if !render.Key(q.TemplateKey.Value) {
			return refuse("invalid_template_key", "templateKey", render.KeyRule)
		}
		p.content.TemplateKey = q.TemplateKey.Value
		p.sub.Terms = append(p.sub.Terms, store.Term{Kind: store.TemplateTerm, Value: q.TemplateKey.Value})
	case !q.Body.Given:
		return refuse("body_or_template", "body", "is missing")
	case len(q.Variables.List) > 0:
		return refuse("field_not_allowed", "variables", "go with templateKey; an inline body is sent as it is")
	}
	p.content.Body = q.Body.Value
	var err error
	if p.sub.Channel == comm.SMS {
		err = onlyEmail(q)
	} else {
		err = p.email(q)
	}
	switch {
	case err != nil:
		return err
	case q.TemplateKey.Given: // the rest comes from the template
		return p.inline(q)
	}
	return p.finishBody()
}

// finishBody checks the final body, inline or rendered.
func (p *prepared) finishBody() error {
	if strings.TrimSpace(p.content.Body) == "" {
		return refuse("body_required", "body", "is empty")
	}
	if p.sub.Channel == comm.SMS {
		return p.shortMessage()
	}
	return p.mail()
}

// shortMessage measures an SMS.
func (p *prepared) shortMessage() error {
	if comm.ControlAt(p.content.Body, "\t\r\n") >= 0 {
		return refuse("control_character", "body", "holds a control character other than tab and line break")
	}
	text := sms.Normalize(p.content.Body)
	size := sms.Measure(text)
	if size.Segments > sms.MaxSegments {
		return comm.E("too_long", "The text takes %d segments; at most %d are sent.", size.Segments, sms.MaxSegments).
			Field("body", "takes too many segments").With("segments", size.Segments).With("encoding", size.Encoding.String())
	}
	p.content.Body = text
	p.encoding, p.segments = size.Encoding.String(), size.Segments
	p.content.Encoding, p.content.Segments = p.encoding, p.segments
	p.warnForced(text, size)
	return nil
}

// A hint is worth giving for up to maxHint different unusual characters that
// make up at most one in hintShare of the text: a stray quote, not a language.
const (
	maxHint   = 3
	hintShare = 10
)

// warnForced tells the caller when a few characters make the message dearer.
func (p *prepared) warnForced(text string, size sms.Size) {
	if size.Encoding != sms.UCS2 || len(size.Forced) > maxHint {
		return
	}
	var plain strings.Builder
	forced, unusual := string(size.Forced), 0
	for _, r := range text {
		if strings.ContainsRune(forced, r) {
			unusual++
			r = ' '
		}
		plain.WriteRune(r)
	}
	if unusual*hintShare > size.Units {
		return
	}
	if n := sms.Measure(plain.String()).Segments; n < size.Segments {
		p.warnings = append(p.warnings, comm.Warning{Code: comm.WarnUCS2, Text: "The characters " + forced + " are outside the GSM alphabet: they make the message take " +
			count(size.Segments) + " segments instead of " + count(n) + "."})
	}
}

// parseSchedule reads RFC 3339. The past is allowed: a request that is repeated must not fail.
func parseSchedule(text string, now comm.Micros) (comm.Micros, error) {
	at, zone, why := ParseTime(text)
	switch {
	case !zone:
		return 0, refuse("timezone_required", "scheduledAt", why)
	case why != "":
		return 0, refuse("invalid_scheduled_at", "scheduledAt", why)
	case at.Time().After(now.Time().Add(maxAhead)):
		return 0, refuse("too_far", "scheduledAt", "lies more than 366 days ahead")
	}
	return at, nil
}

// ParseTime reads a time of a request: RFC 3339, of which nothing is guessed. It
// says why it cannot, and whether there is a zone as far as the rest is right. The
// result is never 0, which means "not set".
func ParseTime(text string) (at comm.Micros, zone bool, why string) {
	if !looksLikeTime(text) {
		return 0, true, "must look like 2026-07-03T10:00:00Z"
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if _, naive := time.Parse("2006-01-02T15:04:05", strings.SplitN(text, ".", 2)[0]); naive == nil {
			return 0, false, "has no time zone: end it with Z or an offset such as +02:00"
		}
		return 0, true, "is not a date and time that exists, with Z or an offset such as +02:00 at its end"
	}
	return max(1, comm.At(t)), true, ""
}

// looksLikeTime keeps forms away that time.Parse would read leniently.
func looksLikeTime(s string) bool {
	const shape = "dddd-dd-ddTdd:dd:dd"
	if len(s) < len(shape) || len(s) > len("2026-07-03T10:00:00.000000000+02:00") || strings.Contains(s, ",") {
		return false
	}
	for i := range len(shape) {
		digit := s[i] >= '0' && s[i] <= '9'
		if shape[i] == 'd' != digit || shape[i] != 'd' && s[i] != shape[i] {
			return false
		}
	}
	return true
}

// addressError turns a refusal of package address into ours.
func addressError(err error, code, field string) error {
	e, ok := errors.AsType[*address.Error](err)
	if !ok {
		return comm.E("internal").Because(err)
	}
	switch e.Code {
	case address.CodeSeveral, address.CodeControl, address.CodeUTF8, address.CodePhone:
		code = e.Code
	}
	reason := e.Reason
	if field == "to" && e.Code == address.CodeSeveral {
		reason += ": send a message per recipient"
	}
	return refuse(code, field, reason).With("reason", e.Code)
}

// UseKeyHeader takes the Idempotency-Key header as an alternative to the member of the body.
func (r *Request) UseKeyHeader(values []string) error {
	switch {
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return comm.E("invalid_idempotency_key", "The Idempotency-Key header is sent more than once; send it once.").Field("Idempotency-Key", "is sent more than once")
	case r.IdempotencyKey.Given && r.IdempotencyKey.Value != values[0]:
		return comm.E("invalid_idempotency_key", "idempotencyKey and the Idempotency-Key header differ; send one of them.").Field("idempotencyKey", "differs from the Idempotency-Key header")
	}
	r.IdempotencyKey = Text{Value: values[0], Given: true}
	return nil
}
