package scale

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestRemovingDoesNotHoldUpAccepts: while clients post, one person's messages are erased with
// their contents, and all others' contents looked through for the address; then retention takes
// the contents of as many messages. The 99th percentile of the clients' answers is at most one
// and a half times that of calm seconds before and after, and a hundred messages go every second at least.
func TestRemovingDoesNotHoldUpAccepts(t *testing.T) {
	n, calmly := size(300, 100_000), time.Duration(size(2, 30))*time.Second
	onEach(t, func(w *world) {
		var who tenant
		w.open(func(ctx context.Context, s store.Store) (err error) {
			if who, err = newTenant(ctx, s, "kept", func(a *comm.App) { a.Sandbox = true }); err != nil {
				return err
			}
			return old(ctx, s, &who, 2*n)
		})
		w.backdate()
		x := &pressure{w: w, who: who}
		x.start(w.serve()) // which keeps contents for 30 days
		time.Sleep(calmly)
		calm := x.within(time.Time{}, time.Now())

		e := w.erase(x.p)
		w.patiently(func() bool {
			w.admin(x.p, client.Request{Method: http.MethodGet, Path: "/api/admin/erasures/" + e.ID}, &e)
			return e.Status == "DONE" || !full() && e.Erased >= n // at the end it waits for a while
		}, &e)
		busy, rate := x.within(e.CreatedAt, e.UpdatedAt), float64(e.Erased)/e.UpdatedAt.Sub(e.CreatedAt).Seconds()
		if e.Erased < n {
			t.Errorf("%d messages of the person were erased, there were %d", e.Erased, n)
		}
		t.Logf("%d messages of a person, %.0f a second; load of the machine %s", e.Erased, rate, machineLoad())
		x.end()
		x.p.stop(time.Minute)

		x.start(w.serve("COMMS_RETAIN_CONTENT=1m"))
		var content task
		w.patiently(func() bool { content = w.task(x.p, "content"); return content.Total >= n }, &content)
		removing := x.within(content.StartedAt, content.FinishedAt)
		time.Sleep(time.Second) // what was accepted meanwhile is searched for and sent
		from := time.Now()
		time.Sleep(calmly)
		calm = append(calm, x.within(from, time.Now())...)
		compare(t, "erasure", calm, busy, rate)
		rate = float64(content.Done) / content.FinishedAt.Sub(content.StartedAt).Seconds()
		t.Logf("%d contents, %.0f a second, %.2f s of transactions; load of the machine %s", content.Done, rate, content.BusySeconds, machineLoad())
		compare(t, "retention", calm, removing, rate)
		x.end()
	})
}

// patiently waits up to half an hour; what is shown when that is over.
func (w *world) patiently(done func() bool, what any) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not within half an hour: %+v", what)
		}
	}
}

// forgotten is whom every second old message is for.
const forgotten = "forgotten"

// old stores messages with ids of last week that have ended just now.
func old(ctx context.Context, s store.Store, who *tenant, n int) error {
	week := comm.At(time.Now().Add(-7 * 24 * time.Hour))
	var ids []comm.ID
	err := preload(ctx, s, n, func(i int) (store.Submission, error) {
		local := fmt.Sprintf("old%06d", i)
		if i%2 == 0 {
			local = forgotten
		}
		sub, err := submission(who, local, comm.Normal, 0)
		sub.ID = comm.NewID(week + comm.Micros(i)*1000)
		sub.Shard = comm.ShardOf(who.app.ID, sub.ID, 1)
		ids = append(ids, sub.ID)
		return sub, err
	})
	if err != nil {
		return err
	}
	return within(ids, func(id comm.ID) error {
		_, _, err := s.Cancel(ctx, who.app.ID, id, "app")
		return err
	})
}

// task is what is shown of a task of upkeep.
type task struct {
	Task                  string
	Done, Total           int
	StartedAt, FinishedAt time.Time
	BusySeconds           float64
}

func (w *world) task(p *process, name string) task {
	w.t.Helper()
	var got struct{ Tasks []task }
	w.admin(p, client.Request{Method: http.MethodGet, Path: "/api/admin/upkeep"}, &got)
	for _, t := range got.Tasks {
		if t.Task == name {
			return t
		}
	}
	return task{}
}

// erasure is what is shown of one.
type erasure struct {
	ID, Status           string
	Erased               int
	CreatedAt, UpdatedAt time.Time
}

func (w *world) erase(p *process) (e erasure) {
	w.t.Helper()
	w.admin(p, client.Request{Method: http.MethodPost, Path: "/api/admin/erasures", Body: map[string]string{"address": forgotten + "@" + domain}}, &e)
	return e
}

// backdate makes everything in the database have happened an hour earlier.
func (w *world) backdate() {
	w.t.Helper()
	driver, source := "sqlite", "file:"+w.file
	if w.store == "PostgreSQL" {
		driver, source = "pgx", w.url
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), `UPDATE state SET updated_at = updated_at - 3600000000`); err != nil {
		w.t.Fatal(err)
	}
}

// pressure is clients that post at a steady pace.
type pressure struct {
	w    *world
	p    *process
	who  tenant
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex
	posted []posted
	bad    []string
}

// posted is one answer.
type posted struct {
	at   time.Time
	took time.Duration
}

func (x *pressure) start(p *process) {
	x.p, x.stop, x.posted = p, make(chan struct{}), nil
	for c := range 4 {
		x.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-x.stop:
					return
				case <-time.After(15 * time.Millisecond):
				}
				name := fmt.Sprintf("new%dx%d-%d", c, i, x.p.cmd.Process.Pid)
				at := time.Now()
				status, _, answer, err := post(x.p.url, x.who, mail(name, "NORMAL", name, ""))
				x.mu.Lock()
				x.posted = append(x.posted, posted{at, time.Since(at)})
				if err != nil || status != http.StatusAccepted {
					x.bad = append(x.bad, fmt.Sprintf("%d %s %v", status, answer, err))
				}
				x.mu.Unlock()
			}
		})
	}
}

func (x *pressure) end() {
	close(x.stop)
	x.wg.Wait()
	if len(x.bad) > 0 {
		x.w.t.Errorf("%d posts were not accepted, such as %s", len(x.bad), x.bad[0])
	}
}

// within is how long the answers to what was posted between two instants took.
func (x *pressure) within(from, to time.Time) (took figures) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.posted {
		if !p.at.Before(from) && p.at.Before(to) {
			took = append(took, p.took)
		}
	}
	return took
}

// compare holds what was measured against calm. Few answers have no 99th percentile worth the name: then it is only shown.
func compare(t *testing.T, what string, calm, busy figures, rate float64) {
	t.Helper()
	t.Logf("%s: calm %s", what, calm)
	t.Logf("%s: busy %s", what, busy)
	if full() {
		if rate < 100 {
			t.Errorf("%s: only %.0f a second", what, rate)
		}
		if busy.at(.99) > calm.at(.99)*3/2 {
			t.Errorf("%s: p99 %s, calm %s", what, short(busy.at(.99)), short(calm.at(.99)))
		}
		return
	}
	if busy.at(.5) > 3*calm.at(.5)+5*time.Millisecond { // a few seconds beside whatever else the machine does
		t.Errorf("%s: half of the answers take %s, calm %s", what, short(busy.at(.5)), short(calm.at(.5)))
	}
}
