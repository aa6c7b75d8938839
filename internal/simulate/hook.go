package simulate

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Limits of webhook receivers.
const (
	maxHooks      = 200
	maxDeliveries = 1000 // remembered of each
	maxAllBodies  = 64 << 20
	maxDelivery   = 1 << 20 // read of a body
	maxKeptBody   = 64 << 10
	maxScript     = 100
	maxAge        = 5 * time.Minute // of a signature
)

// hookConfig is how a receiver behaves.
type hookConfig struct {
	Secret string `json:"secret"` // what deliveries are signed with; empty: nothing is verified
	// Answers are used in turn, the last one from then on.
	Answers  []string `json:"answers"`
	Delay    Span     `json:"delay"`    // of slow; 10 s when not given
	Location string   `json:"location"` // of redirect
}

// answersOf are the words of hookConfig.Answers besides statuses.
func answersOf() []string {
	return []string{"ok", "slow", "redirect", "endless", "hang", "reset"}
}

func (c *hookConfig) check() error {
	if len(c.Secret) > 512 {
		return invalid("secret", "is at most 512 characters long")
	}
	if len(c.Answers) > maxScript {
		return invalid("answers", "are at most %d", maxScript)
	}
	for i, a := range c.Answers {
		if n, err := strconv.Atoi(a); !slices.Contains(answersOf(), a) && (err != nil || n < 200 || n > 599) {
			return invalid("answers["+itoa(i)+"]", "is a status from 200 to 599, or one of %s", strings.Join(answersOf(), ", "))
		}
	}
	if len(c.Location) > 2048 || strings.ContainsAny(c.Location, "\r\n") {
		return invalid("location", "is no address")
	}
	return nil
}

// Delivery is one request that a receiver got.
type Delivery struct {
	Sequence   int64               `json:"sequence"`
	At         time.Time           `json:"at"`
	Method     string              `json:"method"`
	Headers    map[string][]string `json:"headers"`
	Body       string              `json:"body"` // its first 64 KiB
	BodySHA256 string              `json:"bodySha256"`
	Bytes      int64               `json:"bytes"`
	EventID    string              `json:"eventId"`
	Copy       int                 `json:"copy"` // of that event id, from 1
	// CommsSignature and StandardSignature are valid, invalid, stale or absent; empty
	// while the receiver knows no secret.
	CommsSignature    string `json:"commsSignature"`
	StandardSignature string `json:"standardSignature"`
	Answer            string `json:"answer"`
}

// hook is one receiver.
type hook struct {
	config     hookConfig
	used       int // answers
	received   int64
	deliveries []Delivery
	copies     *recent[string, int]
}

// hooks are the receivers by name.
type hooks struct {
	now func() time.Time

	mu    sync.Mutex
	all   map[string]*hook
	bytes int64 // of bodies held
}

func newHooks(now func() time.Time) *hooks { return &hooks{now: now, all: map[string]*hook{}} }

// forget empties the receivers; how they behave stays.
func (h *hooks) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, one := range h.all {
		h.all[name] = newHook(one.config)
	}
	h.bytes = 0
}

func newHook(c hookConfig) *hook { return &hook{config: c, copies: newRecent[string, int](maxTries)} }

// set says how a receiver behaves from now on.
func (h *hooks) set(name string, c hookConfig) error {
	if err := c.check(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	one, err := h.hook(name)
	if err != nil {
		return err
	}
	one.config, one.used = c, 0
	return nil
}

// hook finds or makes a receiver; h.mu is held.
func (h *hooks) hook(name string) (*hook, error) {
	if one, found := h.all[name]; found {
		return one, nil
	}
	if len(h.all) >= maxHooks {
		return nil, comm.E("too_many_items", "There are %d receivers already; remove one first.", maxHooks)
	}
	if name == "" || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return nil, comm.E("not_found", "A receiver's name is up to 64 letters, digits, dashes, dots and underscores.")
	}
	one := newHook(hookConfig{})
	h.all[name] = one
	return one, nil
}

func (h *hooks) remove(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, found := h.all[name]
	if found {
		for i := range one.deliveries {
			h.bytes -= int64(len(one.deliveries[i].Body))
		}
		delete(h.all, name)
	}
	return found
}

// names are the receivers, each with how many deliveries it got.
func (h *hooks) names() map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[string]int64{}
	for name, one := range h.all {
		out[name] = one.received
	}
	return out
}

// list answers what a receiver got after a sequence, oldest first.
func (h *hooks) list(name string, after int64, limit int) (out []Delivery, received int64, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, found := h.all[name]
	if !found {
		return nil, 0, false
	}
	for _, d := range one.deliveries {
		if d.Sequence > after && len(out) < limit {
			out = append(out, d)
		}
	}
	return out, one.received, true
}

// receive records a delivery and says how to answer it.
func (h *hooks) receive(name string, d *Delivery, r *http.Request, body []byte) (answer string, c hookConfig, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	one, err := h.hook(name)
	if err != nil {
		return "", hookConfig{}, err
	}
	c, answer = one.config, "ok"
	if n := len(c.Answers); n > 0 {
		answer = c.Answers[min(one.used, n-1)]
		one.used = min(one.used+1, n)
	}
	if c.Secret != "" {
		d.CommsSignature, d.StandardSignature = h.verify(c.Secret, r.Header, body)
	}
	if d.EventID != "" {
		n, _ := one.copies.get(d.EventID)
		d.Copy = n + 1
		one.copies.put(d.EventID, d.Copy)
	}
	one.received++
	d.Sequence, d.Answer = one.received, answer
	one.deliveries = append(one.deliveries, *d)
	h.bytes += int64(len(d.Body))
	for len(one.deliveries) > maxDeliveries || h.bytes > maxAllBodies && len(one.deliveries) > 1 {
		h.bytes -= int64(len(one.deliveries[0].Body))
		one.deliveries[0] = Delivery{}
		one.deliveries = one.deliveries[1:]
	}
	if h.bytes > maxAllBodies { // the others hold the rest
		for i := range one.deliveries {
			h.bytes -= int64(len(one.deliveries[i].Body))
			one.deliveries[i].Body = ""
		}
	}
	return answer, c, nil
}

// verify judges the two signatures that CommServer's webhooks have.
func (h *hooks) verify(secret string, header http.Header, body []byte) (comms, standard string) {
	judge := func(stamp, given string, right func() []string) string {
		if given == "" {
			return "absent"
		}
		at, err := strconv.ParseInt(stamp, 10, 64)
		want := right()
		ok := slices.ContainsFunc(strings.Fields(given), func(one string) bool {
			return slices.ContainsFunc(want, func(w string) bool { return hmac.Equal([]byte(one), []byte(w)) })
		})
		switch {
		case err != nil || !ok:
			return "invalid"
		case math.Abs(float64(h.now().Unix()-at)) > maxAge.Seconds():
			return "stale"
		}
		return "valid"
	}
	stamp := header.Get("X-Comms-Timestamp")
	comms = judge(stamp, header.Get("X-Comms-Signature"), func() []string { return []string{signComms(secret, stamp, body)} })
	id, when := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	standard = judge(when, header.Get("Webhook-Signature"), func() []string {
		return []string{"v1," + signStandard(secretBytes(secret), id, when, body)}
	})
	return comms, standard
}

// hidden are headers whose values are credentials.
func hidden(name string) bool {
	return slices.Contains([]string{"Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key"}, name)
}

// hookHandler is /hooks/{name}.
func (s *Server) hookHandler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if err != nil {
		if _, over := errors.AsType[*http.MaxBytesError](err); over {
			fail(w, comm.E("body_too_large"))
		}
		return
	}
	sum := sha256.Sum256(body)
	d := Delivery{At: s.cfg.Now(), Method: r.Method, Headers: map[string][]string{}, BodySHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(body)),
		Body: strings.ToValidUTF8(string(body[:min(len(body), maxKeptBody)]), "�"), EventID: r.Header.Get("X-Comms-Event-Id")}
	if d.EventID == "" {
		d.EventID = r.Header.Get("Webhook-Id")
	}
	for name, values := range r.Header {
		d.Headers[name] = values
		if hidden(name) {
			d.Headers[name] = []string{"***"}
		}
	}
	name := r.PathValue("name")
	answer, config, err := s.hooks.receive(name, &d, r, body)
	if err != nil {
		fail(w, err)
		return
	}
	status, numeric := strconv.Atoi(answer)
	if numeric != nil {
		status = map[string]int{"ok": http.StatusOK, "slow": http.StatusOK, "redirect": http.StatusFound, "endless": http.StatusOK}[answer]
	}
	port, _ := r.Context().Value(portKey{}).(int)
	s.ledger.enter(Entry{Request: s.store.request(), At: d.At, Kind: KindHook, Type: "HOOK", Port: port, Method: r.Method, Path: r.URL.Path, Token: d.EventID, Outcome: Answered,
		Status: status, AnswerLost: status == 0, BodySHA256: d.BodySHA256, Bytes: d.Bytes})
	s.answerHook(w, r, answer, status, config)
}

func (s *Server) answerHook(w http.ResponseWriter, r *http.Request, answer string, status int, c hookConfig) {
	x := &exchange{s: s, w: w, r: r}
	switch answer {
	case "hang":
		x.wait(0)
		x.cut()
		return
	case "reset":
		x.cut()
		return
	case "slow":
		if !sleep(r.Context(), orElse(c.Delay, slowTime)) {
			return
		}
	case "redirect":
		if c.Location == "" {
			c.Location = "/hooks/" + r.PathValue("name") + "-elsewhere"
		}
		w.Header().Set("Location", c.Location)
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	if answer == "endless" {
		piece := bytes.Repeat([]byte("and so on "), 1000)
		for r.Context().Err() == nil {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
}
