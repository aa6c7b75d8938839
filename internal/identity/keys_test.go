package identity

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/test/softkey"
)

const (
	hostHere   = "comms.example.com"
	originHere = "https://" + hostHere
)

func siteHere() Site { return SiteOf(originHere, "") }

// wantCode fails unless the error has the code; "": there is none.
func (w *world) wantCode(err error, want string) {
	w.Helper()
	if got := code(err); err == nil && want != "" || err != nil && got != want {
		w.Fatalf("%v, want %q", err, want)
	}
}

// options are what a security key is to be asked, as the error says.
func (w *world) options(err error) string {
	w.Helper()
	e, _ := asComm(err)
	if e == nil {
		w.Fatalf("%v", err)
	}
	text, _ := e.Details["securityKey"].(string)
	return text
}

// register gives the session's user a key more, proven by p.
func (w *world) register(s *Service, x *Session, name string, p Proof) (*softkey.Key, []string) {
	w.Helper()
	p.Site, p.From = siteHere(), here
	options, err := s.KeyOptions(w.Context(), x, p)
	if err != nil {
		w.Fatal(err)
	}
	k := softkey.New(w, originHere)
	made, codes, err := s.AddKey(w.Context(), x, siteHere(), name, k.Make(w, options))
	if err != nil || made.Name != name {
		w.Fatal(err)
	}
	return k, codes
}

// asks signs in with the password alone and answers what a key is to be asked.
func (w *world) asks(s *Service, name string) string {
	w.Helper()
	_, err := s.SignIn(w.Context(), Attempt{Name: name, Password: good, From: here, Site: siteHere()})
	w.wantCode(err, "second_factor_required")
	return w.options(err)
}

// keyed is a user with a key, signed in.
func (w *world) keyed(s *Service, name string) (*Opened, *softkey.Key, []string) {
	w.Helper()
	w.user(s, name, "VIEWER")
	o := w.in(s, name, good)
	k, codes := w.register(s, o.Session, "blue", Proof{Password: good})
	return o, k, codes
}

func TestAKeySignsInOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, far := w.node(""), w.node("")
	w.user(s, "ama", "VIEWER")
	o, elsewhere := w.in(s, "ama", good), w.in(s, "ama", good)
	_, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: other, From: here, Site: siteHere()})
	w.wantCode(err, "invalid_field")
	k, codes := w.register(s, o.Session, "blue", Proof{Password: good})
	if len(codes) != recoveryCodes || !w.is(s, o.ID) || w.is(s, elsewhere.ID) {
		t.Errorf("%d recovery codes; this session goes on: %v, others: %v", len(codes), w.is(s, o.ID), w.is(s, elsewhere.ID))
	}
	answer := k.Sign(t, w.asks(s, "ama"))
	in, err := far.SignInWithKey(t.Context(), answer, here, siteHere()) // whichever node asked
	if err != nil || in.Name != "ama" || !in.Protected {
		t.Fatal(in, err)
	}
	_, err = s.SignInWithKey(t.Context(), answer, here, siteHere())
	w.wantCode(err, "unauthenticated")
	f, err := s.Factors(t.Context(), o.Session)
	if err != nil || f.Codes || f.Recovery != recoveryCodes || len(f.Keys) != 1 || f.Keys[0].UsedAt == 0 || f.Keys[0].Count != 1 {
		t.Errorf("%+v %v", f, err)
	}
	// A key that does not count its signatures is used once for each challenge, too.
	k.Still, k.Count = true, 0
	u, err := w.User(t.Context(), o.User)
	if err != nil {
		t.Fatal(err)
	}
	u.Keys[0].Count = 0
	if err := w.UpdateUser(t.Context(), u, false, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	answer = k.Sign(t, w.asks(s, "ama"))
	w.opensOnce("one answer", func(i int) error {
		_, err := []*Service{s, far}[i%2].SignInWithKey(t.Context(), answer, here, siteHere())
		return err
	})
	// Whoever was faster changed the user, between the look at the key and the session.
	answer = k.Sign(t, w.asks(s, "ama"))
	w.starts = w.overtaken(o.User)
	if _, err := s.SignInWithKey(t.Context(), answer, here, siteHere()); fmt.Sprint(err) != fmt.Sprint(noKey()) {
		t.Error(err)
	}
	w.starts = nil
	asks := func() string {
		_, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: good, From: here, Site: siteHere()})
		return k.Sign(t, w.options(err))
	}
	options, err := s.KeyOptions(t.Context(), o.Session, Proof{Key: asks(), From: here, Site: siteHere()})
	if err != nil {
		t.Fatal(err)
	}
	w.updates = w.overtaken(o.User)
	_, _, err = s.AddKey(t.Context(), o.Session, siteHere(), "green", softkey.New(t, originHere).Make(t, options))
	w.wantCode(err, "invalid_field")
	proof := Proof{Key: asks(), From: here, Site: siteHere()}
	w.updates = w.overtaken(o.User)
	_, err = s.KeyOptions(t.Context(), o.Session, proof)
	w.wantCode(err, "invalid_field")
}

// overtaken makes a change of the user's.
func (w *world) overtaken(id comm.ID) func() {
	return func() {
		u, err := w.User(w.Context(), id)
		if err == nil {
			err = w.Store.UpdateUser(w.Context(), u, false, [32]byte{})
		}
		if err != nil {
			w.Error(err)
		}
	}
}

// TestWhatNoKeySigned opens no session, with one and the same answer.
func TestWhatNoKeySigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	mine, k, _ := w.keyed(s, "ama")
	_, others, _ := w.keyed(s, "kofi")
	text := fmt.Sprint(noKey())
	another := otherRing(t).For("security-key-challenge")
	at := SiteOf("https://evil.example", "")
	for name, try := range map[string]func(options string) (string, Site){
		"nothing":         func(string) (string, Site) { return "", siteHere() },
		"no JSON":         func(string) (string, Site) { return "x", siteHere() },
		"an empty object": func(string) (string, Site) { return "{}", siteHere() },
		"another origin": func(o string) (string, Site) {
			c := *k
			c.Origin = "https://evil.example"
			return c.Sign(t, o), siteHere()
		},
		"another port": func(o string) (string, Site) { c := *k; c.Origin += ":8443"; return c.Sign(t, o), siteHere() },
		"no encryption": func(o string) (string, Site) {
			c := *k
			c.Origin = "http://" + hostHere
			return c.Sign(t, o), siteHere()
		},
		"another host": func(o string) (string, Site) { c := *k; c.Host = "evil.example"; return c.Sign(t, o), siteHere() },
		"another site of ours": func(o string) (string, Site) {
			c := *k
			c.Host, c.Origin = "evil.example", "https://evil.example"
			return c.Sign(t, o), at
		},
		"no site":            func(o string) (string, Site) { return k.Sign(t, o), SiteOf("http://"+hostHere, "") },
		"another user's key": func(o string) (string, Site) { return others.Sign(t, o), siteHere() },
		"its name, another key": func(o string) (string, Site) {
			c := *others
			c.ID, c.User = k.ID, k.User
			return c.Sign(t, o), siteHere()
		},
		"another user":                  func(o string) (string, Site) { c := *k; c.User = others.User; return c.Sign(t, o), siteHere() },
		"a copy that counted less":      func(o string) (string, Site) { c := *k; c.Count = 0; return c.Sign(t, o), siteHere() },
		"the challenge of another user": func(string) (string, Site) { return k.Sign(t, w.asks(s, "kofi")), siteHere() },
		"a challenge of nobody's": func(string) (string, Site) {
			return k.Sign(t, `{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), siteHere()
		},
		"a challenge that was cut": func(o string) (string, Site) {
			return k.Sign(t, strings.Replace(o, `"challenge":"`, `"challenge":"A`, 1)), siteHere()
		},
		"a challenge of another ring": func(string) (string, Site) {
			node := w.node("")
			node.challenges = another
			return k.Sign(t, w.asks(node, "ama")), siteHere()
		},
		"a challenge to change factors": func(string) (string, Site) {
			_, err := s.KeyOptions(t.Context(), mine.Session, Proof{Password: good, From: here, Site: siteHere()})
			return k.Sign(t, w.options(err)), siteHere()
		},
		"what was answered to register": func(o string) (string, Site) {
			u, err := w.User(t.Context(), mine.User)
			if err != nil {
				t.Fatal(err)
			}
			options, err := s.askForNew(u, siteHere(), "")
			if err != nil {
				t.Fatal(err)
			}
			return k.Sign(t, options), siteHere()
		},
		"too late": func(o string) (string, Site) { w.ahead.Add(int64(challengeLasts)); return k.Sign(t, o), siteHere() },
		"after the password was changed": func(o string) (string, Site) {
			u, err := w.User(t.Context(), mine.User)
			if err == nil {
				err = w.UpdateUser(t.Context(), u, false, [32]byte{})
			}
			if err != nil {
				t.Fatal(err)
			}
			return k.Sign(t, o), siteHere()
		},
	} {
		k.Count = 10 // more than it ever was, but for a copy
		u, err := w.User(t.Context(), mine.User)
		if err != nil {
			t.Fatal(err)
		}
		u.Keys[0].Count = 5
		if err := w.UpdateUser(t.Context(), u, false, [32]byte{}); err != nil {
			t.Fatal(err)
		}
		s.tries = newTries()
		answer, site := try(w.asks(s, "ama"))
		in, err := s.SignInWithKey(t.Context(), answer, here, site)
		if in != nil || fmt.Sprint(err) != text {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same key does sign in, if nothing is wrong.
	k.Count = 20
	if _, err := s.SignInWithKey(t.Context(), k.Sign(t, w.asks(s, "ama")), here, siteHere()); err != nil {
		t.Error(err)
	}
	_, err := s.SignInWithKey(t.Context(), strings.Repeat(" ", maxAnswer+1), here, siteHere())
	w.wantCode(err, "invalid_field")
}

// TestWrongAnswersOfKeysAreCounted as wrong codes are: with them.
func TestWrongAnswersOfKeysAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	_, k, codes := w.keyed(s, "ama")
	thief := softkey.New(t, originHere)
	thief.ID, thief.User, thief.Host = k.ID, k.User, k.Host
	options := w.asks(s, "ama")
	for i := range triesOfAccount {
		var err error
		if i%2 == 0 {
			_, err = s.SignInWithKey(t.Context(), thief.Sign(t, options), here, siteHere())
		} else {
			_, err = s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: "000000", From: here, Site: siteHere()})
		}
		w.wantCode(err, "unauthenticated")
	}
	_, err := s.SignInWithKey(t.Context(), k.Sign(t, options), here, siteHere())
	w.wantCode(err, "too_many_failures")
	_, err = s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: codes[0], From: here})
	w.wantCode(err, "too_many_failures")
	w.ahead.Add(int64(triesWindow))
	if _, err := s.SignInWithKey(t.Context(), k.Sign(t, w.asks(s, "ama")), here, siteHere()); err != nil {
		t.Error(err)
	}
}

// TestAKeyIsNoWayAroundTheOtherFactor, nor a code around the key.
func TestAKeyIsNoWayAroundTheOtherFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	w.user(s, "ama", "VIEWER")
	o := w.in(s, "ama", good)
	early, err := s.Enrol(t.Context(), o.Session, Proof{Password: good, From: here})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: good, From: here, Site: siteHere()})
	if err != nil {
		t.Fatal(err)
	}
	k, codes := w.register(s, o.Session, "blue", Proof{Password: good})
	now := func(e *Enrolment) string {
		text, err := totp.GenerateCode(e.Secret, s.cfg.Now())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// An authenticator that was begun before the key is none: neither at the door, nor to be confirmed.
	_, err = s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: now(early), From: here, Site: siteHere()})
	w.wantCode(err, "unauthenticated")
	_, err = s.Confirm(t.Context(), o.Session, here, now(early))
	w.wantCode(err, "invalid_state")
	// Nor does a key register that was asked for before.
	_, _, err = s.AddKey(t.Context(), o.Session, siteHere(), "late", softkey.New(t, originHere).Make(t, begun))
	w.wantCode(err, "invalid_field")
	proof := func(p Proof) Proof { p.From, p.Site = here, siteHere(); return p }
	id := func() comm.ID {
		f, err := s.Factors(t.Context(), o.Session)
		if err != nil || len(f.Keys) == 0 {
			t.Fatal(f, err)
		}
		return f.Keys[0].ID
	}
	acts := map[string]func(p Proof) error{
		"enrol":  func(p Proof) error { _, err := s.Enrol(t.Context(), o.Session, p); return err },
		"add":    func(p Proof) error { _, err := s.KeyOptions(t.Context(), o.Session, p); return err },
		"remove": func(p Proof) error { return s.RemoveKey(t.Context(), o.Session, id(), p) },
	}
	second := w.in2(s, k)
	for name, act := range acts {
		for what, p := range map[string]Proof{"the password alone": {Password: good}, "a wrong code": {Password: good, Code: "000000"}, "a code of what was never confirmed": {Password: good, Code: now(early)},
			"a recovery code, and a wrong password": {Password: other, Code: codes[0]}, "no key": {Key: "{}"}, "a key that was asked to sign in": {Key: k.Sign(t, w.asks(s, "ama"))}} {
			if err := act(proof(p)); code(err) != "invalid_field" {
				t.Errorf("%s with %s: %v", name, what, err)
			}
		}
		// What a key was asked in another session of the user.
		_, err := s.KeyOptions(t.Context(), second.Session, proof(Proof{Password: good}))
		if err := act(proof(Proof{Key: k.Sign(t, w.options(err))})); code(err) != "invalid_field" {
			t.Errorf("%s with what another session asked: %v", name, err)
		}
		s.tries = newTries()
	}
	// With the key, or a code, they are done, once each.
	err = acts["add"](proof(Proof{Password: good}))
	answer := k.Sign(t, w.options(err))
	w.wantCode(acts["add"](proof(Proof{Key: answer})), "")
	w.wantCode(acts["add"](proof(Proof{Key: answer})), "invalid_field")
	w.wantCode(acts["add"](proof(Proof{Password: good, Code: codes[1]})), "")
	w.wantCode(acts["add"](proof(Proof{Password: good, Code: codes[1]})), "invalid_field")
	late, err := s.Enrol(t.Context(), o.Session, proof(Proof{Password: good, Code: codes[2]}))
	if err != nil {
		t.Fatal(err)
	}
	if more, err := s.Confirm(t.Context(), o.Session, here, now(late)); err != nil || len(more) != 0 {
		t.Fatal(more, err) // those that came with the key stay
	}
	// Now either does. The key goes, the codes stay; the authenticator goes, and nothing is asked for.
	w.wantCode(acts["enrol"](proof(Proof{Password: good, Code: codes[3]})), "invalid_state")
	w.wantCode(acts["remove"](proof(Proof{Password: good, Code: codes[3]})), "")
	w.wantCode(s.RemoveKey(t.Context(), o.Session, comm.NewID(1), proof(Proof{Password: good, Code: codes[4]})), "not_found")
	if f, err := s.Factors(t.Context(), o.Session); err != nil || len(f.Keys) != 0 || !f.Codes || f.Recovery != recoveryCodes-3 {
		t.Errorf("%+v %v", f, err)
	}
	w.wantCode(s.RemoveFactor(t.Context(), o.Session, proof(Proof{Password: good, Code: codes[4]})), "")
	if f, err := s.Factors(t.Context(), o.Session); err != nil || f.Codes || f.Recovery != 0 {
		t.Errorf("%+v %v", f, err)
	}
	w.in(s, "ama", good)
}

// in2 opens a session of ama's with the key.
func (w *world) in2(s *Service, k *softkey.Key) *Opened {
	w.Helper()
	o, err := s.SignInWithKey(w.Context(), k.Sign(w, w.asks(s, "ama")), here, siteHere())
	if err != nil {
		w.Fatal(err)
	}
	return o
}

func TestNamesOfKeys(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"": false, " ": false, " x": false, "x ": false, "a\nb": false, "a\u00a0b": false, strings.Repeat("ß", maxKeyName+1): false, strings.Repeat("ß", maxKeyName): true, "The blue one": true,
		"👩\u200d💻 phone": true, "👩🏽\u200d🚀": true, "🏳\ufe0f\u200d🌈": true, "👨\u200d👩\u200d👧": true,
		"\u200d💻": false, "👩\u200d": false, "👩\u200d\u200d💻": false, "blue\u200d": false, "bl\u200due": false, "blue\u200d💻": false, "💻\u200dblue": false, "\u200d": false, "\u200b": false} {
		if isKeyName(name) != ok {
			t.Errorf("%q: %t", name, !ok)
		}
	}
}

// TestKeysOfOneUser: ten at most, each once, named; an administrator takes them away with everything else.
func TestKeysOfOneUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	o, first, codes := w.keyed(s, "ama")
	admin, err := w.node("the-admin-key-of-all").OpenForAdmin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		func() error {
			_, err := s.KeyOptions(t.Context(), admin.Session, Proof{Password: good, From: here, Site: siteHere()})
			return err
		}(),
		func() error { _, _, err := s.AddKey(t.Context(), admin.Session, siteHere(), "x", "{}"); return err }(),
		func() error { _, err := s.Factors(t.Context(), admin.Session); return err }(),
		s.RemoveKey(t.Context(), admin.Session, comm.NewID(1), Proof{Key: "{}", From: here, Site: siteHere()}),
		s.RemoveKey(t.Context(), admin.Session, comm.NewID(1), Proof{Password: good, From: here, Site: siteHere()}),
		func() error {
			_, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: good, From: here, Site: SiteOf("", "192.0.2.1:3008")})
			return err
		}(),
	} {
		w.wantCode(err, "invalid_state")
	}
	// The same key does not come twice, and browsers are told so beforehand.
	options, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: good, Code: codes[0], From: here, Site: siteHere()})
	if err != nil || !strings.Contains(options, `"excludeCredentials":[{`) {
		t.Fatal(options, err)
	}
	_, _, err = s.AddKey(t.Context(), o.Session, siteHere(), "again", first.Make(t, options))
	w.wantCode(err, "invalid_field")
	_, _, err = s.AddKey(t.Context(), o.Session, siteHere(), "origin", softkey.New(t, "https://evil.example").Make(t, options))
	w.wantCode(err, "invalid_field")
	_, _, err = s.AddKey(t.Context(), o.Session, siteHere(), "host", softkey.New(t, originHere).Make(t, strings.ReplaceAll(options, `"id":"`+hostHere+`"`, `"id":"evil.example"`)))
	w.wantCode(err, "invalid_field")
	for n := 2; n <= comm.MaxSecurityKeys; n++ {
		k := softkey.New(t, originHere)
		if _, again, err := s.AddKey(t.Context(), o.Session, siteHere(), fmt.Sprint("key ", n), k.Make(t, options)); err != nil || again != nil {
			t.Fatal(n, again, err)
		}
		if n == comm.MaxSecurityKeys {
			break
		}
		_, err = s.KeyOptions(t.Context(), o.Session, Proof{Password: good, From: here, Site: siteHere()})
		if options, err = s.KeyOptions(t.Context(), o.Session, Proof{Key: k.Sign(t, w.options(err)), From: here, Site: siteHere()}); err != nil {
			t.Fatal(n, err)
		}
	}
	_, err = s.KeyOptions(t.Context(), o.Session, Proof{Password: good, Code: codes[1], From: here, Site: siteHere()})
	w.wantCode(err, "invalid_state")
	var asked struct {
		AllowCredentials []any
		UserVerification string
		RPID             string `json:"rpId"`
	}
	if err := json.Unmarshal([]byte(w.asks(s, "ama")), &asked); err != nil || len(asked.AllowCredentials) != comm.MaxSecurityKeys || asked.UserVerification != "preferred" || asked.RPID != hostHere {
		t.Errorf("%+v %v", asked, err)
	}
	// Where none of them signs, none is asked; the second factor is, all the same.
	_, err = s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, From: here, Site: SiteOf("https://other.example.com", "")})
	if w.wantCode(err, "second_factor_required"); w.options(err) != "" {
		t.Error(w.options(err))
	}
	u, err := s.UpdateUser(t.Context(), o.User, UserChange{DropFactor: true})
	if err != nil || u.Protected() || u.Recovery != "" || w.is(s, o.ID) {
		t.Errorf("%+v %v", u, err)
	}
	w.in(s, "ama", good)
}

func TestWhereBrowsersHaveKeys(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ configured, host, want string }{
		{"https://comms.example.com", "evil.example", "comms.example.com https://comms.example.com"},
		{"https://Comms.example.com:8443", "", "comms.example.com https://comms.example.com:8443"},
		{"http://localhost:3008", "x", "localhost http://localhost:3008"},
		{"http://comms.example.com", "", ""},
		{"https://192.0.2.1", "", ""},
		{"https://comms.example.com:443", "", "comms.example.com https://comms.example.com"},
		{"http://localhost:80", "", "localhost http://localhost"},
		{"", "comms.example.com", ""}, // a client that names it may have a page at another port of it
		{"", "comms.example.com:3008", ""},
		{"", "LOCALHOST:3008", "localhost https://localhost:3008 http://localhost:3008"},
		{"", "a.localhost", "a.localhost https://a.localhost http://a.localhost"},
		{"", "127.0.0.1:3008", ""},
		{"", "[::1]:3008", ""},
		{"", "::1", ""},
		{"", "", ""},
		{"", "intranet", ""},
		{"", "a b", ""},
		{"", "example.com/x", ""},
	} {
		s := SiteOf(one.configured, one.host)
		got := strings.Join(append([]string{s.host}, s.origins...), " ")
		if len(s.origins) == 0 {
			got = ""
		}
		if got != one.want {
			t.Errorf("%q %q: %q", one.configured, one.host, got)
		}
	}
}

// TestAnotherFactorBringsCodesWhereNoneAreLeft: whoever has used all of them up gets new ones with the next factor, and keeps what is left otherwise.
func TestAnotherFactorBringsCodesWhereNoneAreLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	o, k, codes := w.keyed(s, "ama")
	proof := func() Proof {
		_, err := s.KeyOptions(t.Context(), o.Session, Proof{Password: good, From: here, Site: siteHere()})
		return Proof{Key: k.Sign(t, w.options(err))}
	}
	for i, code := range codes {
		s.tries = newTries()
		if _, err := s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: code, From: here}); err != nil {
			t.Fatal(err)
		}
		if i == 3 || i == len(codes)-1 {
			_, more := w.register(s, o.Session, fmt.Sprint("key ", i), proof())
			if left := len(codes) - 1 - i; (len(more) == 0) != (left > 0) {
				t.Errorf("%d were left, and %d came", left, len(more))
			}
		}
	}
}
