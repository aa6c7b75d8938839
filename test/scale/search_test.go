package scale

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// tag gives the i-th message the tags "all" and, a few of them, "rare", and the template "welcome" or, a few of them, "seldom".
func (h *history) tag(sub *store.Submission, i int) error {
	tags := []string{"all"}
	if i%1009 == 0 {
		tags = append(tags, "rare")
	}
	var c comm.Content
	if err := store.DecodeContent(sub.Payload, &c); err != nil {
		return err
	}
	c.Tags, c.TemplateKey, c.TemplateVer = tags, "welcome", 1
	if i%1013 == 0 {
		c.TemplateKey = "seldom"
	}
	sub.Terms = []store.Term{{Kind: store.TemplateTerm, Value: c.TemplateKey}}
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
		{"templateKey": {"welcome"}}, {"templateKey": {"seldom"}, "tag": {"all"}}, {"templateKey": {"welcome"}, "tag": {"rare"}},
		{"templateKey": {"welcome"}, "tag": {"all"}, "to": {optedOut}}, {"templateKey": {"seldom"}, "to": {"nobody@example.org"}},
	}
	for _, word := range words {
		for _, status := range []string{"", "QUEUED", "SENT", "SENDING", "CANCELLED", "SUPPRESSED"} {
			for _, channel := range []string{"", "EMAIL", "SMS"} {
				if channel != "" && (word.Has("to") || word.Has("templateKey")) {
					continue // the address says it, or the template
				}
				for _, window := range [][2]comm.Micros{{}, {h.times[1], 0}, {h.times[0], h.times[2]}} {
					q := url.Values{"limit": {"100"}}
					for name, value := range map[string]string{"status": status, "channel": channel, "tag": word.Get("tag"), "to": word.Get("to"), "templateKey": word.Get("templateKey"),
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

// lag is how long after its 202 a message is found by recipient, tag and template together, while others of its app are accepted.
func (h *history) lag(w *world, base string) (out figures) {
	w.t.Helper()
	if status, answer, err := call(base, h.who, http.MethodPost, "/api/v1/templates", []byte(`{"key":"fresh","channel":"EMAIL","name":"Fresh","subject":"Fresh","body":"<p>Hello</p>"}`)); err != nil || status != http.StatusCreated {
		w.t.Fatalf("%d %s %v", status, answer, err)
	}
	done := make(chan struct{})
	var g errgroup.Group
	for k := range 3 {
		g.Go(func() error {
			for i := 0; ; i++ {
				select {
				case <-done:
					return nil
				case <-time.After(5 * time.Millisecond):
				}
				status, _, answer, err := post(base, h.who, mail(fmt.Sprintf("beside%d-%d", k, i), "BULK", fmt.Sprintf("beside-%d-%d", k, i), `,"tags":["all"]`))
				if err != nil || status != http.StatusAccepted {
					return fmt.Errorf("%d %s %w", status, answer, err)
				}
			}
		})
	}
	for i := range 15 {
		to := fmt.Sprintf("fresh%d@%s", i, domain)
		status, id, answer, err := post(base, h.who, fmt.Appendf(nil, `{"channel":"EMAIL","to":"%s","templateKey":"fresh","variables":{},"tags":["fresh"]}`, to))
		at := time.Now()
		if err != nil || status != http.StatusAccepted {
			w.t.Errorf("%d %s %v", status, answer, err)
			break
		}
		query := "/api/v1/messages?" + url.Values{"to": {to}, "tag": {"fresh"}, "templateKey": {"fresh"}, "limit": {"5"}}.Encode()
		if !until(20*time.Second, func() bool {
			status, answer, err := call(base, h.who, http.MethodGet, query, nil)
			return err == nil && status == http.StatusOK && strings.Contains(string(answer), id)
		}) {
			w.t.Errorf("%s is not found 20 s after its 202", id)
		}
		out = append(out, time.Since(at))
	}
	close(done)
	if err := g.Wait(); err != nil {
		w.t.Error(err)
	}
	return out
}
