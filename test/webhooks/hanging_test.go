package webhooks

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// TestManyReceiversThatHang: more endpoints than there are places for calls take every event and answer nothing, all at once. Others are told as soon as
// in calm; and each that hangs has four calls at most at once.
func TestManyReceiversThatHang(t *testing.T) {
	t.Parallel()
	tenants, each := 6, 15
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		tenants, each = 16, 19 // 304 endpoints
	}
	in := newInbox(t)
	var mu sync.Mutex
	under, most := map[string]int{}, map[string]int{}
	hanging := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		under[r.URL.Path]++
		most[r.URL.Path] = max(most[r.URL.Path], under[r.URL.Path])
		mu.Unlock()
		hang(w, r)
		mu.Lock()
		under[r.URL.Path]--
		mu.Unlock()
	}
	s := newServer(t)
	good := newClock(t)
	healthy := []*app{s.app("one", good.URL), s.app("two", good.URL)}
	var bad []*app
	for i := range tenants {
		a := s.app(fmt.Sprint("hanging-", i), "")
		for k := range each {
			path := fmt.Sprintf("/%d-%d", i, k)
			in.answer(path, hanging)
			a.endpoint(fmt.Sprint("e", k), in.URL+path)
		}
		bad = append(bad, a)
	}
	const long = 10 * time.Second
	calm, n := good.spell(t, 0, healthy, 40*time.Millisecond, long)
	for k := range 6 {
		for _, a := range bad {
			a.send(k)
		}
	}
	beside, more := good.spell(t, n, healthy, 40*time.Millisecond, 2*long)
	unhurt(t, fmt.Sprintf("beside %d receivers that hang", tenants*each), calm, beside)
	t.Logf("%d messages calm, %d beside", n, more)
	mu.Lock()
	defer mu.Unlock()
	if len(most) != tenants*each {
		t.Errorf("%d of %d were called", len(most), tenants*each)
	}
	for path, m := range most {
		if m > 4 {
			t.Errorf("%s had %d calls at once", path, m)
		}
	}
}
