package simulate

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// deliver posts a webhook as CommServer signs it.
func deliver(t *testing.T, s *Server, name, id, body string, at time.Time, change ...func(http.Header)) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/hooks/"+name, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	h, stamp := req.Header, unix(at)
	h.Set("Content-Type", "application/json")
	h.Set("Authorization", "Bearer hidden")
	h.Set("X-Comms-Event-Id", id)
	h.Set("X-Comms-Timestamp", stamp)
	h.Set("X-Comms-Signature", signComms(hookSecret, stamp, []byte(body)))
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", stamp)
	h.Set("Webhook-Signature", "v1,AAAA v1,"+signStandard(secretBytes(hookSecret), id, stamp, []byte(body)))
	for _, c := range change {
		c(h)
	}
	return req
}

// received reads a receiver's list.
func received(t *testing.T, s *Server, name string) hookView {
	t.Helper()
	status, text := orderOf(t, s, "GET", "/_simulate/hooks/"+name, "")
	var v hookView
	if err := json.Unmarshal([]byte(text), &v); err != nil || status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	return v
}

func TestReceiversVerify(t *testing.T) {
	t.Parallel()
	s, c := begin(t, Config{}), caller(t)
	now := time.Now()
	answered(t, c, deliver(t, s, "mine", "evt_0", `{"a":1}`, now)) // no secret is known yet
	orderOf(t, s, "PUT", "/_simulate/hooks/mine", `{"secret":"`+hookSecret+`"}`)
	answered(t, c, deliver(t, s, "mine", "evt_1", `{"a":1}`, now))
	answered(t, c, deliver(t, s, "mine", "evt_1", `{"a":1}`, now))
	answered(t, c, deliver(t, s, "mine", "evt_2", `{"a":1}`, now.Add(-time.Hour)))
	answered(t, c, deliver(t, s, "mine", "evt_3", `{"a":1}`, now, func(h http.Header) {
		h.Set("X-Comms-Signature", strings.Repeat("0", 64))
		h.Del("Webhook-Signature")
	}))
	want := []string{"evt_0  ", "evt_1 valid valid", "evt_1 valid valid", "evt_2 stale stale", "evt_3 invalid absent"}
	v := received(t, s, "mine")
	if v.Received != 5 || len(v.Deliveries) != 5 {
		t.Fatalf("%+v", v)
	}
	for i, d := range v.Deliveries {
		if got := d.EventID + " " + d.CommsSignature + " " + d.StandardSignature; got != want[i] {
			t.Errorf("delivery %d: %s, want %s", i+1, got, want[i])
		}
		if d.Body != `{"a":1}` || d.Headers["Authorization"][0] != "***" || d.Headers["Content-Type"][0] != "application/json" || d.Sequence != int64(i+1) {
			t.Errorf("%+v", d)
		}
	}
	if v.Deliveries[1].Copy != 1 || v.Deliveries[2].Copy != 2 {
		t.Errorf("copies %d and %d", v.Deliveries[1].Copy, v.Deliveries[2].Copy)
	}
	if all := s.Entries(Filter{Kind: KindHook}); len(all) != 5 || all[4].Token != "evt_3" {
		t.Errorf("the ledger says %+v", all)
	}
}

// TestAnswersOfReceivers goes through every answer that can be ordered, in turn.
func TestAnswersOfReceivers(t *testing.T) {
	t.Parallel()
	s, c := begin(t, Config{}), caller(t)
	orderOf(t, s, "PUT", "/_simulate/hooks/mine", `{"answers":["500","410","429","redirect","reset","slow","ok"],"delay":"100ms","location":"http://127.0.0.1:1/"}`)
	want := []int{500, 410, 429, 302, 0, 200, 200, 200}
	for i, status := range want {
		began := time.Now()
		got, header, _, err := do(c, deliver(t, s, "mine", "e"+itoa(i), "{}", time.Now()))
		switch {
		case status == 0 && !wasReset(err), status != 0 && (err != nil || got != status):
			t.Errorf("answer %d: %d %v, want %d", i+1, got, err, status)
		case status == 302 && header.Get("Location") != "http://127.0.0.1:1/", status == 429 && header.Get("Retry-After") != "1":
			t.Errorf("%v", header)
		case i == 5 && time.Since(began) < 100*time.Millisecond:
			t.Errorf("slow took %v", time.Since(began))
		}
	}
	orderOf(t, s, "PUT", "/_simulate/hooks/endless", `{"answers":["endless"]}`)
	res, err := c.Do(deliver(t, s, "endless", "e", "{}", time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.CopyN(io.Discard, res.Body, 8<<20); err != nil {
		t.Errorf("after %d octets: %v", n, err)
	}
	_ = res.Body.Close()
	orderOf(t, s, "PUT", "/_simulate/hooks/hang", `{"answers":["hang"]}`)
	ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer leave()
	if _, _, _, err := do(c, deliver(t, s, "hang", "e", "{}", time.Now()).WithContext(ctx)); err == nil {
		t.Error("hang was answered")
	}
	if n := received(t, s, "hang").Received; n != 1 {
		t.Errorf("%d received", n)
	}
	if status, body := answered(t, c, deliver(t, s, "large", "e", strings.Repeat("x", maxDelivery+1), time.Now())); status != 413 {
		t.Errorf("too large: %d %s", status, body)
	}
	if status, _ := orderOf(t, s, "DELETE", "/_simulate/hooks/hang", ""); status != 204 {
		t.Errorf("remove: %d", status)
	}
}
