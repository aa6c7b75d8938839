package httpserver

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// What of a long answer takes longer than an answer may is still whole: each piece has its own time.
func TestALongAnswerIsWhole(t *testing.T) {
	t.Parallel()
	const answerTime, pieces = 300 * time.Millisecond, 5
	piece := bytes.Repeat([]byte("x"), 200<<10)
	addr, _ := start(t, Config{AnswerTime: answerTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := NewLongAnswer(r.Context(), w)
		for range pieces {
			time.Sleep(answerTime / 2) // what makes it may be slow
			if _, err := out.Write(piece); err != nil {
				t.Error(err)
				return
			}
		}
	})})
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != pieces*int64(len(piece)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Who takes nothing is given up after a piece's time, and who takes something for ever at the end.
func TestALongAnswerEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pause time.Duration
		end   time.Duration
		reads bool
	}{"takes nothing": {pause: 300 * time.Millisecond}, "takes a little": {pause: time.Hour, end: time.Second, reads: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			addr, _ := start(t, Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				out := NewLongAnswer(context.WithoutCancel(r.Context()), w)
				if out.pause = c.pause; c.end > 0 {
					out.End = time.Now().Add(c.end)
				}
				_, err := out.Write(make([]byte, 32<<20))
				ended <- err
			})})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			late := time.After(30 * time.Second)
			for little := make([]byte, 1<<10); ; {
				select {
				case err := <-ended:
					if err == nil {
						t.Error("all of it was taken")
					}
					return
				case <-late:
					t.Fatal("it is still waited for")
				case <-tick.C:
					if c.reads {
						_, _ = conn.Read(little)
					}
				}
			}
		})
	}
}
