package staged

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/commserver/commserver/client"
)

// telling is how a story's message comes about: what is ordered before it is sent, what it is, and what is done afterwards.
type telling struct {
	fault   map[string]any // a rule of the simulator for its recipient
	before  func(ctx context.Context, w *World, s *Story, m *client.Message) error
	message client.Message
	after   func(ctx context.Context, w *World, s *Story) error
}

// tell makes a story's message.
func (w *World) tell(ctx context.Context, s *Story) error {
	t, known := tellings()[s.Name]
	if !known {
		return fmt.Errorf("nobody knows how to tell it")
	}
	m := t.message
	m.Tags, m.IdempotencyKey, m.Metadata = []string{s.Name}, "story-"+s.Name, map[string]any{"story": s.Name}
	if m.Channel = "EMAIL"; m.Subject == "" {
		m.Channel = "SMS"
	}
	if t.fault != nil {
		rule := map[string]any{"recipient": m.To}
		maps.Copy(rule, t.fault)
		if err := w.order(ctx, http.MethodPost, "rules", rule); err != nil {
			return err
		}
	}
	if t.before != nil {
		if err := t.before(ctx, w, s, &m); err != nil {
			return err
		}
	}
	sent, err := w.admin.For(s.App).Send(ctx, m)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	s.Message = sent.ID
	if t.after != nil {
		return t.after(ctx, w, s)
	}
	return nil
}

func tellings() map[string]telling {
	mail := func(to, subject, body string) client.Message {
		return client.Message{To: to, Subject: subject, Body: "<p>" + body + "</p>"}
	}
	return map[string]telling{
		"address-refused": {fault: map[string]any{"type": "SMTP", "fault": "refuse", "error": "rcpt 550 5.1.1"},
			message: mail("ama.mensha@example.com", "Your order 1042", "Your order is on its way.")},
		"failed-over":        {message: mail("kofi@example.com", "Your appointment", "We see you on Tuesday at ten.")},
		"all-providers-down": {message: mail("esi@example.com", "Your tickets", "Row 7, seats 11 and 12.")},
		"unknown-repeated": {fault: map[string]any{"type": "SMTP", "fault": "lose", "times": 1},
			message: mail("yaw@example.com", "Your order 1043", "Your order is on its way.")},
		"unknown-not-repeated": {fault: map[string]any{"type": "SMTP", "fault": "lose"},
			message: mail("akua@example.com", "Your statement", "Your statement for June is ready.")},
		"throttled": {fault: map[string]any{"type": "RESEND", "fault": "throttle", "retryAfter": "1800"},
			message: mail("abena@example.com", "School starts on Monday", "The gates open at half past seven.")},
		"behind-a-throttle": {before: func(ctx context.Context, w *World, _ *Story, _ *client.Message) error {
			_, err := w.Await(ctx, w.Story("throttled"))
			return err
		}, message: mail("ekow@example.com", "The school bus", "The bus leaves ten minutes earlier.")},
		"suppressed": {before: func(ctx context.Context, w *World, s *Story, m *client.Message) error {
			_, _, err := w.admin.For(s.App).Suppress(ctx, m.Channel, m.To, "manual", "asked by telephone")
			return err
		}, message: mail("nana@example.com", "New in the market", "Mangoes are in season.")},
		"expired":     {message: ttl(mail("kwame@example.com", "Your code", "Your code is 481 922."), 1)},
		"no-provider": {message: mail("adwoa@example.com", "Your membership", "Your membership ends on Friday.")},
		"app-switched-off": {before: pause, message: mail("kojo@example.com", "Tonight at eight", "Highlife from Takoradi."),
			after: func(ctx context.Context, w *World, s *Story) error {
				if _, err := w.admin.UpdateApp(ctx, s.App, client.AdminApp{IsActive: new(false)}); err != nil {
					return fmt.Errorf("switch the app off: %w", err)
				}
				_, err := w.admin.ResumeQueue(ctx, s.App)
				return err
			}},
		"queue-paused": {before: pause, message: mail("efua@example.com", "Your seats", "Screen 2, row F.")},
		"credentials-wrong": {fault: map[string]any{"type": "RESEND", "fault": "refuse", "error": "invalid_api_key"},
			message: mail("kwesi@example.com", "Your book is here", "It waits for you until Saturday.")},
		"bounced-after-sent": {fault: map[string]any{"type": "RESEND", "fault": "outcome", "outcome": "bounced"},
			message: mail("afia@example.com", "Your parcel", "Your parcel arrives today.")},
		"complaint": {fault: map[string]any{"type": "RESEND", "fault": "outcome", "outcome": "complained"},
			message: mail("kweku@example.com", "Rate our service", "How did we do?")},
		"report-overdue": {fault: map[string]any{"type": "RESEND", "fault": "missing"},
			message: mail("araba@example.com", "Your parcel", "Your parcel arrives tomorrow.")},
		"delivered": {message: client.Message{To: "233241234567", Body: "Your taxi GR 4412-20 arrives in four minutes."}},
		"cancelled": {message: later(mail("mansa@example.com", "Your order 1044", "Your order is ready.")),
			after: func(ctx context.Context, w *World, s *Story) error {
				_, err := w.admin.CancelMessage(ctx, s.Message)
				return err
			}},
		"scheduled":          {message: later(mail("yaa@example.com", "Your order 1045", "Your order is ready."))},
		"sandbox-refused":    {message: mail("failed+order-42@sandbox.commserver.test", "A rehearsal", "Nothing leaves the server.")},
		"sandbox-bounced":    {message: mail("bounced+order-43@sandbox.commserver.test", "Another rehearsal", "It comes back.")},
		"sandbox-complained": {message: mail("complained+order-44@sandbox.commserver.test", "The last rehearsal", "Somebody minds.")},
		"webhook-failing": {before: func(ctx context.Context, w *World, s *Story, _ *client.Message) error {
			if err := w.order(ctx, http.MethodPut, "hooks/market", map[string]any{"answers": []string{"500"}}); err != nil {
				return err
			}
			_, err := w.admin.For(s.App).CreateEndpoint(ctx, client.EndpointChange{Name: "orders", URL: w.Simulator + "/hooks/market", Tags: &[]string{s.Name}})
			return err
		}, message: mail("akosua@example.com", "Your order 1046", "Your order is on its way.")},
	}
}

// pause keeps a story's message where it is.
func pause(ctx context.Context, w *World, s *Story, _ *client.Message) error {
	if _, err := w.admin.PauseQueue(ctx, s.App); err != nil {
		return fmt.Errorf("pause the queue: %w", err)
	}
	return nil
}

func ttl(m client.Message, seconds int) client.Message {
	m.TTLSeconds = seconds
	return m
}

// later schedules a message for the next day but one, so that it waits while anybody looks.
func later(m client.Message) client.Message {
	at := time.Now().UTC().Truncate(time.Hour).Add(48 * time.Hour)
	m.ScheduledAt = &at
	return m
}
