package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
	App, Actor, Action, Target, After, Before string
	Apps                                      []client.App
	Actions                                   []comm.Word
	Entries                                   []auditLine
	Pager                                     pager
	Wrong                                     *client.Error
}

// Any says whether the log is narrowed.
func (p *auditPage) Any() bool {
	return p.App+p.Actor+p.Action+p.Target+p.After+p.Before != ""
}

// auditLine is an entry in words.
type auditLine struct {
	client.AuditEntry
	Says    string
	Changes []changed
}

// changed is a setting before and after.
type changed struct{ Name, From, To string }

func (v *visit) showAudit() error {
	p := &auditPage{App: v.asked("app"), Actor: v.asked("actor"), Action: v.asked("action"), Target: v.asked("target"), After: v.asked("after"), Before: v.asked("before"), Actions: comm.AuditActions()}
	q := url.Values{"limit": {itoa(messagesShown)}}
	for name, value := range map[string]string{"app": p.App, "actor": p.Actor, "action": p.Action, "target": p.Target, "after": moment(p.After), "before": moment(p.Before), "cursor": v.asked("cursor")} {
		if value != "" {
			q.Set(name, value)
		}
	}
	found, err := fetch[listing[client.AuditEntry]](v, "", "/api/admin/audit", q)
	switch {
	case err == nil:
		p.Pager = v.pagerOf(found.Next, len(found.Data))
		for _, e := range found.Data {
			p.Entries = append(p.Entries, auditLine{e, meaningOf(e.Action), changesOf(e.Detail)})
		}
	case errors.As(err, &p.Wrong) && (p.Wrong.Status == http.StatusBadRequest || p.Wrong.Status == http.StatusNotFound):
	default:
		return err
	}
	if p.Apps, err = v.someApps(); err != nil {
		return err
	}
	return v.show("audit", page{Title: "Audit", Data: p})
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
