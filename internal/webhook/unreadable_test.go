package webhook

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// damaged is a memory in which the deliveries of one endpoint cannot be read.
type damaged struct {
	*memory
	of comm.ID
}

func (d *damaged) DueDeliveries(ctx context.Context, e store.DueEndpoint, by comm.Micros, limit int) ([]store.Delivery, error) {
	d.mu.Lock()
	bad := e.Endpoint == d.of
	d.mu.Unlock()
	if bad {
		return nil, errors.New("a row cannot be read")
	}
	return d.memory.DueDeliveries(ctx, e, by, limit)
}

// An endpoint that cannot be read, one whose secret cannot be opened and one whose rows cannot be read keep nobody waiting. What
// waits for them is kept, and goes out when they can be read.
func TestWhatCannotBeReadCostsItselfAlone(t *testing.T) {
	var log bytes.Buffer
	var rows *damaged
	closed := errors.New("there is no key for it")
	var sealed comm.ID
	inBubble(t, 5, func(c *Config) {
		rows = &damaged{memory: c.Store.(*memory)}
		rows.of = rows.endpoints[0].ID
		rows.endpoints[1].Unreadable = "a word of tomorrow"
		sealed = rows.endpoints[2].ID
		c.Store, c.Log = rows, slog.New(slog.NewTextHandler(&log, nil))
		c.Secrets = func(e *comm.Endpoint) ([]string, error) {
			rows.mu.Lock()
			defer rows.mu.Unlock()
			if e.ID == sealed {
				return nil, closed
			}
			return []string{secret}, nil
		}
	}, func(b *bubble) {
		var ids []comm.ID
		for range 20 {
			for i := range 5 {
				ids = append(ids, b.made(i))
			}
			time.Sleep(5 * time.Second)
		}
		for i := range 5 {
			if n := len(b.receiver(i).got()); (i < 3) != (n == 0) || i >= 3 && n != 20 {
				b.Errorf("endpoint %d got %d", i, n)
			}
		}
		if n := strings.Count(log.String(), "a word of tomorrow"); n != 1 {
			b.Errorf("it is said %d times: %s", n, log.String())
		}
		if n := strings.Count(log.String(), closed.Error()); n != 1 {
			b.Errorf("it is said %d times: %s", n, log.String())
		}
		b.m.mu.Lock()
		rows.of, sealed, closed = comm.ID{}, comm.ID{}, nil
		b.m.endpoints[1].Unreadable = ""
		b.m.mu.Unlock()
		time.Sleep(5 * time.Minute)
		for i := range 5 {
			if n := len(b.receiver(i).got()); n != 20 {
				b.Errorf("endpoint %d got %d in the end", i, n)
			}
		}
		for _, id := range ids {
			if d := b.delivery(id); d.State != store.DeliveryDone {
				b.Errorf("%+v", d)
			}
		}
	})
}
