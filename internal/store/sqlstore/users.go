package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	userColumns = `id, name, role, active, start_until, factor_at, created_at, updated_at, signed_in_at, version, security_keys`
	userSecrets = `, password, factor, factor_step, recovery`
)

func userPlaces(u *comm.User) []any {
	return []any{(*ID)(&u.ID), &u.Name, small[comm.Role]{&u.Role}, &u.Active, &u.StartUntil, &u.FactorAt, &u.CreatedAt, &u.UpdatedAt, &u.SignedInAt, &u.Version, (*securityKeys)(&u.Keys)}
}

func scanUser(r Row, u *comm.User) error {
	return r.Scan(append(userPlaces(u), &u.Password, &u.Factor, &u.FactorStep, &u.Recovery)...)
}

func userFacts(u *comm.User) facts {
	return facts{"name": shown(u.Name), "role": shown(u.Role.String()), "isActive": shown(u.Active), "password": hidden(u.Password), "startPassword": shown(u.StartUntil != 0),
		"secondFactor": shown(u.Protected()), "secondFactorSecret": hidden(string(u.Factor)), "recoveryCodes": hidden(u.Recovery), "securityKeys": securityKeyFact(u)}
}

// securityKeys makes keys a destination for Scan, and the text that a column holds: "" for none.
type securityKeys []comm.SecurityKey

// Scan implements sql.Scanner.
func (k *securityKeys) Scan(src any) error {
	var text []byte
	switch v := src.(type) {
	case string:
		text = []byte(v)
	case []byte:
		text = v
	default:
		return fmt.Errorf("security keys cannot be read from %T", src)
	}
	if *k = nil; len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, k)
}

func (k securityKeys) text() (string, error) {
	if len(k) == 0 {
		return "", nil
	}
	b, err := json.Marshal(k)
	return string(b), err
}

// securityKeyFact are what the keys are called.
func securityKeyFact(u *comm.User) fact {
	var names []string
	for _, k := range u.Keys {
		names = append(names, k.Name)
	}
	text := strings.Join(names, ", ")
	if text == "" {
		return fact{value: text}
	}
	return shown(text)
}

// keyUsed is what the key is called that was used since; "" if none was.
func keyUsed(before, after []comm.SecurityKey) string {
	for _, k := range after {
		if i := slices.IndexFunc(before, func(b comm.SecurityKey) bool { return b.ID == k.ID }); i >= 0 && before[i].UsedAt != k.UsedAt {
			return k.Name
		}
	}
	return ""
}

func userTaken() error {
	return comm.E("already_exists", "There is a user with this name; choose another one.").Field("name", "is taken")
}

// CreateUser implements store.Users.
func (c *Cold) CreateUser(ctx context.Context, u *comm.User) error {
	keys, err := securityKeys(u.Keys).text()
	if err != nil {
		return err
	}
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO users (`+userColumns+userSecrets+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13, $14)
			ON CONFLICT (name) DO NOTHING`, c.d.ID(u.ID), u.Name, int64(u.Role), flag(u.Active), int64(u.StartUntil), int64(u.FactorAt), int64(u.CreatedAt), int64(u.UpdatedAt),
			int64(u.SignedInAt), keys, u.Password, u.Factor, u.FactorStep, u.Recovery)
		if err == nil && n == 0 {
			return userTaken()
		}
		if err == nil {
			err = c.userChanged(ctx, q, u, comm.AuditUserCreated, differ(nil, userFacts(u)))
		}
		if err != nil {
			return err
		}
		// Behind the entry in the audit log writers follow one another: see over.
		var have int
		if err := q.QueryRowContext(ctx, `SELECT count(*) FROM users`).Scan(&have); err != nil {
			return err
		}
		if have > store.MaxUsers {
			return comm.E("too_many_users")
		}
		return nil
	})
	if err != nil {
		return wrap(err, "create user")
	}
	u.Version = 1
	return nil
}

// userChanged ends a transaction that stored u. Where there is nothing to tell, as of a code that proved something, nothing is told.
func (c *Cold) userChanged(ctx context.Context, q Querier, u *comm.User, action string, what detail) error {
	var told []did
	if len(what) > 0 {
		told = append(told, did{action: action, target: u.ID.String(), detail: what})
	}
	canary, err := c.keepCanaryOf(ctx, q, u.Factor)
	if err != nil {
		return err
	}
	told = append(told, canary...)
	if len(canary) > 0 {
		return c.changed(ctx, q, told[0], told[1:]...)
	}
	return c.record(ctx, q, told...)
}

// User implements store.Users.
func (c *Cold) User(ctx context.Context, id comm.ID) (*comm.User, error) {
	u := new(comm.User)
	err := c.db.Read(ctx, func(q Querier) error { return c.userOf(ctx, q, id, u) })
	return found(u, err, "read user")
}

func (c *Cold) userOf(ctx context.Context, q Querier, id comm.ID, u *comm.User) error {
	return scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+userSecrets+` FROM users WHERE id = $1`, c.d.ID(id)), u)
}

// UserByName implements store.Users.
func (c *Cold) UserByName(ctx context.Context, name string) (*comm.User, error) {
	u := new(comm.User)
	err := c.db.Read(ctx, func(q Querier) error {
		return scanUser(q.QueryRowContext(ctx, `SELECT `+userColumns+userSecrets+` FROM users WHERE name = $1`, name), u)
	})
	return found(u, err, "read user")
}

// UserList implements store.Users.
func (c *Cold) UserList(ctx context.Context, after comm.ID, limit int) ([]comm.User, error) {
	scan := func(r Row, u *comm.User) error { return r.Scan(userPlaces(u)...) }
	return list(ctx, c.db, "list users", scan, `SELECT `+userColumns+` FROM users WHERE id > $1 ORDER BY id LIMIT $2`, c.d.ID(after), int64(limit))
}

// UpdateUser implements store.Users.
func (c *Cold) UpdateUser(ctx context.Context, u *comm.User, ends bool, keep [32]byte) error {
	keys, err := securityKeys(u.Keys).text()
	if err != nil {
		return err
	}
	err = c.db.Write(ctx, func(q Querier) error {
		var was comm.User
		if _, err := found(&was, c.userOf(ctx, q, u.ID, &was), "read user"); err != nil {
			return err
		}
		if was.Name != u.Name {
			var taken int
			if err := q.QueryRowContext(ctx, `SELECT count(*) FROM users WHERE name = $1`, u.Name).Scan(&taken); err != nil {
				return err
			}
			if taken > 0 {
				return userTaken()
			}
		}
		n, err := affected(ctx, q, `UPDATE users SET name = $3, role = $4, active = $5, password = $6, start_until = $7, factor = $8, factor_at = $9, factor_step = $10,
			recovery = $11, updated_at = $12, security_keys = $13, version = version + 1 WHERE id = $1 AND version = $2`, c.d.ID(u.ID), int64(u.Version), u.Name, int64(u.Role), flag(u.Active),
			u.Password, int64(u.StartUntil), u.Factor, int64(u.FactorAt), u.FactorStep, u.Recovery, int64(u.UpdatedAt), keys)
		switch {
		case isTaken(err): // by somebody who took it since we looked
			return userTaken()
		case err != nil:
			return err
		case n == 0:
			return userMoved()
		}
		if ends {
			if _, err := q.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1 AND hash <> $2`, c.d.ID(u.ID), keep[:]); err != nil {
				return err
			}
		}
		what := differ(userFacts(&was), userFacts(u))
		if name := keyUsed(was.Keys, u.Keys); name != "" {
			what.with("securityKey", name)
		}
		return c.userChanged(ctx, q, u, comm.AuditUserUpdated, what)
	})
	if err != nil {
		return wrap(err, "update user")
	}
	u.Version++
	return nil
}

func userMoved() error {
	return comm.E("invalid_state", "The user was changed meanwhile: nothing was stored. Read it again and repeat.")
}

// isTaken says whether PostgreSQL refused a row because of one with the same key; on SQLite nobody else writes meanwhile.
func isTaken(err error) bool {
	refused, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	return ok && refused.SQLState() == "23505"
}

// RenewHash implements store.Users.
func (c *Cold) RenewHash(ctx context.Context, u *comm.User) error {
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `UPDATE users SET password = $3, version = version + 1 WHERE id = $1 AND version = $2`, c.d.ID(u.ID), int64(u.Version), u.Password)
		if err != nil || n > 0 {
			return err
		}
		if _, err := found(u, c.userOf(ctx, q, u.ID, new(comm.User)), "read user"); err != nil {
			return err
		}
		return userMoved()
	})
	if err != nil {
		return wrap(err, "renew the hash of a password")
	}
	u.Version++
	return nil
}

// DeleteUser implements store.Users.
func (c *Cold) DeleteUser(ctx context.Context, id comm.ID) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var was comm.User
		if _, err := found(&was, c.userOf(ctx, q, id, &was), "read user"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `DELETE FROM users WHERE id = $1`, c.d.ID(id))
		if err == nil && n == 0 {
			return comm.E("not_found")
		}
		if err != nil {
			return err
		}
		if _, err := q.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, c.d.ID(id)); err != nil {
			return err
		}
		return c.record(ctx, q, did{action: comm.AuditUserDeleted, target: id.String(), detail: differ(userFacts(&was), nil)})
	})
	return wrap(err, "delete user")
}

// StartSession implements store.Sessions.
func (c *Cold) StartSession(ctx context.Context, s *store.Session, by *comm.User) error {
	var keys string
	if by != nil {
		var err error
		if keys, err = securityKeys(by.Keys).text(); err != nil {
			return err
		}
	}
	err := c.db.Write(ctx, func(q Querier) error {
		entry := did{action: comm.AuditSignedIn, target: "admin key", detail: detail{}}
		if by != nil {
			entry.target = by.ID.String()
			var was comm.User
			if _, err := found(&was, c.userOf(ctx, q, by.ID, &was), "read user"); err != nil {
				return err
			}
			if was.Recovery != by.Recovery {
				entry.detail.with("recoveryCode", true)
			}
			if name := keyUsed(was.Keys, by.Keys); name != "" {
				entry.detail.with("securityKey", name)
			}
			n, err := affected(ctx, q, `UPDATE users SET signed_in_at = $3, factor_step = $4, recovery = $5, password = $6, security_keys = $7, version = version + 1
				WHERE id = $1 AND version = $2 AND active = 1`, c.d.ID(by.ID), int64(by.Version), int64(by.SignedInAt), by.FactorStep, by.Recovery, by.Password, keys)
			if err == nil && n == 0 {
				return userMoved()
			}
			if err != nil {
				return err
			}
		}
		_, err := q.ExecContext(ctx, `INSERT INTO sessions (hash, user_id, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			s.Hash[:], c.d.ID(s.User), int64(s.CreatedAt), int64(s.SeenAt), int64(s.ExpiresAt))
		if err != nil {
			return err
		}
		return c.record(ctx, q, entry)
	})
	if err != nil {
		return wrap(err, "start session")
	}
	if by != nil {
		by.Version++
	}
	return nil
}

// SessionSQL is the first statement of Session: $1 the hash.
const SessionSQL = `SELECT user_id, created_at, seen_at, expires_at FROM sessions WHERE hash = $1`

// Session implements store.Sessions. It asks twice, each time by a primary key: nobody can plan a join of the two badly.
func (c *Cold) Session(ctx context.Context, hash [32]byte) (*store.Session, error) {
	s := &store.Session{Hash: hash}
	err := c.db.Read(ctx, func(q Querier) error {
		err := q.QueryRowContext(ctx, SessionSQL, hash[:]).Scan((*ID)(&s.User), &s.CreatedAt, &s.SeenAt, &s.ExpiresAt)
		if err != nil || s.User.IsZero() {
			return err
		}
		var factor comm.Micros
		var keys int64
		err = q.QueryRowContext(ctx, `SELECT name, role, start_until, factor_at, length(security_keys) FROM users WHERE id = $1 AND active = 1`, c.d.ID(s.User)).Scan(&s.Name, small[comm.Role]{&s.Role},
			&s.StartUntil, &factor, &keys)
		s.Protected = factor != 0 || keys > 0
		return err
	})
	return found(s, err, "read session")
}

// TouchSession implements store.Sessions.
func (c *Cold) TouchSession(ctx context.Context, hash [32]byte, at comm.Micros) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `UPDATE sessions SET seen_at = $2 WHERE hash = $1 AND seen_at < $2`, hash[:], int64(at))
		return err
	})
	return wrap(err, "note the use of a session")
}

// EndSession implements store.Sessions.
func (c *Cold) EndSession(ctx context.Context, hash [32]byte) (ended bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		ended = false
		var user comm.ID
		rows, err := collect(ctx, q, func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) }, `DELETE FROM sessions WHERE hash = $1 RETURNING user_id`, hash[:])
		if err != nil || len(rows) == 0 {
			return err
		}
		ended, user = true, rows[0]
		target := "admin key"
		if !user.IsZero() {
			target = user.String()
		}
		return c.record(ctx, q, did{action: comm.AuditSignedOut, target: target, detail: detail{}})
	})
	return ended, wrap(err, "end session")
}

// TrimSessionsSQL are the statements of TrimSessions: those that nobody used, $1 since when, and those whose time is over, $1 the time; $2 how many.
func TrimSessionsSQL() [2]string {
	const begin, end = `DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE `, ` LIMIT $2)`
	return [2]string{begin + `seen_at < $1` + end, begin + `expires_at <= $1` + end}
}

// TrimSessions implements store.Sessions.
func (c *Cold) TrimSessions(ctx context.Context, idle, now comm.Micros, limit int) (done int, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		done = 0
		for i, at := range []comm.Micros{idle, now} {
			n, err := affected(ctx, q, TrimSessionsSQL()[i], int64(at), int64(limit-done))
			if err != nil {
				return err
			}
			done += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("remove ended sessions: %w", err)
	}
	return done, nil
}
