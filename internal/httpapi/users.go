package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/strictjson"
)

// userView is a user; nothing of the password is shown.
type userView struct {
	ID                 comm.ID `json:"id"`
	Name               string  `json:"name"`
	Role               string  `json:"role"`
	IsActive           bool    `json:"isActive"`
	StartPasswordUntil instant `json:"startPasswordUntil"` // null: the password is the user's own
	SecondFactor       bool    `json:"secondFactor"`
	CreatedAt          instant `json:"createdAt"`
	UpdatedAt          instant `json:"updatedAt"`
	SignedInAt         instant `json:"signedInAt"`
}

func newUser(u *comm.User) userView {
	return userView{ID: u.ID, Name: u.Name, Role: u.Role.String(), IsActive: u.Active, StartPasswordUntil: instant(u.StartUntil), SecondFactor: u.Protected(),
		CreatedAt: instant(u.CreatedAt), UpdatedAt: instant(u.UpdatedAt), SignedInAt: instant(u.SignedInAt)}
}

// listUsers is GET /api/admin/users.
func (a *API) listUsers(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	const list = "users"
	q, err := readQuery(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.pageSize()
	if err != nil {
		return err
	}
	after, err := q.last(comm.ID{}, list)
	if err != nil {
		return err
	}
	users, err := a.cfg.Identity.Users(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	out := listView[userView]{Data: []userView{}}
	for i := range users[:min(limit, len(users))] {
		out.Data = append(out.Data, newUser(&users[i]))
	}
	if len(users) > limit {
		out.NextCursor = text(q.cursor(comm.ID{}, list, users[limit-1].ID))
	}
	write(w, http.StatusOK, out)
	return nil
}

// createUser is POST /api/admin/users.
func (a *API) createUser(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Name     strictjson.Opt[string] `json:"name"`
		Role     strictjson.Opt[string] `json:"role"`
		Password strictjson.Opt[string] `json:"password"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	u, err := a.cfg.Identity.CreateUser(r.Context(), identity.UserSpec{Name: body.Name.Value, Role: body.Role.Value, Password: body.Password.Value})
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, newUser(u))
	return nil
}

// getUser is GET /api/admin/users/{id}.
func (a *API) getUser(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	u, err := a.cfg.Identity.User(r.Context(), id)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newUser(u))
	return nil
}

// changeUser is PATCH /api/admin/users/{id}.
func (a *API) changeUser(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		Name         strictjson.Opt[string] `json:"name"`
		Role         strictjson.Opt[string] `json:"role"`
		IsActive     strictjson.Opt[bool]   `json:"isActive"`
		Password     strictjson.Opt[string] `json:"password"`
		SecondFactor strictjson.Opt[bool]   `json:"secondFactor"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	if body.SecondFactor.Given && body.SecondFactor.Value {
		return comm.E("invalid_field").Field("secondFactor", "can be set to false alone, which removes it; users enrol theirs by themselves")
	}
	if own := sessionOf(r); own != nil && own.User == id {
		if err := notOwn(body.Password.Given, body.SecondFactor.Given); err != nil {
			return err
		}
	}
	u, err := a.cfg.Identity.UpdateUser(r.Context(), id, identity.UserChange{Name: given(body.Name), Role: given(body.Role), Active: given(body.IsActive),
		Password: given(body.Password), DropFactor: body.SecondFactor.Given})
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newUser(u))
	return nil
}

// notOwn refuses to change with a session alone what its own user has to prove. Whoever may make and change other users can help themselves to
// another account all the same, which the audit log shows.
func notOwn(password, factor bool) error {
	e := comm.E("invalid_field")
	if password {
		e.Field("password", "is your own: POST /api/admin/session/password changes it, and asks for the one of now")
	}
	if factor {
		e.Field("secondFactor", "is your own: POST /api/admin/session/second-factor/remove and …/security-keys/{id}/remove end it, and ask for it")
	}
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

// deleteUser is DELETE /api/admin/users/{id}.
func (a *API) deleteUser(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Identity.DeleteUser(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
