package hostile

import (
	"fmt"
	"testing"
)

// TestForwardedForCountsFromProxiesAlone (S27): what a client says of its own address is not
// believed where its failures are counted, unless a proxy that is configured says it.
func TestForwardedForCountsFromProxiesAlone(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name, proxies string
		same, another int // what a second failure gets with the same address, and with another one
	}{
		{"no proxy", "", 429, 429},
		{"another proxy", "10.0.0.0/8", 429, 429},
		{"this one", "127.0.0.0/8,::1/128", 429, 401},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := open(t, false, "COMMS_AUTH_FAILURES_PER_MINUTE=1", "COMMS_TRUSTED_PROXIES="+x.proxies)
			n := 0
			fail := func(app, from string) int {
				return w.send(t, &request{method: "GET", path: "/api/v1/app", header: map[string]string{"X-App-ID": app, "X-API-Key": "wrong", "X-Forwarded-For": from}}).status
			}
			for ; n < 5; n++ { // the minute may turn between two
				app := fmt.Sprint("app-", n)
				first, same, another := fail(app, "203.0.113.1"), fail(app, "203.0.113.1"), fail(app, "203.0.113.2")
				if first == 401 && same == x.same && another == x.another {
					return
				}
				t.Logf("%d, %d with the same address, %d with another", first, same, another)
			}
			t.Errorf("never %d with the same address and %d with another", x.same, x.another)
		})
	}
}
