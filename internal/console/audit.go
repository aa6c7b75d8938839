package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

const auditPath = Root + "/audit"

func (c *Console) auditRoutes() []route {
	return []route{
		{"GET", auditPath, "audit", actSee, false, (*visit).showAudit},
		{"POST", auditPath + "/verify", "audit", actSee, false, (*visit).verifyAudit},
	}
}

// auditPage is the log of what people and programs changed.
type auditPage struct {
	App, Actor, Action, Target, Within, After, Before string
	Apps                                              []client.App
	Actions                                           []comm.Word
	Kinds, Users                                      []string // who may be chosen: kinds of actors, and users by name
	Entries                                           []auditLine
	Pager                                             pager
	Wrong                                             *client.Error
}

// Any says whether the log is narrowed.
func (p *auditPage) Any() bool {
	return p.App+p.Actor+p.Action+p.Target+p.Within+p.After+p.Before != ""
}

// OtherActor says that the log is narrowed to one who cannot be chosen, such as a key.
func (p *auditPage) OtherActor() bool {
	return p.Actor != "" && !slices.Contains(p.Kinds, p.Actor) && !slices.Contains(p.Users, p.Actor)
}

// Withins are the times that are chosen with one press, with their names.
func (*auditPage) Withins() []windowLink {
	return []windowLink{{Name: "Last hour", Query: "1h"}, {Name: "Last 12 hours", Query: "12h"}, {Name: "Last 24 hours", Query: "24h"}, {Name: "Last 7 days", Query: "168h"}, {Name: "Last 30 days", Query: "720h"}}
}

// auditLine is an entry in words: who did what, and to what.
type auditLine struct {
	client.AuditEntry
	Who     named
	Kind    string // of who it was, where the name does not say it
	Did     string
	To      named
	Of      named  // the app
	Meaning string // the action's sentence of the contract
	Changes []changed
	Folded  bool // the changes are many, or all new
}

// changed is a setting before and after.
type changed struct{ Name, From, To string }

// openChanges is up to how many changes stand open.
const openChanges = 3

func (v *visit) showAudit() error {
	p := &auditPage{App: v.asked("app"), Actor: v.asked("actor"), Action: v.asked("action"), Target: v.asked("target"), Within: v.asked("within"), After: v.asked("after"), Before: v.asked("before"), Actions: auditChoices()}
	for _, w := range comm.ActorKinds() {
		p.Kinds = append(p.Kinds, w.Code)
	}
	after, since := v.since(p)
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"app": p.App, "actor": p.Actor, "action": p.Action, "target": p.Target, "after": after, "before": moment(p.Before), "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	found, err := fetch[listing[client.AuditEntry]](v, "", "/api/admin/audit", q)
	if err != nil && (!errors.As(err, &p.Wrong) || p.Wrong.Status != http.StatusBadRequest && p.Wrong.Status != http.StatusNotFound) {
		return err
	}
	if p.Apps, err = v.someApps(); err != nil {
		return err
	}
	names, err := v.subjectsOf(p.Apps)
	if err != nil {
		return err
	}
	p.Users = names.people
	if p.Wrong == nil {
		p.Pager = v.pagerOf(found.Next, len(found.Data), carried{"since", since})
		names.read(found.Data)
		for i := range found.Data {
			p.Entries = append(p.Entries, names.line(&found.Data[i]))
		}
	}
	return v.show("audit", page{Title: "Audit", Data: p})
}

// since is the instant behind which entries are asked for: the one that is given, or the beginning of what is chosen. The first page fixes
// that one, and its links carry it: a cursor holds only for the instant that it was given out for.
func (v *visit) since(p *auditPage) (after, carry string) {
	d, err := time.ParseDuration(p.Within)
	if p.After != "" || err != nil || d <= 0 {
		return moment(p.After), ""
	}
	at, err := time.Parse(time.RFC3339, v.asked("since"))
	if err != nil {
		at = v.now().Add(-d)
	}
	fixed := at.UTC().Format(time.RFC3339)
	return fixed, fixed
}

// auditChoices are the actions by the words of the page, in their order: what is alike stands together.
func auditChoices() []comm.Word {
	var out []comm.Word
	for _, w := range comm.AuditActions() {
		out = append(out, comm.Word{Code: w.Code, Meaning: strings.TrimSuffix(acted[w.Code].Did, ":")})
	}
	return out
}

// read remembers the names that entries keep of what they are about: the newest one of each.
func (s *subjects) read(entries []client.AuditEntry) {
	for i := range entries {
		if e := &entries[i]; s.kept[e.Target] == "" {
			s.kept[e.Target] = keptName(e)
		}
	}
}

// line is an entry in words.
func (s *subjects) line(e *client.AuditEntry) auditLine {
	did, to, told := didWords(e)
	out := auditLine{AuditEntry: *e, Did: did, To: s.of(e, to), Meaning: meaningOf(e.Action)}
	out.Who, out.Kind = s.actor(e)
	if e.App != "" {
		out.Of = s.app(e.App)
	}
	if (e.Action == comm.AuditSignedIn || e.Action == comm.AuditSignedOut) && (out.To.Name == out.Who.Name || e.Actor == comm.ActorAdmin) {
		out.Did, out.To = strings.TrimSuffix(did, " as"), named{}
	}
	if strings.HasSuffix(e.Action, "_deleted") {
		out.To.Gone = false // the words say so
	}
	for _, one := range changesOf(e.Detail) {
		if one.Name != told {
			one.Name = settingWord(one.Name)
			out.Changes = append(out.Changes, one)
		}
	}
	out.Folded = len(out.Changes) > openChanges || strings.HasSuffix(e.Action, "_created") || strings.HasSuffix(e.Action, "_deleted")
	return out
}

// meaningOf is the sentence of an action; its word where this version does not know it.
func meaningOf(action string) string {
	words := comm.AuditActions()
	if at := slices.IndexFunc(words, func(w comm.Word) bool { return w.Code == action }); at >= 0 {
		return words[at].Meaning
	}
	return statusWord(action)
}

// changesOf puts the detail of an entry in order.
func changesOf(detail map[string]map[string]any) []changed {
	var out []changed
	for name, d := range detail {
		one := changed{Name: name, From: valueWords(d["from"]), To: valueWords(d["to"])}
		if d["changed"] == true {
			one.To = "changed; its value is not kept"
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b changed) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// valueWords shows a value as it would be entered: a port in groups of digits is none.
func valueWords(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []any:
		var out []string
		for _, one := range v {
			out = append(out, valueWords(one))
		}
		return strings.Join(out, ", ")
	case float64:
		return fmt.Sprintf("%.0f", v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	return fmt.Sprint(v)
}

// verifyAudit checks the chain of hashes, and tells what it found.
func (v *visit) verifyAudit() error {
	admin, err := v.admin()
	if err != nil {
		return err
	}
	verdict, err := admin.VerifyAudit(v.ctx(), nil)
	if err != nil {
		return v.undone(auditPath, err)
	}
	if !verdict.OK {
		v.leaveToast(toast{Text: fmt.Sprintf("The log does not hold from entry %s on: %s. Somebody may have changed the database.", number(verdict.BrokenAt), verdict.Reason), Bad: true})
		v.redirect(auditPath)
		return nil
	}
	return v.done(auditPath, fmt.Sprintf("All %s hold. The last one's hash is %s: kept elsewhere, it shows later whether somebody made the whole log anew.", plural(verdict.Checked, "entry", "entries"), verdict.LastHash))
}
