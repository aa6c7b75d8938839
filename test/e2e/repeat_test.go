package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/simulate"
)

// TestALostAnswerOfResendIsOneMail: Resend takes a mail and its answer is lost; then Resend refuses the account for a while, and a relay
// could carry the mail. It waits, goes to Resend again under its key, and is one mail (promise 6).
func TestALostAnswerOfResendIsOneMail(t *testing.T) {
	t.Parallel()
	sim, err := simulate.Start(t.Context(), simulate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	config := configsFor(t, sim)
	p := serveMail(t, t.TempDir())
	a, _, _ := p.through("keyed", "RESEND", config["RESEND"])
	p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "priority": 200, "config": config["SMTP"]})
	p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	for _, r := range []simulate.Rule{
		{Type: "RESEND", Recipient: "lost@example.com", Fault: simulate.Lose, Times: 1},
		{Type: "RESEND", Recipient: "other@example.com", Fault: simulate.Refuse, Error: "invalid_api_key"},
	} {
		if _, err := sim.Add(r); err != nil {
			t.Fatal(simulate.Explain(err))
		}
	}
	message := func(id string) map[string]any { return p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil) }
	lost := p.mail(a, "lost@example.com")
	for end := time.Now().Add(time.Minute); message(lost)["possibleDuplicate"] != true; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("its answer is not lost: %v", message(lost))
		}
	}
	began := time.Now()
	if m := p.ended(a, p.mail(a, "other@example.com")); m["status"] != "SENT" || m["providerName"] != "smtp" {
		t.Fatalf("the relay does not carry what Resend refuses: %v", m)
	}
	m, took, waited := message(lost), time.Since(began), false
	// Resend is left alone for 10 s by then, and the retry is still ahead, unless the machine is very slow.
	waits := m["waitingFor"] == "retry" && took < 4*time.Second
	for end := time.Now().Add(2 * time.Minute); m["status"] != "SENT" && time.Now().Before(end); m = message(lost) {
		waited = waited || m["waitingFor"] == "repeat"
		time.Sleep(10 * time.Millisecond)
	}
	copies := func(kind string) (n int) {
		for _, c := range sim.Copies(simulate.Filter{Type: kind, Recipient: "lost@example.com"}) {
			n += c.Copies
		}
		return n
	}
	if m["status"] != "SENT" || m["providerName"] != "resend" || m["attempts"] != 2.0 || copies("RESEND") != 1 || copies("SMTP") != 0 {
		t.Errorf("%d copies through Resend and %d through the relay: %v", copies("RESEND"), copies("SMTP"), m)
	}
	if waits && !waited {
		t.Error("it did not say that it waits for Resend")
	}
}
