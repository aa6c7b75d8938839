package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func userCases() []testCase {
	return []testCase{
		{"a user is stored whole, and changed by one at a time", userRoundTrip},
		{"a name belongs to one user, whoever comes at once", userNames},
		{"users are paged while others come", userPages},
		{"a session is found with its user until either ends", sessionLife},
		{"a changed user loses sessions, but for the one that is kept", sessionsEnd},
		{"signing in writes what it used up, once", sessionStart},
		{"the hash of a password is renewed alone, by one at a time", hashRenewed},
		{"sessions past their time are removed in slices", sessionTrim},
		{"security keys go with their user, and their use with the session", userKeys},
		{"a change tells which security key proved it, and one that tells nothing is not told", keyProven},
	}
}

// user makes one of the name, not stored yet.
func (w *world) user(name string) *comm.User {
	now := w.now()
	return &comm.User{ID: comm.NewID(now), Name: name, Role: comm.Operator, Active: true, Password: "$argon2id$" + name, CreatedAt: now, UpdatedAt: now}
}

func (w *world) member(name string) *comm.User {
	w.Helper()
	u := w.user(name)
	w.must(w.s.CreateUser(w.ctx, u))
	return u
}

func hashed(n int) (h [32]byte) {
	copy(h[:], fmt.Sprintf("%032d", n))
	return h
}

// signedIn stores a session of the user; nil: of the admin key.
func (w *world) signedIn(n int, u *comm.User) *store.Session {
	w.Helper()
	now := w.now()
	s := &store.Session{Hash: hashed(n), CreatedAt: now, SeenAt: now, ExpiresAt: now + 1<<36}
	if u != nil {
		s.User = u.ID
	}
	w.must(w.s.StartSession(w.ctx, s, u))
	return s
}

// seen says which of the sessions are there.
func (w *world) seen(all ...int) (out []int) {
	w.Helper()
	for _, n := range all {
		_, err := w.s.Session(w.ctx, hashed(n))
		if err == nil {
			out = append(out, n)
			continue
		}
		w.wantCode(err, "not_found")
	}
	return out
}

func (w *world) wantSeen(want []int, all ...int) {
	w.Helper()
	if got := w.seen(all...); fmt.Sprint(got) != fmt.Sprint(want) {
		w.Fatalf("sessions %v, want %v", got, want)
	}
}

func userRoundTrip(w *world) {
	const largest = comm.Micros(1<<63 - 1)
	u := w.user("ama")
	u.StartUntil, u.Factor, u.FactorAt, u.FactorStep, u.Recovery, u.SignedInAt = largest, []byte("k\n\x00\xff"), largest, 1<<62, "aa bb", largest
	u.Keys = keysOf(2)
	u.Password = "Ünïcode 🌍 'quoted\""
	w.must(w.s.CreateUser(w.ctx, u))
	if u.Version != 1 {
		w.Fatalf("version %d", u.Version)
	}
	for range 2 {
		byID, err := w.s.User(w.ctx, u.ID)
		w.must(err)
		byName, err := w.s.UserByName(w.ctx, u.Name)
		w.must(err)
		if want := fmt.Sprintf("%+v", u); fmt.Sprintf("%+v", byID) != want || fmt.Sprintf("%+v", byName) != want {
			w.Fatalf("%+v\n%+v\n%+v", u, byID, byName)
		}
		stale := *u
		u.Name, u.Role, u.Active, u.StartUntil, u.Factor, u.FactorAt, u.FactorStep, u.Recovery, u.Password, u.Keys = "kofi", comm.Viewer, false, 0, nil, 0, 0, "", "p", nil
		w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
		w.wantKind(w.s.UpdateUser(w.ctx, &stale, true, [32]byte{}), comm.Conflict)
	}
	if _, err := w.s.UserByName(w.ctx, "ama"); err == nil {
		w.Fatal("the old name is still somebody's")
	}
	w.must(w.s.DeleteUser(w.ctx, u.ID))
	w.wantCode(w.s.DeleteUser(w.ctx, u.ID), "not_found")
	w.wantCode(w.s.UpdateUser(w.ctx, u, false, [32]byte{}), "not_found")
	_, err := w.s.User(w.ctx, u.ID)
	w.wantCode(err, "not_found")
	for _, e := range w.chain() {
		if strings.Contains(e.Detail, "Ünïcode") || strings.Contains(e.Detail, "aa bb") {
			w.Fatalf("a secret is in the audit log: %s", e.Detail)
		}
	}
}

func userNames(w *world) {
	a, b := w.member("a"), w.member("b")
	w.wantCode(w.s.CreateUser(w.ctx, w.user("a")), "already_exists")
	taken := *b
	taken.Name = "a"
	w.wantCode(w.s.UpdateUser(w.ctx, &taken, false, [32]byte{}), "already_exists")
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			switch i {
			case 0, 1:
				u := *[]*comm.User{a, b}[i]
				u.Name = "c"
				errs[i] = w.s.UpdateUser(w.ctx, &u, false, [32]byte{})
			default:
				errs[i] = w.s.CreateUser(w.ctx, w.user("c"))
			}
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		w.wantCode(err, "already_exists")
	}
	if made != 1 {
		w.Fatalf("%d have the name", made)
	}
}

func userPages(w *world) {
	var made []*comm.User
	for i := range 7 {
		made = append(made, w.member(fmt.Sprint("user-", i)))
	}
	slices.SortFunc(made, func(a, b *comm.User) int { return a.ID.Compare(b.ID) }) // of one millisecond they are in no order
	var names, want []string
	for _, u := range made {
		want = append(want, u.Name)
	}
	for after := (comm.ID{}); ; {
		page, err := w.s.UserList(w.ctx, after, 3)
		w.must(err)
		if len(page) == 0 {
			break
		}
		for i := range page {
			if page[i].Password != "" || page[i].Version != 1 {
				w.Fatalf("%+v", page[i])
			}
			names = append(names, page[i].Name)
		}
		after = page[len(page)-1].ID
	}
	if !slices.Equal(names, want) {
		w.Fatalf("%v, not %v", names, want)
	}
}

func sessionLife(w *world) {
	u := w.member("ama")
	of, admin := w.signedIn(1, u), w.signedIn(2, nil)
	got, err := w.s.Session(w.ctx, of.Hash)
	w.must(err)
	if got.User != u.ID || got.Name != "ama" || got.Role != comm.Operator || got.CreatedAt != of.CreatedAt || got.ExpiresAt != of.ExpiresAt || got.SeenAt != of.SeenAt || got.StartUntil != 0 || got.Protected {
		w.Fatalf("%+v", got)
	}
	if got, err = w.s.Session(w.ctx, admin.Hash); err != nil || !got.User.IsZero() || got.Name != "" || got.Role != 0 {
		w.Fatalf("%+v %v", got, err)
	}
	for _, at := range []comm.Micros{of.SeenAt + 10, of.SeenAt + 5} {
		w.must(w.s.TouchSession(w.ctx, of.Hash, at))
	}
	w.must(w.s.TouchSession(w.ctx, hashed(9), of.SeenAt)) // of nobody
	if got, err = w.s.Session(w.ctx, of.Hash); err != nil || got.SeenAt != of.SeenAt+10 {
		w.Fatalf("%+v %v", got, err)
	}
	// What the user becomes is seen at once.
	u.Role, u.StartUntil, u.Factor, u.FactorAt = comm.Viewer, 7, []byte("k\nx"), 8
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	if got, err = w.s.Session(w.ctx, of.Hash); err != nil || got.Role != comm.Viewer || got.StartUntil != 7 || !got.Protected {
		w.Fatalf("%+v %v", got, err)
	}
	u.Active = false
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	w.wantSeen([]int{2}, 1, 2)
	for _, want := range []bool{true, false} {
		if ended, err := w.s.EndSession(w.ctx, admin.Hash); err != nil || ended != want {
			w.Fatal(ended, err)
		}
	}
	u.Active = true
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	w.wantSeen([]int{1}, 1, 2)
	w.must(w.s.DeleteUser(w.ctx, u.ID))
	w.wantSeen(nil, 1, 2)
}

func sessionsEnd(w *world) {
	a, b := w.member("a"), w.member("b")
	for n := range 4 {
		w.signedIn(n, a)
	}
	w.signedIn(4, b)
	w.signedIn(5, nil)
	w.must(w.s.UpdateUser(w.ctx, a, true, hashed(2)))
	w.wantSeen([]int{2, 4, 5}, 0, 1, 2, 3, 4, 5)
	stale := *a
	stale.Version--
	w.wantKind(w.s.UpdateUser(w.ctx, &stale, true, [32]byte{}), comm.Conflict)
	w.wantSeen([]int{2, 4, 5}, 0, 1, 2, 3, 4, 5)
	w.must(w.s.UpdateUser(w.ctx, a, true, [32]byte{}))
	w.wantSeen([]int{4, 5}, 0, 1, 2, 3, 4, 5)
}

func sessionStart(w *world) {
	u := w.member("a")
	stale := *u
	u.SignedInAt, u.FactorStep, u.Recovery, u.Password = w.now(), 7, "left", "stronger"
	w.signedIn(1, u)
	got, err := w.s.User(w.ctx, u.ID)
	w.must(err)
	if got.SignedInAt != u.SignedInAt || got.FactorStep != 7 || got.Recovery != "left" || got.Password != "stronger" || got.Version != u.Version {
		w.Fatalf("%+v", got)
	}
	// Whoever read the user before cannot use the same code.
	now := w.now()
	err = w.s.StartSession(w.ctx, &store.Session{Hash: hashed(2), User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now + 1}, &stale)
	w.wantKind(err, comm.Conflict)
	u.Active = false
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	err = w.s.StartSession(w.ctx, &store.Session{Hash: hashed(2), User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now + 1}, u)
	w.wantKind(err, comm.Conflict)
	w.must(w.s.DeleteUser(w.ctx, u.ID))
	err = w.s.StartSession(w.ctx, &store.Session{Hash: hashed(2), User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now + 1}, u)
	w.wantCode(err, "not_found")
	w.wantSeen(nil, 1, 2)
}

func hashRenewed(w *world) {
	u := w.member("a")
	w.signedIn(1, u)
	stale, told := *u, len(w.chain())
	u.Password, u.Name, u.Recovery = "stronger", "b", "no more"
	w.must(w.s.RenewHash(w.ctx, u))
	got, err := w.s.User(w.ctx, u.ID)
	w.must(err)
	if got.Password != "stronger" || got.Name != "a" || got.Recovery != stale.Recovery || got.UpdatedAt != stale.UpdatedAt || got.Version != stale.Version+1 || u.Version != got.Version {
		w.Fatalf("%+v", got)
	}
	w.wantKind(w.s.RenewHash(w.ctx, &stale), comm.Conflict)
	w.wantSeen([]int{1}, 1)
	if now := len(w.chain()); now != told {
		w.Fatalf("the audit log grew from %d to %d entries", told, now)
	}
	w.must(w.s.DeleteUser(w.ctx, u.ID))
	w.wantCode(w.s.RenewHash(w.ctx, u), "not_found")
}

func sessionTrim(w *world) {
	now := w.now()
	for n := range 12 {
		s := &store.Session{Hash: hashed(n), CreatedAt: now, SeenAt: now, ExpiresAt: now + 1000}
		switch {
		case n < 4:
			s.SeenAt = now - 100
		case n < 8:
			s.ExpiresAt = now + 1
		}
		w.must(w.s.StartSession(w.ctx, s, nil))
	}
	for _, want := range []int{3, 3, 2, 0} {
		if n, err := w.s.TrimSessions(w.ctx, now-99, now+1, 3); err != nil || n != want {
			w.Fatalf("%d %v, want %d", n, err, want)
		}
	}
	w.wantSeen([]int{8, 9, 10, 11}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
}

// keysOf makes n keys, with the largest values there are.
func keysOf(n int) (all []comm.SecurityKey) {
	const largest = comm.Micros(1<<63 - 1)
	for i := range n {
		all = append(all, comm.SecurityKey{ID: comm.NewID(1), Name: fmt.Sprint("Kéy 🌍 'quoted\" ", i), Credential: []byte{0, 255, byte(i)}, PublicKey: []byte("\x00\xff"), Site: "localhost",
			Count: 1<<32 - 1, CreatedAt: largest, UsedAt: largest - 1})
	}
	return all
}

func userKeys(w *world) {
	u := w.member("a")
	w.signedIn(1, u)
	protected := func() bool {
		w.Helper()
		s, err := w.s.Session(w.ctx, hashed(1))
		w.must(err)
		return s.Protected
	}
	if protected() {
		w.Fatal("protected by nothing")
	}
	u.Keys = keysOf(comm.MaxSecurityKeys)
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	if !protected() {
		w.Fatal("keys do not protect")
	}
	page, err := w.s.UserList(w.ctx, comm.ID{}, 9)
	w.must(err)
	if len(page) != 1 || !page[0].Protected() {
		w.Fatalf("%+v", page)
	}
	stale := *u
	u.Keys = slices.Clone(u.Keys)
	u.Keys[3].Count, u.Keys[3].UsedAt = 8, 9
	w.signedIn(2, u)
	got, err := w.s.User(w.ctx, u.ID)
	w.must(err)
	if fmt.Sprintf("%+v", got.Keys) != fmt.Sprintf("%+v", u.Keys) || got.Version != u.Version {
		w.Fatalf("%+v", got)
	}
	// Whoever read the user before cannot use a key on the same challenge.
	now := w.now()
	w.wantKind(w.s.StartSession(w.ctx, &store.Session{Hash: hashed(3), User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now + 1}, &stale), comm.Conflict)
	u.Keys = nil
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	if protected() {
		w.Fatal("protected by keys that are gone")
	}
	var told, used []string
	for _, e := range w.chain() {
		if strings.Contains(e.Detail, `"securityKeys"`) {
			told = append(told, e.Detail)
		}
		if e.Action == comm.AuditSignedIn {
			used = append(used, e.Detail)
		}
	}
	if len(told) != 2 || !strings.Contains(told[0], "Kéy 🌍") || strings.Contains(told[0], "publicKey") || !strings.Contains(told[1], "Kéy 🌍") || !strings.Contains(told[1], `"to":""`) {
		w.Fatalf("the audit log tells of keys: %q", told)
	}
	if len(used) != 2 || strings.Contains(used[0], "securityKey") || !strings.Contains(used[1], `"securityKey":{"to":"Kéy 🌍 'quoted\" 3"}`) {
		w.Fatalf("the audit log tells of keys that opened: %q", used)
	}
}

func keyProven(w *world) {
	u := w.member("a")
	u.Keys = keysOf(2)
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	told := func() (all []string) {
		w.Helper()
		for _, e := range w.chain() {
			if e.Action == comm.AuditUserUpdated {
				all = append(all, e.Detail)
			}
		}
		return all
	}
	before := len(told())
	u.FactorStep, u.UpdatedAt = 7, w.now() // as a code of an authenticator does
	w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	if got, err := w.s.User(w.ctx, u.ID); err != nil || got.FactorStep != 7 || got.Version != u.Version {
		w.Fatalf("%+v %v", got, err)
	}
	for _, more := range []bool{false, true} {
		u.Keys = slices.Clone(u.Keys)
		u.Keys[1].Count, u.Keys[1].UsedAt = u.Keys[1].Count-1, u.Keys[1].UsedAt-1
		if more {
			u.Keys = u.Keys[1:]
		}
		w.must(w.s.UpdateUser(w.ctx, u, false, [32]byte{}))
	}
	const by = `"securityKey":{"to":"Kéy 🌍 'quoted\" 1"}`
	now := told()[before:]
	if len(now) != 2 || now[0] != "{"+by+"}" || !strings.Contains(now[1], by) || !strings.Contains(now[1], `"securityKeys":{"from":`) {
		w.Fatalf("%q", now)
	}
}
