package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/address"
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
		name, began := j.account.name, d.cfg.Now() // the job is another's once it was given up
		r := d.call(j)
		if r.called {
			d.cfg.Meter.Called(name, r.class(), d.cfg.Now().Sub(began))
		}
		d.sched.answer(j, r)
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
	if j.brisk {
		ctx = provider.ConnectWithin(ctx, briskDial)
	}
	left, err := d.leaveOut(ctx, m.App, &c)
	if errors.Is(err, errCopy) {
		d.log.Error("a copy's address in a stored message cannot be read", "message", m.ID.String())
		return result{unreadable: true}
	}
	if err != nil {
		d.log.Warn("the opt-out list cannot be asked about copies; the message is tried again", "message", m.ID.String(), "err", err)
	}
	if err != nil || ctx.Err() != nil || !d.sched.guard.allows(j.generation) {
		return result{}
	}
	r := d.send(ctx, j.account, m)
	if left > 0 && r.answer == nil {
		r.receipt.Detail = strings.TrimPrefix(r.receipt.Detail+fmt.Sprintf("; %d of the copies left out: on the opt-out list", left), "; ")
	}
	return r
}

// errCopy says that an address of a copy is none, which another try would find again.
var errCopy = errors.New("a copy's address cannot be read")

// leaveOut takes copies off a mail whose addresses are on the app's opt-out list, and
// answers how many. The start of the attempt has asked about the recipient; it is stored,
// so that what joined the list before it is seen here.
func (d *Dispatcher) leaveOut(ctx context.Context, app comm.ID, c *comm.Content) (left int, err error) {
	if d.cfg.Suppressions == nil || len(c.CC)+len(c.BCC) == 0 {
		return 0, nil
	}
	keys := make([]string, 0, len(c.CC)+len(c.BCC))
	for _, text := range slices.Concat(c.CC, c.BCC) {
		email, err := address.ParseEmail(text)
		if err != nil {
			return 0, errCopy
		}
		keys = append(keys, email.Key)
	}
	listed, err := d.cfg.Suppressions.SuppressedOf(ctx, app, comm.Email, keys)
	if err != nil {
		return 0, fmt.Errorf("look the copies up: %w", err)
	}
	if len(listed) == 0 {
		return 0, nil
	}
	n := 0
	for _, list := range []*[]string{&c.CC, &c.BCC} {
		kept := make([]string, 0, len(*list))
		for _, text := range *list {
			if !slices.Contains(listed, keys[n]) {
				kept = append(kept, text)
			}
			n++
		}
		left += len(*list) - len(kept)
		*list = kept
	}
	return left, nil
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
