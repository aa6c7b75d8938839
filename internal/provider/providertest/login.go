package providertest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
)

// login checks that of the Authorization header, which a provider may repeat, nothing is shown: no four characters
// of it, whatever the secret's place and length in it and in whichever alphabet of base64 it comes back.
func (h *HTTP) login(t *testing.T) {
	const mark = "S3CRET~?>MARK~?>4711" // has + and / in base64
	for size := len(mark) - 2; size <= len(mark); size++ {
		for name, write := range map[string]func(string) string{
			"as it was sent":                        func(s string) string { return s },
			"without its padding":                   func(s string) string { return strings.TrimRight(s, "=") },
			"as base64 of URLs":                     strings.NewReplacer("+", "-", "/", "_").Replace,
			"as base64 of URLs without its padding": strings.NewReplacer("+", "-", "/", "_", "=", "").Replace,
		} {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				t.Parallel()
				h.repeatsLogin(t, mark[:size], write)
			})
		}
	}
}

// repeatsLogin sends to a provider that refuses and writes the login down so.
func (h *HTTP) repeatsLogin(t *testing.T, secret string, write func(string) string) {
	v := h.base(t)
	settings := provider.Settings{}
	v.decode(t, "settings", &settings)
	for _, f := range h.Adapter.Fields {
		own := settings[f.Name]
		if !f.Secret || own == "" {
			continue
		}
		if settings[f.Name] = secret; h.Adapter.Check != nil && len(h.Adapter.Check(settings)) > 0 {
			settings[f.Name] = own // one of a certain form
		}
	}
	changed, _ := json.Marshal(settings) // texts alone
	v.sections["settings"] = string(changed)
	repeated := make(chan string, 1)
	var log Log
	sender, _ := h.open(t, v, provider.Env{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), DialHTTP: Peer(t, func(c net.Conn) {
		defer c.Close()
		request, err := readRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, header, _ := strings.Cut(request, "\nAuthorization: ")
		header, _, _ = strings.Cut(header, "\n")
		_, credentials, _ := strings.Cut(header, " ")
		credentials = write(credentials)
		repeated <- credentials
		quoted, _ := json.Marshal("the login " + credentials + " is wrong")
		_, _ = io.WriteString(c, wireAnswer(strings.ReplaceAll(v.Section("echo"), "{echo}", string(quoted[1:len(quoted)-1]))))
	})})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	receipt, err := sender.Send(ctx, h.message(t, v))
	shown := fmt.Sprintf("%+v | %v | %s", receipt, err, log.String())
	if e, ok := errors.AsType[*provider.Error](err); ok {
		shown += fmt.Sprintf(" | %s | %v", e.Text, e.Cause)
	}
	credentials := <-repeated
	for i := 0; i+4 <= len(credentials); i++ {
		if strings.Contains(shown, credentials[i:i+4]) {
			t.Fatalf("%q of %q comes out in %s", credentials[i:i+4], credentials, shown)
		}
	}
}
