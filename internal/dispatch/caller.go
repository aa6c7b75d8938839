package dispatch

import (
	"context"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// callGrace is how long after its deadline a call may still return by itself
// before it is given up.
const callGrace = 5 * time.Second

// maxIdle is how many goroutines wait for their next call instead of ending:
// their stacks have grown already, which is a fifth of an instant call's cost.
const maxIdle = 64

// launch runs the provider call of a job whose start is stored.
func (d *Dispatcher) launch(j *job) {
	select {
	case d.next <- j:
	default:
		go d.calling(j)
	}
}

// calling makes one call after the other while there are any.
func (d *Dispatcher) calling(j *job) {
	for {
		d.sched.answer(j, d.call(j))
		if d.idle.Add(1) > maxIdle {
			d.idle.Add(-1)
			return
		}
		select {
		case j = <-d.next:
			d.idle.Add(-1)
		case <-d.callCtx.Done():
			d.idle.Add(-1)
			return
		}
	}
}

// call hands one message to its sender, unless the lease no longer covers it.
func (d *Dispatcher) call(j *job) result {
	var c comm.Content
	if err := store.DecodeContent(j.payload, &c); err != nil {
		d.log.Error("stored message cannot be read", "message", j.state.ID.String(), "err", err)
		return result{unreadable: true}
	}
	m := j.message(&c)
	if attempt := m.Attempt; j.head.Bytes >= lightLoad {
		m.Released = func() { d.sched.released(j, attempt) }
	}
	j.payload, j.files = nil, nil // the message has what is needed; the job outlives it
	ctx, cancel := context.WithTimeout(d.callCtx, j.account.timeout)
	defer cancel()
	if ctx.Err() != nil || !d.sched.guard.allows(j.generation) {
		return result{}
	}
	return d.send(ctx, j.account, m)
}

// send calls the adapter and catches its panics: what such a call did, nobody can tell.
func (d *Dispatcher) send(ctx context.Context, a *account, m *provider.Message) (r result) {
	r.called = true
	defer func() {
		if v := recover(); v != nil {
			d.log.Error("adapter failed", "provider", a.name, "message", m.ID.String(), "attempt", m.Attempt, "panic", fmt.Sprintf("%T", v))
			r.panicked, r.receipt = true, provider.Receipt{}
			r.answer = &provider.Error{Class: provider.Ambiguous, Code: codeInternal, Text: "the adapter failed on this message"}
		}
	}()
	receipt, err := a.sender.Send(ctx, m)
	if err == nil {
		r.receipt = receipt
		return r
	}
	r.answer = provider.Classify(err)
	if r.answer.Class == provider.Accepted { // an adapter's mistake: an error is no acceptance
		r.answer = &provider.Error{Class: provider.Ambiguous, Code: "unclassified", Text: "the adapter contradicted itself", Cause: err}
	}
	d.log.Debug("attempt refused", "provider", a.name, "message", m.ID.String(), "attempt", m.Attempt, "class", r.answer.Class.String(), "code", r.answer.Code)
	return r
}
