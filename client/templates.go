package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Template is content with placeholders, as its newest version has it.
type Template struct {
	ID        string    `json:"id"`
	Key       string    `json:"key"`
	Channel   string    `json:"channel"`
	Name      string    `json:"name"`
	Subject   string    `json:"subject"` // EMAIL
	Body      string    `json:"body"`
	Text      string    `json:"text"` // EMAIL: the plain text beside the HTML
	Version   int       `json:"version"`
	Variables []string  `json:"variables"` // the names of the placeholders, sorted
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// NewTemplate is what CreateTemplate takes. Empty members are not sent.
type NewTemplate struct {
	Key     string `json:"key"`
	Channel string `json:"channel"`
	Name    string `json:"name,omitempty"`
	Subject string `json:"subject,omitempty"`
	Body    string `json:"body"`
	Text    string `json:"text,omitempty"`
}

// TemplateChange changes what is not nil; an empty Text takes the text part away.
type TemplateChange struct {
	Name    *string `json:"name,omitempty"`
	Subject *string `json:"subject,omitempty"`
	Body    *string `json:"body,omitempty"`
	Text    *string `json:"text,omitempty"`
}

// TemplateVersion is the content of a template at one time. In lists Body, Text and Variables are empty.
type TemplateVersion struct {
	Version   int       `json:"version"`
	Subject   string    `json:"subject"`
	Body      string    `json:"body"`
	Text      string    `json:"text"`
	Variables []string  `json:"variables"`
	CreatedAt time.Time `json:"createdAt"`
}

// TemplatePreview is what values make of a template.
type TemplatePreview struct {
	Version  int       `json:"version"`
	Subject  string    `json:"subject"`
	Body     string    `json:"body"`
	Text     string    `json:"text"`
	Segments int       `json:"segments"` // SMS
	Encoding string    `json:"encoding"` // SMS
	Warnings []Warning `json:"warnings"`
}

// TemplateListOptions narrow Templates; empty members do not.
type TemplateListOptions struct {
	Channel, Key string
	PageSize     int // 0: the server's default of 20; at most 100
}

const templates = "/api/v1/templates"

// Templates walks through the app's templates, newest first. It stops at the first
// error, which comes with a zero template.
func (c *Client) Templates(ctx context.Context, o TemplateListOptions) iter.Seq2[Template, error] {
	q := url.Values{}
	if o.Channel != "" {
		q.Set("channel", o.Channel)
	}
	if o.Key != "" {
		q.Set("key", o.Key)
	}
	if o.PageSize > 0 {
		q.Set("limit", strconv.Itoa(o.PageSize))
	}
	return walkFrom[Template](ctx, c, call{method: http.MethodGet, path: templates, query: q, safe: true})
}

// Template reads one template.
func (c *Client) Template(ctx context.Context, id string) (*Template, error) {
	return template[Template](ctx, c, call{method: http.MethodGet, path: templates + "/" + escape(id), safe: true})
}

// CreateTemplate registers a template. It is not repeated by itself: a lost answer
// may stand for one that was made, and the repeat would say that its key is taken.
func (c *Client) CreateTemplate(ctx context.Context, t NewTemplate) (*Template, error) {
	return template[Template](ctx, c, call{method: http.MethodPost, path: templates, body: t})
}

// UpdateTemplate changes a template. Content that differs becomes the next version.
func (c *Client) UpdateTemplate(ctx context.Context, id string, change TemplateChange) (*Template, error) {
	return template[Template](ctx, c, call{method: http.MethodPatch, path: templates + "/" + escape(id), body: change, safe: true})
}

// DeleteTemplate removes a template with its versions.
func (c *Client) DeleteTemplate(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: templates + "/" + escape(id)}, nil)
	return err
}

// TemplateVersions lists the versions that are kept, newest first.
func (c *Client) TemplateVersions(ctx context.Context, id string) ([]TemplateVersion, error) {
	out, err := template[page[TemplateVersion]](ctx, c, call{method: http.MethodGet, path: templates + "/" + escape(id) + "/versions", safe: true})
	if err != nil {
		return nil, err
	}
	return out.Data, nil
}

// TemplateVersion reads one version of a template.
func (c *Client) TemplateVersion(ctx context.Context, id string, version int) (*TemplateVersion, error) {
	return template[TemplateVersion](ctx, c, call{method: http.MethodGet, path: templates + "/" + escape(id) + "/versions/" + strconv.Itoa(version), safe: true})
}

// RollbackTemplate makes a new version with the content of an earlier one. It is not
// repeated by itself: each call makes a version.
func (c *Client) RollbackTemplate(ctx context.Context, id string, version int) (*Template, error) {
	body := map[string]int{"version": version}
	return template[Template](ctx, c, call{method: http.MethodPost, path: templates + "/" + escape(id) + "/rollback", body: body})
}

// PreviewTemplate renders a template; it stores and sends nothing.
func (c *Client) PreviewTemplate(ctx context.Context, id string, variables map[string]any) (*TemplatePreview, error) {
	if variables == nil {
		variables = map[string]any{}
	}
	body := map[string]any{"variables": variables}
	return template[TemplatePreview](ctx, c, call{method: http.MethodPost, path: templates + "/" + escape(id) + "/preview", body: body, safe: true})
}

func template[T any](ctx context.Context, c *Client, call call) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, call, out); err != nil {
		return nil, err
	}
	return out, nil
}
