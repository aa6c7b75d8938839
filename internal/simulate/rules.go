package simulate

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// rules are the orders in force, in the order in which they were given: the first
// one that meets a request decides about its answer, all that meet it about its reports.
type rules struct {
	seed uint64
	mu   sync.Mutex
	all  []*standing
	made int
}

// standing is a rule with how often it was obeyed.
type standing struct {
	Rule
	Hits   int  `json:"hits"`
	Active bool `json:"active"`

	begun  time.Time // the window of Above that requests were last counted in
	passed int       // how many of it
}

func newRules(seed uint64) *rules { return &rules{seed: seed} }

func (s *rules) add(r Rule, now time.Time) (string, error) {
	if err := r.check(); err != nil {
		return "", err
	}
	if r.From.IsZero() {
		r.From = now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) >= maxRules {
		return "", comm.E("too_many_items", "There are %d rules already; remove one first.", maxRules)
	}
	taken := func(id string) bool {
		return slices.ContainsFunc(s.all, func(o *standing) bool { return o.ID == id })
	}
	for r.ID == "" || taken(r.ID) {
		if r.ID != "" {
			return "", comm.E("already_exists", "There is a rule %s already; remove it first.", r.ID).Field("id", "is taken")
		}
		for id := ""; r.ID == ""; {
			s.made++
			if id = "r" + strconv.Itoa(s.made); !taken(id) {
				r.ID = id
			}
		}
	}
	s.all = append(s.all, &standing{Rule: r})
	return r.ID, nil
}

func (s *rules) remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.all)
	s.all = slices.DeleteFunc(s.all, func(r *standing) bool { return r.ID == id })
	return len(s.all) < before
}

func (s *rules) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = nil
}

func (s *rules) list(now time.Time) []standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]standing, len(s.all))
	for i, r := range s.all {
		out[i] = *r
		out[i].Active = r.active(now)
	}
	return out
}

// down says whether the whole of a type is down on a port.
func (s *rules) down(kind string, port int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all, func(r *standing) bool {
		return r.everywhere() && (r.Type == "" || r.Type == kind) && (r.Port == 0 || r.Port == port) && r.active(now)
	})
}

// meeting is a request as rules see it.
type meeting struct {
	kind  string
	port  int
	relay int    // which of the mail relays, from 0
	to    string // empty: not known yet
	nth   int    // of the recipient's requests, from 1
	now   time.Time
}

// verdict is what the rules say of a request.
type verdict struct {
	answer  Rule // Fault is empty when nothing is ordered
	reports []Rule
}

// judge asks the rules about a message. When stage is not empty, it asks a mail relay's
// refusals of that stage alone, before any recipient is known.
func (s *rules) judge(m meeting, stage string) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	var v verdict
	decided := false
	for _, r := range s.all {
		row, _ := faultRow(r.Fault)
		switch {
		case !row.Report && decided, early(r.Rule, m.kind) != stage, !s.meets(r, m):
			continue
		case row.Report:
			v.reports = append(v.reports, r.Rule)
		default:
			v.answer, decided = r.Rule, true
		}
		r.Hits++
	}
	if own, ordered := fixed(m.to); ordered && (own.First == 0 || m.nth <= own.First) {
		switch row, _ := faultRow(own.Fault); {
		case row.Report:
			v.reports = append(v.reports, own)
		case !decided:
			v.answer = own
		}
	}
	return v
}

// early is the stage of a mail relay's refusal that comes before any recipient, "" for all else.
func early(r Rule, kind string) string {
	if r.Fault != Refuse || kind != SMTP {
		return ""
	}
	if e, found := refusal(SMTP, r.Error); found && e.Stage != stageRcpt && e.Stage != stageData {
		return e.Stage
	}
	return ""
}

func (s *rules) meets(r *standing, m meeting) bool {
	switch {
	case r.Type != "" && r.Type != m.kind, r.Port != 0 && r.Port != m.port, !like(r.Recipient, m.to), !r.active(m.now):
		return false
	case r.First != 0 && m.nth > r.First, r.Times != 0 && r.Hits >= r.Times:
		return false
	case r.Share != 0 && r.Share < 1 && chance(s.seed, "share", r.ID, m.kind, strconv.Itoa(m.relay), plain(m.to), strconv.Itoa(m.nth)) >= r.Share:
		return false
	case r.Above == 0:
		return true
	}
	if begin, _ := r.window(m.now); !begin.Equal(r.begun) {
		r.begun, r.passed = begin, 0
	}
	r.passed++
	return r.passed > r.Above
}

// draw makes what looks random of a seed and what is drawn for: equal for equal
// words, in whatever order things are drawn.
func draw(seed uint64, words ...string) [32]byte {
	h := sha256.New()
	var number [8]byte
	put := func(n uint64) {
		binary.BigEndian.PutUint64(number[:], n)
		h.Write(number[:])
	}
	put(seed)
	for _, w := range words {
		put(uint64(len(w)))
		h.Write([]byte(w))
	}
	return [32]byte(h.Sum(nil))
}

// chance draws a number from 0 up to 1.
func chance(seed uint64, words ...string) float64 {
	d := draw(seed, words...)
	return float64(binary.BigEndian.Uint64(d[:8])>>11) / (1 << 53)
}
