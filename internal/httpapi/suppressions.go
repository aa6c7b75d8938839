package httpapi

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/suppress"
)

// suppressionView is an address on the app's list.
type suppressionView struct {
	Channel   string  `json:"channel"`
	Address   string  `json:"address"`
	Reason    string  `json:"reason"`
	Note      text    `json:"note"`
	Source    string  `json:"source"`
	CreatedAt instant `json:"createdAt"`
}

func newSuppression(s *store.Suppression) suppressionView {
	return suppressionView{s.Channel.String(), s.Address, s.Reason, text(s.Note), s.Source, instant(s.CreatedAt)}
}

// createSuppression is POST /api/v1/suppressions: 201, or 200 with what is there already.
func (a *API) createSuppression(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	var entry suppress.Entry
	if err := a.decode(w, r, &entry, suppress.EntryCodes()); err != nil {
		return err
	}
	s, added, err := a.cfg.Suppressions.Add(r.Context(), caller.App.ID, entry)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if added {
		status = http.StatusCreated
	}
	write(w, status, newSuppression(s))
	return nil
}

// deleteSuppression is DELETE /api/v1/suppressions?channel=&address=: of exactly one.
func (a *API) deleteSuppression(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "channel", "address")
	if err != nil {
		return err
	}
	if err := a.cfg.Suppressions.Remove(r.Context(), caller.App.ID, q["channel"], q["address"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listSuppressions is GET /api/v1/suppressions.
func (a *API) listSuppressions(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "channel", "address", "reason", "createdAfter", "createdBefore", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, limit, err := q.suppressions(caller.App.ID)
	if err != nil {
		return err
	}
	if address, ok := q["address"]; ok && address == "" {
		return badQuery("address", "is empty: give one address, or leave it out")
	}
	list, err := a.cfg.Suppressions.List(r.Context(), caller.App.ID, filter, q["address"])
	if err != nil {
		return err
	}
	out := listView[suppressionView]{Data: []suppressionView{}}
	for i := range min(len(list), limit) {
		out.Data = append(out.Data, newSuppression(&list[i]))
	}
	if len(list) > limit {
		out.NextCursor = text(q.suppressionCursor(caller.App.ID, &list[limit-1]))
	}
	write(w, http.StatusOK, out)
	return nil
}

// suppressions reads the parameters of the list; the filter asks for one row more than limit.
func (q query) suppressions(app comm.ID) (f store.SuppressionFilter, limit int, err error) {
	shared := query{}
	for name, value := range q {
		if name != "cursor" {
			shared[name] = value
		}
	}
	common, limit, err := shared.filter(app, "suppressions")
	if err != nil {
		return f, 0, err
	}
	f = store.SuppressionFilter{Channel: common.Channel, CreatedAfter: common.CreatedAfter, CreatedBefore: common.CreatedBefore, Limit: common.Limit}
	if reason, ok := q["reason"]; ok {
		if f.Reason = reason; !suppress.IsReason(reason) {
			return f, 0, badQuery("reason", suppress.ReasonRule())
		}
	}
	if s, ok := q["cursor"]; ok {
		if f.Before, ok = q.openSuppression(app, s); !ok {
			return f, 0, badCursor()
		}
	}
	return f, limit, nil
}

// suppressionCursor names the last item of a page, under the same check as other cursors.
func (q query) suppressionCursor(app comm.ID, last *store.Suppression) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(last.CreatedAt))
	b = append(append(append(b, byte(last.Channel)), last.App[:]...), last.Address...)
	check := q.check(app, "suppressions", b)
	return base64.RawURLEncoding.EncodeToString(append(b, check[:]...))
}

func (q query) openSuppression(app comm.ID, text string) (*store.Suppression, bool) {
	const channel, head = 8, 9 + idBytes // behind the time; and the app
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < head+checkBytes {
		return nil, false
	}
	b, given := raw[:len(raw)-checkBytes], raw[len(raw)-checkBytes:]
	check := q.check(app, "suppressions", b)
	if !store.Storable(string(b[head:])) {
		return nil, false // the check keeps mistakes out, not malice
	}
	return &store.Suppression{CreatedAt: comm.Micros(binary.BigEndian.Uint64(b)), Channel: comm.Channel(b[channel]), App: comm.ID(b[channel+1 : head]), Address: string(b[head:])},
		subtle.ConstantTimeCompare(check[:], given) == 1
}

// foundSuppression is an address on an app's list, as the administrator sees it.
type foundSuppression struct {
	App appRef `json:"app"`
	suppressionView
}

// findSuppressions is GET /api/admin/suppressions: which apps have an address on their list, or an app's whole list.
func (a *API) findSuppressions(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "address", "channel", "app", "limit", "cursor")
	if err != nil {
		return err
	}
	name, ofApp := q["app"]
	address, given := q["address"]
	if !ofApp && !given {
		return badQuery("address", "is needed: give the address to look for, or the app whose list is wanted")
	}
	if given && address == "" {
		return badQuery("address", "is empty: give one address, or leave it out")
	}
	filter, limit, err := q.suppressions(comm.ID{})
	if err != nil {
		return err
	}
	var list []store.Suppression
	if ofApp {
		app, err := a.cfg.Registry.AppNamed(r.Context(), name)
		if err != nil {
			return err
		}
		if list, err = a.cfg.Suppressions.List(r.Context(), app.ID, filter, address); err != nil {
			return err
		}
	} else if list, err = a.cfg.Suppressions.Find(r.Context(), filter.Channel, address, filter.Before, limit); err != nil {
		return err
	}
	return a.answerFound(w, r, q, list, limit)
}

// answerFound writes a page of what may be several apps' lists; the list holds one row more than limit if there are more.
func (a *API) answerFound(w http.ResponseWriter, r *http.Request, q query, list []store.Suppression, limit int) error {
	ids := make([]comm.ID, len(list))
	for i := range list {
		ids[i] = list[i].App
	}
	apps, err := a.cfg.Registry.AppsByID(r.Context(), ids)
	if err != nil {
		return err
	}
	out := listView[foundSuppression]{Data: []foundSuppression{}}
	for i := range min(len(list), limit) {
		if app := apps[list[i].App]; app != nil { // not a deleted one
			out.Data = append(out.Data, foundSuppression{newAppRef(app), newSuppression(&list[i])})
		}
	}
	if len(list) > limit {
		out.NextCursor = text(q.suppressionCursor(comm.ID{}, &list[limit-1]))
	}
	write(w, http.StatusOK, out)
	return nil
}
