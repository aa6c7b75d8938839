package e2e

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// A process is killed that has stored reports and has not applied them, while it waits for the answers of the providers. The next
// one applies them before it repeats what nobody has answered: each provider is called once in all, also where the first pause before
// a retry is next to nothing.
func TestStoredReportsSettleWhatAKillLeft(t *testing.T) {
	t.Parallel()
	for name, schedule := range map[string]string{"usual": "5s,30s", "at once": "1ms,30s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settleWhatAKillLeft(t, "COMMS_RETRY_SCHEDULE="+schedule)
		})
	}
}

func settleWhatAKillLeft(t *testing.T, schedule string) {
	var calls [2]atomic.Int64
	hang := make(chan struct{})
	provider := func(i int, answer string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if calls[i].Add(1) == 1 {
				<-hang
				return
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, answer)
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(s.Close)
		return s.URL
	}
	sid := "SM" + strings.Repeat("2c", 16)
	resend, twilio := provider(0, `{"id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}`), provider(1, `{"sid":"`+sid+`","status":"queued"}`)
	t.Cleanup(func() { close(hang) }) // before the servers, which wait for it

	dir := t.TempDir()
	p := serveMail(t, dir, schedule)
	a := p.live("killed", newMailServer(t, nil), map[string]any{"isActive": false})
	add := func(kind string, config map[string]any) comm.ID {
		id, err := comm.ParseID(fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": kind, "config": config})["id"]))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	configs := []comm.ID{add("RESEND", map[string]any{"apiKey": "re_hidden", "from": "shop@example.com", "baseUrl": resend}),
		add("TWILIO", map[string]any{"accountSid": "AC" + strings.Repeat("0a", 16), "authToken": "hidden-token", "senderId": "SHOP", "baseUrl": twilio})}
	mail := p.mail(a, "ama@example.org")
	text := fmt.Sprint(p.call(a, nil, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "SMS", "to": "233244000000", "body": "Your code is 4711"})["id"])
	for end := time.Now().Add(time.Minute); calls[0].Load() != 1 || calls[1].Load() != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d and %d calls", calls[0].Load(), calls[1].Load())
		}
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	between(t, dir, func(_ *registry.Service, s *sqlite.Store) {
		now := comm.At(time.Now())
		var all []store.Receipt
		for i, kind := range []string{"RESEND", "TWILIO"} {
			c, err := s.AnyProviderConfig(t.Context(), configs[i])
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, store.Receipt{ID: comm.NewID(now), Owner: c.App, Provider: c.ID, Type: kind, At: now, Method: http.MethodPost})
		}
		all[0].Body = fmt.Appendf(nil, `{"type":"email.delivered","data":{"email_id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794","to":["ama@example.org"],"tags":{"cs_message":%q}}}`, mail)
		all[1].Query = []byte(url.Values{"cs_m": {text}, "cs_a": {"1"}}.Encode())
		all[1].Header = []byte("Content-Type: application/x-www-form-urlencoded\r\n")
		all[1].Body = []byte(url.Values{"MessageSid": {sid}, "MessageStatus": {"delivered"}}.Encode())
		if err := s.Receive(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	})

	p = serveMail(t, dir, schedule)
	for _, id := range []string{mail, text} {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
			if m["status"] == "DELIVERED" && m["attempts"] == 1.0 {
				break
			}
			if m["attempts"] != 1.0 || time.Now().After(end) {
				t.Fatalf("%v", m)
			}
		}
	}
	time.Sleep(500 * time.Millisecond)
	if n, m := calls[0].Load(), calls[1].Load(); n != 1 || m != 1 {
		t.Errorf("%d and %d calls", n, m)
	}
}
