package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
)

// previewView is what would become of a message.
type previewView struct {
	Channel         string           `json:"channel"`
	Sandbox         bool             `json:"sandbox"`
	ToAddress       text             `json:"toAddress"`
	FromAddress     text             `json:"fromAddress"`
	Subject         text             `json:"subject"`
	Body            text             `json:"body"`
	Text            text             `json:"text"`
	TemplateKey     text             `json:"templateKey"`
	TemplateVersion number           `json:"templateVersion"`
	Segments        number           `json:"segments"`
	Encoding        text             `json:"encoding"`
	ReplayOf        text             `json:"replayOf"`
	Suppression     *suppressionView `json:"suppression"`
	Chain           chainView        `json:"chain"`
	Warnings        []warningView    `json:"warnings"`
}

// chainView is who would be asked to send.
type chainView struct {
	Level      text       `json:"level"` // whose configurations apply; null when none does
	Sandbox    bool       `json:"sandbox"`
	Why        string     `json:"why"`
	WaitFor    text       `json:"waitingFor"`
	Tried      []linkView `json:"tried"`
	LeftOut    []linkView `json:"leftOut"`
	NoProvider bool       `json:"noProvider"`
}

// linkView is one configuration; of the server's own an app sees the type only.
type linkView struct {
	Place        number `json:"place"`
	ID           text   `json:"id"`
	Name         text   `json:"name"`
	ProviderType string `json:"providerType"`
	From         text   `json:"from"`
	Why          string `json:"why"`
}

func newLink(c *comm.ProviderConfig, place int, from, why string) linkView {
	v := linkView{Place: number(place), ProviderType: c.Type, From: text(from), Why: why}
	if !c.App.IsZero() {
		v.ID, v.Name = text(c.ID.String()), text(c.Name)
	}
	return v
}

// levelOf is whose a configuration is.
func levelOf(own bool) text {
	if own {
		return "APP"
	}
	return "SERVER"
}

func newChain(p *intake.Preview) chainView {
	c := &p.Chain
	v := chainView{Sandbox: c.Logger, Why: c.Why, WaitFor: text(c.Wait.Reason), NoProvider: c.NoProvider, Tried: []linkView{}, LeftOut: []linkView{}}
	if len(c.Candidates) > 0 {
		v.Level = levelOf(c.Own)
	}
	for i, x := range c.Candidates {
		from := p.Content.From
		if from == "" {
			from = intake.OwnSender(x.Config)
		}
		v.Tried = append(v.Tried, newLink(x.Config, i+1, from, x.Why))
	}
	if c.Logger {
		v.Tried = append(v.Tried, linkView{Place: 1, ProviderType: chain.Sandbox, From: text(p.Content.From), Why: c.Why})
	}
	for _, x := range p.LeftOut {
		v.LeftOut = append(v.LeftOut, newLink(x.Config, 0, "", x.Why))
	}
	return v
}

// previewMessage is POST /api/v1/messages/preview: it stores, counts and sends nothing.
func (a *API) previewMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	request, held, err := a.readMessage(w, r, caller)
	if err != nil {
		return err
	}
	held, err = a.roomToRender(r, caller, held, request)
	defer func() { a.bodies.leave(held) }()
	if err != nil {
		return err
	}
	if err := request.UseKeyHeader(r.Header["Idempotency-Key"]); err != nil {
		return err
	}
	app := caller.App
	if app.SMSPerDay > 0 || len(app.SMSPrefixCaps) > 0 { // what it has used of its day is not older than the request
		if app, err = a.cfg.Registry.App(r.Context(), app.ID); err != nil {
			return err
		}
	}
	p, err := a.cfg.Intake.Preview(r.Context(), app, request)
	if err != nil {
		return err
	}
	c := &p.Content
	out := previewView{
		Channel: p.Channel.String(), Sandbox: p.Mode == comm.Sandbox, ToAddress: text(c.To), FromAddress: text(p.From), Subject: text(c.Subject), Body: text(c.Body),
		Text: text(c.Text), TemplateKey: text(c.TemplateKey), TemplateVersion: number(c.TemplateVer), Segments: number(c.Segments), Encoding: text(c.Encoding),
		Chain: newChain(p), Warnings: warningViews(p.Warnings),
	}
	if !p.Replay.IsZero() {
		out.ReplayOf = text(p.Replay.String())
	}
	if p.Suppression != nil {
		s := newSuppression(p.Suppression)
		out.Suppression = &s
	}
	a.answer(w, held, out)
	return nil
}
