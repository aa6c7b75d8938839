package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

const (
	good  = "seven otters sing at dusk"
	other = "a plum tree beside the canal"
)

var here = netip.MustParseAddr("203.0.113.9")

// world is a store that nodes share.
type world struct {
	*testing.T
	*sqlite.Store
	ring   *seal.Ring
	ahead  atomic.Int64
	looked atomic.Int64
	mu     sync.Mutex
	notes  []store.AuditEntry
	// starts is called before a session is stored, and updates, once, before a user is, and renews, once, before a hash is, if they are set.
	starts, updates, renews func()
}

// UpdateUser lets somebody be faster.
func (w *world) UpdateUser(ctx context.Context, u *comm.User, ends bool, keep [32]byte) error {
	if faster := w.updates; faster != nil {
		w.updates = nil
		faster()
	}
	return w.Store.UpdateUser(ctx, u, ends, keep)
}

// RenewHash lets somebody be faster.
func (w *world) RenewHash(ctx context.Context, u *comm.User) error {
	if faster := w.renews; faster != nil {
		w.renews = nil
		faster()
	}
	return w.Store.RenewHash(ctx, u)
}

// StartSession lets somebody be faster.
func (w *world) StartSession(ctx context.Context, x *store.Session, by *comm.User) error {
	if w.starts != nil {
		w.starts()
	}
	return w.Store.StartSession(ctx, x, by)
}

// Session counts how often the database is asked.
func (w *world) Session(ctx context.Context, hash [32]byte) (*store.Session, error) {
	w.looked.Add(1)
	return w.Store.Session(ctx, hash)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "test.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return &world{T: t, Store: s, ring: ring}
}

func (w *world) node(adminKey string) *Service {
	return New(Config{Users: w, Sessions: w, Ring: w.ring, AdminKey: adminKey, Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
		Note: func(e store.AuditEntry) { w.mu.Lock(); defer w.mu.Unlock(); w.notes = append(w.notes, e) }})
}

func (w *world) user(s *Service, name, role string) *comm.User {
	w.Helper()
	u, err := s.CreateUser(w.Context(), UserSpec{Name: name, Role: role, Password: good})
	if err != nil {
		w.Fatal(err)
	}
	return u
}

func (w *world) in(s *Service, name, password string) *Opened {
	w.Helper()
	o, err := s.SignIn(w.Context(), Attempt{Name: name, Password: password, From: here})
	if err != nil {
		w.Fatal(err)
	}
	return o
}

// is says whether a node takes the session.
func (w *world) is(s *Service, id string) bool {
	w.Helper()
	x, err := s.Session(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return x != nil
}

func code(err error) string {
	if e, ok := errors.AsType[*comm.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestPasswordsThatAreTriedFirstAreRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"password1234", "Password12345!", "P@ssw0rd!!!!2024", "pa-ss-wo-rd-12-34", "qwertyuiop123", "QwertyUiop[]12", "aaaaaaaaaaaaaaaa", "123456789012", "abcdefghijkl",
		"poiuytrewq321", "letmeinletmein", "iloveyou123456", "welcomewelcome1", "correct horse battery staple", "Summer2026!!!!", "commserver2026", "ama.mensah2026", "AMA-MENSAH-12", "1q2w3e4r5t6y!", "changeme12345", "000000000000", "!!!!!!!!!!!!"} {
		if !isCommon(bad, "ama.mensah") {
			t.Errorf("%q passes", bad)
		}
	}
	for _, fine := range []string{good, other, "xK9#vQ2$mT7!", "🦦🌒🪁🧭🥁🪴🎏🧊🪂🛶🧵🎐", "Ɛyɛ anigyeɛ sɛ mehu wo", "tangent-walrus-ledger-quince", "4f9c2a7e1b8d6053", "horse eats correct staples at noon"} {
		if isCommon(fine, "ama.mensah") {
			t.Errorf("%q is refused", fine)
		}
	}
	for _, length := range []struct {
		n  int
		ok bool
	}{{11, false}, {12, true}, {256, true}, {257, false}} {
		password := ""
		for i := range length.n { // of three bytes each: characters count
			password += string(rune(0x4E00 + i*7919%20000))
		}
		e := comm.E("invalid_field")
		if checkPassword(e, "password", password, "ama"); (len(e.Fields) == 0) != length.ok {
			t.Errorf("%d characters: %v", length.n, e.Fields)
		}
	}
}

func TestHashesAreArgon2idOfTheWholePassword(t *testing.T) {
	t.Parallel()
	h, long := newHasher(), strings.Repeat("é", 255)
	hash, err := h.hash(t.Context(), long+"a")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatal(hash, err)
	}
	again, err := h.hash(t.Context(), long+"a")
	if err != nil || again == hash {
		t.Error("two hashes of one password are the same", err)
	}
	for password, want := range map[string]bool{long + "a": true, long + "b": false, long: false, "": false} {
		if fits, old, err := h.fits(t.Context(), password, hash); fits != want || old || err != nil {
			t.Errorf("%d bytes: %v %v %v", len(password), fits, old, err)
		}
	}
	if fits, _, err := h.fits(t.Context(), "", nobodysHash()); fits || err != nil {
		t.Error(fits, err)
	}
	for _, broken := range []string{"", "x", "$argon2i$v=19$m=8,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=9999999,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=8,t=1,p=1$AAAA$"} {
		if _, _, err := h.fits(t.Context(), "x", broken); !errors.Is(err, errHash) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

// TestHashingIsBounded: who finds no place waits, who finds no place to wait is told so at once.
func TestHashingIsBounded(t *testing.T) {
	t.Parallel()
	h := newHasher()
	var leave []func()
	for range hashesAtOnce {
		f, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, f)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range hashesWait {
		wg.Go(func() {
			if _, err := h.enter(ctx); err == nil {
				t.Error("there was a place")
			}
		})
	}
	for len(h.waiting) < hashesAtOnce+hashesWait {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.hash(t.Context(), good); code(err) != "unavailable" {
		t.Errorf("%v", err)
	}
	cancel()
	wg.Wait()
	for _, f := range leave {
		f()
	}
	if _, err := h.hash(t.Context(), good); err != nil {
		t.Error(err)
	}
}

// aged gives the user of this id the hash of their password that a lower cost makes.
func (w *world) aged(id comm.ID) {
	w.Helper()
	u, err := w.User(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	salt := []byte("some salt of old")
	u.Password, u.StartUntil = phc(8192, 1, 1, salt, argon2.IDKey([]byte(good), salt, 1, 8192, 1, hashSize)), 0
	if err := w.UpdateUser(w.Context(), u, false, [32]byte{}); err != nil {
		w.Fatal(err)
	}
}

// TestAnOldHashIsMadeAgain when its password is known, whatever opens the session then, and however many do so at once.
func TestAnOldHashIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	wantToday := func(id comm.ID) {
		t.Helper()
		if now, err := w.User(t.Context(), id); err != nil || !strings.Contains(now.Password, "m=19456,t=2,p=1") {
			t.Errorf("%+v %v", now, err)
		}
	}
	u := w.user(s, "ama", "VIEWER")
	w.aged(u.ID)
	w.starts = func() { w.starts = nil; w.in(s, "ama", good) } // somebody is faster
	w.in(s, "ama", good)
	wantToday(u.ID)
	w.in(s, "ama", good)

	o, k, _ := w.keyed(s, "kofi")
	w.aged(o.User)
	for range 2 {
		answer := k.Sign(t, w.asks(s, "kofi"))
		if _, err := s.SignInWithKey(t.Context(), answer, here, siteHere()); err != nil {
			t.Fatal(err)
		}
		wantToday(o.User)
	}
	w.aged(o.User)
	w.renews = w.overtaken(o.User)
	if _, err := s.SignInWithKey(t.Context(), k.Sign(t, w.asks(s, "kofi")), here, siteHere()); err != nil {
		t.Error(err) // what was asked is of the user as they are now
	}
	wantToday(o.User)
	// While nothing can be stored, who gives a wrong code learns nothing of the password.
	w.aged(o.User)
	w.renews = func() { t.Error("the hash is stored for who gave a wrong code") }
	_, err := s.SignIn(t.Context(), Attempt{Name: "kofi", Password: good, Code: "000000", From: here, Site: siteHere()})
	w.wantCode(err, "unauthenticated")
}

func TestEndsAreSeenOnOtherNodesWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.node("the-admin-key-of-all"), w.node("the-admin-key-of-all")
	u := w.user(a, "ama", "OPERATOR")
	for name, end := range map[string]func(o *Opened) error{
		"sign-out": func(o *Opened) error { return a.SignOut(t.Context(), o.Session) },
		"the role": func(*Opened) error {
			_, err := a.UpdateUser(t.Context(), u.ID, UserChange{Role: new("VIEWER")})
			return err
		},
		"password": func(*Opened) error {
			_, err := a.UpdateUser(t.Context(), u.ID, UserChange{Password: new(good)})
			return err
		},
		"switching off": func(*Opened) error {
			if _, err := a.UpdateUser(t.Context(), u.ID, UserChange{Active: new(false)}); err != nil {
				return err
			}
			_, err := a.UpdateUser(t.Context(), u.ID, UserChange{Active: new(true)})
			return err
		},
	} {
		o := w.in(a, "ama", good)
		for range 100 {
			if !w.is(b, o.ID) {
				t.Fatal(name)
			}
		}
		x, err := b.Session(t.Context(), o.ID)
		if err != nil || x.Holds(t.Context()) != nil {
			t.Fatal(name, err)
		}
		if err := end(o); err != nil {
			t.Fatal(name, err)
		}
		if now, err := a.Session(t.Context(), o.ID); err != nil || name != "the role" && now != nil || name == "the role" && now.Role != comm.Viewer {
			t.Errorf("%s on its own node: %+v %v", name, now, err)
		}
		w.ahead.Add(int64(remember))
		if now, err := b.Session(t.Context(), o.ID); err != nil || name != "the role" && now != nil || name == "the role" && now.Role != comm.Viewer {
			t.Errorf("%s on another node: %+v %v", name, now, err)
		}
		if err := x.Holds(t.Context()); code(err) != "unauthenticated" {
			t.Errorf("%s: a call under way goes on: %v", name, err)
		}
		if _, err := a.UpdateUser(t.Context(), u.ID, UserChange{Role: new("OPERATOR")}); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.looked.Load(); n > 60 {
		t.Errorf("the database was asked %d times", n)
	}
	// The holder of another admin key opens nothing with the sessions of this one.
	admin, err := a.OpenForAdmin(t.Context())
	if err != nil || !w.is(b, admin.ID) || admin.Name != AdminName || admin.Role != comm.Admin {
		t.Fatal(err)
	}
	if err := admin.Holds(t.Context()); err != nil {
		t.Errorf("a call under way of the admin key's session: %v", err)
	}
	if w.is(w.node("another-admin-key"), admin.ID) || w.is(w.node(""), admin.ID) {
		t.Error("the session outlives the key")
	}
	for _, id := range []string{"", "u.", admin.ID[2:], "u." + admin.ID[2:], admin.ID + "A", "x." + admin.ID[2:]} {
		if w.is(a, id) {
			t.Errorf("%q is a session", id)
		}
	}
}

// TestNobodyAndWrongPasswordsCostTheSame: whatever is wrong, one hash is compared and one answer given.
func TestNobodyAndWrongPasswordsCostTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	w.user(s, "ama", "VIEWER")
	off := w.user(s, "off", "VIEWER")
	if _, err := s.UpdateUser(t.Context(), off.ID, UserChange{Active: new(false)}); err != nil {
		t.Fatal(err)
	}
	w.user(s, "late", "VIEWER")
	at := func(name, password string) (string, time.Duration) {
		began := time.Now()
		_, err := s.SignIn(t.Context(), Attempt{Name: name, Password: password, From: here})
		return fmt.Sprint(err), time.Since(began)
	}
	want, _ := at("ama", other)
	// A look-up takes well below a millisecond, a hash many: half of the fastest hash tells them apart on any machine.
	least := time.Hour
	for range 3 {
		_, took := at("ama", other)
		least = min(least, took)
	}
	for name, password := range map[string]string{"nobody": good, "off": good, "AMA": other} {
		got, took := at(name, password)
		if got != want || took < least/2 {
			t.Errorf("%s: %s after %s, others take %s", name, got, took, least)
		}
	}
	w.ahead.Add(int64(startLasts))
	if got, _ := at("late", good); got != want {
		t.Errorf("a start password past its time: %s", got)
	}
}

// TestTriesAreCountedByAccountAndAddress: others go on, the wait ends, and the log tells once.
func TestTriesAreCountedByAccountAndAddress(t *testing.T) {
	t.Parallel()
	now, counts := time.Now(), newTries()
	for i := range triesOfAccount {
		if wait := counts.take(here, "ama", now); wait != 0 {
			t.Fatalf("try %d waits %d s", i, wait)
		}
	}
	if wait := counts.take(here, "ama", now.Add(time.Minute)); wait != 14*60+1 {
		t.Errorf("%d s", wait)
	}
	if counts.take(here, "kofi", now) != 0 || counts.take(netip.MustParseAddr("203.0.113.10"), "ama", now) != 0 {
		t.Error("another name or address waits")
	}
	network := netip.MustParseAddr("2001:db8::1")
	for range triesOfAccount {
		counts.take(network, "ama", now)
	}
	if counts.take(netip.MustParseAddr("2001:db8::2"), "ama", now) == 0 {
		t.Error("an address of the same network begins anew")
	}
	if counts.take(here, "ama", now.Add(triesWindow)) != 0 {
		t.Error("it waits for ever")
	}
	// Many names from one address, one try each.
	spray := netip.MustParseAddr("203.0.113.11")
	for i := range triesOfAddress {
		if counts.take(spray, fmt.Sprint("name-", i), now) != 0 {
			t.Fatal(i)
		}
	}
	if counts.take(spray, "one more", now) == 0 {
		t.Error("an address tries names without end")
	}
	counts.good(spray, "name-1", now)
	if counts.take(spray, "one more", now) != 0 {
		t.Error("who was let in has used a try up")
	}
	for i := range maxTried + 10 {
		counts.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "x", now)
	}
	if n := len(counts.counts); n > maxTried+1 {
		t.Errorf("%d pairs are kept", n)
	}
}

// TestNoFloodOfTriesLetsAnybodyTryAgain: what has to wait is counted nowhere, and where more is tried than can be counted those who have to wait
// go on waiting.
func TestNoFloodOfTriesLetsAnybodyTryAgain(t *testing.T) {
	t.Parallel()
	now, counts := time.Now(), newTries()
	guesser, flood := netip.MustParseAddr("203.0.113.20"), netip.MustParseAddr("203.0.113.21")
	for range triesOfAccount {
		counts.take(guesser, "vera", now)
	}
	for i := range maxTried + 10 {
		counts.take(flood, fmt.Sprint("name-", i), now)
	}
	if n := len(counts.counts); n != 2+1+triesOfAddress {
		t.Errorf("%d are counted of an account, its address and another one that had to wait after %d names", n, triesOfAddress)
	}
	busy := netip.MustParseAddr("203.0.113.22")
	for i := range triesOfAddress {
		name := fmt.Sprint("name-", i)
		counts.take(busy, name, now)
		counts.back(busy, name, now)
	}
	if n := len(counts.counts); n != 2+1+triesOfAddress {
		t.Errorf("%d are counted with what was taken back", n)
	}
	for i := range maxTried {
		counts.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), "x", now)
	}
	if n := len(counts.counts); n > maxTried+1 {
		t.Errorf("%d are counted", n)
	}
	for from, name := range map[netip.Addr]string{guesser: "vera", flood: "another"} {
		if counts.take(from, name, now) == 0 {
			t.Errorf("%s may try %s again", from, name)
		}
		if counts.take(from, name, now.Add(triesWindow)) != 0 {
			t.Errorf("%s waits for ever", from)
		}
	}
}

// TestTooManyTriesAreNotedOnce with the user, if there is one, and never with a name that is nobody's.
func TestTooManyTriesAreNotedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	u := w.user(s, "ama", "VIEWER")
	for _, name := range []string{"ama", "hunter2-hunter2"} {
		for range triesOfAccount {
			s.tries.take(here, name, s.cfg.Now())
		}
		for range 3 {
			if _, err := s.SignIn(t.Context(), Attempt{Name: name, Password: good, From: here}); code(err) != "too_many_failures" {
				t.Error(err)
			}
		}
		w.ahead.Add(int64(notedEvery))
		for range triesOfAccount { // the window of the first ones is over
			s.tries.take(here, "hunter2-hunter2", s.cfg.Now())
		}
	}
	if len(w.notes) != 2 || w.notes[0].Target != u.ID.String() || w.notes[1].Target != "" || w.notes[0].Actor.Address != here.String() {
		t.Errorf("%+v", w.notes)
	}
}

func TestNamesOfUsers(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"ama": true, "ama.mensah@example.com": true, "a1": true, strings.Repeat("a", 64): true, "a": false, "": false, strings.Repeat("a", 65): false, "Ama": false,
		"a b": false, ".ama": false, "amá": false, "admin": false, "system": false, "a\nb": false} {
		e := comm.E("invalid_field")
		if checkUserName(e, name); (len(e.Fields) == 0) != ok {
			t.Errorf("%q: %v", name, e.Fields)
		}
	}
}

// opensOnce lets six open a session with the same proof at once: one does, and the others learn nothing.
func (w *world) opensOnce(what string, open func(i int) error) {
	w.Helper()
	var wg sync.WaitGroup
	var let atomic.Int64
	for i := range 6 {
		wg.Go(func() {
			if err := open(i); err == nil {
				let.Add(1)
			} else if code(err) != "unauthenticated" {
				w.Error(err)
			}
		})
	}
	wg.Wait()
	if let.Load() != 1 {
		w.Errorf("%s opened %d sessions", what, let.Load())
	}
}

// TestOneCodeOpensOneSession however many come at once.
func TestOneCodeOpensOneSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.node("")
	w.user(s, "ama", "VIEWER")
	o := w.in(s, "ama", good)
	if _, err := s.Enrol(t.Context(), o.Session, Proof{Password: good, From: here}); err != nil {
		t.Fatal(err)
	}
	u, err := w.User(t.Context(), o.User)
	if err != nil || strings.Contains(string(u.Factor), "otpauth") {
		t.Fatal(err)
	}
	codes, hashes := newRecovery()
	u.FactorAt, u.Recovery = 1, hashes
	if err := w.UpdateUser(t.Context(), u, false, [32]byte{}); err != nil {
		t.Fatal(err)
	}
	w.opensOnce("one code", func(int) error {
		_, err := s.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: codes[0], From: here})
		return err
	})
	// A ring without the key opens no session, and says why to the operator.
	lost := w.node("")
	lost.factors = otherRing(t).For(store.SecondFactors().Purpose)
	if _, err := lost.SignIn(t.Context(), Attempt{Name: "ama", Password: good, Code: "123456", From: here}); code(err) != "unavailable" {
		t.Error(err)
	}
}

func otherRing(t *testing.T) *seal.Ring {
	t.Helper()
	text, err := seal.GenerateRing("k2")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
