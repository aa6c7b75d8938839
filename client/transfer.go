package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// The formats of imports and exports.
const (
	CSV       = "csv"
	JSONLines = "jsonl"
)

// Imported is what became of an import.
type Imported struct {
	Added         int         `json:"added"`
	Present       int         `json:"present"`
	Refused       int         `json:"refused"`
	Errors        []LineError `json:"errors"` // the first of the refused lines
	ErrorsOmitted int         `json:"errorsOmitted"`
}

// LineError is a refused line, counted from 1.
type LineError struct {
	Line    int            `json:"line"`
	Message string         `json:"error"`
	Details map[string]any `json:"details"`
}

// ImportSuppressions streams a list of at most 64 MiB. It is not repeated; repeating it
// is safe. Bound its time by ctx.
func (c *Client) ImportSuppressions(ctx context.Context, format string, from io.Reader) (*Imported, error) {
	res, err := c.stream(ctx, http.MethodPost, suppressionsPath+"/import", "", format, from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Close() }() // everything needed was read by then
	out := &Imported{}
	if err := json.NewDecoder(res).Decode(out); err != nil {
		return nil, fmt.Errorf("decode the answer of the import: %w", err)
	}
	return out, nil
}

// ExportSuppressions streams the whole list; the caller closes it. An error in
// the middle is one of reading.
func (c *Client) ExportSuppressions(ctx context.Context, format string) (io.ReadCloser, error) {
	return c.stream(ctx, http.MethodGet, suppressionsPath+"/export", "format="+format, "", nil)
}

// stream makes one request without a time limit of its own and answers the body.
func (c *Client) stream(ctx context.Context, method, path, query, format string, body io.Reader) (io.ReadCloser, error) {
	if !whole(path) {
		return nil, ErrNoID
	}
	target := c.base.JoinPath(path)
	target.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	switch format {
	case CSV:
		req.Header.Set("Content-Type", "text/csv")
	case JSONLines:
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	c.sign(req.Header, call{admin: c.o.App == ""})
	res, err := c.o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", method, path, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer func() { _ = res.Body.Close() }() // what is needed of it was read by then
		data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		if err != nil {
			return nil, fmt.Errorf("read the answer of %s %s: %w", method, path, err)
		}
		return nil, refusal(res, data)
	}
	return res.Body, nil
}
