// Package erased finds the opt-outs of persons who were erased, of whose addresses only
// a keyed hash is kept, beside those that still have theirs.
//
// It promises that whoever asks a Book by an address gets the same answer whether the
// list holds the address or its hash, and that after Return a start finds the address
// on the list, as it finds any other. The key is drawn once, kept in the database
// sealed under the key ring, and the same for as long as the database lives: rotating
// the ring seals it again.
//
// It decides nothing about messages, and it does not write addresses anywhere but on
// the list.
package erased

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Store is what a Book keeps itself in.
type Store interface {
	store.Suppressions
	store.Persons
	Wish(ctx context.Context, w store.Wish) (changed bool, err error)
	Now(ctx context.Context) (comm.Micros, error)
	SealedAfter(ctx context.Context, c store.SealedColumn, app, id comm.ID, limit int) ([]store.SealedValue, error)
}

// Known is how long a Book believes that an app has no hashes. Whoever makes the first
// one keeps the address on the list for longer.
const Known = 5 * time.Second

// maxKnown bounds the memory; past it everything is forgotten once.
const maxKnown = 10_000

// Book is store.Suppressions with the hashes. It is safe for concurrent use.
type Book struct {
	store.Suppressions
	store Store
	key   []byte
	now   func() time.Time

	mu    sync.Mutex
	known map[comm.ID]answer
}

type answer struct {
	has   bool
	until time.Time
}

// keyID is the id of the one key.
var keyID = comm.ID{15: 1}

// Open reads the key, or draws it for a database that has none.
func Open(ctx context.Context, s Store, ring *seal.Ring) (*Book, error) {
	col := store.HashKeys()
	sealer, place := ring.For(col.Purpose), col.Place(comm.ID{}, keyID)
	var sealed seal.Sealed
	have, err := s.SealedAfter(ctx, col, comm.ID{}, comm.ID{}, 1)
	if err != nil {
		return nil, fmt.Errorf("read the key of erased addresses: %w", err)
	}
	if len(have) > 0 {
		sealed = have[0].Value
	} else {
		fresh := make([]byte, sha256.Size)
		_, _ = rand.Read(fresh) // never fails
		made, err := sealer.Seal(fresh, place)
		if err == nil {
			sealed, err = s.HashKey(ctx, keyID, made)
		}
		if err != nil {
			return nil, fmt.Errorf("make the key of erased addresses: %w", err)
		}
	}
	key, err := sealer.Open(sealed, place)
	if err != nil {
		return nil, fmt.Errorf("open the key of erased addresses: %w", err)
	}
	return &Book{Suppressions: s, store: s, key: key, now: time.Now, known: map[comm.ID]answer{}}, nil
}

// Hash is what is kept of an address of an app. Two apps have different ones.
func (b *Book) Hash(app comm.ID, ch comm.Channel, address string) []byte {
	h := hmac.New(sha256.New, b.key)
	h.Write(app[:])
	h.Write([]byte{byte(ch)})
	h.Write([]byte(address))
	return h.Sum(nil)
}

// has says whether the app may have hashes.
func (b *Book) has(ctx context.Context, app comm.ID) (bool, error) {
	b.mu.Lock()
	got, ok := b.known[app]
	b.mu.Unlock()
	if ok && b.now().Before(got.until) {
		return got.has, nil
	}
	asked := b.now()
	has, err := b.store.HasErased(ctx, app)
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.known) >= maxKnown {
		clear(b.known)
	}
	b.known[app] = answer{has, asked.Add(Known)}
	return has, nil
}

// Forget makes the Book look again whether the app has hashes. Others know within Known.
func (b *Book) Forget(app comm.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.known, app)
}

// kept reads what is kept of an address; nil when there is nothing.
func (b *Book) kept(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error) {
	if has, err := b.has(ctx, app); err != nil || !has {
		return nil, err
	}
	s, err := b.store.ErasedSuppression(ctx, app, ch, b.Hash(app, ch, address))
	if comm.IsKind(err, comm.Missing) {
		return nil, nil
	}
	return s, err
}

// Suppressed implements store.Suppressions.
func (b *Book) Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error) {
	if on, err := b.Suppressions.Suppressed(ctx, app, ch, address); err != nil || on {
		return on, err
	}
	s, err := b.kept(ctx, app, ch, address)
	if err != nil || s != nil {
		return s != nil, err
	}
	return b.Suppressions.Suppressed(ctx, app, ch, address) // it may have come back in between
}

// Suppression implements store.Suppressions. The address of one that is kept as a hash is the one that was asked for.
func (b *Book) Suppression(ctx context.Context, app comm.ID, ch comm.Channel, address string) (*store.Suppression, error) {
	s, err := b.Suppressions.Suppression(ctx, app, ch, address)
	if !comm.IsKind(err, comm.Missing) {
		return s, err
	}
	s, err = b.kept(ctx, app, ch, address)
	if err != nil {
		return nil, err
	}
	if s == nil { // it may have come back in between
		return b.Suppressions.Suppression(ctx, app, ch, address)
	}
	s.Address = address
	return s, nil
}

// SuppressedOf implements store.Suppressions. The list is asked first, for an address leaves it once its hash is there,
// and again at last, for the hash goes when the address is added again.
func (b *Book) SuppressedOf(ctx context.Context, app comm.ID, ch comm.Channel, addresses []string) ([]string, error) {
	listed, err := b.Suppressions.SuppressedOf(ctx, app, ch, addresses)
	if err != nil {
		return nil, err
	}
	if has, err := b.has(ctx, app); err != nil || !has {
		return listed, err
	}
	var neither []string
	for _, address := range addresses {
		if slices.Contains(listed, address) {
			continue
		}
		s, err := b.kept(ctx, app, ch, address)
		if err != nil {
			return nil, err
		}
		if s != nil {
			listed = append(listed, address)
		} else {
			neither = append(neither, address)
		}
	}
	back, err := b.Suppressions.SuppressedOf(ctx, app, ch, neither) // it may have come back in between
	return append(listed, back...), err
}

// Unsuppress implements store.Suppressions.
func (b *Book) Unsuppress(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error) {
	return b.store.UnsuppressErased(ctx, app, ch, address, b.Hash(app, ch, address))
}

// Suppress implements store.Suppressions.
func (b *Book) Suppress(ctx context.Context, s store.Suppression) (bool, error) {
	n, err := b.SuppressAll(ctx, []store.Suppression{s})
	return n > 0, err
}

// SuppressAll implements store.Suppressions. Somebody names the addresses again: their hashes go in the
// same transaction, so that an erasure that is about to take the address off never leaves neither.
func (b *Book) SuppressAll(ctx context.Context, all []store.Suppression) (int, error) {
	all = slices.Clone(all)
	for i := range all {
		s := &all[i]
		has, err := b.has(ctx, s.App)
		if err != nil {
			return 0, err
		}
		if has {
			s.Hash = string(b.Hash(s.App, s.Channel, s.Address))
		}
	}
	return b.Suppressions.SuppressAll(ctx, all)
}

// Wish is the store's, with what is kept of the address of a person who was erased.
func (b *Book) Wish(ctx context.Context, w store.Wish) (changed bool, err error) {
	has, err := b.has(ctx, w.App)
	if err != nil {
		return false, err
	}
	if has {
		w.Hash = string(b.Hash(w.App, w.Channel, w.Address))
	}
	return b.store.Wish(ctx, w)
}

// Return puts an address that a message is about to be stored for back on the app's
// list, if it was there when the person was erased: a start looks there and nowhere else.
func (b *Book) Return(ctx context.Context, app comm.ID, ch comm.Channel, address string) error {
	s, err := b.kept(ctx, app, ch, address)
	if err != nil || s == nil {
		return err
	}
	at, err := b.store.Now(ctx) // which an erasure compares it with
	if err != nil {
		return err
	}
	return b.store.ReturnSuppression(ctx, app, ch, address, b.Hash(app, ch, address), at)
}
