package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// post sends the entry's request once; true when the answer settles it.
func (r *run) post(ctx context.Context, web *http.Client, node int, e *Entry) bool {
	message := map[string]any{"channel": "EMAIL", "to": e.address(), "subject": "Proof " + e.Name, "body": "<p>" + e.Name + "</p>",
		"from": "Prove <prove@example.com>", "idempotencyKey": e.Key}
	if !e.At.IsZero() {
		message["scheduledAt"] = e.At.UTC().Format(time.RFC3339Nano)
	}
	status, body, err := r.call(ctx, web, node, r.apps[e.App], http.MethodPost, "/api/v1/messages", message)
	if err != nil {
		r.history.silent(e)
		return false
	}
	switch status {
	case http.StatusAccepted, http.StatusOK:
		var answer struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.ID == "" || answer.Status == "" {
			r.history.bad(e, "answer %d without id or status: %.200s", status, body)
		}
		r.history.answered(e, answer.ID, status == http.StatusAccepted)
		return true
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		r.history.refuse(status)
		return false
	}
	r.history.refuse(status)
	r.history.bad(e, "answer %d: %.200s", status, bytes.TrimSpace(body))
	return true
}

// misuse repeats a key with another request: it must never be taken.
func (r *run) misuse(ctx context.Context, web *http.Client, rnd *rand.Rand, e *Entry) {
	if !r.history.stored(e) {
		return // the key is not known to be stored: the other request might rightly be the first
	}
	status, body, err := r.call(ctx, web, rnd.IntN(len(r.nodes)), r.apps[e.App], http.MethodPost, "/api/v1/messages", map[string]any{
		"channel": "EMAIL", "to": "other@prove.example.com", "subject": "Another request", "body": "x", "from": "Prove <prove@example.com>", "idempotencyKey": e.Key})
	if err == nil && status < 300 {
		r.history.bad(e, "the same key with another request was answered %d: %.200s", status, body)
	}
}

// cancel asks once for the message to be cancelled. Only an answer of 200 promises anything.
func (r *run) cancel(ctx context.Context, web *http.Client, rnd *rand.Rand, e *Entry) {
	id := r.history.wishes(e)
	if id == "" {
		return
	}
	status, body, err := r.call(ctx, web, rnd.IntN(len(r.nodes)), r.apps[e.App], http.MethodPatch, "/api/v1/messages/"+id, map[string]any{"action": "CANCEL"})
	switch {
	case err != nil, status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
	case status == http.StatusOK:
		r.history.cancelled(e)
	case status == http.StatusNotFound:
		r.history.bad(e, "%s was accepted, CANCEL is answered 404", id)
	case status != http.StatusConflict:
		r.history.bad(e, "CANCEL is answered %d: %.200s", status, bytes.TrimSpace(body))
	}
}

// call makes one request and reads the whole answer.
func (r *run) call(ctx context.Context, web *http.Client, node int, a app, method, path string, body any) (int, []byte, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.nodes[node].addr+path, payload)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.key != "" {
		req.Header.Set("X-App-ID", a.slug)
		req.Header.Set("X-API-Key", a.key)
	} else {
		req.Header.Set("X-Provisioning-Key", provisioningKey)
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp.StatusCode, out, err
}
