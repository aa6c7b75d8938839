package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/test/pgserver"
	"github.com/commserver/commserver/test/pgtest"
)

// The proxy cuts a connection when a request holds one of these texts.
const (
	cutBefore = "cut-before@example.org" // the request does not reach the server
	cutAfter  = "cut-after@example.org"  // the answer does not reach the client
)

// proxy stands between a store and its server.
type proxy struct {
	target string
	// disguise makes it name another process than the one that answers, as poolers do.
	disguise bool
}

// through starts a proxy and answers the URL that leads through it.
func through(t *testing.T, to string, p *proxy) string {
	t.Helper()
	u, err := url.Parse(to)
	must(t, err)
	p.target = u.Host
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

func (p *proxy) serve(client net.Conn) {
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	var swallow atomic.Bool
	end := sync.OnceFunc(func() { _, _ = client.Close(), server.Close() })
	go func() {
		defer end()
		buf := make([]byte, 1<<16)
		for {
			n, err := client.Read(buf)
			if err != nil || bytes.Contains(buf[:n], []byte(cutBefore)) {
				return
			}
			if bytes.Contains(buf[:n], []byte(cutAfter)) {
				swallow.Store(true)
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	defer end()
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		switch {
		case err != nil:
			return
		case swallow.Load():
			if n >= 6 && buf[n-6] == 'Z' { // ready for the next query: the transaction has ended
				return
			}
			continue
		case p.disguise:
			rename(buf[:n])
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// rename changes the process id in the message that begins a session, if it is here.
func rename(b []byte) {
	if b[0] != 'R' {
		return
	}
	for len(b) >= 5 {
		size := int(binary.BigEndian.Uint32(b[1:])) + 1
		if size > len(b) {
			return
		}
		if b[0] == 'K' {
			binary.BigEndian.PutUint32(b[5:], 1+binary.BigEndian.Uint32(b[5:]))
		}
		b = b[size:]
	}
}

func TestLostConnection(t *testing.T) {
	t.Parallel()
	direct := migrated(t)
	s := opened(t, postgres.Options{URL: through(t, direct, &proxy{})})
	a := newApp(t, s)
	for _, c := range []struct {
		name, to string
		stored   bool
	}{
		{"the request was lost", cutBefore, false},
		{"the answer was lost", cutAfter, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := submission(t, a, c.to)
			_, err := s.Accept(t.Context(), []store.Submission{sub})
			if !errors.Is(err, store.ErrUncertain) {
				t.Fatalf("error %v, want ErrUncertain", err)
			}
			// The caller looks: the message is there or it is not, and nothing of it when it is not.
			_, err = s.Message(t.Context(), a.ID, sub.ID)
			var missing *comm.Error
			if c.stored != (err == nil) || err != nil && !errors.As(err, &missing) {
				t.Fatalf("stored %v, want %v: %v", err == nil, c.stored, err)
			}
			if n := scalar(t, direct, `SELECT count(*) FROM queue WHERE id = $1`, uuid(sub.ID)); (n == 1) != c.stored {
				t.Fatalf("%d queue rows", n)
			}
			acceptOne(t, s, submission(t, a, "next@example.org"))
		})
	}
}

func uuid(id comm.ID) [16]byte { return id }

func TestServerGone(t *testing.T) {
	t.Parallel()
	srv := pgtest.Private(t)
	s := opened(t, postgres.Options{URL: srv.URL("postgres")})
	must(t, s.Migrate(t.Context()))
	a := newApp(t, s)
	must(t, srv.Kill())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// The first call may meet a connection that has just died; then nobody answers at all.
	var err error
	for range 3 {
		_, err = s.Accept(ctx, []store.Submission{submission(t, a, "x@example.org")})
	}
	if err == nil || errors.Is(err, store.ErrUncertain) {
		t.Fatalf("error %v from a server that is not there", err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	began := time.Now()
	if err := s.Ping(short); err == nil {
		t.Fatal("a server that is not there takes writes")
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Fatalf("a call with 50 ms took %s", d)
	}
	must(t, srv.Resume(ctx))
	eventually(t, "writes work again", func() bool { return s.Ping(t.Context()) == nil })
	acceptOne(t, s, submission(t, a, "x@example.org"))
}

// TestKilledAtCommit ends the server process while it waits in COMMIT for a
// standby that does not exist: the commit is on disk and its answer never comes.
func TestKilledAtCommit(t *testing.T) {
	t.Parallel()
	srv := pgtest.Private(t)
	direct := srv.URL("postgres")
	s := opened(t, postgres.Options{URL: direct})
	must(t, s.Migrate(t.Context()))
	a := newApp(t, s)
	acceptOne(t, s, submission(t, a, "warm@example.org"))
	sql(t, direct, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`, `SELECT pg_reload_conf()`)
	eventually(t, "the server has read its configuration", func() bool {
		return scalar(t, direct, `SELECT count(*) FROM pg_settings WHERE name = 'synchronous_standby_names' AND setting = 'nobody'`) == 1
	})
	sub := submission(t, a, "x@example.org")
	done := make(chan error, 1)
	go func() {
		_, err := s.Accept(t.Context(), []store.Submission{sub})
		done <- err
	}()
	eventually(t, "the commit waits", func() bool {
		return scalar(t, direct, `SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`) == 1
	})
	scalar(t, direct, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	if err := <-done; !errors.Is(err, store.ErrUncertain) {
		t.Fatalf("error %v, want ErrUncertain", err)
	}
	if m, err := s.Message(t.Context(), a.ID, sub.ID); err != nil || m.Status != comm.Queued {
		t.Fatal(m, err)
	}
}

// TestRestartUnderLoad restarts the server hard while messages are accepted, and
// compares what was answered with what is there.
func TestRestartUnderLoad(t *testing.T) {
	t.Parallel()
	srv := pgtest.Private(t)
	s := opened(t, postgres.Options{URL: srv.URL("postgres")})
	must(t, s.Migrate(t.Context()))
	a := newApp(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	type answer struct {
		id  comm.ID
		err error
	}
	answers := make([][]answer, 8)
	var sinceRestart atomic.Int64
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			for ctx.Err() == nil {
				sub := submission(t, a, address(i))
				_, err := s.Accept(context.WithoutCancel(ctx), []store.Submission{sub})
				answers[i] = append(answers[i], answer{sub.ID, err})
				if err == nil {
					sinceRestart.Add(1)
				}
			}
		})
	}
	for _, mode := range []pgserver.Mode{pgserver.Immediate, pgserver.Fast} {
		eventually(t, "messages are accepted", func() bool { return sinceRestart.Load() > 50 })
		must(t, srv.Restart(t.Context(), mode))
		sinceRestart.Store(0)
	}
	eventually(t, "messages are accepted again", func() bool { return sinceRestart.Load() > 50 })
	cancel()
	wg.Wait()
	var accepted, uncertain, refused int
	for _, list := range answers {
		for _, x := range list {
			_, err := s.Message(t.Context(), a.ID, x.id)
			stored := err == nil
			switch {
			case x.err == nil && !stored:
				t.Fatalf("accepted and lost: %s", x.id)
			case x.err == nil:
				accepted++
			case errors.Is(x.err, store.ErrUncertain):
				uncertain++
			case stored:
				t.Fatalf("stored in spite of the error %v", x.err)
			default:
				refused++
			}
		}
	}
	t.Logf("%d accepted, %d uncertain, %d refused", accepted, uncertain, refused)
}

// TestATurnIsRepeatedOnItsConnection: what lost against another transaction is sent again,
// although after the error the connection has none of its prepared statements any more.
func TestATurnIsRepeatedOnItsConnection(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := opened(t, postgres.Options{URL: url})
	a := newApp(t, s)
	leases := own(t, s, "a", time.Minute)
	turn := func(to string) (store.TurnResult, error) {
		sub := submission(t, a, to)
		out, err := s.Accept(t.Context(), []store.Submission{sub})
		must(t, err)
		return s.Turn(t.Context(), startAll(t, s, "a", leases, []store.Submission{sub}, []comm.Micros{out[0].Due}))
	}
	for range 3 { // every statement is prepared
		_, err := turn("ama@example.org")
		must(t, err)
	}
	sql(t, url, `CREATE SEQUENCE tries`, `CREATE FUNCTION deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
			RETURN new;
		END $$`, `CREATE TRIGGER deadlock BEFORE UPDATE ON state FOR EACH ROW EXECUTE FUNCTION deadlock()`)
	res, err := turn("kofi@example.org")
	if err != nil || len(res.Started) != 1 || res.Started[0].Verdict != store.Go {
		t.Errorf("%v, %v", res.Started, err)
	}
	if n := scalar(t, url, `SELECT last_value FROM tries`); n != 2 {
		t.Errorf("%d tries, want 2", n)
	}
}
