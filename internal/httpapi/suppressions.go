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
			return f, 0, comm.E("invalid_cursor")
		}
	}
	return f, limit, nil
}

// suppressionCursor names the last item of a page, under the same check as other cursors.
func (q query) suppressionCursor(app comm.ID, last *store.Suppression) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(last.CreatedAt))
	b = append(append(b, byte(last.Channel)), last.Address...)
	check := q.check(app, "suppressions", b)
	return base64.RawURLEncoding.EncodeToString(append(b, check[:]...))
}

func (q query) openSuppression(app comm.ID, text string) (*store.Suppression, bool) {
	const head = 9 // time and channel
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < head+checkBytes {
		return nil, false
	}
	b, given := raw[:len(raw)-checkBytes], raw[len(raw)-checkBytes:]
	check := q.check(app, "suppressions", b)
	return &store.Suppression{CreatedAt: comm.Micros(binary.BigEndian.Uint64(b)), Channel: comm.Channel(b[head-1]), Address: string(b[head:])},
		subtle.ConstantTimeCompare(check[:], given) == 1
}
