package prove

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Report is what a run found and how it was made.
type Report struct {
	Findings
	Seed      uint64
	Nodes     int
	Took      time.Duration
	Faults    map[string]int
	Requests  int // answered or not
	Silent    int // requests without an answer
	Refused   map[int]int
	Recovery  []time.Duration // from the start of a process to its first "ready", sorted
	Notes     []string
	PerSecond float64
	// Of a run that went on in a database which was restored from its backup:
	Restored *RestoredFindings `json:",omitempty"`
	Doubtful int               // messages that may have been sent since the backup
	Fresh    int               // accepted since
}

// violated adds a broken promise.
func (r *Report) violated(rule, format string, a ...any) {
	c := checker{f: r.Findings}
	c.fail(rule, format, a...)
	r.Findings = c.f
}

// OK says whether every promise held.
func (r *Report) OK() bool { return r.Broken == 0 && len(r.Notes) == 0 }

func (r *run) report(messages map[string]*Message, heard map[string]*Heard, waits []Wait) *Report {
	ev := Evidence{Entries: r.history.all(), Messages: messages, Heard: heard, Waits: waits, Ledger: r.sinks.Ledger(), Early: r.sinks.Early()}
	for _, a := range r.apps {
		ev.Policies = append(ev.Policies, a.policy)
		ev.Hooked = append(ev.Hooked, a.endpoint != "")
	}
	for _, n := range r.nodes {
		if n.crashed() {
			r.history.note("%s ended by itself; see its log", n.name)
		}
	}
	h := r.history
	out := &Report{Findings: Check(ev), Seed: r.cfg.Seed, Nodes: r.cfg.Nodes, Took: time.Since(r.started), Silent: h.lost, Refused: h.refused,
		Recovery: h.recovery, Notes: h.notes, Faults: map[string]int{}}
	for _, e := range ev.Entries {
		out.Requests += e.OK + e.Lost
	}
	slices.Sort(out.Recovery)
	for f := Kill; f <= Database; f++ {
		if n := r.count(f); n > 0 {
			out.Faults[f.String()] = n
		}
	}
	out.PerSecond = float64(out.Accepted) / out.Took.Seconds()
	return out
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "seed %d, %d node(s), %s, %.0f accepted/s\n", r.Seed, r.Nodes, r.Took.Round(time.Second), r.PerSecond)
	var faults []string
	for f := Kill; f <= Database; f++ {
		if n := r.Faults[f.String()]; n > 0 {
			faults = append(faults, fmt.Sprintf("%s %d", f, n))
		}
	}
	fmt.Fprintf(w, "faults: %s\n", strings.Join(faults, ", "))
	fmt.Fprintf(w, "requests %d, without an answer %d, refused %v\n", r.Requests, r.Silent, r.Refused)
	fmt.Fprintf(w, "accepted %d   lost %d   invented %d   stuck %d\n", r.Accepted, r.Lost, r.Invented, r.Stuck)
	fmt.Fprintf(w, "copies %d   extra %d (unknown attempts %d)   unexplained %d   marked possibleDuplicate %d\n", r.Copies, r.Extra, r.Unknown, r.Unexplained, r.Marked)
	fmt.Fprintf(w, "webhooks: events %d   posts %d   still waiting %d\n", r.Told, r.Posts, r.Waiting)
	fmt.Fprintf(w, "for later %d   cancelled %d   answered more than once %d\n", r.Scheduled, r.Cancelled, r.Repeated)
	if x := r.Restored; x != nil {
		fmt.Fprintf(w, "restored: kept %d   lost with what came after the backup %d   may have been sent %d   have another history now %d   sent again %d   accepted since %d\n",
			x.Kept, x.Lost, r.Doubtful, x.Changed, x.Again, r.Fresh)
		fmt.Fprintf(w, "feeds: read on %d events   known already %d\n", x.Read, x.Repeated)
	}
	if n := len(r.Recovery); n > 0 {
		fmt.Fprintf(w, "ready after a restart: p50 %s   p99 %s   max %s   (%d restarts)\n", round(r.Recovery[n/2]), round(r.Recovery[n*99/100]), round(r.Recovery[n-1]), n)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	for _, v := range r.Violations {
		fmt.Fprintln(w, "VIOLATION", v)
	}
	if r.Broken > len(r.Violations) {
		fmt.Fprintf(w, "… and %d more\n", r.Broken-len(r.Violations))
	}
	if r.OK() {
		fmt.Fprintln(w, "every promise held")
	} else {
		fmt.Fprintf(w, "%d violation(s), %d note(s)\n", r.Broken, len(r.Notes))
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
