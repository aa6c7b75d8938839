// Package sdk runs the clients in other languages, and the Go client beside them, against the built program and against a peer
// that fails as it is told to: all by one suite of vectors, sdk/vectors.
package sdk
