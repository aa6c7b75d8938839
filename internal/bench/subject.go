package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/bench/baseline"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/freeport"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// subject measures on one store.
type subject struct {
	*bench
	scratch scratch
	store   string
}

// world is a database of the product with its apps.
type world struct {
	*subject
	database string
	ring     string
	apps     []tenant
}

// tenant is an app and its key.
type tenant struct {
	app *comm.App
	key string
}

// newWorld makes a database with n apps. shape changes each before it is stored.
func (s *subject) newWorld(ctx context.Context, n int, shape func(*comm.App)) (_ *world, err error) {
	w := &world{subject: s}
	if w.ring, err = newRing(); err != nil {
		return nil, err
	}
	if w.database, err = s.scratch.create(ctx, s.name()); err != nil {
		return nil, err
	}
	return w, w.with(ctx, func(st store.Store) error {
		if err := st.Migrate(ctx); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
		for i := range n {
			now := comm.At(time.Now())
			app := &comm.App{ID: comm.NewID(now), Slug: "bench-" + strconv.Itoa(i), Name: "Bench", Active: true, Sandbox: true, RatePerMinute: 1 << 30,
				ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
			if shape != nil {
				shape(app)
			}
			key := apikey.Mint(!app.Sandbox)
			if _, err := st.CreateApp(ctx, app, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: key.Hash, Prefix: key.Prefix, LastFour: key.Last4,
				Scopes: comm.AllScopes, CreatedAt: now}); err != nil {
				return fmt.Errorf("make an app: %w", err)
			}
			w.apps = append(w.apps, tenant{app, key.Text})
		}
		return nil
	})
}

func newRing() (string, error) {
	ring, err := seal.GenerateRing("bench")
	return ring.Reveal(), err
}

// with opens the database for the product's store; no server runs meanwhile.
func (w *world) with(ctx context.Context, do func(store.Store) error) error {
	st, err := w.scratch.open(ctx, w.database)
	if err != nil {
		return err
	}
	return errors.Join(do(st), st.Close())
}

// twin is the same world in a copy of the database.
func (w *world) twin(ctx context.Context) (_ *world, err error) {
	t := *w
	t.database, err = w.scratch.copy(ctx, w.database, w.name())
	return &t, err
}

func (w *world) drop(ctx context.Context) error {
	return w.scratch.drop(context.WithoutCancel(ctx), w.database)
}

// relay stores an SMTP relay that every live app uses.
func (w *world) relay(ctx context.Context, host string, port, sessions int) error {
	return w.with(ctx, func(st store.Store) error {
		now := comm.At(time.Now())
		return st.CreateProviderConfig(ctx, &comm.ProviderConfig{ID: comm.NewID(now), Type: "SMTP", Channel: comm.Email, Name: "Sink", Priority: 1, Active: true,
			Settings: map[string]string{"host": host, "port": strconv.Itoa(port), "from": "App <no-reply@example.com>"},
			Limits:   comm.ProviderLimits{MaxConcurrent: sessions}, Version: 1, CreatedAt: now, UpdatedAt: now})
	})
}

// preloadGroup is how many messages share a transaction, as many as a busy server's accepts do at most.
const preloadGroup = 500

// preload stores n messages, the apps in turn, through the store's Accept, and answers the first one of each app.
func (w *world) preload(ctx context.Context, apps []tenant, n int, lane comm.Lane) (first []comm.ID, err error) {
	err = w.with(ctx, func(st store.Store) error {
		if err := st.Migrate(ctx); err != nil { // there is nothing to migrate: it begins the store's work behind the accepts
			return err
		}
		for done := 0; done < n; {
			subs := make([]store.Submission, 0, preloadGroup)
			for k := done; k < min(n, done+preloadGroup); k++ {
				a := apps[k%len(apps)].app
				id := comm.NewID(comm.At(time.Now()))
				to := "user" + strconv.Itoa(k) + "@example.org"
				payload, err := store.EncodeContent(&comm.Content{To: to, From: "App <no-reply@example.com>", Subject: mailSubject, Body: mailText,
					Metadata: `{"order":"1","lang":"en"}`, IdempotencyKey: id.String()})
				if err != nil {
					return err
				}
				sub := store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, a.ShardSpread), Channel: comm.Email, Lane: lane, Mode: a.Mode(), Node: "bench",
					HasKey: true, Recipient: to, Payload: payload, RatePerMinute: a.RatePerMinute}
				copy(sub.KeyHash[:], id[:])
				copy(sub.Fingerprint[:], id[:])
				subs = append(subs, sub)
				if k < len(apps) {
					first = append(first, id)
				}
			}
			out, err := st.Accept(ctx, subs)
			if err != nil {
				return fmt.Errorf("preload: %w", err)
			}
			for _, a := range out {
				if a.Result != store.New {
					return fmt.Errorf("preload: a message was answered with result %d", a.Result)
				}
			}
			if done += len(subs); done == n {
				last := &subs[len(subs)-1]
				return searchable(ctx, st, last.App, last.Recipient)
			}
		}
		return nil
	})
	if err == nil {
		err = w.scratch.settle(ctx, w.database)
	}
	return first, err
}

// searchable waits until an app's newest message is found by its recipient: what
// follows an accept has to be done before a backlog is one that has waited.
func searchable(ctx context.Context, st store.Store, app comm.ID, recipient string) error {
	for limit := time.Now().Add(settleLimit); ctx.Err() == nil && time.Now().Before(limit); {
		found, err := st.Search(ctx, app, store.Filter{Recipient: recipient, Limit: 1})
		if err != nil || len(found.Messages) > 0 {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
	return cmp.Or(ctx.Err(), errors.New("preload: messages cannot be searched for yet"))
}

// server is a running product.
type server struct {
	*process
	world *world
}

// serve starts the product on the world's database.
func (w *world) serve(ctx context.Context) (*server, error) {
	addrs, err := freeport.Addrs(2)
	if err != nil {
		return nil, err
	}
	addr, internal := addrs[0], addrs[1]
	if w.cfg.Profiles == "" {
		internal = ""
	}
	data := w.path(w.name())
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	env := []string{
		"COMMS_ADDR=" + addr, "COMMS_DATA_DIR=" + data, "COMMS_DATABASE_URL=" + w.scratch.option(w.database), "COMMS_ENCRYPTION_KEYS=" + w.ring,
		"COMMS_ADMIN_KEY=bench-admin-key-0123456789abcdef", "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_LOG_LEVEL=warn", "COMMS_LOG_FORMAT=json",
	}
	if internal != "" {
		env = append(env, "COMMS_INTERNAL_ADDR="+internal)
	}
	p, err := w.launch(ctx, addr, "/readyz", env, "serve")
	if err != nil {
		return nil, err
	}
	p.internal = internal
	return &server{process: p, world: w}, nil
}

// get asks as an app and decodes the answer.
func (s *server) get(ctx context.Context, t tenant, path string, into any) error {
	status, body, err := s.call(ctx, http.MethodGet, path, http.Header{"X-App-Id": {t.app.Slug}, "X-Api-Key": {t.key}}, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %.200s", path, status, body)
	}
	return json.Unmarshal(body, into)
}

// page is a list as far as it is read here.
type page struct {
	Data []struct {
		ID        string    `json:"id"`
		SentAt    time.Time `json:"sentAt"`
		UpdatedAt time.Time `json:"updatedAt"`
	} `json:"data"`
	NextCursor string `json:"nextCursor"`
}

// settled waits until no app has a message that is queued or being sent.
func (s *server) settled(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, t := range s.world.apps {
		for _, status := range []string{"QUEUED", "SENDING"} {
			for {
				var p page
				if err := s.get(ctx, t, "/api/v1/messages?limit=1&status="+status, &p); err != nil {
					return fmt.Errorf("wait for the last message: %w", err)
				}
				if len(p.Data) == 0 {
					break
				}
				pause(ctx, 20*time.Millisecond)
			}
		}
	}
	return nil
}

// lastSent is when the newest message of any app was accepted by its provider, by the database's clock.
func (s *server) lastSent(ctx context.Context) (last time.Time, err error) {
	for _, t := range s.world.apps {
		var p page
		if err := s.get(ctx, t, "/api/v1/messages?limit=1&status=SENT", &p); err != nil {
			return last, err
		}
		for _, m := range p.Data {
			if m.SentAt.After(last) {
				last = m.SentAt
			}
		}
	}
	if last.IsZero() {
		return last, errors.New("no message was sent")
	}
	return last, nil
}

// firstStarted is when the first attempt of these messages (one of each app) began.
func (s *server) firstStarted(ctx context.Context, ids []comm.ID) (first time.Time, err error) {
	for i, id := range ids {
		var m struct {
			Events []struct {
				Type string    `json:"type"`
				At   time.Time `json:"at"`
			} `json:"events"`
		}
		if err := s.get(ctx, s.world.apps[i], "/api/v1/messages/"+id.String(), &m); err != nil {
			return first, err
		}
		for _, e := range m.Events {
			if e.Type == comm.CauseAttemptStarted.String() && (first.IsZero() || e.At.Before(first)) {
				first = e.At
			}
		}
	}
	if first.IsZero() {
		return first, errors.New("no attempt was started")
	}
	return first, nil
}

// bare is a running baseline.
type bare struct{ *process }

// baseline starts the yardstick on its database. Turns are paced while it accepts, as is best for it.
func (s *subject) baseline(ctx context.Context, database string, dispatch bool, pipes int, pace time.Duration) (*bare, error) {
	addrs, err := freeport.Addrs(1)
	if err != nil {
		return nil, err
	}
	addr := addrs[0]
	p, err := s.launch(ctx, addr, "/stats", []string{BaselineDatabase + "=" + database}, "bench", "baseline", "--addr", addr,
		"--dispatch="+strconv.FormatBool(dispatch), "--pipes", strconv.Itoa(pipes), "--pace", pace.String())
	if err != nil {
		return nil, err
	}
	return &bare{p}, nil
}

// BaselineDatabase is the environment variable that names the database of the
// baseline command: a command line would show its password to everybody.
const BaselineDatabase = "BENCH_BASELINE_DATABASE"

// stats reads the counters of a baseline, or of another server with the same sort of answer.
func stats(ctx context.Context, p *process) (map[string]float64, error) {
	_, body, err := p.call(ctx, http.MethodGet, "/stats", nil, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the counters: %w", err)
	}
	out := map[string]float64{}
	for word := range strings.FieldsSeq(string(body)) {
		name, value, ok := strings.Cut(word, "=")
		n, err := strconv.ParseFloat(value, 64)
		if ok && err == nil {
			out[name] = n
		}
	}
	return out, nil
}

// finished waits until everything accepted is finished, or want messages are.
func finished(ctx context.Context, p *process, want float64, limit time.Duration) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		c, err := stats(ctx, p)
		if err != nil {
			return nil, err
		}
		if want > 0 && c["finished"] >= want || want == 0 && c["finished"] >= c["accepted"] {
			return c, nil
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// cursorOf reads where the next page of a list begins; "" after the last.
func cursorOf(body []byte) (string, error) {
	var p struct {
		NextCursor string `json:"nextCursor"`
	}
	err := json.Unmarshal(body, &p)
	return p.NextCursor, err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// tenants is how many apps share the load, as many as the baseline knows.
const tenants = baseline.Apps
