package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/app"
)

func TestFirstWords(t *testing.T) {
	t.Parallel()
	const base = "http://localhost:3008"
	for _, c := range []struct {
		name      string
		first     app.First
		has, lack []string
	}{
		{"SQLite", app.First{BaseURL: base, AppID: "demo", APIKey: "cs_test_x", AdminKey: "adm", AdminKeyFile: "data/admin-key"},
			[]string{base + "/api/v1/messages", `"X-App-ID: demo"`, "cs_test_x", "data/admin-key", "adm\n", base + "/docs\n"}, []string{"provision"}},
		{"SQLite with an admin key of its own", app.First{BaseURL: base, AppID: "demo", APIKey: "cs_test_x"}, []string{"cs_test_x"}, []string{"admin key"}},
		{"PostgreSQL", app.First{BaseURL: base, Provisioning: true}, []string{"no app yet", base + "/console\n", "COMMS_ADMIN_KEY", "COMMS_URL=" + base + " commserver app create", base + "/api/provision/apps", "$COMMS_PROVISIONING_KEY"},
			[]string{"X-App-ID", "restart"}},
		{"PostgreSQL without a provisioning key", app.First{BaseURL: base}, []string{"no app yet", base + "/console\n", "COMMS_ADMIN_KEY", "COMMS_URL=" + base + " commserver app create", "Set COMMS_PROVISIONING_KEY"},
			[]string{"X-App-ID", "/api/provision/apps"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b strings.Builder
			printFirst(&b, c.first)
			for _, want := range c.has {
				if !strings.Contains(b.String(), want) {
					t.Errorf("does not say %q:\n%s", want, b.String())
				}
			}
			if at := strings.Index(b.String(), "PROVISIONING"); at >= 0 && at < strings.Index(b.String(), "app create") {
				t.Errorf("what takes a restart comes before what works at once:\n%s", b.String())
			}
			for _, not := range c.lack {
				if strings.Contains(b.String(), not) {
					t.Errorf("says %q:\n%s", not, b.String())
				}
			}
		})
	}
}

// trigger keeps what is written, and does something once a text is in it.
type trigger struct {
	mu   sync.Mutex
	text string
	do   func()
	kept bytes.Buffer
}

func (w *trigger) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.kept.Write(b)
	if strings.Contains(w.kept.String(), w.text) {
		w.do()
	}
	return n, err
}

// TestAServerIsStoppedWhileItWaitsForItsDatabase: whoever stops it then wanted just that. It is no failure, and one line says so.
func TestAServerIsStoppedWhileItWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log := &trigger{text: "PostgreSQL takes no connections yet", do: stop}
	var out bytes.Buffer
	code := Run(ctx, []string{"serve"}, Streams{In: strings.NewReader(""), Out: &out, Err: log, Env: []string{"COMMS_DATABASE_URL=postgres://comms@" + nobody + "/comms?sslmode=disable",
		"COMMS_ADMIN_KEY=" + strings.Repeat("a", 32), "COMMS_ENCRYPTION_KEYS=k1:" + base64.StdEncoding.EncodeToString(key), "COMMS_LOG_FORMAT=text"}})
	log.mu.Lock()
	defer log.mu.Unlock()
	_, after, waited := strings.Cut(log.kept.String(), log.text)
	_, after, _ = strings.Cut(after, "\n")
	if code != exitOK || !waited || strings.Count(after, "\n") != 1 || !strings.Contains(after, `level=INFO msg="stopped before it was ready"`) || out.Len() > 0 {
		t.Errorf("exit code %d, %s%s", code, &out, &log.kept)
	}
}
