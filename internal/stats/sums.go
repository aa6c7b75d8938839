package stats

import (
	"math"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// sums is figures of many rows as they are added up, one by one: a month of an app has
// seventy thousand.
type sums struct {
	channels  map[comm.Channel]*sum
	providers map[tries]*Provider
	last      comm.Channel // of lastSum: rows have their channels in order
	lastSum   *sum
}

// tries names the attempts with a type of provider in a channel.
type tries struct {
	provider string
	channel  comm.Channel
}

// sum is the part of a channel.
type sum struct {
	messages Messages
	waits
}

// waits are messages that were sent, by the bucket of how long they took.
type waits struct {
	accepted, scheduled [comm.WaitBuckets]int64
}

// stepSum is the part of a step of the chart.
type stepSum struct {
	messages Messages
	waits    *waits // nil: none was sent
}

// of is the part of a channel, an empty one if there is none yet.
func (x *sums) of(ch comm.Channel) *sum {
	if x.lastSum != nil && x.last == ch {
		return x.lastSum
	}
	one := x.channels[ch]
	if one == nil {
		one = &sum{}
		x.channels[ch] = one
	}
	x.last, x.lastSum = ch, one
	return one
}

// add adds a figure, and to a step what it counts of messages and of how long they took.
func (x *sums) add(f *store.Figure, step *stepSum) {
	one := x.of(f.Channel)
	if to := one.messages.of(f.Counter); to != nil {
		*to += f.N
		*step.messages.of(f.Counter) += f.N
		return
	}
	switch {
	case (f.Counter == comm.WaitAccepted || f.Counter == comm.WaitScheduled) && f.Bucket < comm.WaitBuckets:
		if step.waits == nil {
			step.waits = &waits{}
		}
		one.in(f.Counter)[f.Bucket] += f.N
		step.waits.in(f.Counter)[f.Bucket] += f.N
	case len(f.Provider) > 0:
		p := x.providers[tries{string(f.Provider), f.Channel}] // copies nothing
		if p == nil {
			p = &Provider{Provider: string(f.Provider), Channel: f.Channel}
			x.providers[tries{p.Provider, p.Channel}] = p
		}
		if to := p.of(f.Counter); to != nil {
			*to += f.N
		}
	}
}

// join adds another part.
func (x *sum) join(o *sum) {
	for c := comm.CountAccepted; c <= comm.CountCancelled; c++ {
		*x.messages.of(c) += *o.messages.of(c)
	}
	for b := range o.accepted {
		x.accepted[b] += o.accepted[b]
		x.scheduled[b] += o.scheduled[b]
	}
}

// in are the buckets of one of the two counters of waits.
func (x *waits) in(c comm.Counter) *[comm.WaitBuckets]int64 {
	if c == comm.WaitScheduled {
		return &x.scheduled
	}
	return &x.accepted
}

// latency is zero where there are no waits.
func (x *waits) latency() Latency {
	if x == nil {
		return Latency{}
	}
	due := x.accepted
	for b, n := range x.scheduled {
		due[b] += n
	}
	return Latency{waitOf(&x.accepted), waitOf(&due)}
}

func (m *Messages) of(c comm.Counter) *int64 {
	switch c {
	case comm.CountAccepted:
		return &m.Accepted
	case comm.CountRetried:
		return &m.Retried
	case comm.CountSent:
		return &m.Sent
	case comm.CountDelivered:
		return &m.Delivered
	case comm.CountFailed:
		return &m.Failed
	case comm.CountSuppressed:
		return &m.Suppressed
	case comm.CountCancelled:
		return &m.Cancelled
	}
	return nil
}

func (p *Provider) of(c comm.Counter) *int64 {
	switch c {
	case comm.TriesStarted:
		return &p.Attempts
	case comm.TriesSent:
		return &p.Sent
	case comm.TriesFailed:
		return &p.Failed
	case comm.TriesThrottled:
		return &p.Throttled
	case comm.TriesUnknown:
		return &p.Unknown
	}
	return nil
}

func waitOf(buckets *[comm.WaitBuckets]int64) (w Wait) {
	for _, n := range buckets {
		w.Count += n
	}
	w.P50, w.P95, w.P99 = quantile(buckets, w.Count, 0.50), quantile(buckets, w.Count, 0.95), quantile(buckets, w.Count, 0.99)
	return w
}

// quantile is the middle of the bucket that the quantile's message is in.
func quantile(buckets *[comm.WaitBuckets]int64, count int64, q float64) time.Duration {
	rank := int64(math.Ceil(q * float64(count)))
	for b, n := range buckets {
		if rank -= n; rank <= 0 && n > 0 {
			return comm.BucketWait(uint8(b))
		}
	}
	return 0
}
