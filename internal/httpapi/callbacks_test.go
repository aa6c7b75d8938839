package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/store"
)

// reporting is the adapters, with reports of the tests' own form: those of TWILIO are signed, those of ARKESEL are not,
// and those of NALO cannot be read.
func reporting() []provider.Adapter {
	out := all.Adapters()
	for i := range out {
		switch out[i].Type {
		case "TWILIO":
			out[i] = (&providertest.Reporter{SignedBy: "authToken", Ack: provider.Ack{Status: 202, ContentType: "text/xml", Body: "<Response/>"}}).Adapter(out[i])
		case "ARKESEL":
			out[i] = (&providertest.Reporter{}).Adapter(out[i])
		case "NALO":
			out[i].Reporting = &provider.Reporting{}
		}
	}
	return out
}

// callbackOf makes a configuration of the app and answers its callback's path.
func (w *world) callbackOf(who tenant, kind, config string) (id, path string) {
	w.t.Helper()
	got := w.do(who, "POST", "/api/v1/provider-configs", `{"providerType":"`+kind+`","config":`+config+`}`, nil)
	if got.status != http.StatusCreated {
		w.t.Fatalf("%d %s", got.status, got.raw)
	}
	path, ok := strings.CutPrefix(got.str("callbackUrl"), "http://localhost:3008")
	if !ok || !strings.HasPrefix(path, "/api/callbacks/"+strings.ToLower(kind)+"/"+got.str("id")+"/") {
		w.t.Fatalf("%s", got.raw)
	}
	return got.str("id"), path
}

const (
	twilioConfig  = `{"accountSid":"AC0123456789abcdef0123456789abcdef","authToken":"0123456789abcdef0123456789abcdef","senderId":"Bank"}`
	arkeselConfig = `{"apiKey":"k","senderId":"Bank"}`
)

// stored is the requests that are stored and not applied.
func (w *world) storedReceipts() []store.Receipt {
	w.t.Helper()
	got, err := w.store.Received(context.Background(), comm.At(time.Now().Add(time.Hour)), comm.ID{}, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// applied waits until so many requests were stored, and nothing is left of them.
func (w *world) applied(n int64) receipt.Counts {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if c := w.receipts.Counts(); c.Stored == n && len(w.storedReceipts()) == 0 {
			return c
		} else if time.Now().After(end) {
			w.t.Fatalf("%+v, want %d stored", c, n)
		}
	}
}

func TestCallbacksAreStoredAndAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("reports", comm.AllScopes)
	id, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	line := providertest.Line("r1", comm.FateDelivered)
	got := w.do(tenant{}, "GET", path+"?"+line, "", nil)
	if got.status != 200 || string(got.raw) != "OK" || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %s %v", got.status, got.raw, got.header)
	}
	for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "text/xml; charset=iso-8859-1", "", "\xff\xfe", "nonsense;;;"} {
		if got := w.do(tenant{}, "POST", path, line, map[string]string{"Content-Type": kind, "Content-Encoding": "gzip"}); got.status != 200 {
			t.Errorf("%q: %d %s", kind, got.status, got.raw)
		}
	}
	if got := w.do(tenant{}, "POST", path+"?\xff\xfe=%zz&%00", "\xff\x00", nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	w.applied(8)
	r := httptest.NewRequest("HEAD", path, nil)
	rec := httptest.NewRecorder()
	if w.handler.ServeHTTP(rec, r); rec.Code != 200 {
		t.Errorf("HEAD: %d", rec.Code)
	}
	// Switched off, and its app in the sandbox and inactive: reports count all the same.
	if got := w.do(who, "PATCH", "/api/v1/provider-configs/"+id, `{"isActive":false}`, nil); got.status != 200 {
		t.Fatal(got.status)
	}
	if got := w.do(tenant{}, "POST", path, line, nil); got.status != 200 {
		t.Errorf("%d", got.status)
	}
	w.applied(9)
	// A configuration that is deleted has no callback any more.
	if got := w.do(who, "DELETE", "/api/v1/provider-configs/"+id, "", nil); got.status != 204 {
		t.Fatal(got.status)
	}
	if got := w.do(tenant{}, "POST", path, line, nil); got.status != 404 || got.code() != "not_found" {
		t.Errorf("%d", got.status)
	}
	token := path[strings.LastIndexByte(path, '/')+1:]
	if log := w.log.String(); strings.Contains(log, token) || !strings.Contains(log, "/api/callbacks/{type}/{configId}/{token}") {
		t.Error("the log shows the token, or no such request at all")
	}
}

func TestCallbacksAreVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("signed", comm.AllScopes)
	_, path := w.callbackOf(who, "TWILIO", twilioConfig)
	const query = "a=1&b=%C3%A4"
	body := providertest.Line("r1", comm.FateDelivered)
	sign := providertest.Sign("0123456789abcdef0123456789abcdef", "http://localhost:3008"+path+"?"+query, []byte(body))
	for name, x := range map[string]struct {
		path, body, sign string
		status           int
	}{
		"signed": {path + "?" + query, body, sign, 202}, "unsigned": {path + "?" + query, body, "", 401}, "other body": {path + "?" + query, body + "&x=1", sign, 401},
		"other query": {path + "?" + query + "&c=1", body, sign, 401}, "no query": {path, body, sign, 401},
	} {
		r := httptest.NewRequest("POST", x.path, strings.NewReader(x.body))
		r.Host = "internal.cluster:8080" // behind a proxy
		r.Header.Set(providertest.SignatureHeader, x.sign)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != x.status || x.status == 202 && (rec.Body.String() != "<Response/>" || rec.Header().Get("Content-Type") != "text/xml") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if x.status == 401 && !strings.Contains(rec.Body.String(), "forged_report") {
			t.Errorf("%s: %s", name, rec.Body)
		}
	}
	w.applied(1)
}

func TestCallbackBodiesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("large", comm.AllScopes)
	_, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	for size, want := range map[int]int{receipt.MaxBody: 200, receipt.MaxBody + 1: 413} {
		for _, chunked := range []bool{false, true} {
			r := httptest.NewRequest("POST", path, strings.NewReader(strings.Repeat("a", size)))
			if chunked {
				r.ContentLength = -1
			}
			if got := w.send(r); got.status != want {
				t.Errorf("%d bytes, chunked %v: %d %s", size, chunked, got.status, got.raw)
			}
		}
	}
	r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader("abc"), brokenBody{}))
	r.ContentLength = 10
	if got := w.send(r); got.status != 400 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	w.applied(2)
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Whatever is wrong with the address, the answer is the same, and takes as long.
func TestStrangersLearnNothingOfCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("secret", comm.AllScopes)
	id, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	nalo, naloPath := w.callbackOf(who, "NALO", `{"authKey":"k","senderId":"Bank"}`)
	_ = nalo
	token := path[strings.LastIndexByte(path, '/')+1:]
	wrong := []string{
		"/api/callbacks/arkesel/" + id + "/" + token[:len(token)-1], "/api/callbacks/arkesel/" + id + "/" + token + "a", "/api/callbacks/arkesel/" + id + "/x",
		"/api/callbacks/arkesel/" + id + "/" + url.PathEscape(token+"/x"), "/api/callbacks/ARKESEL/" + id + "/" + token, "/api/callbacks/twilio/" + id + "/" + token,
		"/api/callbacks/none/" + id + "/" + token, "/api/callbacks/arkesel/" + comm.NewID(comm.At(time.Now())).String() + "/" + token,
		"/api/callbacks/arkesel/x/" + token, "/api/callbacks/arkesel/%00/" + token, "/api/callbacks/arkesel/" + id + "/%ff%00", naloPath,
		"/api/callbacks/sandbox/" + id + "/" + token, "/api/callbacks/sandbox/" + comm.ID{}.String() + "/" + token, "/api/callbacks/sandbox/-/-",
	}
	const rounds = 5
	times := map[string][]time.Duration{}
	first := ""
	for range rounds {
		for _, path := range wrong {
			began := time.Now()
			got := w.do(tenant{}, "POST", path, "body", nil)
			times[path] = append(times[path], time.Since(began))
			if first == "" {
				first = string(got.raw)
			}
			if got.status != 404 || string(got.raw) != first {
				t.Errorf("%s: %d %s", path, got.status, got.raw)
			}
		}
	}
	for path, all := range times {
		// The quickest: whatever takes longer takes it each time, and the machine only sometimes.
		if quickest := slices.Min(all); quickest < callbackFloor || quickest > callbackFloor+50*time.Millisecond {
			t.Errorf("%s: %v", path, all)
		}
	}
	if n := w.receipts.Counts().Stored; n != 0 {
		t.Errorf("%d stored", n)
	}
}

// One configuration's flood leaves room for the others, and what is refused is to be sent again.
func TestCallbacksAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("flood", comm.AllScopes)
	_, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	_, other := w.callbackOf(who, "ARKESEL", arkeselConfig)
	hold, reads := make(chan struct{}), make(chan struct{}, callbacksOfConfig)
	var wg sync.WaitGroup
	for range callbacksOfConfig {
		wg.Go(func() {
			r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader("fate=1"), waitingBody{reads, hold}))
			r.ContentLength = -1
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, r)
			if rec.Code != 200 {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
		})
	}
	for range callbacksOfConfig {
		<-reads
	}
	if got := w.do(tenant{}, "POST", path, "fate=1", nil); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := w.do(tenant{}, "POST", other, "fate=1", nil); got.status != 200 {
		t.Errorf("another configuration's: %d", got.status)
	}
	close(hold)
	wg.Wait()
}

type waitingBody struct{ reads, until chan struct{} }

func (b waitingBody) Read([]byte) (int, error) {
	b.reads <- struct{}{}
	<-b.until
	return 0, io.EOF
}

// While the database cannot store, the provider is told to come again.
func TestCallbacksWhileStorageIsIll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("ill", comm.AllScopes)
	_, path := w.callbackOf(who, "ARKESEL", arkeselConfig)
	w.api.cfg.Receipts = illReceipts{w.receipts}
	got := w.do(tenant{}, "POST", path, "fate=1", nil)
	if got.status != 503 || got.header.Get("Retry-After") == "" || got.code() != "unavailable" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
}

type illReceipts struct{ Receipts }

func (illReceipts) Take(context.Context, *receipt.Account, *provider.Callback) (provider.Ack, error) {
	return provider.Ack{}, fmt.Errorf("store: %w", store.ErrUncertain)
}

// A message whose report is overdue shows it; its status stays.
func TestUnconfirmedIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	who := w.tenant("overdue", comm.AllScopes)
	w.api.cfg.Receipts = allUnconfirmed{w.receipts}
	id := w.do(who, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"x"}`, nil).str("id")
	if got := w.do(who, "GET", "/api/v1/messages/"+id, "", nil); got.body["unconfirmed"] != false {
		t.Errorf("a queued one: %s", got.raw)
	}
	if got := w.do(who, "PATCH", "/api/v1/messages/"+id, `{"action":"CANCEL"}`, nil); got.status != 200 {
		t.Fatal(got.status)
	}
	if got := w.do(who, "GET", "/api/v1/messages/"+id, "", nil); got.body["unconfirmed"] != true {
		t.Errorf("%s", got.raw)
	}
	if got := w.do(who, "GET", "/api/v1/messages", "", nil); !strings.Contains(string(got.raw), `"unconfirmed":true`) {
		t.Errorf("%s", got.raw)
	}
}

type allUnconfirmed struct{ Receipts }

func (allUnconfirmed) Unconfirmed(*comm.State, comm.Micros) bool { return true }
