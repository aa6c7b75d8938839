package loose

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/web"
)

// TestAskWithoutAnswer: a question sends nothing, so that whatever happens to it nothing is in doubt.
func TestAskWithoutAnswer(t *testing.T) {
	t.Parallel()
	hangsUp := providertest.Peer(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_ = c.Close()
	})
	refuses := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}
	}
	for _, tt := range []struct {
		name, code string
		dial       providertest.Dialer
	}{{"hangs up", "no_answer", hangsUp}, {"refuses", "connect_failed", refuses}} {
		client, err := web.Open([]provider.Field{provider.BaseURLField("http://api.test")}, nil, provider.Env{DialHTTP: tt.dial})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = Ask(ctx, client, web.Call{Method: http.MethodGet, Path: "/x", Header: Wants()}, nil, func(*web.Answer, Value) (provider.Report, string) {
			t.Error("read without an answer")
			return provider.Report{}, ""
		})
		if e := provider.Classify(err); e.Class != provider.Transient || e.Code != tt.code {
			t.Errorf("%s: %v", tt.name, err)
		}
		_ = client.Close()
	}
}

// TestAskWithAnOddAnswer: a provider that answers works, whatever its answer says.
func TestAskWithAnOddAnswer(t *testing.T) {
	t.Parallel()
	for answer, healthy := range map[string]bool{
		"200 OK\r\nContent-Length: 2\r\n\r\n{}": true, "422 Odd\r\nContent-Length: 2\r\n\r\n{}": true, "500 Ill\r\nContent-Length: 2\r\n\r\n{}": false,
		"408 Late\r\nContent-Length: 2\r\n\r\n{}": false, "503 Away\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}": false,
	} {
		dial := providertest.Peer(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = c.Write([]byte("HTTP/1.1 " + answer))
		})
		client, err := web.Open([]provider.Field{provider.BaseURLField("http://api.test")}, nil, provider.Env{DialHTTP: dial})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Ask(t.Context(), client, web.Call{Method: http.MethodGet, Path: "/x", Header: Wants()}, nil, func(*web.Answer, Value) (provider.Report, string) {
			return provider.Report{}, ""
		})
		if e := provider.Classify(err); e.Class != provider.Transient || e.Healthy != healthy {
			t.Errorf("%q: %v, healthy %v", answer[:3], err, e.Healthy)
		}
		_ = client.Close()
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	const given = `{"b":[true,false,null,{"z":1.50,"a":"/"}],"a":{"d":"\u0254\n\"\\","c":[]},"é":"😀"}`
	const want = `{"a":{"c":[],"d":"\u0254\n\"\\"},"b":[true,false,null,{"a":"/","z":1.50}],"\u00e9":"\ud83d\ude00"}`
	if got := Parse([]byte(given)).Canonical(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
