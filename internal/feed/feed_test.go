package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func row(n int64, events ...store.EventRef) store.Listed {
	return store.Listed{Key: store.RowKey{Transaction: n}, Events: events}
}

// A transaction that waited for another one may have begun before it: each message's events come in order all the same.
func TestRowsComeInTheOrderOfTheirMessages(t *testing.T) {
	t.Parallel()
	a, b, c := comm.ID{1}, comm.ID{2}, comm.ID{3}
	ev := func(m comm.ID, n int) store.EventRef { return store.EventRef{Message: m, Sequence: n} }
	rows := []store.Listed{row(1, ev(a, 3), ev(c, 1)), row(2, ev(b, 1)), row(3, ev(a, 2)), row(4, ev(c, 2)), row(5, ev(a, 1), ev(b, 2))}
	var got []int64
	seen := map[comm.ID]int{}
	for _, r := range inOrder(rows) {
		got = append(got, r.Key.Transaction)
		for _, e := range r.Events {
			if seen[e.Message]++; seen[e.Message] != e.Sequence {
				t.Errorf("event %d of %s is number %d", e.Sequence, e.Message, seen[e.Message])
			}
		}
	}
	if !slices.Equal(got, []int64{2, 5, 3, 1, 4}) {
		t.Errorf("%v", got)
	}
	if len(inOrder(nil)) != 0 || len(parts(nil)) != 0 {
		t.Error("something of nothing")
	}
}

func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	var rows []store.Listed
	for n := range 20 {
		rows = append(rows, row(int64(n), make([]store.EventRef, 120)...))
	}
	rows = append(rows, row(20, make([]store.EventRef, 3*eventsAtOnce)...), row(21, make([]store.EventRef, 1)...))
	n := 0
	for _, p := range parts(rows) {
		events := 0
		for _, r := range p {
			if r.Key.Transaction != int64(n) {
				t.Fatalf("row %d is number %d", r.Key.Transaction, n)
			}
			n, events = n+1, events+len(r.Events)
		}
		if events > eventsAtOnce && len(p) > 1 {
			t.Errorf("%d rows of %d events at once", len(p), events)
		}
	}
	if n != len(rows) {
		t.Errorf("%d of %d rows", n, len(rows))
	}
}

func TestABodyShowsTheMessageAsItWas(t *testing.T) {
	t.Parallel()
	id := comm.NewID(comm.Micros(1_780_000_000_000_000))
	m := &comm.Message{State: comm.State{ID: id, Channel: comm.SMS, Status: comm.Queued, Attempts: 2}, Content: comm.Content{To: "233241234567", Metadata: `{"requestId": "REQ-0042", "n":1.50}`}}
	at := comm.Micros(1_783_072_800_000_000)
	for i, e := range []comm.Event{
		{Type: comm.CauseAccepted, To: comm.Queued},
		{Type: comm.CauseAttemptStarted, From: comm.Queued, To: comm.Sending, Attempt: 1, Provider: "hubtel"},
		{Type: comm.CauseAttemptFailed, From: comm.Sending, To: comm.Sending, Attempt: 1, Provider: "hubtel", ErrorCode: "transient", Detail: "503: busy", ErrorText: "busy"},
		{Type: comm.CauseAttemptStarted, From: comm.Sending, To: comm.Sending, Attempt: 2, Provider: "arkesel", ErrorText: "busy"},
		{Type: comm.CauseProviderAccepted, From: comm.Sending, To: comm.Sent, Attempt: 2, Provider: "arkesel", Ref: "ref-7"},
		{Type: comm.CauseReportFailed, From: comm.Sent, To: comm.Failed, Provider: "arkesel", ErrorCode: "undelivered", ErrorText: "absent"},
		{Type: comm.CauseRetryRequested, From: comm.Failed, To: comm.Queued},
	} {
		e.Message, e.Sequence, e.At = id, i+1, at+comm.Micros(i)*1_000_000
		m.Events = append(m.Events, e)
	}
	message := func(sequence int) string {
		t.Helper()
		b, ok, err := Body(m, sequence)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return string(b)
	}
	want := `{"event":"message.status","message":{"id":"` + id.String() + `","channel":"SMS","status":"SENT","toAddress":"233241234567","providerName":"arkesel","providerMessageId":"ref-7",` +
		`"errorMessage":null,"attempts":2,"sentAt":"2026-07-03T10:00:04.000Z","metadata":{"requestId":"REQ-0042","n":1.50}},"eventId":"` + comm.EventID(id, 5, at+4_000_000) + `","sequence":5,` +
		`"type":"provider_accepted","createdAt":"2026-07-03T10:00:04.000Z"}`
	if got := message(5); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for sequence, parts := range map[int][]string{
		1: {`"status":"QUEUED"`, `"attempts":0`, `"providerName":null`, `"sentAt":null`},
		3: {`"status":"SENDING"`, `"attempts":1`, `"providerName":"hubtel"`, `"errorMessage":"busy"`},
		4: {`"attempts":2`, `"providerName":"arkesel"`, `"providerMessageId":null`},
		6: {`"status":"FAILED"`, `"errorMessage":"absent"`, `"providerMessageId":"ref-7"`, `"sentAt":"2026-07-03T10:00:04.000Z"`},
		7: {`"status":"QUEUED"`, `"errorMessage":null`},
	} {
		for _, p := range parts {
			if got := message(sequence); !strings.Contains(got, p) {
				t.Errorf("event %d has no %s: %s", sequence, p, got)
			}
		}
	}
	if _, ok, err := Body(m, 8); ok || err != nil {
		t.Error("an event that there is not", err)
	}
	gone := *m
	gone.ContentGone, gone.Content = true, comm.Content{To: "233***4567"}
	if b, _, _ := Body(&gone, 5); !strings.Contains(string(b), `"toAddress":"233***4567"`) || !strings.Contains(string(b), `"metadata":null`) {
		t.Errorf("%s", b)
	}
}

// shaky is a store whose stamping fails as it is told.
type shaky struct {
	store.Feed
	looks []store.Seen
	fail  error
	pages []error // how the next looks end, each of which tells that there is more
}

func (s *shaky) Outbox(_ context.Context, _ []comm.Shard, seen store.Seen, _ int) (store.Look, error) {
	s.looks = append(s.looks, seen)
	if len(s.pages) > 0 {
		err := s.pages[0]
		s.pages = s.pages[1:]
		return store.Look{Seen: store.Seen{From: 9}, More: true, Rows: []store.Listed{row(1, store.EventRef{App: comm.ID{1}, Message: comm.ID{2}, Sequence: 1})}}, err
	}
	return store.Look{Seen: store.Seen{From: 7}, Rows: []store.Listed{row(1, store.EventRef{App: comm.ID{1}, Message: comm.ID{2}, Sequence: 1})}}, nil
}

func (s *shaky) Heads(_ context.Context, apps []comm.ID) ([]int64, error) {
	return make([]int64, len(apps)), nil
}

func (s *shaky) Stamp(context.Context, store.Stamping) (store.RowKey, error) {
	return store.RowKey{}, s.fail
}

type nobody struct{}

func (nobody) EndpointsOf(context.Context, []comm.ID) ([]comm.Endpoint, error) { return nil, nil }

// Whatever was not stamped, or may not have been, is looked for from the beginning; so is everything when the shards are other ones.
func TestWhatFailedIsFoundAgain(t *testing.T) {
	t.Parallel()
	s := &shaky{}
	leases := []store.Lease{{Shard: 1, Epoch: 1}}
	f := New(Config{Store: s, Endpoints: nobody{}, Owned: func() (string, []store.Lease) { return "n", leases }, Now: func(context.Context) (comm.Micros, error) { return 1, nil }})
	step := func(fail error, from int64, wantErr bool) {
		t.Helper()
		s.fail = fail
		_, err := f.Step(t.Context())
		if last := s.looks[len(s.looks)-1]; last.From != from || (err != nil) != wantErr {
			t.Errorf("it looked from %d, want %d; %v", last.From, from, err)
		}
	}
	step(nil, 0, false)
	step(nil, 7, false)
	step(store.ErrUncertain, 7, true)
	step(store.ErrStamped, 0, false)
	step(&store.LostShards{Shards: []comm.Shard{1}}, 0, false)
	step(errors.New("refused"), 0, true)
	step(nil, 0, false)
	s.pages = []error{nil, errors.New("cut off")} // of two pages the second cannot be read
	step(nil, 9, true)
	step(nil, 0, false)
	leases = append(leases, store.Lease{Shard: 2, Epoch: 1})
	step(nil, 0, false)
	leases = nil
	if n, err := f.Step(t.Context()); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

// piled is a store that answers every look with the same full page, as SQLite does until its rows are stamped.
type piled struct {
	shaky
	used []store.RowKey
}

func (s *piled) Outbox(context.Context, []comm.Shard, store.Seen, int) (store.Look, error) {
	one, two := store.EventRef{App: comm.ID{1}, Message: comm.ID{2}, Sequence: 1}, store.EventRef{App: comm.ID{1}, Message: comm.ID{3}, Sequence: 1}
	return store.Look{More: true, Rows: []store.Listed{row(1, one), row(2, two)}}, nil
}

func (s *piled) Stamp(_ context.Context, st store.Stamping) (left store.RowKey, err error) {
	s.used = append(s.used, st.Rows...)
	return left, nil
}

// However often a look tells of the same rows, each event gets one place.
func TestAPileIsStampedOnce(t *testing.T) {
	t.Parallel()
	s := &piled{}
	leases := []store.Lease{{Shard: 1, Epoch: 1}}
	f := New(Config{Store: s, Endpoints: nobody{}, Owned: func() (string, []store.Lease) { return "n", leases }, Now: func(context.Context) (comm.Micros, error) { return 1, nil }})
	if n, err := f.Step(t.Context()); n != 2 || err != nil || len(s.used) != 2 {
		t.Errorf("%d stamped, %v, of the rows %v", n, err, s.used)
	}
}

// book is a store of messages, two events listed of each, of which what is stamped is kept.
type book struct {
	store.Feed
	messages []comm.Message
	stamped  store.Stamping
}

func (b *book) Outbox(context.Context, []comm.Shard, store.Seen, int) (l store.Look, err error) {
	if b.stamped.Node == "" {
		for i, m := range b.messages {
			l.Rows = append(l.Rows, row(int64(i), b.refs(m)...))
		}
	}
	return l, nil
}

func (b *book) refs(m comm.Message) []store.EventRef {
	return []store.EventRef{{App: m.App, Message: m.State.ID, Sequence: 1}, {App: m.App, Message: m.State.ID, Sequence: 2}}
}

func (b *book) Heads(_ context.Context, apps []comm.ID) ([]int64, error) {
	return make([]int64, len(apps)), nil
}

func (b *book) Stories(_ context.Context, refs []store.EventRef) (out []comm.Message, err error) {
	for _, r := range refs {
		for _, m := range b.messages {
			if m.State.ID == r.Message {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

func (b *book) Stamp(_ context.Context, st store.Stamping) (left store.RowKey, err error) {
	b.stamped = st
	return left, nil
}

func (b *book) Places(context.Context, comm.ID, int64, int) (out []store.Place, err error) {
	for i, m := range b.messages {
		for k, r := range b.refs(m) {
			out = append(out, store.Place{EventRef: r, Position: int64(2*i + k + 1)})
		}
	}
	return out, nil
}

type some []comm.Endpoint

func (s some) EndpointsOf(context.Context, []comm.ID) ([]comm.Endpoint, error) { return s, nil }

// What cannot be read costs only itself: an endpoint gets nothing, a message is told without what is missing, and each is said once.
func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	app := comm.NewID(1)
	message := func(change func(*comm.Message)) comm.Message {
		m := comm.Message{State: comm.State{App: app, ID: comm.NewID(2), Channel: comm.SMS, Sequence: 2}, Content: comm.Content{To: "233241234567", Tags: []string{"otp"}, Metadata: `{"n":1}`}}
		for n, e := range []comm.Event{{Type: comm.CauseAccepted, To: comm.Queued}, {Type: comm.CauseProviderAccepted, From: comm.Sending, To: comm.Sent}} {
			e.App, e.Message, e.Sequence, e.At = app, m.State.ID, n+1, 1
			m.Events = append(m.Events, e)
		}
		change(&m)
		return m
	}
	b := &book{messages: []comm.Message{
		message(func(*comm.Message) {}),
		message(func(m *comm.Message) {
			m.Content, m.ContentGone, m.ContentUnread = comm.Content{To: "233241234567"}, true, true
		}),
		message(func(m *comm.Message) { m.Metadata = `{"n":` }),
		message(func(m *comm.Message) { m.To, m.Events[1].Type, m.Events[1].To = "23324\xff", 250, 250 }),
	}}
	ends := some{{ID: comm.NewID(3), App: app, Active: true}, {ID: comm.NewID(4), App: app, Active: true, Tags: []string{"otp"}}, {ID: comm.NewID(5), App: app, Active: true, Unreadable: "tags"}}
	var log strings.Builder
	f := New(Config{Store: b, Endpoints: ends, Owned: func() (string, []store.Lease) { return "n", []store.Lease{{Shard: 1, Epoch: 1}} }, Now: func(context.Context) (comm.Micros, error) { return 1, nil },
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		b.stamped = store.Stamping{}
		if n, err := f.Step(t.Context()); n != 8 || err != nil || len(b.stamped.Runs) != 1 || b.stamped.Runs[0].Last != 8 {
			t.Fatalf("%d %v %+v", n, err, b.stamped)
		}
		got := map[comm.ID][]string{}
		for _, d := range b.stamped.Made {
			got[d.Endpoint] = append(got[d.Endpoint], string(d.Body))
		}
		if len(got[ends[0].ID]) != 3 || len(got[ends[1].ID]) != 2 || len(got[ends[2].ID]) != 0 {
			t.Fatalf("%q", got)
		}
		if unread := got[ends[0].ID][1]; !strings.Contains(unread, `"toAddress":"233241234567"`) || !strings.Contains(unread, `"metadata":null`) {
			t.Errorf("%s", unread)
		}
		if items, next, err := f.Page(t.Context(), app, 0, 100); len(items) != 8 || next != 8 || err != nil || items[7].Position != 8 || !strings.Contains(string(items[7].Body), "UNKNOWN") ||
			!strings.Contains(string(items[5].Body), `"metadata":null`) {
			t.Errorf("%d %d %v %+v", len(items), next, err, items)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || strings.Contains(log.String(), "2332412") {
		t.Errorf("%s", log.String())
	}
}
