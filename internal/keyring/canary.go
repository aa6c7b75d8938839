// Package keyring says which keys of the ring a database needs, and seals its
// values again when the ring has a new first key.
//
// It promises that a process does not start with a ring that lacks a key which
// values may be sealed under, that rotation works in small steps beside running
// nodes, may be killed and run again at any point and changes a value only if it is
// still what was read, and that it says of every value that cannot be opened where
// it stands. It knows no value's meaning, and never shows one.
package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// Settings is where the canaries are kept.
type Settings interface {
	Setting(ctx context.Context, name string) (string, error)
	InitSetting(ctx context.Context, name, value string) (string, error)
	SwapSetting(ctx context.Context, name, old, value string) (bool, error)
	SealsUnder(canary seal.Sealed)
}

// swapTries bounds how often somebody else's change of the canaries is given way to.
const swapTries = 20

// Prove holds the ring against the database's canaries: it must open all of them. Unless
// lookOnly is set it adds one for the ring's first key, and has the store add it again with any
// value under that key, should it have been dropped. The error names the key that is missing or wrong.
func Prove(ctx context.Context, s Settings, ring *seal.Ring, lookOnly bool) error {
	for range swapTries {
		stored, err := s.Setting(ctx, store.CanarySetting)
		if err != nil {
			return fmt.Errorf("look for the key ring's canary: %w", err)
		}
		all, err := seal.ParseCanaries(stored)
		if err != nil {
			return err
		}
		for _, c := range all {
			if err := opens(ring, c); err != nil {
				return err
			}
		}
		if lookOnly {
			return nil
		}
		if mine, found := all.Of(ring.Primary()); found {
			s.SealsUnder(mine)
			return nil
		}
		fresh, err := ring.Canary()
		if err != nil {
			return fmt.Errorf("seal the key ring's canary: %w", err)
		}
		done, err := putCanaries(ctx, s, stored, append(all, fresh))
		if err != nil {
			return err
		}
		if done {
			s.SealsUnder(fresh)
			return nil
		}
	}
	return errors.New("store the key ring's canary: others keep changing it")
}

func opens(ring *seal.Ring, c seal.Sealed) error {
	err := ring.CheckCanary(c)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seal.ErrUnknownKey):
		return fmt.Errorf("this key ring lacks key %q, which this database has values under: set COMMS_ENCRYPTION_KEYS to a ring that holds it, and run `commserver rotate-keys` before you remove it: %w", c.KeyID, err)
	}
	return fmt.Errorf("this key ring did not write this database: set COMMS_ENCRYPTION_KEYS to the ring that holds key %q: %w", c.KeyID, err)
}

// putCanaries stores the list if what is stored is still what was read.
func putCanaries(ctx context.Context, s Settings, was string, all seal.Canaries) (done bool, err error) {
	value := all.String()
	if was == "" {
		stored, err := s.InitSetting(ctx, store.CanarySetting, value)
		if err != nil {
			return false, fmt.Errorf("store the key ring's canary: %w", err)
		}
		return stored == value, nil
	}
	if done, err = s.SwapSetting(ctx, store.CanarySetting, was, value); err != nil {
		return false, fmt.Errorf("store the key ring's canary: %w", err)
	}
	return done, nil
}
