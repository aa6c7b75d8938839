package staged

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/commserver/commserver/client"
)

// app is one of the staged apps.
type app struct {
	slug, name string
	onUnknown  string // "" is the default
	sandbox    bool
	providers  []configuration
}

// configuration is a provider configuration of an app.
type configuration struct {
	name     string
	kind     string // a type; "relay" and "dead relay" are mail relays
	from     string
	callback bool // the simulator reports there
}

func apps() []app {
	return []app{
		{slug: "market", name: "Harbour Market", providers: []configuration{{name: "Main relay", kind: "relay", from: "Harbour Market <orders@market.example>"}}},
		{slug: "clinic", name: "Hillside Clinic", providers: []configuration{
			{name: "Hospital relay", kind: "dead relay", from: "Hillside Clinic <desk@clinic.example>"},
			{name: "Spare relay", kind: "relay", from: "Hillside Clinic <desk@clinic.example>"}}},
		{slug: "tickets", name: "City Tickets", providers: []configuration{{name: "Only relay", kind: "dead relay", from: "City Tickets <box@tickets.example>"}}},
		{slug: "bank", name: "Savings Bank", onUnknown: "FAIL", providers: []configuration{{name: "Bank relay", kind: "relay", from: "Savings Bank <notices@bank.example>"}}},
		{slug: "school", name: "Lakeside School", providers: []configuration{{name: "Resend", kind: "RESEND", from: "Lakeside School <office@school.example>"}}},
		{slug: "library", name: "Town Library", providers: []configuration{{name: "Resend", kind: "RESEND", from: "Town Library <desk@library.example>"}}},
		{slug: "parcels", name: "Swift Parcels", providers: []configuration{{name: "Resend", kind: "RESEND", from: "Swift Parcels <track@parcels.example>", callback: true}}},
		{slug: "taxi", name: "Coast Taxi", providers: []configuration{{name: "Arkesel", kind: "ARKESEL", from: "COASTTAXI", callback: true}}},
		{slug: "gym", name: "North Gym"},
		{slug: "radio", name: "Radio Volta", providers: []configuration{{name: "Radio relay", kind: "relay", from: "Radio Volta <news@radio.example>"}}},
		{slug: "cinema", name: "Palm Cinema", providers: []configuration{{name: "Cinema relay", kind: "relay", from: "Palm Cinema <seats@cinema.example>"}}},
		{slug: "workshop", name: "Workshop", sandbox: true},
	}
}

// stage makes the apps and tells every story.
func (w *World) stage(ctx context.Context, o Options) (err error) {
	if w.Stories, err = Stories(); err != nil {
		return err
	}
	for _, a := range apps() {
		if err := w.makeApp(ctx, a); err != nil {
			return fmt.Errorf("app %s: %w", a.slug, err)
		}
	}
	if o.Past {
		if err := w.past(ctx, o); err != nil {
			return err
		}
	}
	for i := range w.Stories {
		s := &w.Stories[i]
		if err := w.tell(ctx, s); err != nil {
			return fmt.Errorf("story %s: %w", s.Name, err)
		}
	}
	for i := range w.Stories {
		if s := &w.Stories[i]; s.After == 0 {
			if _, err := w.Await(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *World) makeApp(ctx context.Context, a app) error {
	made, err := w.admin.CreateApp(ctx, client.AdminApp{Name: a.name, Slug: a.slug, SandboxMode: &a.sandbox, OnUnknownOutcome: a.onUnknown,
		Scopes: []string{"SEND", "READ", "TEMPLATES", "PROVIDERS", "SUPPRESSIONS"}})
	if err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	w.Apps[a.slug], w.Keys[a.slug] = made.App.ID, made.APIKey
	for i, c := range a.providers {
		priority := i + 1
		change := client.ProviderChange{Name: &c.name, Priority: &priority, ProviderType: c.kind}
		switch c.kind {
		case "relay", "dead relay":
			port := w.relays[0]
			if c.kind == "dead relay" {
				port = w.relays[1]
			}
			change.ProviderType, change.Config = "SMTP", map[string]any{"host": "127.0.0.1", "port": port, "from": c.from}
		case "RESEND":
			change.Config = map[string]any{"apiKey": "re_staged_0123456789", "baseUrl": w.texts["RESEND"], "from": c.from, "webhookSecret": webhookSecret}
		default:
			change.Config = map[string]any{"apiKey": "staged-0123456789", "baseUrl": w.texts[c.kind], "senderId": c.from}
		}
		p, err := w.admin.For(a.slug).CreateProvider(ctx, change)
		if err != nil {
			return fmt.Errorf("provider %s: %w", c.name, err)
		}
		if c.callback {
			if err := w.order(ctx, http.MethodPut, "callbacks/"+c.kind, map[string]any{"url": p.CallbackURL, "secret": webhookSecret}); err != nil {
				return err
			}
		}
	}
	return nil
}

// webhookSecret signs what the simulator reports as Resend.
const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// order gives the simulator an order.
func (w *World) order(ctx context.Context, method, path string, body map[string]any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("order the simulator: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.Simulator+"/_simulate/"+path, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("order the simulator: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("order the simulator: %w", err)
	}
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode >= 300 {
		return fmt.Errorf("the simulator answers %s: %d %s", path, res.StatusCode, said)
	}
	return nil
}

// Await waits until a story stands where it says, and answers its message.
func (w *World) Await(ctx context.Context, s *Story) (*client.AppMessage, error) {
	for deadline := time.Now().Add(time.Minute + time.Duration(s.After)*time.Second); ; time.Sleep(20 * time.Millisecond) {
		m, err := w.admin.Message(ctx, s.Message)
		if err != nil {
			return nil, fmt.Errorf("story %s: %w", s.Name, err)
		}
		if m.Status == s.Status && m.WaitingFor == s.Waiting && s.stands(m) {
			return m, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("story %s: it is %s (waits for %q), not %s (%q): %+v", s.Name, m.Status, m.WaitingFor, s.Status, s.Waiting, m.Events)
		}
	}
}

// stands says whether a message in the right status has come to rest there.
func (s *Story) stands(m *client.AppMessage) bool {
	switch s.Name {
	case "all-providers-down", "credentials-wrong":
		return m.Attempts >= 2 && m.NextAttemptAt != nil && time.Until(*m.NextAttemptAt) > time.Minute
	case "complaint", "sandbox-complained":
		return m.Events[len(m.Events)-1].Type == "complaint"
	case "report-overdue":
		return m.Unconfirmed
	}
	return true
}
