package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/commserver/commserver/internal/mime"
)

// job is one mail ready to go: the envelope and the content.
type job struct {
	from string
	to   []string // the message's recipient first, then copies
	mail mime.Mail
	// release drops the mail once its end has been handed to the network: the answer may take minutes.
	release func()
	hurry   context.Context // ends when the mail should go elsewhere unless its end has been sent; nil: never
}

// result is an acceptance.
type result struct {
	reply   reply
	refused []reply // copies that the server did not take
}

// errTooLarge: the server announced a smaller limit; nothing was tried.
var errTooLarge = errors.New("the mail is larger than the server takes")

// deliver sends one mail. On any fault with an error, or a reply of 421, the
// session is of no more use.
func (ses *session) deliver(ctx context.Context, j *job, fresh bool) (result, *fault) {
	stop := ses.watch(ctx)
	ses.under(j.hurry)
	defer func() {
		if calm := ses.unhurried(); !stop() || !calm {
			ses.broken = true // the watcher may still be about to interrupt the connection
		}
	}()
	if ses.ext.size > 0 && j.mail.Size() > ses.ext.size {
		return result{}, &fault{phase: mailFrom, reply: reply{code: 552, enhanced: enhanced{5, 3, 4}, text: errTooLarge.Error()}}
	}
	if f := ses.reset(ctx, fresh); f != nil {
		return result{}, f
	}
	ses.sent++
	replies, f := ses.envelope(ctx, j, fresh)
	if f != nil && f.phase == mailFrom && f.err == nil && !ses.broken && ses.dropParameter(&f.reply) {
		if f = ses.reset(ctx, fresh); f == nil {
			replies, f = ses.envelope(ctx, j, fresh)
		}
	}
	if f != nil {
		return result{}, f
	}
	rep, f := ses.transmit(ctx, j)
	return result{reply: rep, refused: replies}, f
}

// dropParameter says whether the refusal may be about a parameter of MAIL that
// can be left out, and leaves it out from now on.
func (ses *session) dropParameter(r *reply) bool {
	if !ses.ext.sized || !slices.Contains([]int{500, 501, 502, 503, 504, 555}, r.code) || r.enhanced.subject == 1 {
		return false
	}
	ses.ext.sized = false
	return true
}

// reset clears what an earlier refused envelope may have left on the server.
func (ses *session) reset(ctx context.Context, fresh bool) *fault {
	if !ses.dirty {
		return nil
	}
	if err := ses.within(ctx, ses.commandTime(fresh)); err != nil {
		return &fault{phase: mailFrom, err: err}
	}
	if r, err := ses.ask("RSET"); err != nil || !r.ok() {
		return newFault(mailFrom, r, err)
	}
	ses.dirty = false
	return nil
}

func (ses *session) commandTime(fresh bool) (d time.Duration) {
	if fresh {
		return ses.times.command
	}
	return ses.times.reused
}

// envelope sends MAIL, RCPT and DATA, up to and including the 354. It answers
// the refusals of copies. With PIPELINING everything goes in one write and
// costs one round trip; but with several recipients DATA waits until the
// message's own recipient has been taken, because a 354 cannot be taken back.
func (ses *session) envelope(ctx context.Context, j *job, fresh bool) ([]reply, *fault) {
	if err := ses.within(ctx, ses.commandTime(fresh)); err != nil {
		return nil, &fault{phase: mailFrom, err: err}
	}
	ses.dirty = true
	size := ""
	if ses.ext.sized {
		size = " SIZE=" + strconv.FormatInt(j.mail.Size(), 10)
	}
	if ses.ext.pipelining {
		return ses.pipelined(ctx, j, size)
	}
	if r, err := ses.ask("MAIL FROM:<", j.from, ">", size); err != nil || !r.ok() {
		return nil, newFault(mailFrom, r, err)
	}
	var refused []reply
	for i, to := range j.to {
		if err := ses.within(ctx, ses.times.command); err != nil {
			return nil, &fault{phase: rcptTo, err: err}
		}
		r, err := ses.ask("RCPT TO:<", to, ">")
		if err != nil || !r.ok() && (i == 0 || r.code == 421) {
			return nil, newFault(rcptTo, r, err)
		}
		if !r.ok() {
			refused = append(refused, r)
		}
	}
	return refused, ses.askData(ctx)
}

func (ses *session) askData(ctx context.Context) *fault {
	if err := ses.within(ctx, ses.times.data); err != nil {
		return &fault{phase: data, err: err}
	}
	r, err := ses.ask("DATA")
	if err != nil || r.code != 354 {
		return newFault(data, r, err)
	}
	return nil
}

// pipelined sends the envelope in one write and matches the replies in order
// (RFC 2920). The first refusal counts: the later ones follow from it.
func (ses *session) pipelined(ctx context.Context, j *job, size string) ([]reply, *fault) {
	withData := len(j.to) == 1
	r, err := ses.askGroup(j, size, withData)
	var first *fault
	if err != nil || !r.ok() {
		if first = newFault(mailFrom, r, err); !first.keepsSession() {
			return nil, first
		}
	}
	// From here on the server has answered: the session is alive and gets its full time.
	if err := ses.within(ctx, ses.times.command); err != nil {
		return nil, firstOf(first, &fault{phase: rcptTo, err: err})
	}
	var refused []reply
	for i := range j.to {
		r, err := ses.reply()
		if err != nil || r.code == 421 || !r.ok() && i == 0 {
			f := newFault(rcptTo, r, err)
			if !f.keepsSession() {
				return nil, ses.lost(firstOf(first, f))
			}
			first = firstOf(first, f)
		} else if !r.ok() {
			refused = append(refused, r)
		}
	}
	if withData {
		return refused, ses.afterData(ctx, first)
	}
	if first != nil {
		return nil, first
	}
	return refused, ses.askData(ctx)
}

// askGroup sends the group of commands and reads the reply to the first, MAIL.
func (ses *session) askGroup(j *job, size string, withData bool) (reply, error) {
	// Only the first can be answered too early: the others' replies may come at any time from here on.
	if r, err := ses.inStep(); err != nil || r.code != 0 {
		return r, err
	}
	err := ses.put("MAIL FROM:<", j.from, ">", size)
	for _, to := range j.to {
		if err == nil {
			err = ses.put("RCPT TO:<", to, ">")
		}
	}
	if err == nil && withData {
		err = ses.put("DATA")
	}
	if err == nil {
		err = ses.out.Flush()
	}
	if err != nil {
		return reply{}, err
	}
	return ses.reply()
}

// afterData reads the reply to a DATA that was sent with the envelope. If the
// envelope was refused and the server asks for the content all the same, a
// lone dot ends it: without a recipient nothing is sent.
func (ses *session) afterData(ctx context.Context, first *fault) *fault {
	r, err := ses.reply()
	switch {
	case err != nil || r.code == 421:
		return ses.lost(firstOf(first, newFault(data, r, err)))
	case first == nil && r.code != 354:
		return newFault(data, r, nil)
	case first == nil || r.code != 354:
		return first
	case first.phase == mailFrom:
		// A server that refuses the sender and takes the recipient is out of its mind: no dot for it.
		return ses.lost(first)
	}
	if err := ses.within(ctx, ses.times.data); err != nil {
		return ses.lost(first)
	}
	if r, err := ses.ask("."); err != nil || r.code == 421 {
		return ses.lost(first)
	}
	return first
}

// lost marks the session as broken while keeping the fault that tells more.
func (ses *session) lost(f *fault) *fault {
	ses.broken = true
	return f
}

func firstOf(a, b *fault) *fault {
	if a != nil {
		return a
	}
	return b
}

// transmit writes the content and reads the answer to the final dot.
func (ses *session) transmit(ctx context.Context, j *job) (reply, *fault) {
	if err := ses.within(ctx, ses.times.content); err != nil {
		return reply{}, &fault{phase: content, err: err}
	}
	dots := &dotWriter{out: ses.out}
	if _, err := j.mail.WriteTo(dots); err != nil {
		return reply{}, &fault{phase: content, err: fmt.Errorf("write the mail: %w", err)}
	}
	if err := ctx.Err(); err != nil {
		return reply{}, &fault{phase: content, err: err} // the dot has not been written: still clean
	}
	if r, err := ses.inStep(); err != nil || r.code != 0 {
		return reply{}, newFault(content, r, err) // likewise
	}
	if !ses.unhurried() {
		return reply{}, ses.lost(&fault{phase: content, err: errSilent})
	}
	if err := dots.end(); err != nil {
		// The last octets were not handed over, so the server cannot have seen the end.
		return reply{}, &fault{phase: content, err: fmt.Errorf("write the end of the mail: %w", err)}
	}
	if j.release != nil {
		j.release()
	}
	if err := ses.within(ctx, ses.times.final); err != nil {
		return reply{}, &fault{phase: final, err: err}
	}
	r, err := ses.verdict()
	if err != nil || !r.ok() {
		return reply{}, newFault(final, r, err)
	}
	ses.dirty = false
	return r, nil
}

// verdict reads the answer to the final dot.
func (ses *session) verdict() (reply, error) {
	r, err := ses.reply()
	if err != nil && r.code != 0 {
		// The connection broke within an answer of several lines: the first has said it all.
		ses.broken = true
		return r, nil
	}
	if err != nil {
		return r, err
	}
	// Where a second reply came with it one of the two was early, and which cannot be told: it
	// may have crossed the dot. A 421 only says good-bye. One that comes later is found by the next
	// command on this session, so that this look need not ask the system.
	second, _ := ses.arrived(notAtAll)
	if len(second) == 0 {
		return r, nil
	}
	ses.broken = true
	if string(second) != "421" && (second[0] == '2') != r.ok() {
		return reply{}, errTwice
	}
	return r, nil
}
