package scale

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestLargeMailsFitInMemory: mails with 10 MiB of files to a mail server that takes
// them and never answers, and to one that never takes them: memory stays near the
// budget, and a small mail of another app goes at once.
func TestLargeMailsFitInMemory(t *testing.T) {
	t.Parallel()
	const mails, fileSize = 60, 10 << 20
	const most = 400 // MiB: the budget of 128, as much again until it is collected, and the rest
	for _, taken := range []bool{true, false} {
		name := "taken and not answered"
		if !taken {
			name = "not taken"
		}
		t.Run(name, func(t *testing.T) {
			onEach(t, func(w *world) {
				var arrived atomic.Int32
				stuck := make(chan struct{})
				to, quick := newSink(w.t), newSink(w.t)
				w.t.Cleanup(func() { close(stuck) }) // before the sink is closed
				addr := to.addr
				if taken {
					to.hold = func(string) time.Duration { arrived.Add(1); <-stuck; return 0 }
				} else {
					addr = newTarpit(w.t, &arrived)
				}
				var heavy, light tenant
				w.open(func(ctx context.Context, s store.Store) (err error) {
					if heavy, err = newTenant(ctx, s, "heavy"); err != nil {
						return err
					}
					if light, err = newTenant(ctx, s, "light"); err != nil {
						return err
					}
					if err := chainOf(ctx, s, heavy.app.ID, addr, comm.ProviderLimits{}); err != nil {
						return err
					}
					if err := chainOf(ctx, s, light.app.ID, quick.addr, comm.ProviderLimits{}); err != nil {
						return err
					}
					file := comm.Attachment{Filename: "a.bin", ContentType: "application/octet-stream", Content: make([]byte, fileSize)}
					for i := range mails {
						sub, err := submission(&heavy, fmt.Sprintf("h%03d", i), comm.Normal, 0)
						if err != nil {
							return err
						}
						sub.Files = []comm.Attachment{file}
						if _, err := s.Accept(ctx, []store.Submission{sub}); err != nil {
							return err
						}
					}
					return nil
				})
				p := w.serve()
				want := int32(mails)
				if !taken {
					want = 8 // as many as fit
				}
				if !until(time.Minute, func() bool { return arrived.Load() >= want }) {
					w.t.Errorf("%d mails reached the server, want %d", arrived.Load(), want)
				}
				time.Sleep(2 * time.Second)
				status, _, answer, err := post(p.url, light, mail("small", "NORMAL", "small", ""))
				if err != nil || status != http.StatusAccepted {
					w.t.Fatalf("%d %s %v", status, answer, err)
				}
				if !until(2*time.Second, func() bool { return quick.copies() == 1 }) {
					w.t.Error("another app's small mail waits")
				}
				now, peak := p.resident()
				w.t.Logf("%d of %d mails of %d MiB under way: %.0f MiB resident, %.0f at most", arrived.Load(), mails, fileSize>>20, now, peak)
				if peak > most {
					w.t.Errorf("%.0f MiB resident at most, want %d", peak, most)
				}
				if !taken && arrived.Load() > 12 {
					w.t.Errorf("%d mails under way at once", arrived.Load())
				}
				p.kill()
			})
		})
	}
}

// newTarpit is a mail server that asks for the content and then reads no more. It counts how often.
func newTarpit(t *testing.T, asked *atomic.Int32) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	t.Cleanup(func() { close(end); _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Write([]byte("220 tarpit.example.com ESMTP\r\n"))
				for in := bufio.NewScanner(c); in.Scan(); {
					answer := "250 2.0.0 ok"
					if in.Text() == "DATA" {
						answer = "354 go ahead"
					}
					if _, err := c.Write([]byte(answer + "\r\n")); err != nil {
						return
					}
					if strings.HasPrefix(answer, "354") {
						asked.Add(1)
						<-end
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
