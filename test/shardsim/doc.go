// Package shardsim attacks the ownership of shards in a simulation: one to four
// nodes, a model database and a provider run in one goroutine from one seeded
// random source, so that every run can be repeated from its seed.
//
// It promises that a run of the protocol as described in
// docs/decisions/0001-dispatch.md is checked for lost, stuck, duplicated, early
// and unfenced work, and that each planted weakness of [Variant] is found by
// that checker within a bounded number of seeds.
//
// It does not run the product's code and it does not model deadlocks, replicas
// or disks; the companion program pgattack does the same on a real PostgreSQL.
package shardsim
