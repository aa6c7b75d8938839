package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// MaxUsers is how many users there can be.
const MaxUsers = 1000

// Users is those who sign in by name. Nothing of them is remembered by nodes for longer than five seconds, so no change counts the
// configuration version up.
type Users interface {
	// CreateUser stores u, whose Version becomes 1. Errors: already_exists when the name is taken, too_many_users at MaxUsers, which
	// holds for those who create at the same time as well.
	CreateUser(ctx context.Context, u *comm.User) error
	// User and UserByName answer not_found when there is none.
	User(ctx context.Context, id comm.ID) (*comm.User, error)
	UserByName(ctx context.Context, name string) (*comm.User, error)
	// UserList pages through all users by id, which is about by age, without Password, Factor and Recovery.
	UserList(ctx context.Context, after comm.ID, limit int) ([]comm.User, error)
	// UpdateUser writes u if its stored version is u.Version, which it counts up; a Conflict otherwise, or not_found.
	// ends says that the user's sessions end in the same transaction, but for the one of the hash keep. The audit log tells what changed, with the security
	// key that was used; nothing, where that is nothing.
	UpdateUser(ctx context.Context, u *comm.User, ends bool, keep [32]byte) error
	// RenewHash writes u.Password alone if the stored version is u.Version, which it counts up; a Conflict otherwise, or not_found. It is another hash of
	// the same password: the audit log does not tell of it.
	RenewHash(ctx context.Context, u *comm.User) error
	// DeleteUser removes the user with all sessions; not_found when there is none.
	DeleteUser(ctx context.Context, id comm.ID) error
}

// Sessions is who is signed in. A session that has ended is no row any more, or one past its time.
type Sessions interface {
	// StartSession stores s and that it began in the audit log. by, when not nil, is s's user as they were read, of whom SignedInAt,
	// FactorStep, Recovery, Keys and Password are written if the stored version is by.Version, which it counts up; a Conflict otherwise.
	StartSession(ctx context.Context, s *Session, by *comm.User) error
	// Session reads one with its user, whatever the time; not_found without it, and when its user was deleted or is not active.
	Session(ctx context.Context, hash [32]byte) (*Session, error)
	// TouchSession notes that it was used, and never an earlier instant than is noted.
	TouchSession(ctx context.Context, hash [32]byte, at comm.Micros) error
	// EndSession removes it; ended is false when there was none.
	EndSession(ctx context.Context, hash [32]byte) (ended bool, err error)
	// TrimSessions removes at most limit sessions that were not used since idle, or whose end is not after now.
	TrimSessions(ctx context.Context, idle, now comm.Micros, limit int) (int, error)
}

// Session is one browser, or program, that signed in.
type Session struct {
	Hash      [32]byte // of what the cookie holds
	User      comm.ID  // zero: whoever had the admin key
	CreatedAt comm.Micros
	SeenAt    comm.Micros // up to about a minute early
	ExpiresAt comm.Micros
	// Of the user, when it is read.
	Name       string
	Role       comm.Role
	StartUntil comm.Micros
	Protected  bool
}
