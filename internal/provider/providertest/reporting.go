package providertest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Reporter is a provider that reports in a form of its own, for tests of what becomes of reports. Its requests are lines
// of form values, one line for each report (GET: the query is the only one): ref, fate, code, text, suppress, correctable,
// address, tag (our id of the message).
type Reporter struct {
	// SignedBy is the field whose value signs requests; "" = they are not signed.
	SignedBy string
	// Send and Ask are the sender; nil: it takes everything under the message's id, and knows nothing when it is asked.
	Send func(ctx context.Context, m *provider.Message) (provider.Receipt, error)
	Ask  func(ctx context.Context, ref string) (provider.Report, error)
	Asks []time.Duration
	Ack  provider.Ack
	Home string // provider.Adapter.Home
}

// SignatureHeader is where a Reporter signs its requests.
const SignatureHeader = "X-Test-Signature"

// Adapter gives another one's type and fields to the reporter.
func (p *Reporter) Adapter(base provider.Adapter) provider.Adapter {
	base.Home = p.Home
	base.Reporting = &provider.Reporting{Read: p.read, Ack: p.Ack, Asks: p.Asks}
	if p.SignedBy != "" {
		base.Reporting.Verify = p.verify
	}
	base.Open = func(provider.Settings, provider.Env) (provider.Sender, error) { return reporterSender{p}, nil }
	return base
}

// Sign is the signature of a request.
func Sign(key, address string, body []byte) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(address))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

func (p *Reporter) verify(s provider.Settings, c *provider.Callback) error {
	want := Sign(s[p.SignedBy], c.URL.String(), c.Body)
	if !hmac.Equal([]byte(want), []byte(c.Header.Get(SignatureHeader))) {
		return provider.ErrForged
	}
	return nil
}

// Line is a report as the reporter sends it.
func Line(ref string, fate comm.Fate, more ...string) string {
	v := url.Values{"ref": {ref}, "fate": {strconv.Itoa(int(fate))}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v.Encode()
}

var errNotOurs = errors.New("not a report of the test's")

func (p *Reporter) read(c *provider.Callback) (out []provider.Report, err error) {
	lines := bytes.Split(c.Body, []byte("\n"))
	if c.Method == http.MethodGet {
		lines = [][]byte{[]byte(c.URL.RawQuery)}
	}
	for _, line := range lines {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if bytes.HasPrefix(line, []byte("panic")) {
			panic(fmt.Sprintf("as it was told: %s", line))
		}
		v, err := url.ParseQuery(string(line))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotOurs, err)
		}
		fate, err := strconv.Atoi(v.Get("fate"))
		if err != nil {
			return nil, errNotOurs
		}
		r := provider.Report{Ref: v.Get("ref"), Fate: provider.Fate(fate), Code: v.Get("code"), Text: v.Get("text"), Suppress: v.Get("suppress"),
			Correctable: v.Get("correctable") != "", Address: v.Get("address")}
		if r.Message, r.Attempt = provider.NamedIn(c.URL); r.Attempt == 0 {
			r.Message, _ = comm.ParseID(v.Get("tag")) // zero: none
		}
		out = append(out, r)
	}
	return out, nil
}

type reporterSender struct{ p *Reporter }

// Send implements provider.Sender.
func (s reporterSender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	if s.p.Send != nil {
		return s.p.Send(ctx, m)
	}
	return provider.Receipt{Ref: m.ID.String()}, nil
}

// Ask implements provider.Asker.
func (s reporterSender) Ask(ctx context.Context, ref string) (provider.Report, error) {
	if s.p.Ask != nil {
		return s.p.Ask(ctx, ref)
	}
	return provider.Report{}, &provider.Error{Class: provider.PermanentHere, Code: "unknown"}
}

// Close implements provider.Sender.
func (reporterSender) Close() error { return nil }
