package scale

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// tag gives the i-th message the tags "all" and, a few of them, "rare".
func (h *history) tag(sub *store.Submission, i int) error {
	tags := []string{"all"}
	if i%1009 == 0 {
		tags = append(tags, "rare")
	}
	var c comm.Content
	if err := store.DecodeContent(sub.Payload, &c); err != nil {
		return err
	}
	c.Tags, sub.Terms = tags, nil
	for _, t := range tags {
		sub.Terms = append(sub.Terms, store.Term{Kind: store.TagTerm, Value: t})
	}
	var err error
	sub.Payload, err = store.EncodeContent(&c)
	return err
}

// searchable waits until the last message can be found.
func (h *history) searchable(ctx context.Context, s store.Store) error {
	last, err := h.submission(h.n - 1)
	if err != nil {
		return err
	}
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		found, err := s.Search(ctx, h.who.app.ID, store.Filter{Recipient: last.Recipient, Limit: 1})
		if err != nil {
			return err
		}
		if len(found.Messages) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%d messages are still not searchable", h.n)
}

// searches is what is searched for: words that all, many, few and no messages have, with filters that leave much, little and nothing.
func (h *history) searches() (out []string) {
	words := []url.Values{
		{"tag": {"all"}}, {"tag": {"rare"}}, {"tag": {"none"}}, {"to": {optedOut}}, {"to": {"nobody@example.org"}}, {"to": {optedOutTo}},
		{"tag": {"all"}, "to": {optedOut}}, {"tag": {"rare"}, "to": {optedOut}}, {"tag": {"all"}, "to": {"nobody@example.org"}},
	}
	for _, word := range words {
		for _, status := range []string{"", "QUEUED", "SENT", "SENDING", "CANCELLED", "SUPPRESSED"} {
			for _, channel := range []string{"", "EMAIL", "SMS"} {
				if channel != "" && word.Has("to") {
					continue // the address says it
				}
				for _, window := range [][2]comm.Micros{{}, {h.times[1], 0}, {h.times[0], h.times[2]}} {
					q := url.Values{"limit": {"100"}}
					for name, value := range map[string]string{"status": status, "channel": channel, "tag": word.Get("tag"), "to": word.Get("to"),
						"createdAfter": window[0].String(), "createdBefore": window[1].String()} {
						if value != "" {
							q.Set(name, value)
						}
					}
					out = append(out, "/api/v1/messages?"+q.Encode())
				}
			}
		}
	}
	return out
}
