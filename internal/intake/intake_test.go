package intake

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// storage is a store that keeps nothing but what it was asked, with faults to order.
type storage struct {
	unknown error // of KnownKey
	mu      sync.Mutex
	groups  [][]store.Submission
	fault   func(subs []store.Submission) error
	as      store.AcceptResult // of all of a group, when set
	held    map[comm.ID]bool   // what Message finds
	hold    chan struct{}      // when set, the first group waits for it

	templates map[string]comm.Template
	reads     int   // of templates
	broken    error // of reading them
}

func (s *storage) Accept(_ context.Context, subs []store.Submission) ([]store.Accepted, error) {
	s.mu.Lock()
	hold := s.hold
	s.hold = nil
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups = append(s.groups, append([]store.Submission(nil), subs...))
	if s.fault != nil {
		if err := s.fault(subs); err != nil {
			return nil, err
		}
	}
	out := make([]store.Accepted, len(subs))
	for i, sub := range subs {
		out[i] = store.Accepted{Result: store.New, ID: sub.ID, Status: comm.Queued, Due: 1}
		if s.as != 0 {
			out[i] = store.Accepted{Result: s.as}
		}
	}
	return out, nil
}

func (s *storage) TemplateByKey(_ context.Context, _ comm.ID, key string) (*comm.Template, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	t, ok := s.templates[key]
	if !ok {
		return nil, comm.E("not_found")
	}
	return &t, s.broken
}

func (s *storage) KnownKey(context.Context, comm.ID, comm.Mode, [16]byte) (store.Known, error) {
	if s.unknown != nil {
		return store.Known{}, s.unknown
	}
	return store.Known{}, comm.E("not_found")
}

func (s *storage) Message(_ context.Context, _, id comm.ID) (*comm.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.held[id] {
		return nil, comm.E("not_found")
	}
	return &comm.Message{State: comm.State{ID: id, Status: comm.Queued, Due: 7}}, nil
}

func (s *storage) ProviderConfigs(context.Context, ...comm.ID) ([]comm.ProviderConfig, error) {
	return nil, nil
}

type counter struct {
	mu   sync.Mutex
	n    int
	last store.Head
}

func (c *counter) push(_ comm.Unit, h store.Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.last = c.n+1, h
}

func service(t testing.TB, s *storage) (*Service, *counter) {
	t.Helper()
	pushed := &counter{}
	in := New(Config{Store: s, Look: s, Configs: s, Templates: s, Node: "n", Pushed: pushed.push})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return in, pushed
}

func request(t testing.TB, body string) Request {
	t.Helper()
	r, err := Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return *r
}

func tenant() *comm.App {
	return &comm.App{ID: comm.NewID(comm.At(time.Now())), Slug: "one", Active: true, Sandbox: true, RatePerMinute: 600, ShardSpread: 1}
}

func text(body string) string {
	return `{"channel":"SMS","to":"233241234567","body":"` + body + `"}`
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*comm.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

// TestOnePoisonedRowFailsAlone: everybody else in the group still gets 202.
func TestOnePoisonedRowFailsAlone(t *testing.T) {
	t.Parallel()
	s := &storage{hold: make(chan struct{})}
	s.fault = func(subs []store.Submission) error {
		for _, sub := range subs {
			if strings.Contains(string(sub.Payload), "poison") {
				return errors.New("a value that cannot be stored")
			}
		}
		return nil
	}
	in, pushed := service(t, s)
	app := tenant()
	results := make([]Result, 60)
	var wg sync.WaitGroup
	release := s.hold
	for i := range results {
		wg.Go(func() {
			body := "fine"
			if i == 33 {
				body = "poison"
			}
			results[i] = in.Accept(context.Background(), app, []Request{request(t, text(body))})[0]
		})
	}
	close(release)
	wg.Wait()
	for i, r := range results {
		if want := map[bool]string{true: "internal", false: "<nil>"}[i == 33]; codeOf(r.Err) != want {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if pushed.n != 59 {
		t.Errorf("%d pushed", pushed.n)
	}
}

// TestARowLikeAnOutageFailsAlone: where the store refuses one row as if it were away,
// everybody else in the group gets 202, unless nobody can tell what was stored.
func TestARowLikeAnOutageFailsAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		spread bool // everybody in the group fails
	}{
		"out of memory": {err: fmt.Errorf("insert: %w", &store.RolledBack{Cause: said("53200")})},
		"file full":     {err: comm.E("unavailable").Because(&store.RolledBack{Cause: errors.New("no room")})},
		"session ended": {err: fmt.Errorf("%w: %w", store.ErrUncertain, said("57P01"))},
		"uncertain":     {err: fmt.Errorf("%w: gone", store.ErrUncertain), spread: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &storage{fault: func(subs []store.Submission) error {
				for _, sub := range subs {
					if strings.Contains(string(sub.Payload), "poison") {
						return c.err
					}
				}
				return nil
			}}
			in, pushed := service(t, s)
			reqs := make([]Request, 60)
			for i := range reqs {
				reqs[i] = request(t, text(map[bool]string{true: "poison", false: "fine"}[i == 33]))
			}
			failed := 0
			for i, r := range in.Accept(context.Background(), tenant(), reqs) {
				if r.Err == nil {
					continue
				}
				if failed++; codeOf(r.Err) != "unavailable" || !c.spread && i != 33 {
					t.Errorf("%d: %v", i, r.Err)
				}
			}
			if failed == 0 || pushed.n+failed != 60 {
				t.Errorf("%d failed, %d pushed", failed, pushed.n)
			}
		})
	}
}

// said is what a database server says of itself.
type said string

func (s said) Error() string    { return "the server says " + string(s) }
func (s said) SQLState() string { return string(s) }

func TestAFaultOfTheWholeStoreIsNotTriedOneByOne(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{
		"network": &net.OpError{Op: "dial", Err: errors.New("refused")}, "deadline": context.DeadlineExceeded, "disk full": comm.E("unavailable"), "uncertain": fmt.Errorf("commit: %w", store.ErrUncertain),
		"shutting down": fmt.Errorf("commit: %w", said("57P01")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &storage{fault: func([]store.Submission) error { return fault }}
			in, pushed := service(t, s)
			reqs := make([]Request, 20)
			for i := range reqs {
				reqs[i] = request(t, text("x"))
			}
			for _, r := range in.Accept(context.Background(), tenant(), reqs) {
				if codeOf(r.Err) != "unavailable" {
					t.Errorf("%v", r.Err)
				}
			}
			if len(s.groups) > 2 || pushed.n != 0 {
				t.Errorf("%d groups, %d pushed", len(s.groups), pushed.n)
			}
		})
	}
}

// TestALostCommitAnswerIsLookedUp: what is stored is answered 202, what is not 503, whether the outcome of the whole
// group is unknown or that of these messages alone.
func TestALostCommitAnswerIsLookedUp(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*storage{"group": {}, "alone": {as: store.Uncertain}} {
		s.held = map[comm.ID]bool{}
		s.fault = func(subs []store.Submission) error {
			for i, sub := range subs {
				s.held[sub.ID] = i%2 == 0
			}
			if s.as != 0 {
				return nil
			}
			return fmt.Errorf("commit: %w", store.ErrUncertain)
		}
		in, pushed := service(t, s)
		reqs := []Request{request(t, text("a")), request(t, text("b"))}
		got := in.Accept(context.Background(), tenant(), reqs)
		stored, lost := 0, 0
		for _, r := range got {
			switch {
			case r.Err == nil && r.Status == comm.Queued && !r.ID.IsZero() && r.Segments == 1:
				stored++
			case codeOf(r.Err) == "unavailable":
				lost++
			}
		}
		if stored == 0 || stored+lost != 2 || pushed.n != stored {
			t.Errorf("%s: %+v, %d pushed", name, got, pushed.n)
		}
	}
}

// TestTheDispatcherIsToldTheSize: content and files together, as the store keeps it.
func TestTheDispatcherIsToldTheSize(t *testing.T) {
	t.Parallel()
	s := &storage{}
	in, pushed := service(t, s)
	file := base64.StdEncoding.EncodeToString(make([]byte, 100_000))
	r := in.Accept(context.Background(), tenant(), []Request{request(t, `{"channel":"EMAIL","to":"a@example.org","subject":"s","body":"b","attachments":[{"filename":"a.txt","contentType":"text/plain","content":"`+file+`"}]}`)})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	if want := int64(len(s.groups[0][0].Payload)) + 100_000; pushed.last.ID != r.ID || pushed.last.Bytes != want {
		t.Errorf("pushed %+v, want %d bytes", pushed.last, want)
	}
}

func TestManyRequestsAnswerInOrder(t *testing.T) {
	t.Parallel()
	in, _ := service(t, &storage{})
	got := in.Accept(context.Background(), tenant(), []Request{request(t, text("a")), request(t, `{"channel":"SMS","to":"1","body":"x"}`), request(t, text(strings.Repeat("a", 161)))})
	if got[0].Err != nil || codeOf(got[1].Err) != "invalid_phone" || got[2].Err != nil || got[2].Segments != 2 {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsStored(t *testing.T) {
	t.Parallel()
	s := &storage{}
	in, _ := service(t, s)
	app := tenant()
	app.OnUnknown, app.ShardSpread = comm.FailUnknown, 4
	r := in.Accept(context.Background(), app, []Request{request(t, `{"channel":"EMAIL","to":"Ama@Example.COM","subject":"s","body":"<p>x</p>","from":"Us  <us@EXAMPLE.com>","lane":"CRITICAL","ttlSeconds":60,
		"scheduledAt":"2026-07-03T12:00:00+02:00","tags":["a"],"metadata":{"n": 9007199254740993},"idempotencyKey":"k","attachments":[{"filename":"a","contentType":"text/plain","content":"aGk="}]}`)})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	sub := s.groups[0][0]
	var c comm.Content
	if err := store.DecodeContent(sub.Payload, &c); err != nil {
		t.Fatal(err)
	}
	if sub.Recipient != "ama@example.com" || c.To != "Ama@example.com" || c.From != "Us <us@example.com>" || sub.Lane != comm.Critical || sub.TTL != 60_000_000 || sub.ScheduledAt.String() != "2026-07-03T10:00:00.000Z" {
		t.Errorf("%+v %+v", sub, c)
	}
	if string(c.Metadata) != `{"n": 9007199254740993}` && string(c.Metadata) != `{"n":9007199254740993}` {
		t.Errorf("metadata %s", c.Metadata)
	}
	if sub.OnUnknown != comm.FailUnknown || sub.Mode != comm.Sandbox || sub.Node != "n" || !sub.HasKey || len(sub.Files) != 1 || string(sub.Files[0].Content) != "hi" || c.Files != 1 || sub.Shard != comm.ShardOf(app.ID, sub.ID, 4) {
		t.Errorf("%+v", sub)
	}
}

// TestFingerprintNeverChanges: it is stored beside keys that live for a year.
// A change of these values turns replays of stored messages into conflicts.
func TestFingerprintNeverChanges(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		text("x"): "df84", `{"channel":"EMAIL","to":"a@b.example","subject":"s","body":"b","metadata":{"b":1,"a":2},"tags":["t"],"lane":"BULK"}`: "d005",
	} {
		p := &prepared{}
		q := request(t, body)
		p.sub.Lane = comm.Normal
		if err := errors.Join(p.common(&q, comm.At(time.Now())), p.address(&q, address.Phones{}), p.source(&q)); err != nil {
			t.Fatal(err)
		}
		sum := p.fingerprint(&q)
		if got := hex.EncodeToString(sum[:2]); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestFingerprintTellsMembersApart: moving text from one member to another is another request.
func TestFingerprintTellsMembersApart(t *testing.T) {
	t.Parallel()
	seen := map[[16]byte]string{}
	for _, members := range []string{
		``, `"text":"x@y.example"`, `"replyTo":"x@y.example"`, `"cc":["x@y.example"]`, `"bcc":["x@y.example"]`, `"cc":["x@y.example","z@y.example"]`, `"tags":["a","b"]`, `"tags":["ab"]`, `"headers":{"X-A":"b"}`, `"headers":{"X-Ab":"b"}`,
		`"ttlSeconds":1`, `"lane":"BULK"`, `"from":"x@y.example"`, `"scheduledAt":"2026-01-01T00:00:00Z"`, `"metadata":{"a":1}`, `"metadata":{"a":1.0}`, `"metadata":{"a":"1"}`,
		`"attachments":[{"filename":"a","contentType":"text/plain","content":""}]`, `"attachments":[{"filename":"a","contentType":"text/plain","content":"aGk="}]`,
	} {
		body := `{"channel":"EMAIL","to":"a@b.example","subject":"s","body":"b"` + strings.TrimSuffix(","+members, ",") + `}`
		p := &prepared{}
		q := request(t, body)
		p.sub.Lane = comm.Normal
		if err := errors.Join(p.common(&q, comm.At(time.Now())), p.address(&q, address.Phones{}), p.source(&q)); err != nil {
			t.Fatal(body, err)
		}
		sum := p.fingerprint(&q)
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s read alike", members, other)
		}
		seen[sum] = members
	}
}

func TestHintForDearCharacters(t *testing.T) {
	t.Parallel()
	in, _ := service(t, &storage{})
	for body, want := range map[string]int{strings.Repeat("a", 100) + "’": 1, "short’": 0, strings.Repeat("aaaaaaa’", 10): 0, strings.Repeat("ж", 100): 0, strings.Repeat("a", 100): 0} {
		if r := in.Accept(context.Background(), tenant(), []Request{request(t, text(body))})[0]; r.Err != nil || len(r.Warnings) != want {
			t.Errorf("%.10s: %+v", body, r)
		}
	}
}

// FuzzAccept holds that no body makes anything but a clean answer: accepted, or
// refused with a code of the table that is no fault of ours.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{
		text("x"), `{"channel":"EMAIL","to":"a@b.example","subject":"s","body":"b","headers":{"X-A":"b"},"attachments":[{"filename":"a","contentType":"text/plain","content":"aGk="}]}`,
		`{"channel":"SMS","to":"233241234567","templateKey":"t","variables":{"a":1,"b":true,"c":"x"}}`, `{"scheduledAt":"2026-07-03T10:00:00Z","metadata":{"a":[1e5,-0.1]}}`, `{"to":"\ud800"}`, "\xff", `{"a":{"a":{}}}`,
	} {
		f.Add([]byte(s))
	}
	in, _ := service(f, &storage{})
	app := tenant()
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := Decode(body)
		if err == nil {
			err = in.Accept(t.Context(), app, []Request{*q})[0].Err
		}
		var e *comm.Error
		if err != nil && (!errors.As(err, &e) || e.Kind == comm.Internal || e.Kind == comm.Unavailable) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

// TestAReplayNobodyCanLookUp: today's refusal is no answer to what may have been accepted before.
func TestAReplayNobodyCanLookUp(t *testing.T) {
	t.Parallel()
	s := &storage{}
	in, _ := service(t, s)
	ask := `{"channel":"SMS","to":"233241234567","templateKey":"none","idempotencyKey":"k"}`
	if r := in.Accept(context.Background(), tenant(), []Request{request(t, ask)})[0]; codeOf(r.Err) != "template_not_found" {
		t.Errorf("unknown: %v", r.Err)
	}
	s.unknown = store.ErrUncertain
	if r := in.Accept(context.Background(), tenant(), []Request{request(t, ask)})[0]; codeOf(r.Err) != "unavailable" {
		t.Errorf("away: %v", r.Err)
	}
}

// TestTheContractNamesTheHeaders keeps the contract's list equal to the table.
func TestTheContractNamesTheHeaders(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile("../../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if list := "X-… and " + strings.Join(slices.Sorted(maps.Keys(safeHeaders)), ", ") + "."; !strings.Contains(string(contract), list) {
		t.Errorf("the contract does not say: %s", list)
	}
}
