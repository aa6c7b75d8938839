package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Trace is a row of refs: what a provider's id stands for.
type Trace struct {
	Provider comm.ID
	Ref      string
	App      comm.ID
	Message  comm.ID
	Attempt  int
	At       comm.Micros
	AskAt    comm.Micros // 0 = never
}

// TraceColumns are the columns of table refs.
const TraceColumns = `provider_id, ref, app_id, message_id, attempt, at, ask_at, asked`

// TraceAgain follows an INSERT of TraceColumns: of one id the newest message counts.
const TraceAgain = ` ON CONFLICT (provider_id, ref) DO UPDATE SET app_id = excluded.app_id, message_id = excluded.message_id,
  attempt = excluded.attempt, at = excluded.at, ask_at = excluded.ask_at, asked = excluded.asked`

// trace keeps what a later report of an accepted attempt names it by.
func (c *Change) trace(o *store.Outcome, attempt int, now comm.Micros) {
	if !o.Traced || o.Ref == "" {
		return
	}
	c.Trace = &Trace{Provider: o.ProviderID, Ref: o.Ref, App: c.After.App, Message: c.After.ID, Attempt: attempt, At: now}
	if o.AskIn > 0 {
		c.Trace.AskAt = now + comm.Micros(o.AskIn)
	}
}

// maxSaid bounds how many events of reports a message's log takes that change no status: clicks, repetitions.
const maxSaid = 50

// Report applies a report to the row; log is the message's events so far, attempt the one that the report is about. It
// waits when the report is to be told again. foreign is of Meant.
func Report(s *comm.State, log []comm.Event, from *store.Report, attempt int, foreign bool, node string, now comm.Micros) (c Change, result store.ReportResult) {
	r := from
	if foreign {
		own := *from
		own.Ref = ""
		r = &own
	}
	c = Change{Before: *s, After: *s}
	told := r.Told
	told.Attempt = attempt
	steps, waits := comm.Tell(s, log, told)
	if waits {
		return c, store.ReportParked
	}
	result = store.ReportKnown
	for _, step := range steps {
		e := reported(r, step, attempt, node)
		if step.To == s.Status && c.After.Status == s.Status {
			if !heard(log, &e) {
				c.log(s.Status, now, e)
				result = store.ReportLogged
			}
			continue
		}
		before := c.After.Status
		enter(&c.After, step.To, 0, now)
		c.proved(r, step)
		c.log(before, now, e)
		if before != step.To {
			result = store.ReportMoved
		}
	}
	if result != store.ReportKnown && suppresses(steps, s) && !(r.Fate == comm.FateUndelivered && saidBefore(log, attempt)) {
		c.Suppress, c.Within = r.Suppress, r.Within
	}
	if result == store.ReportMoved && c.After.ProviderRef != "" && r.Ref != "" && c.After.ProviderRef == r.Ref && s.ProviderRef == "" {
		c.Trace = &Trace{Provider: r.Provider, Ref: r.Ref, App: s.App, Message: s.ID, Attempt: attempt, At: now}
	}
	return c, result
}

// proved fills the columns of a message that a report brings to another status: what its event says, and no more.
func (c *Change) proved(r *store.Report, step comm.Step) {
	a := &c.After
	a.Flags &^= comm.FailureCorrectable
	if step.Cause != comm.CauseReportFailed {
		onlyOnce(a)
	}
	a.Provider, a.ProviderID = r.Name, r.Provider
	if r.Ref != "" {
		a.ProviderRef = r.Ref
	}
	a.ErrorCode, a.ErrorText = "", ""
	if step.Cause == comm.CauseReportFailed {
		a.ErrorCode, a.ErrorText = failureCode(r), r.Text
		if r.Correctable {
			a.Flags |= comm.FailureCorrectable
		}
	}
	if a.SentAt == 0 { // FAILED to DELIVERED: it was sent, and nobody knew when
		a.SentAt = a.DeliveredAt
	}
}

// failureCode is the provider's word, or ours where it has none.
func failureCode(r *store.Report) string {
	if r.Code == "" {
		return comm.CauseReportFailed.String()
	}
	return r.Code
}

// reported is the event of a step.
func reported(r *store.Report, step comm.Step, attempt int, node string) comm.Event {
	e := comm.Event{Type: step.Cause, Attempt: attempt, Node: node, Provider: r.Name, ProviderID: r.Provider, Ref: r.Ref}
	if r.Fate == comm.FateUndelivered {
		e.ErrorCode = failureCode(r)
	}
	var words []string
	if step.Cause == comm.CauseReportDuplicate || step.Cause == comm.CauseReportOutOfOrder {
		words = append(words, r.Fate.String())
	}
	if r.Code != "" && e.ErrorCode == "" {
		words = append(words, r.Code)
	}
	if r.Text != "" {
		words = append(words, r.Text)
	}
	const most = 256 // as all details
	e.Detail = comm.Storable(strings.Join(words, ": "), most)
	return e
}

// heard says whether the log holds the event already, or enough of its kind.
func heard(log []comm.Event, e *comm.Event) bool {
	n := 0
	for i := range log {
		x := &log[i]
		if x.From != x.To {
			continue
		}
		switch x.Type {
		case comm.CauseReportNoted, comm.CauseReportDuplicate, comm.CauseReportOutOfOrder, comm.CauseComplaint, comm.CauseBouncedAfterDelivery:
			n++
		}
		if x.Type == e.Type && x.Attempt == e.Attempt && x.ErrorCode == e.ErrorCode && x.Detail == e.Detail {
			return true
		}
	}
	return n >= maxSaid
}

// saidBefore says whether the log holds already that the attempt's message did not arrive.
func saidBefore(log []comm.Event, attempt int) bool {
	return slices.ContainsFunc(log, func(e comm.Event) bool {
		return e.Attempt == attempt && (e.Type == comm.CauseReportFailed || e.Type == comm.CauseBouncedAfterDelivery)
	})
}

// suppresses says whether the recipient joins the app's suppressions by what these steps say: not when it was said before
// (somebody may have taken it off since), and not against the proof that a message arrived.
func suppresses(steps []comm.Step, s *comm.State) bool {
	for _, step := range steps {
		if step.Cause == comm.CauseReportDuplicate || step.Cause == comm.CauseReportOutOfOrder && s.Status == comm.Delivered {
			return false
		}
	}
	return true
}

// Meant is what a report's own words say about which message it is of: what the provider's id stands for, and what our callback
// URL named, as far as its attempt went through the configuration.
type Meant struct {
	Traced, Named Attempt // of which either may be nobody's; Named without an attempt is what a tag named
	Known         bool    // the log names the attempt in the URL by an id of the provider
	Same          bool    // by the one that the report has
}

// Attempt is a message's; without a message it is nobody's.
type Attempt struct {
	App, Message comm.ID
	Attempt      int
}

// Of decides where the two differ (docs/decisions/0010-receipts.md): we made the URL, for this attempt alone, and providers use
// ids again; but where the attempt is known by another id the provider contradicts the URL twice, as one does that remembers
// one URL for all. With foreign the report's id is another message's, and must not be kept with this one.
func (m *Meant) Of() (a Attempt, foreign bool) {
	switch {
	case m.Named.Message.IsZero(), m.Named.Attempt == 0 && !m.Traced.Message.IsZero():
		return m.Traced, false
	case m.Traced.Message.IsZero(), m.Traced.Message == m.Named.Message && m.Traced.App == m.Named.App, m.Same:
		return m.Named, false
	case m.Known:
		return m.Traced, false
	}
	return m.Named, true
}

// ParkedColumns are the columns of table parked.
const ParkedColumns = `id, app_id, provider_id, name, ref, message_id, attempt, fate, correctable, suppress, code, detail, since, due`

// Park says what becomes of a report that found no message, or whose attempt is under way: when it is told again, and
// under which id it is kept; ok is false when it was kept for long enough. It came now if its node's clock says later.
func Park(r *store.Report, underWay bool, now comm.Micros) (id comm.ID, due comm.Micros, ok bool) {
	r.Since = min(r.Since, now)
	age := now.Sub(r.Since)
	if age >= store.ParkedFor {
		return id, 0, false
	}
	const rest = 2 * time.Second // of what the store has refused: whoever holds its message needs a moment
	wait := store.NextLook(age, underWay)
	if r.Later {
		wait = max(wait, rest)
	}
	// Of one moment they are due in the order of a message's life: a complaint after the delivery.
	return parkedID(r), now.Add(wait) + comm.Micros(r.Fate), true
}

// parkedID is a hash of what a report says: the same one is kept once.
func parkedID(r *store.Report) (id comm.ID) {
	h := sha256.New()
	h.Write(r.Provider[:])
	h.Write(r.Message[:])
	var n [2 + 8]byte
	n[0] = byte(r.Fate)
	if r.Correctable {
		n[1] = 1
	}
	binary.BigEndian.PutUint64(n[2:], uint64(r.Attempt))
	h.Write(n[:])
	for _, s := range []string{r.Ref, r.Suppress, r.Code, r.Text} {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	copy(id[:], h.Sum(nil))
	return id
}
