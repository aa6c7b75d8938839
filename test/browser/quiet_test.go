package browser

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/test/browser/staged"
)

// listener is another host: it counts who connects.
func listener(t *testing.T) (at string, count *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	count = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String(), count
}

// TestMailsCallNobody opens mails whose HTML has the browser connect to another host, in a way that no policy stops: nobody connects. Such
// HTML in a frame of the strictest policy, but as it came, must be seen to connect.
func TestMailsCallNobody(t *testing.T) {
	need(t)
	path, err := product.Path()
	if err != nil {
		t.Fatal(err)
	}
	w, err := staged.Empty(t.Context(), staged.Options{Program: path, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	elsewhere, count := listener(t)
	mails := []string{"<link rel=preconnect href=%s>", "<p>Hi<LINK REL='stylesheet preconnect' HREF='%s'>", "<noscript><link rel=preconnect href=%s></noscript>", "<svg><style><p><link rel=preconnect href=%s></style></svg>",
		"<div><template shadowrootmode=open><link rel=preconnect href=%s></template></div>", `<iframe srcdoc="&lt;link rel=preconnect href=%s&gt;"></iframe>`, "<link rel=prefetch href=%s/>", "<meta http-equiv=refresh content='0;url=%s'>"}
	for i := range mails {
		mails[i] = fmt.Sprintf(mails[i], elsewhere)
	}
	connects := func(l looked) int64 {
		before := count.Load()
		report(t, node.do(t, "calls", l))
		return count.Load() - before
	}

	careless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path != "/frame" {
			_, _ = fmt.Fprint(w, `<!doctype html><title>x</title><iframe src="/frame" sandbox="" referrerpolicy="no-referrer"></iframe>`)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; sandbox")
		_, _ = fmt.Fprint(w, "<!doctype html>"+mails[0])
	}))
	defer careless.Close()
	if n := connects(looked{World: &staged.World{URL: careless.URL}, Paths: []string{"/"}}); n == 0 {
		t.Fatal("a browser that is told to connect does not: this test would see nothing")
	}

	admin := w.Admin()
	if _, err := admin.CreateApp(t.Context(), client.AdminApp{Name: "Calls", Slug: "calls"}); err != nil {
		t.Fatal(err)
	}
	l := looked{World: w}
	for i, body := range mails {
		made, err := admin.For("calls").Send(t.Context(), client.Message{Channel: client.Email, To: "ama@example.com", Subject: fmt.Sprint("Mail ", i), Body: body})
		if err != nil {
			t.Fatal(err)
		}
		at := "/console/messages/" + made.ID
		l.Paths = append(l.Paths, at, at+"/content?as=light")
		if i == 0 {
			l.Paths = append(l.Paths, at+"?view=dark", at+"?view=source", "/console/sandbox/calls/"+made.ID)
		}
	}
	if n := connects(l); n > 0 {
		t.Errorf("%d connections of who reads the mails", n)
	}
}
