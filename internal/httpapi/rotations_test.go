package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// between says whether the instant that a member holds is between the two from now.
func between(got answer, member string, from, to time.Duration) bool {
	at, err := time.Parse(time.RFC3339, got.str(member))
	return err == nil && time.Until(at) > from && time.Until(at) < to
}

// full says whether an answer refuses another rotation, and names the moment at which one is possible.
func full(got answer, ends string) bool {
	return got.status == http.StatusConflict && got.code() == "invalid_state" && strings.Contains(string(got.raw), ends)
}

// TestRotationsOfASecretKeepTheirOverlaps: whoever was promised an hour has it, whatever was rotated since. One rotation without an overlap ends all.
func TestRotationsOfASecretKeepTheirOverlaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", webhooksURL, `{"name":"default","url":"https://hooks.example.com/1","secret":"the first one of all"}`, nil).str("id")
	rotate := func(body string) answer { return w.do(one, "POST", webhooksURL+"/"+id+"/rotate-secret", body, nil) }
	sign := func(when string, want ...string) {
		t.Helper()
		if got := secretsOf(w, id); !slices.Equal(got, want) {
			t.Errorf("%s: %q", when, got)
		}
	}
	first := rotate(`{"overlapSeconds":3600,"secret":"the second one of all"}`)
	sign("one rotation", "the second one of all", "the first one of all")
	got := rotate(`{"overlapSeconds":7200,"secret":"the third one of all"}`)
	sign("a second one", "the third one of all", "the second one of all", "the first one of all")
	if !between(got, "previousSecretEndsAt", 119*time.Minute, 121*time.Minute) {
		t.Errorf("%s", got.raw)
	}
	if got := rotate(`{"overlapSeconds":60,"secret":"the fourth one of all"}`); !full(got, first.str("previousSecretEndsAt")) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	sign("one that is refused", "the third one of all", "the second one of all", "the first one of all")
	rotate(`{"secret":"the fifth one of all"}`)
	sign("one without an overlap", "the fifth one of all")

	rotate(`{"overlapSeconds":1,"secret":"the sixth one of all"}`)
	rotate(`{"overlapSeconds":3600,"secret":"the seventh one of all"}`)
	time.Sleep(1100 * time.Millisecond)
	if got := w.do(one, "GET", webhooksURL+"/"+id, "", nil); !between(got, "previousSecretEndsAt", 59*time.Minute, 61*time.Minute) {
		t.Errorf("%s", got.raw)
	}
	if got := rotate(`{"overlapSeconds":60,"secret":"the eighth one of all"}`); got.status != http.StatusOK {
		t.Errorf("one has ended: %d %s", got.status, got.raw)
	}
	sign("the place of one that has ended", "the eighth one of all", "the seventh one of all", "the sixth one of all")
}

// TestRotationsOfACallbackKeepTheirOverlaps likewise: messages that have left name each of the addresses.
func TestRotationsOfACallbackKeepTheirOverlaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("reports", comm.AllScopes)
	id, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	at := []string{path}
	body := providertest.Line("r1", comm.FateDelivered)
	rotate := func(body string) answer {
		t.Helper()
		got := w.do(who, "POST", "/api/v1/provider-configs/"+id+"/rotate-callback", body, nil)
		if path, ok := strings.CutPrefix(got.str("callbackUrl"), "http://localhost:3008"); ok {
			at = append(at, path)
		}
		w.receipts.Forget() // as this node does when it hears of a change
		return got
	}
	taken := func(when string, want ...int) {
		t.Helper()
		for i, path := range at {
			if got := w.do(tenant{}, "POST", path, body, nil); got.status != want[i] {
				t.Errorf("%s: the address %d is answered %d", when, i+1, got.status)
			}
		}
	}
	first := rotate(`{"overlapSeconds":3600}`)
	got := rotate(`{"overlapSeconds":7200}`)
	if taken("two rotations", 200, 200, 200); !between(got, "previousCallbackEndsAt", 119*time.Minute, 121*time.Minute) {
		t.Errorf("%s", got.raw)
	}
	if got := rotate(`{"overlapSeconds":60}`); !full(got, first.str("previousCallbackEndsAt")) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(who, "PATCH", "/api/v1/provider-configs/"+id, `{"name":"Renamed","config":{"apiKey":"another"}}`, nil); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
	w.receipts.Forget()
	taken("one that is refused, and another change", 200, 200, 200)
	rotate(`{}`)
	taken("one without an overlap", 404, 404, 404, 200)
	rotate(`{"overlapSeconds":1}`)
	rotate(`{"overlapSeconds":3600}`)
	time.Sleep(1100 * time.Millisecond)
	taken("the overlap of one has passed", 404, 404, 404, 404, 200, 200)
	if got := rotate(`{"overlapSeconds":60}`); got.status != http.StatusOK {
		t.Errorf("one has ended: %d %s", got.status, got.raw)
	}
	taken("the place of one that has ended", 404, 404, 404, 404, 200, 200, 200)
}
