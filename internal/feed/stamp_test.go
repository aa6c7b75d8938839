package feed

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// crowd is a store that refuses to stamp more deliveries or bytes than it is told, and keeps rows of messages with much metadata.
type crowd struct {
	book
	rows        []store.Listed
	made, bytes int // of one transaction
	heads       map[comm.ID]int64
	order       []int64 // transactions, as their first events were stamped
	most        [2]int
}

func (c *crowd) Outbox(_ context.Context, _ []comm.Shard, seen store.Seen, _ int) (store.Look, error) {
	return store.Look{Seen: store.Seen{From: 1}, Rows: slices.Clone(c.rows)}, nil
}

func (c *crowd) Heads(_ context.Context, apps []comm.ID) (out []int64, err error) {
	for _, a := range apps {
		out = append(out, c.heads[a])
	}
	return out, nil
}

func (c *crowd) Stamp(_ context.Context, st store.Stamping) (left store.RowKey, err error) {
	made, bytes := [2]int{len(st.Made)}, 0
	for _, d := range st.Made {
		bytes += len(d.Body)
	}
	if len(st.Made) > c.made || bytes > c.bytes {
		return left, errors.New("the statement took too long")
	}
	made[1] = bytes
	c.most = [2]int{max(c.most[0], made[0]), max(c.most[1], made[1])}
	for _, r := range st.Runs {
		if c.heads[r.App] += int64(len(r.Events)); r.Last != c.heads[r.App] {
			return left, errors.New("a gap")
		}
	}
	events := 0
	for i, k := range st.Rows {
		if c.rows[0].Key != k {
			return left, store.ErrStamped
		}
		if len(c.order) == 0 || c.order[len(c.order)-1] != k.Transaction {
			c.order = append(c.order, k.Transaction)
		}
		n := len(c.rows[0].Events)
		if st.Split > 0 && i == len(st.Rows)-1 {
			n = st.Split
			k.Place += "x"
			left = k
			c.rows[0].Key, c.rows[0].Events = k, c.rows[0].Events[n:]
		} else {
			c.rows = c.rows[1:]
		}
		events += n
	}
	for _, r := range st.Runs {
		events -= len(r.Events)
	}
	if events != 0 {
		return left, errors.New("events without a place")
	}
	return left, nil
}

// An app with many endpoints and much metadata is stamped in small parts, events of one transaction too: nothing takes longer than
// it may, and if that is still too much for the store, less of it is tried.
func TestMuchForEndpointsIsMadeInParts(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct{ made, bytes, steps int }{"as it is": {madeAtOnce + 20, bytesAtOnce + 20*17<<10, 1}, "a slow store": {100, 2 << 20, 40}} {
		t.Run(name, func(t *testing.T) {
			c := &crowd{made: x.made, bytes: x.bytes, heads: map[comm.ID]int64{}}
			loud, quiet := comm.NewID(1), comm.NewID(2)
			add := func(app comm.ID, transaction int64, n int, metadata string) {
				r := row(transaction)
				for range n {
					m := comm.Message{State: comm.State{App: app, ID: comm.NewID(3), Channel: comm.SMS, Sequence: 1}, Content: comm.Content{To: "233241234567", Metadata: comm.RawJSON(metadata)}}
					m.Events = []comm.Event{{App: app, Message: m.State.ID, Sequence: 1, Type: comm.CauseAccepted, To: comm.Queued, At: 1}}
					c.messages = append(c.messages, m)
					r.Events = append(r.Events, store.EventRef{App: app, Message: m.State.ID, Sequence: 1})
				}
				c.rows = append(c.rows, r)
			}
			add(quiet, 1, 3, `{}`)
			add(loud, 2, 600, `{"x":"`+strings.Repeat("y", 16<<10)+`"}`)
			add(quiet, 3, 3, `{}`)
			var ends some
			for n := range 20 {
				ends = append(ends, comm.Endpoint{ID: comm.NewID(comm.Micros(n)), App: loud, Active: true, Events: []comm.Status{comm.Queued}})
			}
			f := New(Config{Store: c, Endpoints: ends, Owned: func() (string, []store.Lease) { return "n", []store.Lease{{Shard: 1, Epoch: 1}} }, Now: func(context.Context) (comm.Micros, error) { return 1, nil }})
			steps := 0
			for ; len(c.rows) > 0 && steps < x.steps; steps++ {
				if _, err := f.Step(t.Context()); err != nil && x.steps == 1 {
					t.Fatal(err)
				}
			}
			if len(c.rows) != 0 || c.heads[loud] != 600 || c.heads[quiet] != 6 || !slices.Equal(c.order, []int64{1, 2, 3}) {
				t.Errorf("after %d steps %d rows are left; %v, in the order %v", steps, len(c.rows), c.heads, c.order)
			}
			t.Logf("%d steps; at most %d deliveries and %d bytes at once", steps, c.most[0], c.most[1])
		})
	}
}
