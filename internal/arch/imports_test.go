package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkImports holds a package against the floors and the list of libraries.
func checkImports(p pkg) []string {
	floor, found := floorOf(p.path)
	if !found {
		return []string{fmt.Sprintf("%s has no floor: add it to floors() in internal/arch, where its imports fit", p.path)}
	}
	var bad []string
	for _, f := range p.files {
		for _, spec := range f.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the compiler says so
			}
			why := ""
			switch inside, ours := strings.CutPrefix(path, module+"/"); {
			case ours:
				why = whyNotOurs(p, floor, inside, f.test)
			case strings.Contains(strings.SplitN(path, "/", 2)[0], "."):
				why = whyNotLibrary(p, path, f.test)
			default:
				why = whyNotStandard(p, path, f.test)
			}
			if why != "" {
				bad = append(bad, fmt.Sprintf("%s imports %s: %s", p.position(spec), path, why))
			}
		}
	}
	return bad
}

// whyNotOurs is the reason why a package may not import another one of ours, or "".
func whyNotOurs(p pkg, floor int, inside string, test bool) string {
	other, found := floorOf(inside)
	switch {
	case !found:
		return "that package has no floor"
	case p.path == inside || floor == top:
		return ""
	case p.path == "client" || p.path == "api":
		return "it is for people outside and stands alone"
	case p.path == "internal/comm":
		return "the vocabulary imports nothing of ours, so that everything may import it"
	case test && within(inside, testSupport()):
		return ""
	case other == top:
		return "test/ is for tests, nothing that is shipped may use it"
	case test && slices.Contains([]string{"internal/store/sqlite", "internal/store/sqlite/sqlitetest", "internal/store/erased", "internal/provider/smtp", "internal/provider/all", "internal/provider/providertest"}, inside) && (floor == 3 || floor == 4):
		return "" // engine and door tests may open the real store and the real adapters that need no server, and the adapters' peers
	case test && inside == "internal/simulate":
		return "" // it stands in for the outside world, in tests too
	case test && floor <= 4 && inside == "client":
		return "" // the client drives the tests of the API
	case family(p.path) == family(inside):
		return ""
	case other == 2 && floor != 5:
		return "floor 2 is the outside world, which only internal/app knows; ask for a role of internal/store or internal/provider instead"
	case other == floor && floor == 3:
		return "engines never import each other; they meet in the store, plus a wake-up signal"
	case other == floor:
		return fmt.Sprintf("both stand on floor %d; move what they share to a lower floor", floor)
	case other > floor:
		return fmt.Sprintf("imports go down only, and this one goes from floor %d up to floor %d", floor, other)
	}
	return ""
}

// whyNotLibrary is the reason why a package may not import a module of others, or "".
func whyNotLibrary(p pkg, path string, test bool) string {
	if (test || strings.HasPrefix(p.path, "test/")) && within(path, testLibraries()) {
		return ""
	}
	if slices.Contains(standardOnly(), p.path) {
		return "it uses the standard library only"
	}
	for _, l := range libraries() {
		if within(path, []string{l.path}) {
			if p.is(l.users) {
				return ""
			}
			return "this library (" + l.reason + ") belongs to " + strings.Join(l.users, ", ") + "; go through them, or add a user to libraries() in internal/arch"
		}
	}
	return "no such library is agreed on; add a row with its reason to libraries() or testLibraries() in internal/arch"
}

// whyNotStandard is the reason why a package may not import a standard package, or "".
func whyNotStandard(p pkg, path string, test bool) string {
	if test {
		return ""
	}
	if p.path == "internal/comm" && (path == "context" || within(path, []string{"os", "io/fs", "io/ioutil", "net/http", "net/rpc", "net/smtp", "database", "syscall"}) || path == "net") {
		return "the vocabulary does no I/O and waits for nothing"
	}
	if within(path, []string{"math/rand"}) && p.is(secretHandlers()) {
		return "its numbers can be predicted; secrets and ids come from crypto/rand"
	}
	return ""
}
