package arch

import "strings"

// module is the path that every package of this repository begins with.
const module = "github.com/commserver/commserver"

// top is the floor of tests and their programs: they may use everything, and
// nothing of the product may use them.
const top = 8

// floors says on which floor a package stands. A package imports only lower floors,
// and packages of its own family (the folder below internal/). A path that ends in
// "/..." stands for all packages below it. Packages that are planned stand here too.
func floors() map[string]int {
	return map[string]int{
		// Words and tools.
		"api":                0,
		"client":             0,
		"docs":               0, // the pages that internal/docsite serves
		"sdk":                0, // the clients that it hands out
		"internal/address":   0,
		"internal/apikey":    0,
		"internal/arch":      0,
		"internal/batch":     0,
		"internal/comm":      0,
		"internal/freeport":  0, // for tests, and for programs that start servers as processes
		"internal/guard":     0,
		"internal/licence":   0,
		"internal/mime":      0,
		"internal/outage":    0,
		"internal/pace":      0,
		"internal/plant":     0,
		"internal/seal":      0,
		"internal/signature": 0,
		"internal/webauthn":  0,
		"internal/sms":       0,
		"internal/webui":     0, // the design tokens

		// Contracts and pure rules.
		"internal/chain":      1,
		"internal/config":     1,
		"internal/httpserver": 1,
		"internal/openapi":    1,
		"internal/provider":   1,
		"internal/render":     1,
		"internal/store":      1,
		"internal/strictjson": 1,

		// A pure rule over what the contract beside it keeps, of that family: it knows no database.
		"internal/store/health": 1,

		// Adapters: the outside world.
		"internal/provider/...": 2,
		"internal/store/...":    2,

		// Engines: the rules. They meet only in the store, plus a wake-up signal.
		"internal/alert":    3,
		"internal/auth":     3,
		"internal/backlog":  3,
		"internal/backup":   3,
		"internal/dispatch": 3,
		"internal/feed":     3,
		"internal/hold":     3,
		"internal/identity": 3,
		"internal/intake":   3,
		"internal/keyring":  3,
		"internal/receipt":  3,
		"internal/registry": 3,
		"internal/simulate": 3, // stands in for providers; it knows no adapter
		"internal/trial":    3,
		"internal/stats":    3,
		"internal/story":    3, // words for people; it reads what the API shows
		"internal/suppress": 3,
		"internal/upkeep":   3,
		"internal/webhook":  3,

		// Doors: decode, call, encode.
		"internal/console": 4,
		"internal/docsite": 4,
		"internal/httpapi": 4,
		"internal/metrics": 4,

		"internal/app":       5, // builds everything below; the only one that knows floor 2
		"internal/bench":     5, // the load program; it starts servers as processes
		"internal/bench/...": 5,
		"internal/prove":     5, // the crash program; likewise
		"internal/cli":       6,
		"cmd/...":            7,
		"test/...":           top,
	}
}

// floorOf finds the floor of a package by its path inside the module.
func floorOf(path string) (floor int, found bool) {
	all := floors()
	if floor, found = all[path]; found {
		return floor, true
	}
	for parent := path; parent != ""; {
		i := strings.LastIndexByte(parent, '/')
		if i < 0 {
			break
		}
		parent = parent[:i]
		if floor, found = all[parent+"/..."]; found {
			return floor, true
		}
		// A folder below a package of floor 0 is a part of it, such as its data.
		if floor, found = all[parent]; found && floor == 0 {
			return floor, true
		}
	}
	return 0, false
}

// family is the folder whose packages may know each other.
func family(path string) string {
	parts := strings.SplitN(path, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// library says who may import a module of others, and what for. A new dependency
// is a new row with its reason.
type library struct {
	path   string
	users  []string // families or packages; product code only
	reason string
}

func libraries() []library {
	return []library{
		{"github.com/jackc/pgx/v5", []string{"internal/store/postgres", "internal/store/sqlstore", "internal/bench"}, "PostgreSQL's own protocol: pipelining, arrays, LISTEN"},
		{"modernc.org/sqlite", []string{"internal/store/sqlite", "internal/bench"}, "SQLite without C, so that one static binary is enough"},
		{"zombiezen.com/go/sqlite", []string{"internal/store/sqlite"}, "the same SQLite below database/sql, for the hot path: a turn for two thirds of the processor time"},
		{"github.com/wneessen/go-mail", []string{"internal/bench"}, "the bare mail loop that the product is measured beside"},
		{"github.com/emersion/go-smtp", []string{"internal/simulate"}, "the simulator's relays, which the crash program uses"},
		{"github.com/emersion/go-sasl", []string{"internal/simulate"}, "go-smtp's type of a server's side of AUTH"},
		{"github.com/nyaruka/phonenumbers", []string{"internal/address"}, "libphonenumber's numbering plans"},
		{"github.com/go-json-experiment/json", []string{"internal/strictjson", "internal/feed", "internal/httpapi", "internal/intake", "internal/store", "internal/suppress", "internal/upkeep"}, "strict JSON: duplicate and unknown names, invalid UTF-8, canonical form"},
		{"github.com/spf13/cobra", []string{"internal/cli"}, "commands, completion and manual pages"},
		{"github.com/spf13/pflag", []string{"internal/cli"}, "the flags of cobra"},
		{"golang.org/x/net", []string{"internal/address", "internal/mime", "internal/provider/smtp"}, "internationalised domains; a tolerant HTML reader for the text part of mail"},
		{"golang.org/x/sync", []string{"internal/prove", "test"}, "a bounded group of goroutines with the first error; pgx needs it anyway"},
		{"golang.org/x/text", []string{"internal/address", "internal/sms", "internal/mime"}, "Unicode normal forms"},
		{"golang.org/x/term", []string{"internal/cli", "internal/app"}, "is this a terminal?"},
		{"golang.org/x/sys", []string{"internal/cli", "internal/app", "internal/bench"}, "what the standard library has no call for"},
		{"golang.org/x/crypto", []string{"internal/identity"}, "argon2id, for passwords"},
		{"github.com/pquerna/otp", []string{"internal/identity"}, "TOTP, the second factor, and the address that authenticator apps read"},
		{"github.com/yuin/goldmark", []string{"internal/docsite"}, "Markdown by its specification, with tables; the most used in Go, without dependencies (MIT)"},
		{"github.com/prometheus/client_golang", []string{"internal/metrics"}, "Prometheus' own counters, histograms and text form"},
		{"github.com/schollz/progressbar/v3", []string{"internal/cli", "internal/bench", "internal/prove"}, "progress of long commands"},
	}
}

// testLibraries may be imported by tests, and by everything below test/.
func testLibraries() []string {
	return []string{
		"github.com/getkin/kin-openapi", "github.com/google/go-cmp", "go.uber.org/goleak", "pgregory.net/rapid",
		"github.com/emersion/go-smtp", "github.com/emersion/go-sasl", "github.com/jackc/pgx/v5", "modernc.org/sqlite",
		"github.com/pquerna/otp", "github.com/wneessen/go-mail", "golang.org/x/net", "golang.org/x/text", "golang.org/x/sys", "github.com/nyaruka/phonenumbers",
		"github.com/go-json-experiment/json", "go.yaml.in/yaml/v3", "github.com/prometheus/client_golang", "github.com/prometheus/client_model",
	}
}

// standardOnly names packages that import nothing but the standard library and,
// where they may, other packages of this repository.
func standardOnly() []string {
	return []string{"api", "client", "internal/comm", "internal/config", "internal/guard", "internal/batch", "internal/pace", "internal/signature", "internal/apikey", "internal/webauthn"}
}

// testSupport are the packages below test/ that tests of the product may import.
func testSupport() []string {
	return []string{"test/pgserver", "test/pgtest", "test/reports", "test/softkey"}
}

// secretHandlers make or check secrets and ids that must not be guessed.
func secretHandlers() []string {
	return []string{"internal/apikey", "internal/auth", "internal/comm", "internal/config", "internal/console", "internal/httpapi",
		"internal/identity", "internal/intake", "internal/receipt", "internal/seal", "internal/signature", "internal/webauthn", "client"}
}

// dialers may open connections without the guard: the guard itself, and clients
// that go where their user tells them to.
func dialers() []string {
	return []string{"internal/guard", "client", "internal/cli", "internal/bench", "internal/prove", "test/"}
}

const (
	fileLimit, fileAim         = 600, 400
	functionLimit, functionAim = 100, 60
	testFileLimit              = 1000
)

// longFiles and longFunctions are the exceptions, each with its reason. A path is
// inside the module; a function is "path.Name" or "path.Type.Name".
func longFiles() map[string]string { return map[string]string{} }

func longFunctions() map[string]string { return map[string]string{} }
