package bench

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/commserver/commserver/internal/bench/load"
)

// TestRequests holds the sides of a comparison to the same bytes.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := &world{subject: &subject{bench: &bench{}}}
	dialects := map[string]dialect{"baseline": baselineDialect(), "beside": besideDialect("/v1/messages"), "product": w.dialect()}
	d := dialects["product"]
	d.heads = []string{"X-App-ID: bench-0\r\nX-API-Key: cs_test_0123456789\r\n"}
	dialects["product"] = d
	for name, d := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := map[string]bool{}
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				var b bytes.Buffer
				_, _ = b.ReadFrom(r.Body)
				var m map[string]any
				if err := json.Unmarshal(b.Bytes(), &m); err != nil || b.Len() != bodySize {
					t.Errorf("body of %d bytes (%v): %s", b.Len(), err, b.String())
				}
				for _, member := range []string{"idempotencyKey", "idempotency_key"} {
					if k, ok := m[member].(string); ok {
						keys[k] = true
					}
				}
				if r.Header.Get("Authorization") == "" && (r.Header.Get("X-Api-Key") == "" || r.Header.Get("X-App-Id") == "") {
					t.Errorf("no credentials: %v", r.Header)
				}
				rw.WriteHeader(http.StatusAccepted)
			}))
			defer srv.Close()
			target := d.target(srv.Listener.Addr().String())
			for _, one := range []load.Target{target, restart(target), d.target(srv.Listener.Addr().String())} {
				if res, err := load.Run(t.Context(), one, load.Options{Connections: 1, Count: 25}); err != nil || res.Answered != 25 {
					t.Fatalf("%d answers: %v", res.Answered, err)
				}
			}
			if len(keys) != 75 {
				t.Errorf("%d different keys in 75 requests", len(keys))
			}
		})
	}
}

// TestSink takes mails from the mail library.
func TestSink(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	k, err := newSink(func(address []byte) {
		if strings.HasPrefix(string(address), "user") && strings.HasSuffix(string(address), "@example.org") {
			seen.Add(1)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	host, port := hostPort(k.addr)
	var next atomic.Int64
	if err := bareLoop(t.Context(), host, port, &next, 50); err != nil {
		t.Fatal(err)
	}
	if k.taken.Load() != 50 || seen.Load() != 50 || k.perSecond() <= 0 {
		t.Errorf("%d mails taken, %d recipients seen, %v a second", k.taken.Load(), seen.Load(), k.perSecond())
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		if _, ok := readProcess(os.Getpid()); ok {
			t.Error("there is no /proc here, but it was read")
		}
		return
	}
	p, ok := readProcess(os.Getpid())
	if !ok || p.parent != os.Getppid() || p.name == "" {
		t.Errorf("%+v (%v), want parent %d", p, ok, os.Getppid())
	}
	if family, ok := familyCPU(os.Getpid()); !ok || family < p.used {
		t.Errorf("the family used %v, this process alone %v", family, p.used)
	}
	if n, ok := residentBytes(os.Getpid()); !ok || n < 1<<20 || n > 1<<36 {
		t.Errorf("this process has %d bytes of memory (%v)", n, ok)
	}
	if _, ok := readProcess(-1); ok {
		t.Error("process -1 was found")
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := newReport(&Config{})
	s := &subject{bench: &bench{report: r}, store: "SQLite"}
	s.add("accept, 64 connections", "CPU server", "cores", product, 1)
	for _, v := range []float64{9000, 7000, 8000} {
		s.add("accept, 64 connections", "rate", "msgs/s", product, v)
	}
	for _, v := range []float64{10_000, 12_000} {
		s.add("accept, 64 connections", "rate", "msgs/s", yardstick, v)
	}
	s.add("accept, 64 connections", "p99", "ms", product, 30)
	s.add("accept, 64 connections", "p99", "ms", yardstick, 10)
	s.add("start", "memory, idle", "MiB", product, 40)
	s.add("1000000 messages waiting", "memory", "MiB", product, 151)
	s.add("1000000 messages waiting", "written while nothing can be sent", "rows", product, 8)
	s.add("1000000 messages waiting", "written while nothing can be sent", "rows", idleSide, 5)
	s.add("1000000 messages waiting", "list, no filter, p95", "ms", product, 50.1)
	r.finish()
	tests := []struct {
		workload, metric, text string
		ratio                  float64
		met                    bool
	}{
		{"accept, 64 connections", "rate", "8 000 (7 000-9 000)", 8000.0 / 11_000, true},
		{"accept, 64 connections", "p99", "30", 3, false},
		{"start", "memory, idle", "40", 0, true},
		{"1000000 messages waiting", "memory", "151", 0, false},
		{"1000000 messages waiting", "written while nothing can be sent", "8", 0, true},
		{"1000000 messages waiting", "list, no filter, p95", "50.1", 0, false},
	}
	for _, tt := range tests {
		row := r.index[[3]string{"SQLite", tt.workload, tt.metric}]
		if row.Met == nil || *row.Met != tt.met || row.Ratio != tt.ratio || row.Product.text() != tt.text {
			t.Errorf("%s, %s: met %v, ratio %v, %q; want %v, %v, %q", tt.workload, tt.metric, row.Met, row.Ratio, row.Product.text(), tt.met, tt.ratio, tt.text)
		}
	}
	if first, last := r.Rows[0], r.Rows[2]; first.Metric != "rate" || last.Metric != "CPU server" {
		t.Errorf("the first row is %s and the third %s, want the rate and what the processors did", first.Metric, last.Metric)
	}
	if missed, all := r.Missed(); missed != 3 || all != 6 {
		t.Errorf("%d of %d missed, want 3 of 6", missed, all)
	}
	var out strings.Builder
	if err := r.WriteTable(&out); err != nil || !strings.Contains(out.String(), "≥ 0.7 times, reached") || !strings.Contains(out.String(), "3 of 6 floors reached") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.123: "0.12", 5: "5", 12.34: "12.3", 123.4: "123", 1234.5: "1 234", 1234567: "1 234 567"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}
