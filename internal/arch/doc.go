// Package arch holds no code, only the tests that keep the house in order: which
// package may import which, how long files and functions may be, what a package
// must say about itself, and what product code never does.
//
// The rules are tables in floors_test.go; each failure says why the rule exists.
// The tests read the source without building it, so they work on a tree that does
// not compile. They do not judge style beyond that: vet, staticcheck and the linter
// in tools do.
package arch
