package feed

import (
	"context"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// happened is a store of events, the newest first; every second one troubles.
type happened struct {
	n, limit, glimpsed int
}

func (h *happened) Newest(_ context.Context, app comm.ID, seen store.Seen, limit int) (out store.Newest, err error) {
	h.limit = limit
	for i := h.n; i > int(seen.From); i-- {
		out.Events = append(out.Events, store.EventRef{App: app, Message: comm.ID{byte(i >> 8), byte(i)}, Sequence: i})
	}
	out.Seen.From, out.More = int64(h.n), h.n-int(seen.From) >= 1000
	return out, nil
}

func (h *happened) Glimpses(_ context.Context, events []store.EventRef) (out []store.Glimpse, err error) {
	h.glimpsed = len(events)
	for _, x := range slices.Backward(events) { // in no order
		e := comm.Event{Message: x.Message, Sequence: x.Sequence, At: comm.Micros(x.Sequence), From: comm.Queued, To: comm.Sending}
		if x.Sequence%2 == 0 {
			e.To = comm.Failed
		}
		out = append(out, store.Glimpse{Event: e, Channel: comm.Email})
	}
	return out, nil
}

func (*happened) Recipients(_ context.Context, messages []store.EventRef) (map[comm.ID]string, error) {
	out := map[comm.ID]string{}
	for _, m := range messages {
		out[m.Message] = "to " + m.Message.String()
	}
	return out, nil
}

func TestALookIsBoundedAndCounts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		n, since              int // -1: the first look
		trouble               bool
		shown, looked, passed int
		more                  bool
		channel               comm.Channel
		newest                int
	}{
		"the first":                {n: 900, since: -1, shown: 50, looked: 50, newest: 900},
		"the first, of troubles":   {n: 900, since: -1, trouble: true, shown: 50, looked: 400, newest: 900},
		"a few":                    {n: 900, since: 890, shown: 10, looked: 10, newest: 900},
		"nothing":                  {n: 900, since: 900},
		"more than is shown":       {n: 900, since: 800, shown: 50, looked: 50, passed: 50, newest: 900},
		"troubles among a few":     {n: 901, since: 890, trouble: true, shown: 5, looked: 11, newest: 900},
		"troubles among many":      {n: 900, since: 300, trouble: true, shown: 50, looked: 400, passed: 200 + 150, newest: 900},
		"more than anybody counts": {n: 1200, since: 0, shown: 50, looked: 50, passed: 1150, more: true, newest: 1200},
		"of a channel without any": {n: 900, since: 890, channel: comm.SMS, looked: 10},
	} {
		h := &happened{n: tc.n}
		x := Watching{Trouble: tc.trouble, Channel: tc.channel, Limit: 50}
		if tc.since >= 0 {
			x.Since = &store.Seen{From: int64(tc.since)}
		}
		got, err := NewWatch(h).Look(t.Context(), x)
		if err != nil || len(got.Events) != tc.shown || got.Looked != tc.looked || got.Passed != tc.passed || got.More != tc.more || got.Seen.From != int64(tc.n) {
			t.Errorf("%s: %d events, %d looked at, %d passed, more: %v, %v", name, len(got.Events), got.Looked, got.Passed, got.More, err)
		}
		if h.glimpsed != tc.looked || h.limit != rowsWatched {
			t.Errorf("%s: %d events of %d rows were read", name, h.glimpsed, h.limit)
		}
		for i, e := range got.Events {
			if i == 0 && e.Sequence != tc.newest || i > 0 && e.At >= got.Events[i-1].At || e.To != "to "+e.Message.String() {
				t.Errorf("%s: event %d is %+v", name, i, e)
			}
		}
	}
}
