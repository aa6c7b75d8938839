package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/test/pgtest"
)

// TestAHeldTransaction: somebody's transaction has written an event, holds the app's own row and does not end, as that of a
// node that was stopped in the middle. Other apps are told as soon as before, the app's own events go on, and what the
// transaction wrote comes behind all that was read, once it is committed.
func TestAHeldTransaction(t *testing.T) {
	t.Parallel()
	long := 6 * time.Second
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		long = time.Minute
	}
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	url := pgtest.Database(t)
	s := newServer(t, "COMMS_DATABASE_URL="+url, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS="+ring.Reveal())
	good := newClock(t)
	var others []*app
	for i := range 3 {
		others = append(others, s.app(fmt.Sprint("other-", i), good.URL))
	}
	a := s.app("held", good.URL)
	// A first spell warms what is made at the first use.
	n := 0
	spell := func(apps []*app, long time.Duration) time.Duration {
		t.Helper()
		p99, more := good.spell(t, n, apps, 40*time.Millisecond, long)
		n += more
		return p99
	}
	spell(append(others, a), time.Second)
	calm := spell(others, long)
	last := a.send(1_000_000)
	cursor, before := a.until(t, "", last)
	held, commit := hold(t, url, a.id, last)
	beside := spell(append(others, a), long)
	unhurt(t, fmt.Sprintf("beside a transaction held for %s", long), calm, beside)
	// Its own later events have their places already; what is held comes behind them.
	own := a.send(1_000_001)
	cursor, more := a.until(t, cursor, own)
	for _, id := range append(before, more...) {
		if id == held {
			t.Error("an event is told of before its transaction is committed")
		}
	}
	if _, rest := a.until(t, cursor, ""); len(rest) > 0 {
		t.Errorf("%q are behind the end", rest)
	}
	commit()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, rest := a.until(t, cursor, ""); len(rest) > 0 {
			if len(rest) != 1 || rest[0] != held {
				t.Errorf("%q came behind the cursor, want %s", rest, held)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the event of the held transaction has no place in the feed")
		}
	}
	_, all := a.until(t, "", "")
	if want := len(before) + len(more) + 1; len(all) != want {
		t.Errorf("%d events in the feed, %d were read one after the other", len(all), want)
	}
}

// hold begins a transaction that writes another event of a message that was sent, and answers the event's id and how to commit it.
func hold(t *testing.T, url, app, message string) (event string, commit func()) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	owner, err := comm.ParseID(app)
	if err != nil {
		t.Fatal(err)
	}
	id, err := comm.ParseID(message)
	if err != nil {
		t.Fatal(err)
	}
	run := func(sql string, args ...any) {
		t.Helper()
		if tag, err := conn.Exec(ctx, sql, args...); err != nil || tag.RowsAffected() > 1 {
			t.Fatalf("%s: %v %s", sql, err, tag)
		}
	}
	var sequence int
	var at comm.Micros
	if err := conn.QueryRow(ctx, `SELECT max(sequence) + 1, (array_agg(at ORDER BY sequence DESC))[1] FROM events WHERE app_id = $1 AND message_id = $2`, [16]byte(owner), [16]byte(id)).Scan(&sequence, (*int64)(&at)); err != nil {
		t.Fatal(err)
	}
	run(`BEGIN`)
	run(`SELECT id FROM apps WHERE id = $1 FOR UPDATE`, [16]byte(owner))
	// The same as the last one, one further: a result that came late.
	run(`CREATE TEMPORARY TABLE one ON COMMIT DROP AS SELECT * FROM events WHERE app_id = $1 AND message_id = $2 AND sequence = $3`, [16]byte(owner), [16]byte(id), sequence-1)
	run(`UPDATE one SET sequence = sequence + 1, from_status = to_status, type = $1`, int(comm.CauseLateResult))
	run(`INSERT INTO events SELECT * FROM one`)
	run(`UPDATE state SET sequence = $3 WHERE app_id = $1 AND id = $2`, [16]byte(owner), [16]byte(id), sequence)
	run(sqlstore.PostgreSQL().Outbox, time.Now().UnixMicro(), sqlstore.AppendRef(nil, owner, id, sequence), int64(sqlstore.HomeOf(owner)))
	return comm.EventID(id, sequence, at), func() { run(`COMMIT`) }
}

// until reads an app's feed behind a cursor until a message is told to be sent, and on to the end for now; "" reads once to the end.
func (a *app) until(t *testing.T, cursor, message string) (next string, events []string) {
	t.Helper()
	seen := message == ""
	for deadline := time.Now().Add(time.Minute); ; {
		path := "/api/v1/events?limit=100"
		if cursor != "" {
			path += "&after=" + cursor
		}
		status, out := a.s.call("GET", path, a.head, nil)
		var page struct {
			Data       []told
			NextCursor string
		}
		if err := json.Unmarshal(out, &page); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s %v", status, out, err)
		}
		for _, e := range page.Data {
			events = append(events, e.EventID)
			seen = seen || e.Message.ID == message && e.Message.Status == "SENT"
		}
		cursor = page.NextCursor
		switch {
		case len(page.Data) > 0:
		case seen:
			return cursor, events
		case time.Now().After(deadline):
			t.Fatalf("%s is not told of", message)
		default:
			time.Sleep(20 * time.Millisecond)
		}
	}
}
