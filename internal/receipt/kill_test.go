//go:build unix

package receipt_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/test/reports"
)

// childVariable holds the database file of a process that takes reports and is killed.
const childVariable = "COMMS_TEST_RECEIPT_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child takes reports over HTTP until it is killed. It applies them too, as the only node.
func child(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return err
	}
	svc := reports.NewService(s, s, &providertest.Reporter{}, func() bool { return true }, os.Stderr)
	go func() { _ = svc.Run(ctx) }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := svc.Find(r.Context(), "twilio", r.URL.Query().Get("config"), reports.Token)
		if err == nil {
			body, _ := io.ReadAll(r.Body)
			_, err = svc.Take(r.Context(), a, &provider.Callback{Method: r.Method, URL: a.URL(""), Header: r.Header, Body: body, At: time.Now()})
		}
		if err != nil {
			http.Error(w, "", http.StatusServiceUnavailable)
		}
	}))
}

// TestKills: a process that takes reports is killed again and again, between what it stores and what it answers among
// others. The provider repeats what was not acknowledged. Whatever was acknowledged is applied, and nothing twice.
func TestKills(t *testing.T) {
	t.Parallel()
	kills, messages := 12, 1500
	if os.Getenv("COMMS_TEST_FULL") != "" {
		kills, messages = 100, 20_000
	}
	path := filepath.Join(t.TempDir(), "comm.db")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err == nil {
			err = s.Migrate(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open()
	w := reports.New(t, first, &providertest.Reporter{})
	var subs []store.Submission
	for range messages / 100 {
		some := w.Accept(w.App, 100, "233241000001")
		w.Start(w.Config, some)
		w.Finish(w.Config, some)
		subs = append(subs, some...)
	}
	w.Stop()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	p := &sending{t: t, config: w.Config.ID, left: make(map[int]bool, len(subs)), subs: subs}
	for i := range subs {
		p.left[i] = true
	}
	for n := range kills {
		p.round(path, time.Duration(30+n*37%150)*time.Millisecond)
	}
	p.round(path, 0)
	t.Logf("%d kills, %d reports, %d sent again because nobody had answered", kills, len(subs), p.repeated)

	last := open()
	defer func() { _ = last.Close() }()
	after := reports.NewService(last, last, &providertest.Reporter{}, func() bool { return true }, io.Discard)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = after.Run(ctx) }()
	defer func() { stop(); <-ended }()
	w.Store, w.Service = last, after
	w.Eventually("nothing is left", func() bool { return w.Left() == 0 })
	for _, s := range subs {
		m := w.Message(s)
		n := 0
		for _, e := range m.Events {
			if e.Type == comm.CauseReportDelivered {
				n++
			}
		}
		if m.Status != comm.Delivered || n != 1 || m.Sequence > 5 { // accepted, started, taken, delivered, and perhaps that it was said again
			t.Fatalf("%s: %s, %v", s.ID, m.Status, m.Events)
		}
		w.Lawful(m)
	}
}

// sending is a provider that repeats reports until they are acknowledged.
type sending struct {
	t        *testing.T
	config   comm.ID
	subs     []store.Submission
	mu       sync.Mutex
	left     map[int]bool // not acknowledged
	tried    map[int]bool
	repeated int
}

func (p *sending) next() (i int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.left { // any
		delete(p.left, i)
		if p.tried == nil {
			p.tried = map[int]bool{}
		}
		if p.tried[i] {
			p.repeated++
		}
		p.tried[i] = true
		return i, true
	}
	return 0, false
}

// round runs a process, sends reports to it, and kills it after a while; 0: once all are acknowledged.
func (p *sending) round(path string, after time.Duration) {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the process did not start: %v", err)
	}
	url := "http://" + strings.TrimSpace(addr) + "/?config=" + p.config.String()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var dead sync.WaitGroup
	if after > 0 {
		dead.Go(func() { time.Sleep(after); _ = cmd.Process.Kill() })
	}
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for {
				i, ok := p.next()
				if !ok {
					return
				}
				res, err := client.Post(url, "text/plain", strings.NewReader(providertest.Line(p.subs[i].ID.String(), comm.FateDelivered)))
				if err == nil {
					_ = res.Body.Close()
				}
				if err != nil || res.StatusCode != http.StatusOK {
					p.mu.Lock()
					p.left[i] = true
					p.mu.Unlock()
					if err != nil {
						return // it is dead
					}
				}
			}
		})
	}
	clients.Wait()
	dead.Wait()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
