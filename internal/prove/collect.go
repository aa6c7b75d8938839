package prove

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Message is what the server says of a message.
type Message struct {
	ID                string  `json:"id"`
	Status            string  `json:"status"`
	Attempts          int     `json:"attempts"`
	PossibleDuplicate bool    `json:"possibleDuplicate"`
	ErrorCode         *string `json:"errorCode"`
	ToAddress         string  `json:"toAddress"`
	IdempotencyKey    string  `json:"idempotencyKey"`
	Events            []Event `json:"events"`
}

// Event is one line of a message's log.
type Event struct {
	Sequence int       `json:"sequence"`
	Type     string    `json:"type"`
	From     *string   `json:"from"`
	To       *string   `json:"to"`
	At       time.Time `json:"at"`
	Attempt  int       `json:"attempt"`
}

func (m *Message) final() bool { return m.Status != "QUEUED" && m.Status != "SENDING" }

// settle sends every request that never got an answer once more, on healthy
// nodes: the same key must lead to exactly one message.
func (r *run) settle(ctx context.Context) error {
	web := &http.Client{Timeout: 30 * time.Second}
	return r.each(r.history.all(), func(e *Entry) error {
		if e.OK > 0 {
			return nil
		}
		for range 50 {
			if r.post(ctx, web, 0, e) {
				return nil
			}
			pause(ctx, 200*time.Millisecond)
		}
		return fmt.Errorf("request %s is not answered by healthy nodes", e.Key)
	})
}

// collect reads every message, and those that were not final again until the
// drain time is over. It counts from the end of the first reading, which may itself
// take minutes: else what was read early in it would have had no time at all.
func (r *run) collect(ctx context.Context) (map[string]*Message, error) {
	var mu sync.Mutex
	out := map[string]*Message{}
	entries := r.history.all()
	web := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer web.CloseIdleConnections()
	for deadline := (time.Time{}); ; {
		var open []*Entry
		err := r.each(entries, func(e *Entry) error {
			for id := range e.IDs {
				m, err := r.get(ctx, web, e, id)
				if err != nil {
					return err
				}
				mu.Lock()
				out[id] = m
				if m != nil && !m.final() {
					open = append(open, e)
				}
				mu.Unlock()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(r.cfg.Drain)
		}
		if len(open) == 0 || time.Now().After(deadline) {
			return out, nil
		}
		entries = open
		pause(ctx, 500*time.Millisecond)
	}
}

// get reads one message; nil when the server does not know it.
func (r *run) get(ctx context.Context, web *http.Client, e *Entry, id string) (*Message, error) {
	var last error
	for range 20 {
		status, body, err := r.call(ctx, web, 0, r.apps[e.App], http.MethodGet, "/api/v1/messages/"+id, nil)
		switch {
		case err == nil && status == http.StatusOK:
			m := &Message{}
			if err := json.Unmarshal(body, m); err != nil {
				return nil, fmt.Errorf("message %s: %w", id, err)
			}
			return m, nil
		case err == nil && status == http.StatusNotFound:
			return nil, nil
		}
		last = fmt.Errorf("message %s: %d %w", id, status, err)
		pause(ctx, 200*time.Millisecond)
	}
	return nil, last
}

// trespass asks for some messages with another app's key: each must be unknown there.
func (r *run) trespass(ctx context.Context) error {
	entries := r.history.all()
	if len(r.apps) < 2 || len(entries) == 0 {
		return nil
	}
	var some []*Entry
	for i := 0; i < len(entries); i += 1 + len(entries)/200 {
		some = append(some, entries[i])
	}
	web := &http.Client{Timeout: 30 * time.Second}
	return r.each(some, func(e *Entry) error {
		other := r.apps[(e.App+1)%len(r.apps)]
		for id := range e.IDs {
			status, _, err := r.call(ctx, web, 0, other, http.MethodGet, "/api/v1/messages/"+id, nil)
			if err != nil {
				return fmt.Errorf("message %s with another app's key: %w", id, err)
			}
			if status != http.StatusNotFound {
				r.history.trespassed(e, "%s is answered %d to another app", id, status)
			}
		}
		return nil
	})
}

// each runs f over the entries, eight at a time.
func (r *run) each(entries []*Entry, f func(*Entry) error) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, e := range entries {
		g.Go(func() error { return f(e) })
	}
	return g.Wait()
}
