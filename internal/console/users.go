package console

import (
	"crypto/rand"
	"encoding/base32"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

const (
	usersPath   = Root + "/users"
	newUserPath = Root + "/new-user"
)

func (c *Console) userRoutes() []route {
	return []route{
		{"GET", usersPath, "users", actRule, false, (*visit).listUsers},
		{"GET", newUserPath, "users", actRule, false, (*visit).showNewUser},
		{"POST", newUserPath, "users", actRule, false, (*visit).createUser},
		{"GET", usersPath + "/{id}", "users", actRule, false, (*visit).showUser},
		{"POST", usersPath + "/{id}", "users", actRule, false, (*visit).saveUser},
		{"GET", usersPath + "/{id}/do/{act}", "users", actRule, false, (*visit).confirmUserAct},
		{"POST", usersPath + "/{id}/do/{act}", "users", actRule, false, (*visit).userAct},
	}
}

// apiUsers is the API's list of users.
const apiUsers = "/api/admin/users"

// person is a user as the API tells it.
type person struct {
	ID                 string     `json:"id"`
	Name               string     `json:"name"`
	Role               string     `json:"role"`
	IsActive           bool       `json:"isActive"`
	StartPasswordUntil *time.Time `json:"startPasswordUntil"`
	SecondFactor       bool       `json:"secondFactor"`
	CreatedAt          *time.Time `json:"createdAt"`
	SignedInAt         *time.Time `json:"signedInAt"`
}

// userList is the page of all users.
type userList struct {
	Users []person
	Pager pager
}

func (v *visit) listUsers() error {
	q := url.Values{"limit": {itoa(messagesShown)}}
	if cursor := v.asked("cursor"); cursor != "" {
		q.Set("cursor", cursor)
	}
	found, err := fetch[listing[person]](v, "", apiUsers, q)
	if err != nil {
		return err
	}
	return v.show("users", page{Title: "Users", Data: userList{found.Data, v.pagerOf(found.Next, len(found.Data))}})
}

// roleChoices are the roles, with what each may do.
func roleChoices() []choice {
	return []choice{
		{"VIEWER", "Viewer: sees everything, changes nothing", ""},
		{"OPERATOR", "Operator: acts on messages, the queue, suppressions, providers, templates and webhooks", ""},
		{"ADMIN", "Admin: everything, also apps, keys, settings and users", ""},
	}
}

func newUserForm() *form {
	return &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 64, Mono: true, Help: "What is signed in with, and what the audit log shows: lower-case letters, digits and . _ @ + -"},
		{Name: "role", Label: "Role", Kind: choiceField, Must: true, Value: "OPERATOR", Choose: roleChoices()},
	}}
}

func (v *visit) showNewUser() error { return v.newUserPage(http.StatusOK, newUserForm()) }

func (v *visit) newUserPage(status int, f *form) error {
	return v.showStatus(status, "form", page{Title: "New user", Trail: []crumb{{"Users", usersPath}}, Data: formPage{Form: f, Action: newUserPath, Button: "Create the user", Back: usersPath,
		Lead: "The next page shows a password to begin with, once. Whoever signs in with it has to choose their own first."}})
}

// startPassword is one to begin with: 25 characters that nobody guesses, in groups that can be read to somebody.
func startPassword() string {
	var b [15]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	s := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	const group = 6
	var parts []string
	for ; len(s) > 0; s = s[group:] {
		parts = append(parts, s[:group])
	}
	return strings.Join(parts, "-")
}

// passwordShown is the page that shows a password to begin with, once.
type passwordShown struct {
	U            *person
	Password, At string
	SignIn       string
}

func (v *visit) showPassword(u *person, password, title string) error {
	return v.show("password", page{Title: title, Trail: []crumb{{"Users", usersPath}, {u.Name, usersPath + "/" + u.ID}}, Data: passwordShown{u, password, usersPath + "/" + u.ID, v.c.cfg.PublicURL + Root + "/sign-in?with=name"}})
}

func (v *visit) createUser() error {
	f, in := newUserForm(), v.r.PostForm
	f.take(in)
	password := startPassword()
	made := &person{}
	if err := send(v, "", http.MethodPost, apiUsers, map[string]string{"name": strings.TrimSpace(in.Get("name")), "role": in.Get("role"), "password": password}, made); err != nil {
		return v.refused(err, f, func(status int) error { return v.newUserPage(status, f) })
	}
	return v.showPassword(made, password, "The user is made")
}

func (v *visit) theUser() (*person, error) {
	return fetch[person](v, "", apiUsers+"/"+client.Escape(v.param("id")), nil)
}

// userPage is a user with what can be changed.
type userPage struct {
	U    *person
	At   string
	Form *form
	Own  bool // it is who looks
	Acts []deed[*person]
}

func userForm(u *person) *form {
	return &form{Fields: []field{
		{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 64, Mono: true, Value: u.Name},
		{Name: "role", Label: "Role", Kind: choiceField, Must: true, Value: u.Role, Choose: roleChoices(), Help: "Another role counts within five seconds."},
	}}
}

func (v *visit) showUser() error {
	u, err := v.theUser()
	if err != nil {
		return err
	}
	return v.userPage(http.StatusOK, u, userForm(u).remembering())
}

func (v *visit) userPage(status int, u *person, f *form) error {
	p := userPage{U: u, At: usersPath + "/" + u.ID, Form: f, Own: u.ID == v.user.ID, Acts: offered(v, userDeeds(v.user.ID), u)}
	return v.showStatus(status, "user", page{Title: u.Name, Trail: []crumb{{"Users", usersPath}}, Data: &p})
}

func (v *visit) saveUser() error {
	u, err := v.theUser()
	if err != nil {
		return err
	}
	f, in := userForm(u).remembering(), v.r.PostForm
	again := func(status int) error { return v.userPage(status, u, f) }
	done, ok := f.edited(in)
	if !ok {
		return again(stale)
	}
	change := done.only(map[string]any{"name": strings.TrimSpace(in.Get("name")), "role": in.Get("role")}, "")
	if len(change) == 0 {
		return v.unedited(usersPath + "/" + u.ID)
	}
	if err := v.changeUser(u, change); err != nil {
		return v.refused(err, f, again)
	}
	return v.done(usersPath+"/"+u.ID, "The user is changed.")
}

func (v *visit) changeUser(u *person, change map[string]any) error {
	return send(v, "", http.MethodPatch, apiUsers+"/"+client.Escape(u.ID), change, nil)
}

// userChange makes the act that changes one member of a user.
func userChange(member string, value any) func(*visit, *person) error {
	return func(v *visit, u *person) error { return v.changeUser(u, map[string]any{member: value}) }
}

// userDeeds is the table of what can be done to a user, by the one whose id is own. The own password and second factor are changed on the page of the own account, which asks for
// them.
func userDeeds(own string) []deed[*person] {
	return []deed[*person]{
		{Word: "password", Name: "Give another password", when: func(u *person) bool { return u.IsActive && u.ID != own }, title: "Give this user another password?", lead: "The one of now ends, and so do the user's sessions.",
			points: []string{"The new one is shown once, for you to hand over.", "It works for seven days, and only for choosing another one."}, button: "Make a password", shows: (*visit).givePassword},
		{Word: "factor", Name: "Take the second factor away", when: func(u *person) bool { return u.SecondFactor && u.ID != own }, title: "Take the second factor away?", lead: "From then on the password alone is enough.",
			points: []string{"Do this only for somebody who lost their authenticator, and whom you know.", "The user's sessions end."}, button: "Take it away", done: "The second factor is gone.", do: userChange("secondFactor", false)},
		{Word: "off", Name: "Lock the user out", when: func(u *person) bool { return u.IsActive }, title: "Lock this user out?", lead: "The user can no longer sign in.",
			points: []string{"Their sessions end, on every node within five seconds.", "They can be let in again."}, button: "Lock them out", done: "The user is locked out.", do: userChange("isActive", false)},
		{Word: "on", Name: "Let the user in again", when: func(u *person) bool { return !u.IsActive }, title: "Let this user in again?", lead: "The user can sign in as before.", button: "Let them in", done: "The user may sign in again.", do: userChange("isActive", true)},
		{Word: "delete", Name: "Delete the user", Danger: true, ends: true, when: func(*person) bool { return true }, title: "Delete this user?", lead: "It cannot be brought back.",
			points: []string{"Their sessions end, on every node within five seconds.", "What they did stays in the audit log under their name."}, button: "Delete the user", done: "The user is deleted.",
			do: func(v *visit, u *person) error {
				return send(v, "", http.MethodDelete, apiUsers+"/"+client.Escape(u.ID), nil, nil)
			}},
	}
}

// givePassword gives a user another password, and shows it.
func (v *visit) givePassword(u *person) error {
	password := startPassword()
	if err := v.changeUser(u, map[string]any{"password": password}); err != nil {
		return v.undone(usersPath+"/"+u.ID, err)
	}
	return v.showPassword(u, password, "The password is made")
}

// aUser is the user of the path as what is done to them speaks of them.
func (v *visit) aUser() (*subject[*person], error) {
	u, err := v.theUser()
	if err != nil {
		return nil, err
	}
	at := usersPath + "/" + u.ID
	return &subject[*person]{x: u, name: u.Name, at: at, list: usersPath, acts: at + "/do/", trail: []crumb{{"Users", usersPath}, {u.Name, at}}}, nil
}

func (v *visit) confirmUserAct() error {
	return confirmDeed(v, userDeeds(v.user.ID), v.param("act"), v.aUser)
}

func (v *visit) userAct() error { return runDeed(v, userDeeds(v.user.ID), v.param("act"), v.aUser) }
