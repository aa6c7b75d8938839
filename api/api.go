// Package api holds the contract of the HTTP API, openapi.json (OpenAPI 3.1).
//
// JSON is the one source: it is what the server serves, so no YAML parser is
// linked and nothing has to be generated. The tests of internal/httpapi hold
// routes, answers and examples against it. The package contains no code of the API.
package api

import (
	_ "embed"
	"slices"
)

//go:embed openapi.json
var openapi []byte

// OpenAPI is the contract, as JSON. The caller owns the copy.
func OpenAPI() []byte { return slices.Clone(openapi) }
