package client

import (
	"context"
	"iter"
	"net/http"
	"time"
)

const adminUsers = "/api/admin/users"

// User is somebody who signs in to the console. Nothing of the password is known.
type User struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Role     string `json:"role"` // VIEWER, OPERATOR or ADMIN
	IsActive bool   `json:"isActive"`
	// StartPasswordUntil is until when the password that an administrator set opens sessions; nil: the user has chosen their own.
	StartPasswordUntil *time.Time `json:"startPasswordUntil"`
	SecondFactor       bool       `json:"secondFactor"`
	CreatedAt          time.Time  `json:"createdAt"`
	UpdatedAt          time.Time  `json:"updatedAt"`
	SignedInAt         *time.Time `json:"signedInAt"`
}

// NewUser asks for a user. Password is one to begin with: the user chooses their own at the first sign-in, within seven days.
type NewUser struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Password string `json:"password"`
}

// UserChange changes what is not nil or empty.
type UserChange struct {
	Name         string `json:"name,omitempty"`
	Role         string `json:"role,omitempty"`
	IsActive     *bool  `json:"isActive,omitempty"`
	Password     string `json:"password,omitempty"`     // one to begin with; the user's sessions end
	SecondFactor *bool  `json:"secondFactor,omitempty"` // false takes it away
}

// Users walks through the users, oldest first; size is of a page, 0 the server's default. It stops at the first error, which comes with a zero user.
func (a *Admin) Users(ctx context.Context, size int) iter.Seq2[User, error] {
	return pages[User](ctx, a.c, adminUsers, map[string][]string{}, size)
}

// User reads a user by id.
func (a *Admin) User(ctx context.Context, id string) (*User, error) {
	return adminDo[User](ctx, a, http.MethodGet, adminUsers+"/"+escape(id), nil, true)
}

// CreateUser makes a user.
func (a *Admin) CreateUser(ctx context.Context, u NewUser) (*User, error) {
	return adminDo[User](ctx, a, http.MethodPost, adminUsers, u, false)
}

// UpdateUser changes a user.
func (a *Admin) UpdateUser(ctx context.Context, id string, change UserChange) (*User, error) {
	return adminDo[User](ctx, a, http.MethodPatch, adminUsers+"/"+escape(id), change, true)
}

// DeleteUser removes a user; their sessions end.
func (a *Admin) DeleteUser(ctx context.Context, id string) error {
	_, err := a.c.do(ctx, call{method: http.MethodDelete, path: adminUsers + "/" + escape(id), admin: true}, nil)
	return err
}
