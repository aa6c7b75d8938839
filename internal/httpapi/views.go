package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// text is null when empty.
type text string

// MarshalJSONTo implements json.MarshalerTo.
func (t text) MarshalJSONTo(e *jsontext.Encoder) error {
	if t == "" {
		return e.WriteToken(jsontext.Null)
	}
	return e.WriteToken(jsontext.String(string(t)))
}

// number is null when zero.
type number int

// MarshalJSONTo implements json.MarshalerTo.
func (n number) MarshalJSONTo(e *jsontext.Encoder) error {
	if n == 0 {
		return e.WriteToken(jsontext.Null)
	}
	return e.WriteToken(jsontext.Int(int64(n)))
}

// instant is null when not set.
type instant comm.Micros

// MarshalJSONTo implements json.MarshalerTo.
func (i instant) MarshalJSONTo(e *jsontext.Encoder) error {
	return text(comm.Micros(i).String()).MarshalJSONTo(e)
}

// listView is a page of a list.
type listView[T any] struct {
	Data       []T  `json:"data"`
	NextCursor text `json:"nextCursor"`
}

// messageItem is a message as lists show it. Every field is always there.
type messageItem struct {
	ID                comm.ID      `json:"id"`
	Channel           string       `json:"channel"`
	Status            string       `json:"status"`
	ToAddress         text         `json:"toAddress"`
	FromAddress       text         `json:"fromAddress"`
	Subject           text         `json:"subject"`
	TemplateKey       text         `json:"templateKey"`
	TemplateVersion   number       `json:"templateVersion"`
	ProviderName      text         `json:"providerName"`
	ProviderMessageID text         `json:"providerMessageId"`
	ErrorCode         text         `json:"errorCode"`
	ErrorMessage      text         `json:"errorMessage"`
	Attempts          int          `json:"attempts"`
	PossibleDuplicate bool         `json:"possibleDuplicate"`
	MayHaveBeenSent   bool         `json:"mayHaveBeenSent"`
	Unconfirmed       bool         `json:"unconfirmed"`
	WaitingFor        text         `json:"waitingFor"`
	NextAttemptAt     instant      `json:"nextAttemptAt"`
	RetriesUntil      instant      `json:"retriesUntil"`
	ScheduledAt       instant      `json:"scheduledAt"`
	ExpiresAt         instant      `json:"expiresAt"`
	CreatedAt         instant      `json:"createdAt"`
	UpdatedAt         instant      `json:"updatedAt"`
	SentAt            instant      `json:"sentAt"`
	DeliveredAt       instant      `json:"deliveredAt"`
	Metadata          comm.RawJSON `json:"metadata"`
	Tags              []string     `json:"tags"`
	Lane              string       `json:"lane"`
	Sandbox           bool         `json:"sandbox"`
	Segments          number       `json:"segments"`
	Encoding          text         `json:"encoding"`
	IdempotencyKey    text         `json:"idempotencyKey"`
}

// messageView is a whole message.
type messageView struct {
	messageItem
	Body           text          `json:"body"`
	ContentRemoved text          `json:"contentRemoved"`
	Events         []eventView   `json:"events"`
	AttemptLog     []attemptView `json:"attemptLog"`
}

func newMessage(m *comm.Message, w waiting) messageView {
	return messageView{messageItem: newItem(m, w), Body: bodyOf(m), ContentRemoved: text(removedBy(m)), Events: newEvents(m.Events), AttemptLog: newAttemptLog(m.Events)}
}

// sentView is what was sent of a message besides what every view of it has. Where the content is removed there is nothing of it.
type sentView struct {
	CC      []string          `json:"cc"`
	BCC     []string          `json:"bcc"`
	ReplyTo text              `json:"replyTo"`
	Headers map[string]string `json:"headers"`
	Text    text              `json:"text"`
}

func newSent(m *comm.Message) sentView {
	c := &m.Content
	return sentView{c.CC, c.BCC, text(c.ReplyTo), c.Headers, text(c.Text)}
}

// contentUnreadable is shown instead of the cause that took a content: it is there, and this version cannot read it.
const contentUnreadable = "unreadable"

// removedBy is the cause that took the message's content; "" while it is there.
func removedBy(m *comm.Message) string {
	switch {
	case m.ContentUnread:
		return contentUnreadable
	case !m.ContentGone:
		return ""
	}
	cause := comm.CauseContentPurged
	for i := range m.Events {
		if m.Events[i].Type == comm.CauseErased {
			cause = comm.CauseErased
		}
	}
	return cause.String()
}

// waiting is why a message waits and until when.
type waiting struct {
	reason string
	until  comm.Micros
	last   comm.Micros // from then on it is not tried any more
	report bool        // it is sent, and its provider's report should have come by now
}

// waiting finds out why a message waits. Holds, when not nil, remembers what was read for the units of a list.
func (a *API) waiting(r *http.Request, app *comm.App, s *comm.State, holds map[comm.Unit]store.Hold) (waiting, error) {
	if s.Status != comm.Queued {
		return waiting{report: a.cfg.Receipts != nil && a.cfg.Receipts.Unconfirmed(s, a.now())}, nil
	}
	unit := comm.Unit{Shard: s.Shard, App: s.App, Channel: s.Channel, Lane: s.Lane}
	hold, known := holds[unit]
	if !known {
		var err error
		if hold, _, err = a.cfg.Messages.Hold(r.Context(), unit); err != nil {
			return waiting{}, err
		}
		if hold.Reason == "" {
			if hold, err = a.foreseen(r, app, s, unit); err != nil {
				return waiting{}, err
			}
		}
		if holds != nil {
			holds[unit] = hold
		}
	}
	reason, until := chain.WaitingFor(s, hold.Reason, hold.Until, a.now())
	last, _ := s.LastStart(a.cfg.RetryHorizon)
	return waiting{reason: reason, until: until, last: last}, nil
}

// foreseen is why the message will wait, where settings tell it before the dispatcher has come to it.
func (a *API) foreseen(r *http.Request, app *comm.App, s *comm.State, unit comm.Unit) (hold store.Hold, err error) {
	hold.Unit, hold.Reason = unit, chain.Stopped(app)
	switch {
	case a.cfg.Hold.Held():
		hold.Reason = chain.WaitHeld
	case hold.Reason == "" && s.Mode == comm.Live:
		hold.Reason, err = a.cfg.Intake.Hindrance(r.Context(), app, s.Channel)
	}
	return hold, err
}

func newItem(m *comm.Message, w waiting) messageItem {
	s, c := &m.State, &m.Content
	return messageItem{
		ID: s.ID, Channel: s.Channel.String(), Status: s.Status.String(), ToAddress: text(c.To), FromAddress: text(c.From), Subject: text(c.Subject),
		TemplateKey: text(c.TemplateKey), TemplateVersion: number(c.TemplateVer), ProviderName: text(s.Provider), ProviderMessageID: text(s.ProviderRef),
		ErrorCode: text(s.ErrorCode), ErrorMessage: text(s.ErrorMessage()), Attempts: s.Attempts, PossibleDuplicate: s.Flags.Has(comm.PossibleDuplicate),
		MayHaveBeenSent: s.Status == comm.Failed && s.Flags.Has(comm.UnknownEver), Unconfirmed: w.report, WaitingFor: text(w.reason), NextAttemptAt: instant(w.until), RetriesUntil: instant(w.last),
		ScheduledAt: instant(s.ScheduledAt), ExpiresAt: instant(s.ExpiresAt), CreatedAt: instant(s.CreatedAt), UpdatedAt: instant(s.UpdatedAt),
		SentAt: instant(s.SentAt), DeliveredAt: instant(s.DeliveredAt), Metadata: c.Metadata, Tags: c.Tags, Lane: s.Lane.String(),
		Sandbox: s.Mode == comm.Sandbox, Segments: number(c.Segments), Encoding: text(c.Encoding), IdempotencyKey: text(c.IdempotencyKey),
	}
}

// bodyOf is null once retention or erasure removed it.
func bodyOf(m *comm.Message) text {
	if m.ContentGone {
		return ""
	}
	return text(m.Body)
}

// eventView is one line of a message's log.
type eventView struct {
	Sequence          int     `json:"sequence"`
	Type              string  `json:"type"`
	From              text    `json:"from"`
	To                text    `json:"to"`
	At                instant `json:"at"`
	Attempt           number  `json:"attempt"`
	Provider          text    `json:"provider"`
	ProviderMessageID text    `json:"providerMessageId"`
	ErrorCode         text    `json:"errorCode"`
	Detail            text    `json:"detail"`
}

func newEvents(events []comm.Event) []eventView {
	out := make([]eventView, len(events))
	for i := range events {
		e := &events[i]
		out[i] = eventView{e.Sequence, e.Type.String(), text(e.From.String()), text(e.To.String()), instant(e.At), number(e.Attempt),
			text(e.Provider), text(e.Ref), text(e.ErrorCode), text(detailOf(e))}
	}
	return out
}

// detailOf is what the log kept, or for an end that no provider had words for the sentence of its cause.
func detailOf(e *comm.Event) string {
	if e.Detail == "" && e.To == comm.Failed {
		return comm.EndText(e.Type)
	}
	return e.Detail
}

// attemptView is one provider call, put together from the log.
type attemptView struct {
	Attempt           int     `json:"attempt"`
	Generation        int     `json:"generation"`
	Provider          text    `json:"provider"`
	ConfigID          text    `json:"configId"` // these three by nameConfigs
	ConfigName        text    `json:"configName"`
	ConfigLevel       text    `json:"configLevel"`
	StartedAt         instant `json:"startedAt"`
	EndedAt           instant `json:"endedAt"`
	Outcome           string  `json:"outcome"`
	ProviderMessageID text    `json:"providerMessageId"`
	ErrorCode         text    `json:"errorCode"`
	Detail            text    `json:"detail"`

	config comm.ID
}

// outcomes are what an event says of the attempt that it names; events that say nothing of it are absent.
var outcomes = map[comm.Cause]string{
	comm.CauseProviderAccepted: "accepted", comm.CauseSettledByProof: "accepted", comm.CauseLateProof: "accepted",
	comm.CauseAttemptFailed: "failed", comm.CauseRetryTransient: "failed", comm.CauseExhausted: "failed", comm.CauseExpired: "failed",
	comm.CauseCancelledAfterCleanFailure: "failed", comm.CauseInternalError: "failed", comm.CauseSuppressed: "failed",
	comm.CauseProviderRejected: "rejected", comm.CauseThrottled: "throttled", comm.CauseReleased: "not_started",
	comm.CauseAttemptUnknown: "unknown", comm.CauseRetryUnknown: "unknown", comm.CauseOutcomeUnknown: "unknown",
}

// newAttemptLog reads the calls out of the log: attempt_started opens one, the
// next event about it says how it ended, and proof may still settle it later.
func newAttemptLog(events []comm.Event) []attemptView {
	out := []attemptView{}
	place := map[int]int{}
	for i := range events {
		e := &events[i]
		if e.Type == comm.CauseAttemptStarted {
			place[e.Attempt] = len(out)
			out = append(out, attemptView{Attempt: e.Attempt, Generation: e.Generation, Provider: text(e.Provider), StartedAt: instant(e.At), Outcome: "running", config: e.ProviderID})
			continue
		}
		n, known := place[e.Attempt]
		outcome, tells := outcomes[e.Type]
		if !known || !tells {
			continue
		}
		v := &out[n]
		if v.Outcome == "running" || outcome == "accepted" || v.Outcome == "failed" && outcome != "failed" {
			v.Outcome = outcome
		}
		if v.EndedAt == 0 {
			v.EndedAt = instant(e.At)
		}
		if e.Ref != "" {
			v.ProviderMessageID = text(e.Ref)
		}
		if e.ErrorCode != "" {
			v.ErrorCode = text(e.ErrorCode)
		}
		if e.Detail != "" {
			v.Detail = text(e.Detail)
		}
	}
	return out
}
