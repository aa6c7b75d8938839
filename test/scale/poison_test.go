package scale

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/pgtest"
)

// A poisoned row passes every check of ours and fails in the database, inside the
// transaction that stores its whole group: a trigger refuses recipients that
// begin with "poison". The requests, the program and the store are the real ones.
const (
	poisonPostgres = `CREATE FUNCTION poisoned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN REFUSE; END $$;
CREATE TRIGGER poison BEFORE INSERT ON content FOR EACH ROW WHEN (NEW.recipient LIKE 'poison%') EXECUTE FUNCTION poisoned()`
	poisonSQLite = `CREATE TRIGGER poison BEFORE INSERT ON content WHEN NEW.recipient LIKE 'poison%' BEGIN SELECT RAISE(ABORT, 'this row cannot be stored'); END`
)

// The same for the end of an attempt: to such recipients none is recorded as SENT (3).
const (
	poisonEndPostgres = `CREATE FUNCTION poisoned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT 1 FROM content c WHERE c.app_id = NEW.app_id AND c.id = NEW.message_id AND c.recipient LIKE 'poison%') THEN REFUSE; END IF;
  RETURN NEW; END $$;
CREATE TRIGGER poison BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.to_status = 3) EXECUTE FUNCTION poisoned()`
	poisonEndSQLite = `CREATE TRIGGER poison BEFORE INSERT ON events WHEN NEW.to_status = 3
  AND EXISTS (SELECT 1 FROM content c WHERE c.id = NEW.message_id AND c.app_id = NEW.app_id AND c.recipient LIKE 'poison%')
BEGIN SELECT RAISE(ABORT, 'this row cannot be stored'); END`
)

// A poison is what PostgreSQL does with such a row: refuse it, refuse it as if memory
// were short everywhere, or end the session.
type poison struct {
	name string
	do   string // in PL/pgSQL
	code int    // what a request with such a row is answered
}

var poisons = []poison{
	{"refused", `RAISE EXCEPTION 'this row cannot be stored'`, http.StatusInternalServerError},
	{"out of memory", `RAISE EXCEPTION 'this row cannot be stored' USING ERRCODE = '53200'`, http.StatusServiceUnavailable},
	{"session ended", `PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1)`, http.StatusServiceUnavailable},
}

// trigger is the statement that makes the trigger.
func (x poison) trigger(of string) string { return strings.Replace(of, "REFUSE", x.do, 1) }

// onEachPoison runs a test for each poison: on SQLite, whose triggers know one only, for the first.
func onEachPoison(t *testing.T, run func(w *world, x poison)) {
	for _, x := range poisons {
		t.Run(x.name, func(t *testing.T) {
			if x == poisons[0] {
				onEach(t, func(w *world) { run(w, x) })
			} else {
				run(onPostgres(t, pgtest.Database(t)), x)
			}
		})
	}
}

// TestAPoisonedRowFailsAlone: 64 clients at once, one request in a hundred poisoned.
// Every other one gets its 202 and is sent; the poisoned ones get 500, or 503 where they
// cannot be told from an outage, and leave nothing.
func TestAPoisonedRowFailsAlone(t *testing.T) {
	t.Parallel()
	const posters, every = 64, 100
	n := size(4000, 100_000)
	onEachPoison(t, func(w *world, x poison) {
		to, who := w.poisoned(x.trigger(poisonPostgres), poisonSQLite)
		p := w.serve()
		before := w.rollbacks()
		var mu sync.Mutex
		var waits figures
		bad, refused := []string(nil), 0
		work := make(chan int)
		var wg sync.WaitGroup
		for range posters {
			wg.Go(func() {
				for i := range work {
					local, want := fmt.Sprintf("fine%06d", i), http.StatusAccepted
					if i%every == every/2 {
						local, want = fmt.Sprintf("poison%06d", i), x.code
					}
					at := time.Now()
					status, _, answer, err := post(p.url, who, mail(local, "NORMAL", local, ""))
					took := time.Since(at)
					mu.Lock()
					waits = append(waits, took)
					if status == x.code && want == status {
						refused++
					}
					if err != nil || status != want {
						bad = append(bad, fmt.Sprintf("%s: %d %s %v", local, status, answer, err))
					}
					mu.Unlock()
				}
			})
		}
		for i := range n {
			work <- i
		}
		close(work)
		wg.Wait()
		fine := n - n/every
		sent := until(30*time.Second, func() bool { return to.noted() == fine })
		rollbacks := w.rollbacks() - before
		w.t.Logf("%d requests of %d clients, %d poisoned: answers after %s; %d transactions rolled back", n, posters, refused, waits, rollbacks)
		if len(bad) > 0 {
			w.t.Errorf("%d answers are wrong, such as\n%s", len(bad), strings.Join(bad[:min(5, len(bad))], "\n"))
		}
		if refused != n/every {
			w.t.Errorf("%d of %d poisoned requests were refused", refused, n/every)
		}
		if !sent || to.copies() != fine {
			w.t.Errorf("%d of %d good messages were sent, %d copies", to.noted(), fine, to.copies())
		}
		// A poisoned request that is alone costs one; in a group the halves are tried, too.
		if w.store == "PostgreSQL" && rollbacks <= int64(refused) {
			w.t.Errorf("%d rollbacks for %d poisoned requests: they shared no group, so nothing was shown", rollbacks, refused)
		}
		status, answer, err := call(p.url, who, http.MethodGet, "/api/v1/messages?status=QUEUED", nil)
		var page struct{ Data []json.RawMessage }
		if err == nil {
			err = json.Unmarshal(answer, &page)
		}
		if err != nil || status != http.StatusOK || len(page.Data) != 0 {
			w.t.Errorf("something of the poisoned requests is left: %d %v %.500s", status, err, answer)
		}
		p.end()
	})
}

// TestAPoisonedEndIsSetAside: one message in eight is sent, and its end cannot be stored. Every
// other one is SENT soon after, nobody gets a second copy, and the node stops as ever.
func TestAPoisonedEndIsSetAside(t *testing.T) {
	t.Parallel()
	const posters, every = 32, 8
	n := size(3000, 6000) // one in eight is dense: each costs several refused transactions
	onEach(t, func(w *world) {
		to, who := w.poisoned(poisons[0].trigger(poisonEndPostgres), poisonEndSQLite)
		p := w.serve()
		work := make(chan int)
		var wg sync.WaitGroup
		for range posters {
			wg.Go(func() {
				for i := range work {
					local := fmt.Sprintf("fine%06d", i)
					if i%every == every/2 {
						local = fmt.Sprintf("poison%06d", i)
					}
					if status, _, answer, err := post(p.url, who, mail(local, "NORMAL", local, "")); err != nil || status != http.StatusAccepted {
						w.t.Errorf("%s: %d %s %v", local, status, answer, err)
					}
				}
			})
		}
		for i := range n {
			work <- i
		}
		close(work)
		wg.Wait()
		began := time.Now()
		count := func(status string) int { return counted(w.t, p.url, who, status) }
		settled := until(time.Minute, func() bool { return count("SENDING")+count("QUEUED") == n/every })
		took := time.Since(began)
		if sent := count("SENT"); !settled || sent != n-n/every {
			w.t.Errorf("%d are SENT, %d SENDING, %d QUEUED", sent, count("SENDING"), count("QUEUED"))
		}
		if to.noted() != n || to.copies() != n {
			w.t.Errorf("%d of %d messages were taken, %d copies", to.noted(), n, to.copies())
		}
		w.t.Logf("%d messages of %d clients, %d with an end that cannot be stored: the others SENT %v after the last was accepted", n, posters, n/every, took.Round(time.Millisecond))
		p.end()
	})
}

// counted is how many messages of the tenant have that status.
func counted(t *testing.T, base string, who tenant, status string) (n int) {
	t.Helper()
	for cursor := ""; ; {
		code, answer, err := call(base, who, http.MethodGet, "/api/v1/messages?limit=100&status="+status+cursor, nil)
		var page struct {
			Data       []json.RawMessage
			NextCursor string
		}
		if err == nil {
			err = json.Unmarshal(answer, &page)
		}
		if err != nil || code != http.StatusOK {
			t.Fatalf("%d %v %.500s", code, err, answer)
		}
		if n += len(page.Data); page.NextCursor == "" {
			return n
		}
		cursor = "&cursor=" + page.NextCursor
	}
}

// poisoned is a tenant that sends to a sink, from a database with the trigger.
func (w *world) poisoned(onPostgres, onSQLite string) (to *sink, who tenant) {
	w.t.Helper()
	to = newSink(w.t)
	w.open(func(ctx context.Context, s store.Store) (err error) {
		if who, err = newTenant(ctx, s, "clients"); err != nil {
			return err
		}
		return sendTo(ctx, s, to.addr, comm.ProviderLimits{})
	})
	w.poison(onPostgres, onSQLite)
	return to, who
}

// poison puts the trigger into the database, which no process has open.
func (w *world) poison(onPostgres, onSQLite string) {
	w.t.Helper()
	if w.store == "PostgreSQL" {
		conn, err := pgx.Connect(w.t.Context(), w.url)
		if err == nil {
			_, err = conn.Exec(w.t.Context(), onPostgres, pgx.QueryExecModeSimpleProtocol)
			_ = conn.Close(w.t.Context())
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", "file:"+w.file)
	if err == nil {
		_, err = db.ExecContext(w.t.Context(), onSQLite)
		_ = db.Close()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// rollbacks is how many transactions PostgreSQL has rolled back, as far as sessions have said.
func (w *world) rollbacks() (n int64) {
	w.t.Helper()
	if w.store != "PostgreSQL" {
		return 0
	}
	conn, err := pgx.Connect(w.t.Context(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(w.t.Context()))
	time.Sleep(1100 * time.Millisecond) // sessions report at most once a second
	if err := conn.QueryRow(w.t.Context(), `SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}
