package store

import "time"

// PoolUse is how a pool of connections to the database is used.
type PoolUse struct {
	Name             string        // of PoolNames
	Used, Open, Most int           // connections
	Taken            int64         // how often one was taken since the start
	Waited           int64         // of them, after waiting for one
	Waiting          time.Duration // that took together
	Opened           int64         // connections that were made
}

// PoolNames lists the pools that there may be.
func PoolNames() []string { return []string{"accepts", "turns", "control", "reads"} }

// Pooled is what a store with pools of connections can say of them (PostgreSQL).
type Pooled interface{ Pools() []PoolUse }

// Filed is what a store in files can say of them (SQLite).
type Filed interface {
	// Sizes answers the sizes of the database and its write-ahead log, in bytes; 0 for one that is not there.
	Sizes() (database, log int64)
	// Free is the room that is left for them; known is false when nobody can tell.
	Free() (bytes uint64, known bool)
}
