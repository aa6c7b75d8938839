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
	Codes    []string // for when the second factor is lost; shown once
	Have     *factors // nil where nobody's account is shown
}

// passwordForm is for a new one.
func passwordForm() *form {
	secret := func(name, label, fill string) field {
		return field{Name: name, Label: label, Kind: secretField, Must: true, Length: 256, Fill: fill}
	}
	fresh := secret("new", "New password", "new-password")
	fresh.Help = "12 characters or more, any that you like. A few words are easy to keep."
	return &form{Fields: []field{secret("current", "Password of now", "current-password"), fresh, secret("again", "New password again", "new-password")}}
}

// newAccount is the page before anything is filled in, with what the user has.
func (v *visit) newAccount() (*account, error) {
	code := field{Name: "code", Label: "Code that the authenticator shows", Kind: textField, Mono: true, Must: true, Length: 64, Fill: "one-time-code"}
	a := &account{Password: passwordForm(), Confirm: &form{Fields: []field{code}}}
	if v.user.ID == "" || v.user.MustChange {
		a.Begin, a.Remove = &form{}, &form{}
		return a, nil
	}
	var err error
	if a.Have, err = v.ownFactors(); err != nil {
		return nil, err
	}
	keys := len(a.Have.SecurityKeys) > 0
	a.Begin, a.Remove = &form{Fields: v.proofFields(keys)}, &form{Fields: v.proofFields(keys)}
	return a, nil
}

func (v *visit) showAccount() error {
	a, err := v.newAccount()
	if err != nil {
		return err
	}
	return v.accountPage(http.StatusOK, a)
}

func (v *visit) accountPage(status int, a *account) error {
	return v.showStatus(status, "account", page{Title: "Your account", Data: a})
}

func (v *visit) changePassword() error {
	a, err := v.newAccount()
	if err != nil {
		return err
	}
	in := v.r.PostForm
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
	a, err := v.newAccount()
	if err != nil {
		return err
	}
	var made struct{ Secret, URI string }
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor", proofOf(v.r.PostForm), &made); err != nil {
		return v.unproven(err, touch{Action: accountPath + "/factor", Back: accountPath}, a.Begin, func(status int) error { return v.accountPage(status, a) })
	}
	a.Secret, a.URI = made.Secret, made.URI
	return v.accountPage(http.StatusOK, a)
}

func (v *visit) confirmFactor() error {
	a, err := v.newAccount()
	if err != nil {
		return err
	}
	in := v.r.PostForm
	var made struct{ RecoveryCodes []string }
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor/confirm", map[string]string{"code": strings.TrimSpace(in.Get("code"))}, &made); err != nil {
		a.Secret, a.URI = in.Get("secret"), in.Get("uri") // to try once more with what the authenticator was given
		return v.refused(err, a.Confirm, func(status int) error { return v.accountPage(status, a) })
	}
	if len(made.RecoveryCodes) == 0 {
		return v.done(accountPath, "The authenticator app is switched on. Your recovery codes stay as they are.")
	}
	return v.codesPage(made.RecoveryCodes)
}

// codesPage shows recovery codes, once: whatever else of the page cannot be read now.
func (v *visit) codesPage(codes []string) error {
	v.user.Protected = true
	a, err := v.newAccount()
	if err != nil {
		a = &account{Password: passwordForm()}
	}
	a.Codes = codes
	return v.accountPage(http.StatusOK, a)
}

func (v *visit) removeFactor() error {
	a, err := v.newAccount()
	if err != nil {
		return err
	}
	if err := send(v, "", http.MethodPost, sessionPath+"/second-factor/remove", proofOf(v.r.PostForm), nil); err != nil {
		return v.unproven(err, touch{Action: accountPath + "/factor/remove", Back: accountPath}, a.Remove, func(status int) error { return v.accountPage(status, a) })
	}
	return v.done(accountPath, "The authenticator app is removed.")
}
