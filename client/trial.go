package client

import (
	"context"
	"net/http"
	"time"
)

// trialTime is longer than the server takes to try a configuration.
const trialTime = 45 * time.Second

// Verification is what checking a provider configuration found.
type Verification struct {
	OK     bool    `json:"ok"` // every check passed
	Checks []Check `json:"checks"`
	TookMs int     `json:"tookMs"`
}

// Check is one step of a verification; the first one that fails is the last.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// VerifyProvider checks settings and credentials of a provider configuration without sending anything.
func (c *Client) VerifyProvider(ctx context.Context, id string) (*Verification, error) {
	out := &Verification{}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: providers + "/" + escape(id) + "/verify", timeout: trialTime}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// TestResult is what the provider made of a test message.
type TestResult struct {
	OK    bool   `json:"ok"`    // the provider took it
	Class string `json:"class"` // "accepted", or why not
	Code  string `json:"code"`  // the provider's own
	Text  string `json:"text"`
	// Reference is the provider's id of the message.
	Reference string `json:"reference"`
	// MayHaveBeenSent says that nobody can tell whether it was.
	MayHaveBeenSent bool `json:"mayHaveBeenSent"`
	TookMs          int  `json:"tookMs"`
}

// TestProvider sends one real test message through a provider configuration. It is
// not repeated by itself.
func (c *Client) TestProvider(ctx context.Context, id, to string) (*TestResult, error) {
	out := &TestResult{}
	body := struct {
		To string `json:"to"`
	}{to}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: providers + "/" + escape(id) + "/test", body: body, timeout: trialTime}, out); err != nil {
		return nil, err
	}
	return out, nil
}
