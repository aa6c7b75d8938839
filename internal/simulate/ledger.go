package simulate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// What happened to a request.
const (
	Accepted  = "accepted"  // taken: the provider is responsible for a copy more
	Repeated  = "repeated"  // taken before under the same idempotency key; no copy more
	Refused   = "refused"   // a definite error
	Throttled = "throttled" // 429
	Failed    = "failed"    // 5xx, nothing taken
	Hung      = "hung"      // no answer, nothing taken
	Reset     = "reset"     // the connection was reset, nothing taken
	Answered  = "answered"  // a query, or a delivery to a receiver
	Reported  = "reported"  // a report that the target answered with 2xx
	Unheard   = "unheard"   // a report that the target did not answer so
)

// Kinds of lines.
const (
	KindSend   = "send"   // a message, one line for each recipient
	KindQuery  = "query"  // any other request to a provider
	KindReport = "report" // a report sent to a callback URL
	KindHook   = "hook"   // a delivery to a webhook receiver
)

// Entry is one line of the ledger. It never holds credentials.
type Entry struct {
	Sequence   int64     `json:"sequence"`
	Request    int64     `json:"request,omitzero"` // lines of one request share it
	At         time.Time `json:"at"`
	Kind       string    `json:"kind"`
	Type       string    `json:"type,omitzero"`
	Port       int       `json:"port,omitzero"`
	Method     string    `json:"method,omitzero"`
	Path       string    `json:"path,omitzero"` // without its query
	Sender     string    `json:"from,omitzero"`
	Recipient  string    `json:"recipient,omitzero"`
	ProviderID string    `json:"providerId,omitzero"`
	Token      string    `json:"token,omitzero"` // idempotency key, Message-ID or event id
	Outcome    string    `json:"outcome"`
	Error      string    `json:"error,omitzero"` // the documented error that was answered
	Event      string    `json:"event,omitzero"` // of a report: its status
	Fault      Fault     `json:"fault,omitzero"`
	Rule       string    `json:"rule,omitzero"`
	Status     int       `json:"status,omitzero"` // that was answered
	AnswerLost bool      `json:"answerLost,omitzero"`
	Copy       int       `json:"copy,omitzero"` // which copy of the message this is, from 1
	BodySHA256 string    `json:"bodySha256,omitzero"`
	Bytes      int64     `json:"bytes,omitzero"`
	Content    string    `json:"content,omitzero"` // the message's text, where it is kept
}

// Filter chooses lines. A zero field chooses all.
type Filter struct {
	Kind, Type, Recipient, Outcome, Token, ProviderID string
	Port                                              int
	After                                             int64 // sequence
	Limit                                             int
	Least                                             int // of Copies: at least so many
}

func (f Filter) matches(e *Entry) bool {
	same := func(want, is string) bool { return want == "" || want == is }
	return same(f.Kind, e.Kind) && same(f.Type, e.Type) && same(f.Outcome, e.Outcome) && same(f.Token, e.Token) && same(f.ProviderID, e.ProviderID) &&
		(f.Port == 0 || f.Port == e.Port) && like(f.Recipient, e.Recipient)
}

// Copies is how often one message was taken: what has one type, recipient and
// token, or where the provider has no token, one body.
type Copies struct {
	Type        string   `json:"type"`
	Recipient   string   `json:"recipient"`
	Token       string   `json:"token,omitzero"`
	BodySHA256  string   `json:"bodySha256,omitzero"` // of the last copy
	Copies      int      `json:"copies"`
	AnswersLost int      `json:"answersLost"`
	ProviderIDs []string `json:"providerIds"` // the first ten
}

// Count is how many lines there were of one sort, forgotten ones included.
type Count struct {
	Kind    string `json:"kind"`
	Type    string `json:"type"`
	Outcome string `json:"outcome"`
	Lines   int64  `json:"lines"`
	Lost    int64  `json:"answersLost"`
}

// Bounds of the ledger beside its number of lines.
const (
	maxContent     = 64 << 10
	maxAllContent  = 64 << 20
	maxCopyKeys    = 200_000
	maxProviderIDs = 10
)

// ledger holds the last lines, in order, and counts of all.
type ledger struct {
	limit int
	told  func(Entry) // nil: nobody

	mu      sync.Mutex
	last    int64   // sequence
	lines   []Entry // a ring once it is full; oldest at next
	next    int
	content int64 // octets of content held
	copies  *recent[string, *Copies]
	counts  map[[3]string]*Count
	file    *os.File
	broken  error // why the file is no longer written
}

func newLedger(limit int, path string, told func(Entry)) (*ledger, error) {
	l := &ledger{limit: limit, told: told}
	l.forget()
	if path == "" {
		return l, nil
	}
	var err error
	if l.file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("open the ledger's file: %w", err)
	}
	return l, nil
}

// forget empties the memory. Sequences go on, so that lines of the file stay apart.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.next, l.content = nil, 0, 0
	l.copies, l.counts = newRecent[string, *Copies](maxCopyKeys), map[[3]string]*Count{}
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return l.broken
	}
	err := errors.Join(l.broken, l.file.Close())
	l.file = nil
	return err
}

// enter appends a line and answers it with its sequence and, of a copy taken, its number.
func (l *ledger) enter(e Entry) Entry {
	e = l.append(e)
	if l.told != nil {
		l.told(e)
	}
	return e
}

func (l *ledger) append(e Entry) Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Sequence = l.last
	if len(e.Content) > maxContent {
		e.Content = e.Content[:maxContent]
	}
	if e.Kind == KindSend && e.Outcome == Accepted {
		e.Copy = l.copy(&e)
	}
	c := l.count(&e)
	c.Lines++
	if e.AnswerLost {
		c.Lost++
	}
	l.push(e)
	l.write(&e)
	return e
}

// lose notes that the answer of a line that is already there was lost.
func (l *ledger) lose(sequence int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.at(sequence)
	if e == nil || e.AnswerLost {
		return
	}
	e.AnswerLost = true
	l.count(e).Lost++
	if c, found := l.copies.get(copyKey(e)); found && e.Copy > 0 {
		c.AnswersLost++
	}
	l.write(e)
}

// at is the line in memory with that sequence; they are without gaps.
func (l *ledger) at(sequence int64) *Entry {
	back := int(l.last - sequence)
	if back < 0 || back >= len(l.lines) {
		return nil
	}
	return &l.lines[(l.next+len(l.lines)-1-back)%len(l.lines)]
}

func (l *ledger) push(e Entry) {
	l.content += int64(len(e.Content))
	if len(l.lines) < l.limit {
		l.lines = append(l.lines, e)
	} else {
		l.content -= int64(len(l.lines[l.next].Content))
		l.lines[l.next] = e
		l.next = (l.next + 1) % l.limit
	}
	for i := 0; l.content > maxAllContent && i < len(l.lines); i++ {
		old := &l.lines[(l.next+i)%len(l.lines)]
		l.content -= int64(len(old.Content))
		old.Content = ""
	}
}

func (l *ledger) count(e *Entry) *Count {
	k := [3]string{e.Kind, e.Type, e.Outcome}
	c := l.counts[k]
	if c == nil {
		c = &Count{Kind: e.Kind, Type: e.Type, Outcome: e.Outcome}
		l.counts[k] = c
	}
	return c
}

func copyKey(e *Entry) string {
	last := e.Token
	if last == "" {
		last = e.BodySHA256
	}
	return e.Type + "\x00" + plain(e.Recipient) + "\x00" + last
}

func (l *ledger) copy(e *Entry) int {
	k := copyKey(e)
	c, found := l.copies.get(k)
	if !found {
		c = &Copies{Type: e.Type, Recipient: e.Recipient, Token: e.Token}
		l.copies.put(k, c)
	}
	c.Copies++
	c.BodySHA256 = e.BodySHA256
	if e.AnswerLost {
		c.AnswersLost++
	}
	if len(c.ProviderIDs) < maxProviderIDs {
		c.ProviderIDs = append(c.ProviderIDs, e.ProviderID)
	}
	return c.Copies
}

// write appends a line to the file. A line that comes a second time replaces the first.
func (l *ledger) write(e *Entry) {
	if l.file == nil || l.broken != nil {
		return
	}
	raw, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(raw, '\n'))
	}
	if err != nil {
		l.broken = fmt.Errorf("the ledger's file ends at line %d: %w", e.Sequence, err)
	}
}

func (l *ledger) find(f Filter) (out []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.lines {
		e := &l.lines[(l.next+i)%len(l.lines)]
		if e.Sequence > f.After && f.matches(e) {
			out = append(out, *e)
			if f.Limit > 0 && len(out) >= f.Limit {
				break
			}
		}
	}
	return out
}

func (l *ledger) copiesOf(f Filter) (out []Copies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies.each(func(_ string, c *Copies) bool {
		if (f.Type == "" || f.Type == c.Type) && (f.Token == "" || f.Token == c.Token) && c.Copies >= f.Least && like(f.Recipient, c.Recipient) {
			one := *c
			one.ProviderIDs = append([]string(nil), c.ProviderIDs...)
			out = append(out, one)
		}
		return f.Limit <= 0 || len(out) < f.Limit
	})
	return out
}

// sums are the counts, and how many lines were forgotten.
func (l *ledger) sums() (out []Count, forgotten int64, broken error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all int64
	for _, c := range l.counts {
		out = append(out, *c)
		all += c.Lines
	}
	return out, all - int64(len(l.lines)), l.broken
}
