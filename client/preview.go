package client

import (
	"context"
	"net/http"
)

// Preview is what would become of a message.
type Preview struct {
	Channel         string       `json:"channel"`
	Sandbox         bool         `json:"sandbox"`
	ToAddress       string       `json:"toAddress"`
	FromAddress     string       `json:"fromAddress"`
	Subject         string       `json:"subject"`
	Body            string       `json:"body"`
	Text            string       `json:"text"`
	TemplateKey     string       `json:"templateKey"`
	TemplateVersion int          `json:"templateVersion"`
	Segments        int          `json:"segments"`
	Encoding        string       `json:"encoding"`
	ReplayOf        string       `json:"replayOf"`    // the message that the idempotency key stands for already
	Suppression     *Suppression `json:"suppression"` // nil: the recipient is not on the opt-out list
	Chain           PreviewChain `json:"chain"`
	Warnings        []Warning    `json:"warnings"`
}

// PreviewChain is who would be asked to send, in order, and who would not.
type PreviewChain struct {
	Level      string        `json:"level"` // APP, SERVER, or "" when no configuration applies
	Sandbox    bool          `json:"sandbox"`
	NoProvider bool          `json:"noProvider"`
	Why        string        `json:"why"`
	WaitingFor string        `json:"waitingFor"`
	Tried      []PreviewLink `json:"tried"`
	LeftOut    []PreviewLink `json:"leftOut"`
}

// PreviewLink is a provider configuration in its place; of the server's own there is the type only.
type PreviewLink struct {
	Place        int    `json:"place"`
	ID           string `json:"id"`
	Name         string `json:"name"`
	ProviderType string `json:"providerType"`
	From         string `json:"from"`
	Why          string `json:"why"`
}

// Preview asks what Send would make of a message. It stores, counts and sends nothing.
func (c *Client) Preview(ctx context.Context, m Message) (*Preview, error) {
	out := &Preview{}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/api/v1/messages/preview", body: m, safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}
