package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/signature"
)

// Hook posts notes to a URL.
type Hook struct {
	URL    string
	Secret string // signs as webhooks are; "" = unsigned
	// Dial connects; for plain http where that is what the URL says.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Version string
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 4 << 10

// Post is a Teller: one request, and no redirect is followed. An error says nothing of the URL, which may hold a secret.
func (h *Hook) Post(ctx context.Context, n *Note) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return errors.New("COMMS_ALERT_WEBHOOK_URL is no URL")
	}
	req.ContentLength = int64(len(body)) // and no GetBody: what was sent is not sent again
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "CommServer/"+h.Version)
	req.Header.Set("X-Comms-Event-Id", n.ID)
	req.Header.Set("X-Comms-Timestamp", timestamp)
	req.Header.Set("Webhook-Id", n.ID)
	req.Header.Set("Webhook-Timestamp", timestamp)
	if h.Secret != "" {
		req.Header.Set("X-Comms-Signature", signature.Guide(h.Secret, timestamp, body))
		req.Header.Set("Webhook-Signature", signature.Standard(n.ID, timestamp, body, h.Secret))
	}
	// Alerts are rare: a connection for each.
	transport := &http.Transport{DialContext: h.Dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return fault(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the receiver answered %d", res.StatusCode)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)); err != nil {
		return fault(ctx, err)
	}
	return nil
}

// fault names an error without the URL.
func fault(ctx context.Context, err error) error {
	if blocked, ok := errors.AsType[*guard.Blocked](err); ok {
		return blocked
	}
	if ctx.Err() != nil {
		return errors.New("the receiver does not answer in time")
	}
	return errors.New("the receiver cannot be reached")
}
