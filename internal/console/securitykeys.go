package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

const (
	keysPath   = accountPath + "/keys"
	newKeyPath = keysPath + "/new"
	// apiKeys is the API's route of the own security keys.
	apiKeys = sessionPath + "/security-keys"
)

func (c *Console) ownKeyRoutes() []route {
	return []route{
		{"GET", newKeyPath, "", actSee, false, (*visit).showNewOwnKey},
		{"POST", newKeyPath, "", actSee, false, (*visit).askNewOwnKey},
		{"POST", keysPath, "", actSee, false, (*visit).addOwnKey},
		{"GET", keysPath + "/{key}/remove", "", actSee, false, (*visit).showOwnKeyRemoval},
		{"POST", keysPath + "/{key}/remove", "", actSee, false, (*visit).removeOwnKey},
	}
}

// ownKey is a security key as the API tells it.
type ownKey struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	CreatedAt *time.Time `json:"createdAt"`
	UsedAt    *time.Time `json:"usedAt"`
}

// factors are what who is signed in has beside the password.
type factors struct {
	Authenticator     bool     `json:"authenticator"`
	RecoveryCodesLeft int      `json:"recoveryCodesLeft"`
	SecurityKeys      []ownKey `json:"securityKeys"`
}

// touch is a page that hands something to a security key, and its answer on. key.js does both.
type touch struct {
	Lead, Button string
	Does         string // get: an own key is to sign; create: a new one is made
	Options      string // for the browser, as the API makes them
	Action       string // what takes the answer
	Fields       []hidden
	Back         string
}

func (v *visit) touch(title string, t touch) error {
	return v.show("touch", page{Title: title, Trail: []crumb{{"Your account", accountPath}}, Data: t})
}

// proofOf is what a form of the account shows once more.
func proofOf(in url.Values) map[string]string {
	if key := in.Get("securityKey"); key != "" {
		return map[string]string{"securityKey": key}
	}
	out := map[string]string{"password": in.Get("password")}
	if code := strings.TrimSpace(in.Get("code")); code != "" {
		out["code"] = code
	}
	return out
}

// keyAsked is what the API wants an own security key to be asked, "" if nothing.
func keyAsked(err error) string {
	var e *client.Error
	if !errors.As(err, &e) {
		return ""
	}
	options, _ := e.Details["securityKey"].(string)
	return options
}

// unproven ends a POST that takes a proof. Where the password was right and no code given, a key may do in its place: t says what for.
func (v *visit) unproven(err error, t touch, f *form, again func(status int) error) error {
	options := keyAsked(err)
	if options == "" {
		return v.refused(err, f, again)
	}
	t.Does, t.Options, t.Button = "get", options, "Use your security key"
	t.Lead = "Your password is right. Now one of your security keys is asked for. To give a code instead, go back."
	return v.touch("Use your security key", t)
}

// proofFields ask for the password and, where there is a second factor, for a code of it; keys says that a security key does in its place.
func (v *visit) proofFields(keys bool) []field {
	out := []field{{Name: "password", Label: "Your password", Kind: secretField, Must: true, Length: 256, Fill: "current-password"}}
	if !v.user.Protected {
		return out
	}
	code := field{Name: "code", Label: "Code, or a recovery code", Kind: textField, Mono: true, Must: !keys, Length: 64, Fill: "one-time-code"}
	if keys {
		code.Help = "Leave it empty to use a security key."
	}
	return append(out, code)
}

func (v *visit) ownFactors() (*factors, error) {
	return fetch[factors](v, "", sessionPath+"/second-factor", nil)
}

func (v *visit) newOwnKeyForm(have *factors) *form {
	name := field{Name: "name", Label: "Name", Kind: textField, Must: true, Length: 64, Help: "What you call it, to know it from your others: the blue one, the phone."}
	return &form{Fields: append([]field{name}, v.proofFields(len(have.SecurityKeys) > 0)...)}
}

func (v *visit) newOwnKeyPage(status int, f *form) error {
	return v.showStatus(status, "form", page{Title: "Add a security key", Trail: []crumb{{"Your account", accountPath}}, Data: formPage{Form: f, Action: newKeyPath, Button: "Go on", Back: accountPath,
		Lead: "A security key is a small device, or a passkey that your phone, computer or password manager keeps. It takes a browser with JavaScript."}})
}

func (v *visit) showNewOwnKey() error {
	have, err := v.ownFactors()
	if err != nil {
		return v.undone(accountPath, err)
	}
	return v.newOwnKeyPage(http.StatusOK, v.newOwnKeyForm(have))
}

func (v *visit) askNewOwnKey() error {
	have, err := v.ownFactors()
	if err != nil {
		return v.undone(accountPath, err)
	}
	f, in := v.newOwnKeyForm(have), v.r.PostForm
	f.take(in)
	proof := proofOf(in)
	proof["name"] = strings.TrimSpace(in.Get("name"))
	name := []hidden{{"name", proof["name"]}}
	var asked struct{ Options string }
	if err := send(v, "", http.MethodPost, apiKeys+"/options", proof, &asked); err != nil {
		return v.unproven(err, touch{Action: newKeyPath, Fields: name, Back: newKeyPath}, f, func(status int) error { return v.newOwnKeyPage(status, f) })
	}
	return v.touch("Register the security key", touch{Lead: "The browser asks for it now: plug it in and touch it, or do what your device says.", Button: "Register it", Does: "create", Options: asked.Options,
		Action: keysPath, Fields: name, Back: accountPath})
}

func (v *visit) addOwnKey() error {
	in := v.r.PostForm
	var made struct{ RecoveryCodes []string }
	if err := send(v, "", http.MethodPost, apiKeys, map[string]string{"name": in.Get("name"), "securityKey": in.Get("securityKey")}, &made); err != nil {
		have, failed := v.ownFactors()
		if failed != nil {
			return failed
		}
		f := v.newOwnKeyForm(have)
		f.take(in)
		return v.refused(err, f, func(status int) error { return v.newOwnKeyPage(status, f) })
	}
	if len(made.RecoveryCodes) == 0 {
		return v.done(accountPath, "The security key is registered.")
	}
	return v.codesPage(made.RecoveryCodes)
}

// theOwnKey is the key of the path, with what stands on the page of its removal.
func (v *visit) theOwnKey() (*ownKey, *form, error) {
	have, err := v.ownFactors()
	if err != nil {
		return nil, nil, err
	}
	for i := range have.SecurityKeys {
		if have.SecurityKeys[i].ID == v.param("key") {
			return &have.SecurityKeys[i], &form{Fields: v.proofFields(true)}, nil
		}
	}
	return nil, nil, missing("security key")
}

func (v *visit) ownKeyRemovalPage(status int, k *ownKey, f *form) error {
	return v.showStatus(status, "form", page{Title: "Remove the security key " + k.Name, Trail: []crumb{{"Your account", accountPath}}, Data: formPage{Form: f, Action: keysPath + "/" + k.ID + "/remove", Button: "Remove it",
		Back: accountPath, Lead: "From then on it signs you in no more. Your other sessions end."}})
}

func (v *visit) showOwnKeyRemoval() error {
	k, f, err := v.theOwnKey()
	if err != nil {
		return err
	}
	return v.ownKeyRemovalPage(http.StatusOK, k, f)
}

func (v *visit) removeOwnKey() error {
	k, f, err := v.theOwnKey()
	if err != nil {
		return err
	}
	at := keysPath + "/" + k.ID + "/remove"
	if err := send(v, "", http.MethodPost, apiKeys+"/"+client.Escape(k.ID)+"/remove", proofOf(v.r.PostForm), nil); err != nil {
		return v.unproven(err, touch{Action: at, Back: at}, f, func(status int) error { return v.ownKeyRemovalPage(status, k, f) })
	}
	return v.done(accountPath, "The security key is removed.")
}
