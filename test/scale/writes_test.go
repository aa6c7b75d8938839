package scale

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // reads the file beside the process
)

// writes is what a database wrote while a process ran and was watched.
type writes struct {
	events int64 // rows of the messages' log while it was watched: every change of a message writes one
	log    int64 // bytes of write-ahead log meanwhile; on PostgreSQL of the whole server
	// transactions that wrote meanwhile; SQLite only.
	transactions int64
	// rows written by table over the whole life of the process, start and stop included; PostgreSQL only.
	rows map[string]int64
}

// ofMessages is how many rows were written for messages.
func (w writes) ofMessages() int64 {
	return w.rows["state"] + w.rows["queue"] + w.rows["events"] + w.rows["content"]
}

func (w writes) String() string {
	out := fmt.Sprintf("%d events, %d KiB of log", w.events, w.log>>10)
	if w.rows == nil {
		return out + fmt.Sprintf(", %d transactions", w.transactions)
	}
	var tables []string
	for _, name := range slices.Sorted(maps.Keys(w.rows)) {
		if w.rows[name] != 0 {
			tables = append(tables, fmt.Sprintf("%s %d", name, w.rows[name]))
		}
	}
	return out + "; from start to stop rows written: " + strings.Join(tables, ", ")
}

// watch runs a process, lets it come to rest, and counts what it writes from then on.
func (w *world) watch(d, settle time.Duration) (out writes) {
	w.t.Helper()
	before := w.tables()
	p := w.serve()
	time.Sleep(settle)
	events, log := w.events(), w.watchLog()
	time.Sleep(d)
	out.events = w.events() - events
	out.transactions, out.log = log()
	p.end()
	if out.rows = w.tables(); out.rows != nil {
		for name := range out.rows {
			out.rows[name] -= before[name]
		}
	}
	return out
}

// query answers numbers from the world's database, beside the process.
func (w *world) query(text string, into ...any) {
	w.t.Helper()
	var err error
	if w.store == "PostgreSQL" {
		var conn *pgx.Conn
		if conn, err = pgx.Connect(w.t.Context(), w.url); err == nil {
			err = conn.QueryRow(w.t.Context(), text).Scan(into...)
			_ = conn.Close(w.t.Context())
		}
	} else {
		var db *sql.DB
		if db, err = sql.Open("sqlite", "file:"+w.file+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)"); err == nil {
			err = db.QueryRowContext(w.t.Context(), text).Scan(into...)
			_ = db.Close()
		}
	}
	if err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
}

func (w *world) events() (n int64) {
	w.t.Helper()
	w.query(`SELECT count(*) FROM events`, &n)
	return n
}

// tables reads PostgreSQL's statistics of rows written. Sessions report what they
// did at the latest when they end, so it waits for the end of all others.
func (w *world) tables() map[string]int64 {
	w.t.Helper()
	if w.store != "PostgreSQL" {
		return nil
	}
	if !until(20*time.Second, func() bool {
		var others int
		w.query(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`, &others)
		return others == 0
	}) {
		w.t.Fatal("the sessions of the stopped process do not end")
	}
	conn, err := pgx.Connect(w.t.Context(), w.url)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(w.t.Context()))
	out := map[string]int64{}
	rows, err := conn.Query(w.t.Context(), `SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables`)
	if err != nil {
		w.t.Fatal(err)
	}
	var name string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { out[name] = n; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// watchLog counts until the answer is called.
func (w *world) watchLog() (read func() (transactions, bytes int64)) {
	w.t.Helper()
	if w.store == "SQLite" {
		return watchFile(w.t, w.file)
	}
	const position = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`
	var from int64
	w.query(position, &from)
	return func() (int64, int64) {
		var to int64
		w.query(position, &to)
		return 0, to - from
	}
}

// pageInLog is a page of the file with its header, as the log holds it.
const pageInLog = 4096 + 24

// watchFile reads the header of SQLite's shared-memory index, which holds a
// count of write transactions and the number of pages in the log.
func watchFile(t *testing.T, path string) (read func() (transactions, bytes int64)) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	from, last, err := shmHeader(path)
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	var pages int64
	done.Go(func() { // the log begins anew after a checkpoint: add up what is seen
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				_, now, err := shmHeader(path)
				if err != nil {
					continue
				}
				if now < last {
					last = 0
				}
				pages += int64(now - last)
				last = now
			}
		}
	})
	return func() (int64, int64) {
		t.Helper()
		to, _, err := shmHeader(path)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		stop()
		done.Wait()
		return int64(to - from), pages * pageInLog
	}
}

// shmHeader reads https://www.sqlite.org/walformat.html section 2.1: iChange at 8, mxFrame at 16, in the machine's byte order.
func shmHeader(path string) (change, frames uint32, err error) {
	f, err := os.Open(path + "-shm")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for range 10 { // two copies that differ are being written
		var b [96]byte
		if _, err := f.ReadAt(b[:], 0); err != nil {
			return 0, 0, err
		}
		if [48]byte(b[:48]) == [48]byte(b[48:]) {
			return binary.NativeEndian.Uint32(b[8:]), binary.NativeEndian.Uint32(b[16:]), nil
		}
	}
	return 0, 0, fmt.Errorf("the header of %s-shm does not stand still", path)
}
