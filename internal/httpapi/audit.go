package httpapi

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// auditView is an entry of the audit log.
type auditView struct {
	Sequence     int64        `json:"sequence"`
	At           instant      `json:"at"`
	AtMicros     int64        `json:"atMicros"` // what is hashed
	Actor        string       `json:"actor"`
	ActorName    text         `json:"actorName"`
	Address      text         `json:"address"`
	RequestID    text         `json:"requestId"`
	App          text         `json:"app"`
	Action       string       `json:"action"`
	Target       text         `json:"target"`
	Detail       comm.RawJSON `json:"detail"`
	PreviousHash string       `json:"previousHash"`
	Hash         string       `json:"hash"`
}

func newAudit(e *store.AuditEntry) auditView {
	v := auditView{
		Sequence: e.Sequence, At: instant(e.At), AtMicros: int64(e.At), Actor: e.Actor.Kind, ActorName: text(e.Actor.Name), Address: text(e.Actor.Address),
		RequestID: text(e.Actor.Request), Action: e.Action, Target: text(e.Target), Detail: comm.RawJSON(e.Detail),
		PreviousHash: hex.EncodeToString(e.Previous[:]), Hash: hex.EncodeToString(e.Hash[:]),
	}
	if !e.App.IsZero() {
		v.App = text(e.App.String())
	}
	return v
}

// listAudit is GET /api/admin/audit.
func (a *API) listAudit(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	const list = "audit"
	q, err := readQuery(r, "app", "actor", "action", "target", "after", "before", "limit", "cursor")
	if err != nil {
		return err
	}
	f := store.AuditFilter{Actor: q["actor"], Action: q["action"], Target: q["target"]}
	if _, given := q["action"]; given && !slices.ContainsFunc(comm.AuditActions(), func(w comm.Word) bool { return w.Code == f.Action }) {
		return badQuery("action", "is not an action of the audit log; see the contract")
	}
	if f.Limit, err = q.pageSize(); err != nil {
		return err
	}
	if f.After, err = q.instant("after"); err != nil {
		return err
	}
	if f.Until, err = q.instant("before"); err != nil {
		return err
	}
	last, err := q.last(comm.ID{}, list)
	if err != nil {
		return err
	}
	f.Before = sequenceIn(last)
	if name, given := q["app"]; given {
		if f.App, err = a.auditedApp(r, name); err != nil {
			return err
		}
	}
	page, err := a.cfg.Registry.Audit(r.Context(), f)
	if err != nil {
		return err
	}
	out := listView[auditView]{Data: make([]auditView, len(page.Entries))}
	for i := range page.Entries {
		out.Data[i] = newAudit(&page.Entries[i])
	}
	if page.Before != 0 {
		out.NextCursor = text(q.cursor(comm.ID{}, list, inID(page.Before)))
	}
	write(w, http.StatusOK, out)
	return nil
}

// auditedApp reads the app to filter by: an id, of a deleted app too, or the slug of one that is there.
func (a *API) auditedApp(r *http.Request, name string) (comm.ID, error) {
	if id, err := comm.ParseID(name); err == nil && !id.IsZero() { // zero is nobody's, and would stand for all of them
		return id, nil
	}
	app, err := a.cfg.Registry.AppNamed(r.Context(), name)
	if comm.IsKind(err, comm.Missing) {
		return comm.ID{}, badQuery("app", "is not the slug of an app; a deleted app is named by its id")
	}
	if err != nil {
		return comm.ID{}, err
	}
	return app.ID, nil
}

// verifyAudit is GET /api/admin/audit/verify.
func (a *API) verifyAudit(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "after")
	if err != nil {
		return err
	}
	after := int64(0)
	if s, given := q["after"]; given {
		if after, err = strconv.ParseInt(s, 10, 64); err != nil || after < 0 {
			return badQuery("after", "must be the sequence of an entry, or 0")
		}
	}
	v, err := a.cfg.Registry.VerifyAudit(r.Context(), after)
	if err != nil {
		return err
	}
	type breakView struct {
		Sequence int64  `json:"sequence"`
		Reason   string `json:"reason"`
	}
	type lastView struct {
		Sequence int64  `json:"sequence"`
		Hash     string `json:"hash"`
	}
	out := struct {
		OK        bool       `json:"ok"`
		Checked   int64      `json:"checked"`
		NextAfter number     `json:"nextAfter"`
		Last      *lastView  `json:"last"`
		Broken    *breakView `json:"broken"`
	}{v.BrokenAt == 0, v.Checked, number(v.Next), nil, nil}
	if v.Last != 0 {
		out.Last = &lastView{v.Last, hex.EncodeToString(v.LastHash[:])}
	}
	if v.BrokenAt != 0 {
		out.Broken = &breakView{v.BrokenAt, v.Why}
	}
	write(w, http.StatusOK, out)
	return nil
}

// inID puts a sequence where cursors keep the last item's id.
func inID(sequence int64) (id comm.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(sequence))
	return id
}

func sequenceIn(id comm.ID) int64 { return int64(binary.BigEndian.Uint64(id[8:])) }
