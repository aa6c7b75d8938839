package sqlstore

import (
	"encoding/binary"
	"errors"

	"github.com/commserver/commserver/internal/comm"
)

// TallyItem is what one event counts.
type TallyItem struct {
	App      comm.ID
	Channel  comm.Channel
	Cause    comm.Cause
	From, To comm.Status
	Wait     uint16 // a code of WaitCode, 0 for none
	Provider string
}

// WaitCode names the bucket of a wait that ended with SENT, of those that are
// measured: the first generation's, since a RETRY may come days later.
func WaitCode(s *comm.State) uint16 {
	if s.Generation != 1 {
		return 0
	}
	return uint16(comm.WaitBucket(s.SentAt.Sub(max(s.CreatedAt, s.ScheduledAt)))) + 1 + scheduledCode*uint16(flag(s.ScheduledAt > s.CreatedAt))
}

// Bits of what a transaction says of an item.
const (
	scheduledCode = 256  // the wait began at scheduledAt
	codeBits      = 1024 // codes are less
	elseCode      = 1024 // the second outcome came true, not the first
	orderBits     = 2048 // items are numbered above that
)

// Tally is what a transaction counts, as one append-only row. Its items are certain
// (Add), or depend on what the transaction finds (Expect): for these the row has
// beside it the numbers of those that came true, times 2048, plus a code, or NULL
// when each came true with code 0. What is expected is of one kind. The zero value is empty.
type Tally struct {
	// At is when the last of its events happened.
	At     comm.Micros
	places map[TallyItem]int
	items  []TallyItem
	counts []uint64
	kind   Expectation
	orders [][2]int // places of the expected ones; -1 for none
}

// Expectation says how codes of expected items are read.
type Expectation uint8

// The kinds.
const (
	Certain Expectation = iota
	// Accepts: code 0.
	Accepts
	// Finishes: the code is a WaitCode; with elseCode the second outcome was written.
	Finishes
	// Starts: with code 0 the attempt began, else the code is the cause of the
	// message's end; the second outcome, a failed attempt, is counted besides.
	Starts
)

// Reset empties the tally.
func (t *Tally) Reset() {
	clear(t.places)
	t.items, t.counts, t.orders, t.kind, t.At = t.items[:0], t.counts[:0], t.orders[:0], Certain, 0
}

// Empty says that there is nothing to write.
func (t *Tally) Empty() bool { return len(t.items) == 0 }

// Add counts an event that is written for certain.
func (t *Tally) Add(it TallyItem, at comm.Micros) {
	t.counts[t.place(it)]++
	t.At = max(t.At, at)
}

// Event counts an event of a change.
func (t *Tally) Event(after *comm.State, e *comm.Event) {
	it := TallyItem{App: e.App, Channel: after.Channel, Cause: e.Type, From: e.From, To: e.To, Provider: e.Provider}
	if e.Type == comm.CauseProviderAccepted {
		it.Wait = WaitCode(after)
	}
	t.Add(it, e.At)
}

// Expect appends what is counted if the next item comes true.
func (t *Tally) Expect(kind Expectation, first TallyItem, second *TallyItem) {
	o := [2]int{t.place(first), -1}
	if second != nil {
		o[1] = t.place(*second)
	}
	t.kind = kind
	t.orders = append(t.orders, o)
}

func (t *Tally) place(it TallyItem) int {
	if n := len(t.items); n > 0 && t.items[n-1] == it {
		return n - 1
	}
	if p, there := t.places[it]; there {
		return p
	}
	if t.places == nil {
		t.places = map[TallyItem]int{}
	}
	p := len(t.items)
	t.places[it] = p
	t.items, t.counts = append(t.items, it), append(t.counts, 0)
	return p
}

// Encode writes the tally: apps and providers once each, then the items, then what is expected.
func (t *Tally) Encode() []byte {
	apps, providers := map[comm.ID]uint64{}, map[string]uint64{}
	var appBytes, providerBytes, body []byte
	for i := range t.items {
		it := &t.items[i]
		a, there := apps[it.App]
		if !there {
			a = uint64(len(apps))
			apps[it.App] = a
			appBytes = append(appBytes, it.App[:]...)
		}
		p, there := providers[it.Provider]
		if !there {
			p = uint64(len(providers))
			providers[it.Provider] = p
			providerBytes = append(binary.AppendUvarint(providerBytes, uint64(len(it.Provider))), it.Provider...)
		}
		body = binary.AppendUvarint(binary.AppendUvarint(body, a), p)
		body = append(body, byte(it.Channel), byte(it.Cause), byte(it.From)<<4|byte(it.To))
		body = binary.AppendUvarint(binary.AppendUvarint(body, uint64(it.Wait)), t.counts[i])
	}
	out := make([]byte, 0, 8+len(appBytes)+len(providerBytes)+len(body)+2*len(t.orders))
	out = append(binary.AppendUvarint(append(out, byte(t.kind)), uint64(len(apps))), appBytes...)
	out = append(binary.AppendUvarint(out, uint64(len(providers))), providerBytes...)
	out = append(binary.AppendUvarint(out, uint64(len(t.items))), body...)
	for _, o := range t.orders {
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(o[0])), uint64(o[1]+1))
	}
	return out
}

var errTally = errors.New("a row of table tallies cannot be read")

// tallyReader takes a tally apart; it notes the first mistake.
type tallyReader struct {
	b   []byte
	bad bool
}

func (r *tallyReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *tallyReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// size is a number of things that take so many bytes each at least.
func (r *tallyReader) size(each int) int {
	n := r.number()
	if n > uint64(len(r.b)/each) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *tallyReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// ReadTally calls add for what a row of tallies counts. Took is the row's second
// half; nil when each item came true. Of a row that cannot be read nothing is added.
func ReadTally(row []byte, took []int32, add func(it *TallyItem, n int64)) error {
	r := &tallyReader{b: row}
	kind := Expectation(r.byte())
	apps := make([]comm.ID, r.size(len(comm.ID{})))
	for i := range apps {
		copy(apps[i][:], r.bytes(uint64(len(apps[i]))))
	}
	providers := make([]string, r.size(1))
	for i := range providers {
		providers[i] = string(r.bytes(r.number()))
	}
	items, counts := make([]TallyItem, r.size(7)), []int64(nil)
	counts = make([]int64, len(items))
	for i := range items {
		a, p := r.number(), r.number()
		if a >= uint64(len(apps)) || p >= uint64(len(providers)) {
			return errTally
		}
		it := TallyItem{App: apps[a], Provider: providers[p], Channel: comm.Channel(r.byte()), Cause: comm.Cause(r.byte())}
		status := r.byte()
		it.From, it.To = comm.Status(status>>4), comm.Status(status&15)
		it.Wait, counts[i] = uint16(r.number()), int64(r.number())
		items[i] = it
	}
	var orders [][2]int
	for kind != Certain && len(r.b) > 0 && !r.bad {
		o := [2]int{int(r.number()), int(r.number()) - 1}
		if o[0] < 0 || o[0] >= len(items) || o[1] < -1 || o[1] >= len(items) { // a number may be past what an int holds
			return errTally
		}
		orders = append(orders, o)
	}
	if r.bad || kind != Certain && !takes(kind, orders, took) {
		return errTally
	}
	for i := range items {
		if counts[i] != 0 { // that of an item which is only expected is 0
			add(&items[i], counts[i])
		}
	}
	if kind != Certain {
		expected(kind, items, orders, took, add)
	}
	return nil
}

// takes says whether everything that came true was expected.
func takes(kind Expectation, orders [][2]int, took []int32) bool {
	for _, v := range took {
		n, code := int(v/orderBits), v%orderBits
		if v < 0 || n >= len(orders) || kind == Finishes && code&elseCode != 0 && orders[n][1] < 0 {
			return false
		}
	}
	return true
}

// expected counts what came true, which takes has looked at.
func expected(kind Expectation, items []TallyItem, orders [][2]int, took []int32, add func(it *TallyItem, n int64)) {
	if took == nil {
		for _, o := range orders {
			add(&items[o[0]], 1)
			if kind == Starts && o[1] >= 0 {
				add(&items[o[1]], 1)
			}
		}
		return
	}
	for _, v := range took {
		n, code := int(v/orderBits), v%orderBits
		it, second := items[orders[n][0]], orders[n][1]
		switch {
		case kind == Starts && code != 0:
			cause := comm.Cause(code)
			it = TallyItem{App: it.App, Channel: it.Channel, Cause: cause, From: it.From, To: endOf(cause, it.From)}
		case kind == Finishes && code&elseCode != 0:
			it = items[second]
		}
		if kind == Finishes {
			it.Wait = uint16(code % codeBits)
		}
		add(&it, 1)
		if kind == Starts && second >= 0 {
			add(&items[second], 1)
		}
	}
}

// AsideAt is the time of a row of tallies that was set aside because it cannot be read, or the span of one of statistics: before all times, so that
// nobody who looks for rows from an instant on meets it again. Its own inverse.
func AsideAt(at comm.Micros) comm.Micros { return -1 - at }

// endOf is the status that a start's check leads to.
func endOf(cause comm.Cause, from comm.Status) comm.Status {
	for _, e := range comm.Edges() {
		if e.Cause == cause && e.From == from {
			return e.To
		}
	}
	// A check of a round under way says what that of a queued message says.
	for _, e := range comm.Edges() {
		if e.Cause == cause {
			return e.To
		}
	}
	return from
}
