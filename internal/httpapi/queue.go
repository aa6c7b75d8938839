package httpapi

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/strictjson"
)

// unitView is what waits of an app in a channel and a lane.
type unitView struct {
	App         appRef  `json:"app"`
	IsActive    bool    `json:"isActive"`
	QueueState  string  `json:"queueState"`
	Channel     string  `json:"channel"`
	Lane        string  `json:"lane"`
	Due         int     `json:"due"`
	Later       int     `json:"later"`
	Sending     int     `json:"sending"`
	AtLeast     bool    `json:"atLeast"`
	Bytes       int64   `json:"bytes"`
	OldestDueAt instant `json:"oldestDueAt"`
	OldestAge   number  `json:"oldestAgeSeconds"`
	NextDueAt   instant `json:"nextDueAt"`
	WaitingFor  text    `json:"waitingFor"`
	WaitingTill instant `json:"waitingUntil"`
}

// callsView is how many attempts of a provider configuration are under way, and what waits behind it.
type callsView struct {
	ID           text   `json:"id"`
	App          text   `json:"app"`
	Name         text   `json:"name"`
	ProviderType string `json:"providerType"`
	Channel      text   `json:"channel"`
	Sending      int    `json:"sending"`
	Due          int    `json:"due"`
	AtLeast      bool   `json:"atLeast"`

	OldestDueAt instant `json:"oldestDueAt"`
	OldestAge   number  `json:"oldestAgeSeconds"`
}

// queueView is a page of what waits.
type queueView struct {
	listView[unitView]
	CountedTo int     `json:"countedTo"`
	CountedAt instant `json:"countedAt"`
	Totals    struct {
		Waiting int  `json:"waiting"`
		AtLeast bool `json:"atLeast"`
		Sending int  `json:"sending"`
	} `json:"totals"`
	Providers []callsView `json:"providers"`
}

const queueList = "queue"

// showQueue is GET /api/admin/queue.
func (a *API) showQueue(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "app", "channel", "lane", "limit", "cursor")
	if err != nil {
		return err
	}
	f := backlog.Filter{}
	if f.Apps, err = q.pageSize(); err != nil {
		return err
	}
	if f.Channel, f.Lane, err = q.scope("invalid_query"); err != nil {
		return err
	}
	if name, given := q["app"]; given {
		if f.App, err = a.cfg.Registry.AppNamed(r.Context(), name); err != nil {
			return err
		}
	}
	if s, given := q["cursor"]; given {
		b, ok := q.openBytes(comm.ID{}, queueList, s)
		if !ok || len(b) != 1+idBytes {
			return badCursor()
		}
		f.After = backlog.Place{Shard: comm.Shard(b[0]), App: comm.ID(b[1:])}
	}
	v, err := a.cfg.Backlog.View(r.Context(), f)
	if err != nil {
		return err
	}
	out, err := a.newQueue(r, v)
	if err != nil {
		return err
	}
	if v.Next != nil {
		out.NextCursor = text(q.sealBytes(comm.ID{}, queueList, append([]byte{byte(v.Next.Shard)}, v.Next.App[:]...)))
	}
	write(w, http.StatusOK, out)
	return nil
}

// scope reads the channel and the lane of a part of the queue; code is of the refusal.
func (q query) scope(code string) (ch comm.Channel, lane *comm.Lane, err error) {
	if s, given := q["channel"]; given {
		if ch, given = comm.ParseChannel(s); !given {
			return 0, nil, comm.E(code).Field("channel", "must be EMAIL or SMS")
		}
	}
	if s, given := q["lane"]; given {
		one, ok := comm.ParseLane(s)
		if !ok {
			return 0, nil, comm.E(code).Field("lane", "must be CRITICAL, NORMAL or BULK")
		}
		lane = &one
	}
	return ch, lane, nil
}

func (a *API) newQueue(r *http.Request, v *backlog.View) (*queueView, error) {
	out := &queueView{listView: listView[unitView]{Data: make([]unitView, len(v.Units))}, CountedTo: v.CountedTo, CountedAt: instant(v.Now), Providers: a.newCalls(v)}
	out.Totals.Waiting, out.Totals.AtLeast, out.Totals.Sending = v.Waiting, v.More, v.Sending
	for i := range v.Units {
		u := &v.Units[i]
		one := unitView{App: newAppRef(u.App), IsActive: u.App.Active, QueueState: u.App.QueueState(), Channel: u.Channel.String(), Lane: u.Lane.String(), Due: u.Due, Later: u.Later,
			Sending: u.Sending, AtLeast: u.More, Bytes: u.Bytes, OldestDueAt: instant(u.OldestDue), NextDueAt: instant(u.NextDue)}
		if u.OldestDue != 0 {
			one.OldestAge = number((v.Now - u.OldestDue) / 1_000_000)
		}
		waits, err := a.unitWaits(r, u, v.Now)
		if err != nil {
			return nil, err
		}
		one.WaitingFor, one.WaitingTill = text(waits.reason), instant(waits.until)
		out.Data[i] = one
	}
	return out, nil
}

// newCalls shows who is called, and what waits behind whom: nothing waits for a provider while the server is held.
func (a *API) newCalls(v *backlog.View) []callsView {
	held := a.cfg.Hold.Held()
	out := make([]callsView, 0, len(v.Calls))
	for _, c := range v.Calls {
		if held {
			c.Due, c.More, c.Oldest = 0, false, 0
		}
		if c.Due == 0 && c.Sending == 0 {
			continue
		}
		one := callsView{ProviderType: c.Type, Sending: c.Sending, Due: c.Due, AtLeast: c.More, OldestDueAt: instant(c.Oldest)}
		if c.Oldest != 0 {
			one.OldestAge = number((v.Now - c.Oldest) / 1_000_000)
		}
		if c.Config != nil {
			one.ID, one.Name, one.ProviderType, one.Channel = text(c.Config.ID.String()), text(c.Config.Name), c.Config.Type, text(c.Config.Channel.String())
			if !c.Config.App.IsZero() {
				one.App = text(c.Config.App.String())
			}
		}
		out = append(out, one)
	}
	return out
}

// unitWaits is why the first message of a unit that is not under way waits, if there is one.
func (a *API) unitWaits(r *http.Request, u *backlog.Unit, now comm.Micros) (waiting, error) {
	first := u.Next
	if u.Due > 0 {
		first = comm.State{Due: now}
	} else if u.Later == 0 {
		return waiting{}, nil
	}
	first.Status, first.App, first.Channel, first.Lane, first.Mode = comm.Queued, u.App.ID, u.Channel, u.Lane, u.App.Mode()
	hold := u.Hold
	if hold.Reason == "" {
		var err error
		if hold, err = a.foreseen(r, u.App, &first, u.Hold.Unit); err != nil {
			return waiting{}, err
		}
	}
	reason, until := chain.WaitingFor(&first, hold.Reason, hold.Until, now)
	return waiting{reason: reason, until: until}, nil
}

// The actions on an app's queue, and the state that each leads to.
var queueActions = map[string]string{"PAUSE": comm.QueuePaused, "DRAIN": comm.QueueDraining, "RESUME": comm.QueueRunning}

// queueChange is what is asked of an app's queue.
type queueChange struct {
	Action  strictjson.Opt[string] `json:"action"`
	App     strictjson.Opt[string] `json:"app"`
	Confirm strictjson.Opt[string] `json:"confirm"`
	Channel strictjson.Opt[string] `json:"channel"`
	Lane    strictjson.Opt[string] `json:"lane"`
	Before  strictjson.Opt[string] `json:"createdBefore"`
	Cursor  strictjson.Opt[string] `json:"cursor"`
}

// queueChanged answers a change of an app's queue.
type queueChanged struct {
	App        appRef `json:"app"`
	QueueState string `json:"queueState"`
	Cancelled  int    `json:"cancelled"`
	Uncertain  int    `json:"mayHaveBeenSent"`
	Remaining  int    `json:"remaining"`
	AtLeast    bool   `json:"atLeast"`
	NextCursor text   `json:"nextCursor"`
}

// changeQueue is POST /api/admin/queue.
func (a *API) changeQueue(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body queueChange
	if err := a.decode(w, r, &body, map[string]string{"action": "invalid_action"}); err != nil {
		return err
	}
	cancel := body.Action.Value == cancelAction
	state, known := queueActions[body.Action.Value]
	if !cancel && !known {
		return comm.E("invalid_action", "action must be PAUSE, RESUME, DRAIN or CANCEL.").Field("action", "must be PAUSE, RESUME, DRAIN or CANCEL")
	}
	if !body.App.Given {
		return comm.E("invalid_field").Field("app", "is needed: the app's id or slug")
	}
	for name, member := range map[string]strictjson.Opt[string]{"confirm": body.Confirm, "channel": body.Channel, "lane": body.Lane, "createdBefore": body.Before, "cursor": body.Cursor} {
		if member.Given && !cancel {
			return comm.E("field_not_allowed").Field(name, "goes with CANCEL only: the other actions are about the whole app")
		}
	}
	app, err := a.cfg.Registry.AppNamed(r.Context(), body.App.Value)
	if err != nil {
		return err
	}
	scope := backlog.Scope{App: app}
	out := queueChanged{}
	if cancel {
		err = a.clearQueue(r, &body, &scope, &out)
	} else {
		err = a.moveQueue(r, &scope, state)
	}
	if err != nil {
		return err
	}
	out.App, out.QueueState = newAppRef(scope.App), scope.App.QueueState()
	if out.Remaining, out.AtLeast, err = a.cfg.Backlog.Left(r.Context(), scope); err != nil {
		if !cancel || r.Context().Err() != nil {
			return err
		}
		a.stopped(r, err)
		out.AtLeast = true // what was cancelled is told all the same
	}
	write(w, http.StatusOK, out)
	return nil
}

// moveQueue brings the app's queue to a state.
func (a *API) moveQueue(r *http.Request, scope *backlog.Scope, state string) error {
	changed, err := a.cfg.Registry.UpdateApp(r.Context(), scope.App.ID, registry.AppChange{Queue: &state})
	if err == nil {
		scope.App = changed.App
	}
	return err
}

// clearQueue cancels for a while what waits of an app, and says where the next call goes on.
func (a *API) clearQueue(r *http.Request, body *queueChange, scope *backlog.Scope, out *queueChanged) (err error) {
	if body.Confirm.Value != scope.App.Slug {
		return comm.E("invalid_field", "Cancelling what waits cannot be undone at once: send confirm with the app's slug.").Field("confirm", "must be the app's slug")
	}
	q := query{}
	for name, member := range map[string]strictjson.Opt[string]{"channel": body.Channel, "lane": body.Lane, "createdBefore": body.Before} {
		if member.Given {
			q[name] = member.Value
		}
	}
	if scope.Channel, scope.Lane, err = q.scope("invalid_field"); err != nil {
		return err
	}
	if body.Before.Given {
		var why string
		if scope.Before, _, why = intake.ParseTime(body.Before.Value); why != "" {
			return comm.E("invalid_field").Field("createdBefore", why)
		}
	}
	var from *backlog.Step
	if body.Cursor.Given {
		b, ok := q.openBytes(scope.App.ID, queueList, body.Cursor.Value)
		if from = readStep(b, scope.App.ID); !ok || from == nil {
			return badCursor()
		}
	}
	done, err := a.cfg.Backlog.Cancel(r.Context(), *scope, from)
	if err != nil {
		return err
	}
	if done.Stopped != nil {
		a.stopped(r, done.Stopped)
	}
	out.Cancelled, out.Uncertain = done.Cancelled, done.Uncertain
	if done.Next != nil {
		out.NextCursor = text(q.sealBytes(scope.App.ID, queueList, writeStep(done.Next)))
	}
	return nil
}

// stopped logs why clearing a queue ended early: the answer says how far it is.
func (a *API) stopped(r *http.Request, err error) {
	a.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "clearing a queue stopped early", slog.String("request", httpserver.RequestID(r.Context())), slog.Any("error", err))
}

// stepBytes is a step's length: until, shard, channel, lane, due and id.
const stepBytes = 8 + 3 + 8 + idBytes

func writeStep(s *backlog.Step) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(s.Until))
	b = append(b, byte(s.Unit.Shard), byte(s.Unit.Channel), byte(s.Unit.Lane))
	return append(binary.BigEndian.AppendUint64(b, uint64(s.After.Due)), s.After.ID[:]...)
}

// readStep is nil for what is no step.
func readStep(b []byte, app comm.ID) *backlog.Step {
	if len(b) != stepBytes {
		return nil
	}
	s := &backlog.Step{Until: comm.Micros(binary.BigEndian.Uint64(b))}
	s.Unit = comm.Unit{Shard: comm.Shard(b[8]), App: app, Channel: comm.Channel(b[9]), Lane: comm.Lane(b[10])}
	s.After.Due, s.After.ID = comm.Micros(binary.BigEndian.Uint64(b[11:])), comm.ID(b[19:])
	return s
}

// sealBytes and openBytes are cursor and open for what is no id.
func (q query) sealBytes(app comm.ID, list string, b []byte) string {
	check := q.check(app, list, b)
	return base64.RawURLEncoding.EncodeToString(append(b, check[:]...))
}

func (q query) openBytes(app comm.ID, list, text string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < checkBytes {
		return nil, false
	}
	b, given := raw[:len(raw)-checkBytes], raw[len(raw)-checkBytes:]
	check := q.check(app, list, b)
	return b, subtle.ConstantTimeCompare(check[:], given) == 1
}
