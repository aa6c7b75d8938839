package smtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// phase is the point of the dialogue that a reply or failure belongs to.
type phase uint8

const (
	connecting phase = iota
	greeting
	hello
	startTLS
	authentication
	mailFrom
	rcptTo
	data    // DATA and its 354
	content // the message, before its end
	final   // the final dot has been written
	ready   // logged in, asked for nothing (Verify)
)

// timeouts are how long each phase may take in all, RFC 5321 section 4.5.3.2.
// A peer that sends one octet at a time does not prolong them.
type timeouts struct {
	connect time.Duration // DNS, TCP and TLS
	command time.Duration // greeting, EHLO, AUTH, MAIL, RCPT
	brisk   time.Duration // up to AUTH, where another provider could carry the mail: longer than servers wait to see who talks first
	reused  time.Duration // first command on a reused session, which may be dead without a sign
	data    time.Duration // DATA to 354
	content time.Duration // writing the whole message
	final   time.Duration // final dot to its answer
}

func defaultTimeouts() timeouts {
	return timeouts{
		connect: 30 * time.Second,
		command: 5 * time.Minute,
		brisk:   10 * time.Second,
		reused:  30 * time.Second,
		data:    2 * time.Minute,
		content: 10 * time.Minute,
		final:   10 * time.Minute,
	}
}

// Bounds of a reply. RFC 5321 section 4.5.3.1.5 allows 512 octets a line; real servers send more.
const (
	maxReplyLine  = 4096
	maxReplyLines = 128
	maxReplyText  = 2048 // kept of it
)

// errProtocol is wrapped by what is no SMTP.
var errProtocol = errors.New("the server does not speak SMTP")

// reply is a server's answer.
type reply struct {
	code     int
	enhanced enhanced
	text     string // lines joined by a space, without code and enhanced code
}

func (r *reply) ok() bool { return r.code >= 200 && r.code < 300 }

// enhanced is a status code of RFC 3463; a zero class means that there is none.
type enhanced struct{ class, subject, detail int }

func (e enhanced) String() string { return fmt.Sprintf("%d.%d.%d", e.class, e.subject, e.detail) }

// String is how the code is shown: "550 5.1.1".
func (r *reply) String() string {
	if r.enhanced.class == 0 {
		return fmt.Sprint(r.code)
	}
	return fmt.Sprintf("%d %s", r.code, r.enhanced)
}

// wire is a connection, read by replies and written by commands.
type wire struct {
	conn  net.Conn
	below *lookout // conn, or what is below its TLS
	in    *bufio.Reader
	out   *bufio.Writer
	hurry context.Context // see under
	calm  func() bool
}

func newWire(conn net.Conn) *wire {
	l := newLookout(conn)
	return &wire{conn: l, below: l, in: bufio.NewReaderSize(l, maxReplyLine), out: bufio.NewWriterSize(l, 16<<10)}
}

// over goes on over TLS. A watcher goes on to interrupt the connection below.
func (w *wire) over(secured net.Conn) {
	w.conn = secured
	w.in.Reset(secured)
	w.out.Reset(secured)
}

// within bounds everything until the next call: by d, by ctx's deadline, and
// by ctx being cancelled if watch was called for it.
func (w *wire) within(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	if t, ok := ctx.Deadline(); ok && t.Before(until) {
		until = t
	}
	if err := w.conn.SetDeadline(until); err != nil {
		return err
	}
	// Ended before the line above: the watcher's deadline has just been overwritten.
	if w.hurry != nil && w.hurry.Err() != nil && ctx.Err() == nil {
		return errSilent
	}
	return ctx.Err()
}

// errSilent says that the message is to go elsewhere, because the server answers nobody.
var errSilent = errors.New("the server answers nobody")

// under interrupts everything until unhurried when hurry ends, if it is not nil.
func (w *wire) under(hurry context.Context) {
	if w.hurry = hurry; hurry != nil {
		w.calm = w.watch(hurry)
	}
}

// unhurried ends what under began. It answers false if the connection was interrupted, or is about to be.
func (w *wire) unhurried() bool {
	if w.hurry == nil {
		return true
	}
	w.hurry = nil
	return w.calm()
}

// watch interrupts reads and writes when ctx ends. stop answers false if it did.
func (w *wire) watch(ctx context.Context) (stop func() bool) {
	conn := w.conn // the one below TLS if TLS comes later: interrupting it interrupts both
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// put buffers one command. Parts come from checked values; a line break in one
// would be a second command, so it is refused here once more.
func (w *wire) put(parts ...string) error {
	for _, p := range parts {
		if strings.ContainsAny(p, "\r\n\x00") {
			return fmt.Errorf("%w: a command holds a line break", errProtocol)
		}
		_, _ = w.out.WriteString(p) // a bufio.Writer repeats its error at Flush
	}
	_, _ = w.out.WriteString("\r\n")
	return nil
}

// errEarly says that a reply was there before what it would answer: who takes it for
// the answer believes a server that is out of step.
var errEarly = errors.New("the server answered before it was asked")

// errTwice says that two replies contradict each other where one was due.
var errTwice = errors.New("the server answered twice, and not the same")

// inStep says whether what is about to be sent may be sent, without waiting. It
// answers errEarly when something is there that was not asked for, and the error
// when the connection is seen to have ended: what has not been sent was not taken.
//
// The one reply that a server may send unasked is 421, when it shuts down, on the
// assumption that the client takes it for the answer to its next command (RFC 5321
// section 3.8). inStep answers it, and the command need not be sent any more.
//
// What is still on its way is not seen. A reply that left the server too early and
// arrives after the command has been written looks like its answer.
func (w *wire) inStep() (reply, error) {
	start, err := w.arrived(atOnce)
	switch {
	case string(start) == "421":
		return w.reply()
	case len(start) > 0:
		return reply{}, errEarly
	}
	return reply{}, err
}

// arrived gives the first three octets, if they are there, of a reply that has
// not been read yet. With nothing there it answers neither octets nor an error.
func (w *wire) arrived(how reading) ([]byte, error) {
	w.below.reads = how
	start, err := w.in.Peek(3)
	w.below.reads = patiently
	if len(start) > 0 || errors.Is(err, errNothing) {
		return start, nil
	}
	return nil, err
}

// ask sends one command and reads its reply.
func (w *wire) ask(parts ...string) (reply, error) { return w.askLines(nil, parts...) }

// askLines does so and hands each line's text to each, if given.
func (w *wire) askLines(each func(string), parts ...string) (reply, error) {
	if r, err := w.inStep(); err != nil || r.code != 0 {
		return r, err
	}
	if err := w.put(parts...); err != nil {
		return reply{}, err
	}
	if err := w.out.Flush(); err != nil {
		return reply{}, err
	}
	return w.lines(each)
}

// reply reads one reply, possibly of several lines.
func (w *wire) reply() (reply, error) { return w.lines(nil) }

// lines reads a reply and hands each line's text to each, if given. If the
// connection fails within a reply, the error comes with what was read: a code
// other than 0 is the reply's, for no later line may change it.
func (w *wire) lines(each func(string)) (r reply, err error) {
	var text []string
	kept := 0
	for n := range maxReplyLines {
		line, err := w.line()
		if errors.Is(err, errProtocol) {
			return reply{}, err
		}
		if err != nil {
			r.text = strings.Join(text, " ")
			return r, err
		}
		code, more, rest, ok := splitReply(line)
		if !ok || n > 0 && code != r.code {
			return reply{}, fmt.Errorf("%w: a malformed reply", errProtocol)
		}
		r.code = code
		if each != nil {
			each(rest)
		}
		e, rest := cutEnhanced(code, rest)
		if n == 0 {
			r.enhanced = e
		}
		if rest != "" && kept < maxReplyText {
			text, kept = append(text, rest), kept+len(rest)
		}
		if !more {
			r.text = strings.Join(text, " ")
			return r, nil
		}
	}
	return reply{}, fmt.Errorf("%w: a reply without end", errProtocol)
}

func (w *wire) line() (string, error) {
	line, err := w.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("%w: a reply line over %d octets", errProtocol, maxReplyLine)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// splitReply takes "250-text" apart.
func splitReply(line string) (code int, more bool, rest string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	for i := range 3 {
		if line[i] < '0' || line[i] > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(line[i]-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

// cutEnhanced takes an enhanced code off the front of a reply's text. Its class
// is the basic code's where the two disagree: the basic code says whether a repeat can help.
func cutEnhanced(code int, text string) (enhanced, string) {
	var n [3]int
	at := 0
	for i := range n {
		digits := 0
		for at < len(text) && text[at] >= '0' && text[at] <= '9' && digits < 3 {
			n[i] = n[i]*10 + int(text[at]-'0')
			at, digits = at+1, digits+1
		}
		if digits == 0 {
			return enhanced{}, text
		}
		if i < 2 {
			if at == len(text) || text[at] != '.' {
				return enhanced{}, text
			}
			at++
		}
	}
	if n[0] != 2 && n[0] != 4 && n[0] != 5 || at < len(text) && text[at] != ' ' {
		return enhanced{}, text
	}
	return enhanced{code / 100, n[1], n[2]}, strings.TrimLeft(text[at:], " ")
}
