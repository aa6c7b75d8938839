package feed

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
)

// The words of the field event.
const (
	StatusEvent = "message.status"
	TestEvent   = "webhook.test"
)

// body is an event as webhooks and the feed tell it. The guide fixes event and message; the order of fields is kept.
type body struct {
	Event     string  `json:"event"`
	Message   message `json:"message"`
	EventID   string  `json:"eventId"`
	Sequence  int     `json:"sequence"`
	Type      string  `json:"type"`
	CreatedAt word    `json:"createdAt"`
}

type message struct {
	ID                comm.ID      `json:"id"`
	Channel           string       `json:"channel"`
	Status            string       `json:"status"`
	ToAddress         word         `json:"toAddress"`
	ProviderName      word         `json:"providerName"`
	ProviderMessageID word         `json:"providerMessageId"`
	ErrorMessage      word         `json:"errorMessage"`
	Attempts          int          `json:"attempts"`
	SentAt            word         `json:"sentAt"`
	Metadata          comm.RawJSON `json:"metadata"`
}

// word is null when empty.
type word string

// MarshalJSONTo implements json.MarshalerTo.
func (w word) MarshalJSONTo(e *jsontext.Encoder) error {
	if w == "" {
		return e.WriteToken(jsontext.Null)
	}
	return e.WriteToken(jsontext.String(strings.ToValidUTF8(string(w), "\uFFFD")))
}

// Body is an event of a message as it is told: with what the message showed once it had happened, whatever
// has happened since. ok is false when the message's log does not hold it.
func Body(m *comm.Message, sequence int) (out []byte, ok bool, err error) {
	s, ok := m.StateAt(sequence)
	if !ok {
		return nil, false, nil
	}
	return build(StatusEvent, m, &s, m.Events[sequence-1].Type.String())
}

func build(event string, m *comm.Message, s *comm.State, cause string) (out []byte, ok bool, err error) {
	b := body{
		Event: event, EventID: comm.EventID(s.ID, s.Sequence, s.UpdatedAt), Sequence: s.Sequence, Type: cause, CreatedAt: word(s.UpdatedAt.String()),
		Message: message{ID: s.ID, Channel: s.Channel.String(), Status: s.Status.String(), ToAddress: word(m.To), ProviderName: word(s.Provider),
			ProviderMessageID: word(s.ProviderRef), ErrorMessage: word(s.ErrorMessage()), Attempts: s.Attempts, SentAt: word(s.SentAt.String()), Metadata: m.Metadata},
	}
	if out, err = json.Marshal(b); err != nil && b.Message.Metadata != "" {
		b.Message.Metadata = "" // it is no JSON: the event is told without it
		out, err = json.Marshal(b)
	}
	if err != nil {
		return nil, false, fmt.Errorf("write an event: %w", err)
	}
	return out, true, nil
}

// TestBody is what a test of an endpoint tells: an event of the same form about a message that does not exist.
func TestBody(id comm.ID, now comm.Micros) ([]byte, error) {
	m := comm.Message{Content: comm.Content{To: "test@example.com", Metadata: `{"test":true}`}}
	s := comm.State{ID: id, Channel: comm.Email, Status: comm.Delivered, Provider: "sandbox", ProviderRef: "test", Attempts: 1, Sequence: 1, SentAt: now, UpdatedAt: now}
	out, _, err := build(TestEvent, &m, &s, comm.CauseReportDelivered.String())
	return out, err
}
