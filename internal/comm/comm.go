// Package comm is CommServer's vocabulary: the nouns that every other package
// speaks in (App, Message, Attempt, Event, Shard, Unit …), the state machine as
// one table, and the one error type of the product.
//
// It promises to do no I/O, to import nothing but the standard library and to
// hold no state, so that any package may depend on it. It does not know HTTP,
// SQL or any provider: names of JSON fields belong to the API, columns to the
// stores.
package comm
