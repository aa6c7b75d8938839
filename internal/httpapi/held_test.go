package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
)

// anyMail has a captured mail with a file under every id.
type anyMail struct{ slowBox }

func (anyMail) Message(_ context.Context, app, id comm.ID) (*comm.Message, error) {
	return &comm.Message{
		State:   comm.State{ID: id, App: app, Channel: comm.Email, Provider: chain.Sandbox, SentAt: 1_000_000, CreatedAt: 900_000, Bytes: 2 << 20},
		Content: comm.Content{To: "ama@example.com", Subject: "Hello", Body: "x", Files: 1},
	}, nil
}

// sip reads the source of a captured mail slowly, in about nine minutes; it says after how long it ended, and whether all came.
func (g *gate) sip(who tenant) func() (time.Duration, bool) {
	client, server := net.Pipe()
	g.conns <- server
	var took time.Duration
	var whole bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = client.Close() }()
		began := time.Now()
		_, _ = fmt.Fprintf(client, "GET /api/v1/sandbox/messages/%s/source HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\n\r\n", comm.NewID(1), who.app.Slug, who.key)
		res, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			return
		}
		defer func() { _ = res.Body.Close() }()
		n, pace := int64(0), res.ContentLength/540
		for err == nil {
			var some int64
			some, err = io.CopyN(io.Discard, res.Body, pace)
			n += some
			time.Sleep(time.Second)
		}
		took, whole = time.Since(began), res.StatusCode == http.StatusOK && n == res.ContentLength
	}()
	synctest.Wait()
	return func() (time.Duration, bool) { <-done; return took, whole }
}

// Who reads captured mails slowly keeps their memory no longer than any answer, but for a few.
func TestFewSourcesAreHeldForLong(t *testing.T) {
	atGate(t, func(t *testing.T, g *gate) {
		g.api.cfg.Messages, g.api.cfg.Files = anyMail{}, anyMail{}
		who := g.tenant("one")
		var all []func() (time.Duration, bool)
		for range 4 {
			all = append(all, g.sip(who))
		}
		for i, ended := range all {
			took, whole := ended()
			if long := i < 2; whole != long || !long && took > httpserver.WriteTimeout+10*time.Second {
				t.Errorf("reader %d ended after %v, whole: %v", i+1, took, whole)
			}
		}
		if took, whole := g.sip(who)(); !whole {
			t.Errorf("after all of them a reader ended after %v", took)
		}
	})
}

// Nobody writes for long on the seat, which is the only way on while the room is full.
func TestTheSeatIsNotHeldForLong(t *testing.T) {
	atGate(t, func(t *testing.T, g *gate) {
		g.api.cfg.Messages, g.api.cfg.Files = anyMail{}, anyMail{}
		m := g.api.bodies
		leave := m.fill(t)
		m.leave(m.seat)
		ended := g.sip(g.tenant("one"))
		taken := func() bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.seat != nil
		}
		if !taken() {
			t.Fatal("it has not the seat")
		}
		took, whole := ended()
		if synctest.Wait(); whole || took > httpserver.WriteTimeout+10*time.Second || taken() { // it leaves a moment after its reader
			t.Errorf("it ended after %v, whole: %v, seat taken: %v", took, whole, taken())
		}
		leave()
	})
}
