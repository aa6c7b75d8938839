package console

import (
	"errors"
	"net/http"
	"strings"
)

const accountPath = Root + "/account"

// errChange sends who was given a password to the page where an own one is chosen.
var errChange = errors.New("console: the password has to be changed")

func (c *Console) accountRoutes() []route {
	return []route{
		{"GET", accountPath, "", actSee, false, (*visit).showAccount},
		{"POST", accountPath + "/password", "", actSee, false, (*visit).changePassword},
		{"POST", accountPath + "/factor", "", actSee, false, (*visit).beginFactor},
		{"POST", accountPath + "/factor/confirm", "", actSee, false, (*visit).confirmFactor},
		{"POST", accountPath + "/factor/remove", "", actSee, false, (*visit).removeFactor},
	}
}

// account is the page of who is signed in.
type account struct {
	Password *form
	Begin    *form // of a second factor
	Confirm  *form
	Remove   *form
	Secret   string // to type into an authenticator
	URI      string
	Codes    []string // for when the authenticator is lost; shown once
}

func newAccount() *account {
	secret := func(name, label, fill string) field {
		return field{Name: name, Label: label, Kind: secretField, Must: true, Length: 256, Fill: fill}
	}
	code := field{Name: "code", Label: "Code that the authenticator shows", Kind: textField, Mono: true, Must: true, Length: 64, Fill: "one-time-code"}
	fresh := secret("new", "New password", "new-password")
	fresh.Help = "12 characters or more, any that you like. A few words are easy to keep."
	ended := secret("password", "Your password", "current-password")
	removal := code
	removal.Label = "Code, or a recovery code"
	return &account{Password: &form{Fields: []field{secret("current", "Password of now", "current-password"), fresh, secret("again", "New password again", "new-password")}},
		Begin: &form{Fields: []field{ended}}, Confirm: &form{Fields: []field{code}}, Remove: &form{Fields: []field{ended, removal}}}
}

func (v *visit) showAccount() error { return v.accountPage(http.StatusOK, newAccount()) }

func (v *visit) accountPage(status int, a *account) error {
	// Two forms of the page ask for the password, and two for a code: their inputs need ids of their own.
	for i := range a.Remove.Fields {
		a.Remove.Fields[i].Apart = "remove-"
	}
	return v.showStatus(status, "account", page{Title: "Your account", Data: a})
}

func (v *visit) changePassword() error {
	a, in := newAccount(), v.r.PostForm
	if in.Get("new") != in.Get("again") {
		a.Password.Error, a.Password.Fields[2].Error = lookAgain, "It is not the same as the new password."
		return v.accountPage(http.StatusBadRequest, a)
	}
	if err := send(v, "", http.MethodPost, sessionPath+"/password", map[string]string{"current": in.Get("current"), "new": in.Get("new")}, nil); err != nil {
		return v.refused(err, a.Password, func(status int) error { return v.accountPage(status, a) })
	}
	to := accountPath
	if v.user.MustChange {
		to = Root
	}
	return v.done(to, "The password is changed. Your other sessions have ended.")
}

func (v *visit) beginFactor() error {
	a := newAccount()
	var made struct{ Secret, URI string }
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor", map[string]string{"password": v.r.PostForm.Get("password")}, &made); err != nil {
		return v.refused(err, a.Begin, func(status int) error { return v.accountPage(status, a) })
	}
	a.Secret, a.URI = made.Secret, made.URI
	return v.accountPage(http.StatusOK, a)
}

func (v *visit) confirmFactor() error {
	a, in := newAccount(), v.r.PostForm
	var made struct{ RecoveryCodes []string }
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor/confirm", map[string]string{"code": strings.TrimSpace(in.Get("code"))}, &made); err != nil {
		a.Secret, a.URI = in.Get("secret"), in.Get("uri") // to try once more with what the authenticator was given
		return v.refused(err, a.Confirm, func(status int) error { return v.accountPage(status, a) })
	}
	a.Codes, v.user.Protected = made.RecoveryCodes, true
	return v.accountPage(http.StatusOK, a)
}

func (v *visit) removeFactor() error {
	a, in := newAccount(), v.r.PostForm
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor/remove", map[string]string{"password": in.Get("password"), "code": strings.TrimSpace(in.Get("code"))}, nil); err != nil {
		return v.refused(err, a.Remove, func(status int) error { return v.accountPage(status, a) })
	}
	return v.done(accountPath, "The second factor is removed: your password alone signs you in.")
}
