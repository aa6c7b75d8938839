package web

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

func TestCallback(t *testing.T) {
	t.Parallel()
	m := providertest.Email(t, comm.Content{})
	idle := func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("nothing is to be called")
	}
	for _, tt := range []struct {
		base, callback string
		given          bool
	}{
		{"https://api.test.example", "https://gw.example/api/callbacks/x/y/z", true},
		{"https://api.test.example", "https://203.0.113.7/api/callbacks/x/y/z", true},
		{"https://api.test.example", "", false},
		{"https://api.test.example", "http://localhost:3008/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://LOCALHOST./api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://gw.localhost/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://gateway:3008/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://127.0.0.1:3008/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://[::1]:3008/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://[::ffff:10.0.0.1]/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://192.168.1.4:3008/api/callbacks/x/y/z", false},
		{"https://api.test.example", "http://0.0.0.0:3008/api/callbacks/x/y/z", false},
		{"http://127.0.0.1:9000", "http://localhost:3008/api/callbacks/x/y/z", true}, // a stand-in beside us
		{"http://standin:9000", "http://gateway:3008/api/callbacks/x/y/z", true},
		{"http://127.0.0.1:9000", "https://gw.example/api/callbacks/x/y/z", true},
	} {
		c := client(t, tt.base, idle)
		got := c.Callback(provider.Settings{provider.CallbackURL: tt.callback}, m)
		if want := tt.callback + "?cs_a=1&cs_m=" + providertest.MessageID; tt.given && got != want || !tt.given && got != "" {
			t.Errorf("%s at %s: %q", tt.callback, tt.base, got)
		}
	}
}
