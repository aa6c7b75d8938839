package prove

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// mood is how providers treat a share of the messages, in percent; the rest is plain.
func mood(rnd *rand.Rand, stall int) string {
	n := rnd.IntN(100)
	for _, m := range [...]struct {
		name  string
		share int
	}{{"drop", 4}, {"busy", 3}, {"slow", 3}, {"bad", 2}, {"here", 4}, {"stall", stall}} {
		if n -= m.share; n < 0 {
			return "+" + m.name
		}
	}
	return ""
}

// What else a client does, one time in so many.
const (
	repeats  = 5  // an earlier request once more
	misuses  = 50 // an earlier key with another request
	storms   = 25 // the same new request from several connections at one instant
	schedule = 12 // a new request is for later
	cancels  = 20 // a new message is cancelled at once; one for later more often
)

// client is one sender.
type client struct {
	run     *run
	number  uint64
	rnd     *rand.Rand
	web     *http.Client
	earlier []*Entry
	count   int
}

// client sends one message after another to any node until ctx ends.
func (r *run) client(ctx context.Context, number uint64) {
	c := &client{run: r, number: number, rnd: rand.New(rand.NewPCG(r.cfg.Seed, number+1)), web: &http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 8, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}}}
	defer c.web.CloseIdleConnections()
	every := time.Duration(0)
	if r.cfg.Rate > 0 {
		every = time.Duration(r.cfg.Clients) * time.Second / time.Duration(r.cfg.Rate)
	}
	for ctx.Err() == nil {
		at := time.Now()
		if len(c.earlier) > 0 && c.rnd.IntN(repeats) == 0 {
			c.submit(ctx, c.earlier[c.rnd.IntN(len(c.earlier))], c.rnd)
		} else {
			c.fresh(ctx)
		}
		if left := every - time.Since(at); left > 0 {
			pause(ctx, left)
		}
	}
}

// fresh sends a message that was not sent before.
func (c *client) fresh(ctx context.Context) {
	e := c.run.history.invoke(c.invent())
	if c.earlier = append(c.earlier, e); len(c.earlier) > 200 {
		c.earlier = c.earlier[1:]
	}
	if c.rnd.IntN(storms) == 0 {
		var wg sync.WaitGroup
		for range 4 {
			rnd := rand.New(rand.NewPCG(c.rnd.Uint64(), c.rnd.Uint64()))
			wg.Go(func() { c.submit(ctx, e, rnd) })
		}
		wg.Wait()
	} else {
		c.submit(ctx, e, c.rnd)
	}
	if c.rnd.IntN(cancels) == 0 || !e.At.IsZero() && c.rnd.IntN(4) == 0 {
		pause(ctx, time.Duration(c.rnd.IntN(30))*time.Millisecond)
		c.run.cancel(ctx, c.web, c.rnd, e)
	}
	if c.rnd.IntN(misuses) == 0 {
		old := c.earlier[c.rnd.IntN(len(c.earlier))]
		c.run.misuse(ctx, c.web, c.rnd, old)
	}
}

// invent makes up a message: an app, a mood, now or later.
func (c *client) invent() *Entry {
	e := &Entry{App: c.rnd.IntN(len(c.run.apps)), Key: fmt.Sprintf("k-%d-%d", c.number, c.count), Name: fmt.Sprintf("n%dx%d", c.number, c.count)}
	c.count++
	if c.rnd.IntN(schedule) == 0 {
		e.At = time.Now().Add(time.Second + time.Duration(c.rnd.IntN(3000))*time.Millisecond).Truncate(time.Millisecond)
		e.Name += fmt.Sprintf("at%d", e.At.UnixMilli())
	}
	e.Name += mood(c.rnd, c.run.cfg.Stall)
	return e
}

// submit sends a request until it is answered, as the guide says: no answer, or
// a 503, and the same request is sent again.
func (c *client) submit(ctx context.Context, e *Entry, rnd *rand.Rand) {
	for try := 0; try < 4 && ctx.Err() == nil; try++ {
		if c.run.post(ctx, c.web, rnd.IntN(len(c.run.nodes)), e) {
			return
		}
		pause(ctx, time.Duration(20+rnd.IntN(80))*time.Millisecond)
	}
}
