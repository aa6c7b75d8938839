// Command lint holds the analyzers that this project runs beside go vet and
// staticcheck. It speaks the protocol of `go vet -vettool`, so results are cached
// per package. Each analyzer stands here with the reason why it is on the list.
package main

import (
	"strings"

	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/ryanrolds/sqlclosecheck/pkg/analyzer"
	"github.com/sonatard/noctx"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"go-simpler.org/sloglint"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/modernize"
	"golang.org/x/tools/go/analysis/passes/nilness"
	"golang.org/x/tools/go/analysis/passes/reflectvaluecompare"
	"golang.org/x/tools/go/analysis/passes/sqlrowserr"
	"golang.org/x/tools/go/analysis/passes/unusedwrite"
	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/commserver/commserver/tools/sqltext"
)

func main() {
	// A cause lost by %v or compared by == turns a known error into an unknown one.
	causes := errorlint.NewAnalyzer()
	// The check for %w is off by default.
	if err := causes.Flags.Set("errorf", "true"); err != nil {
		panic(err)
	}
	unitchecker.Main(append(analyzers(), causes)...)
}

func analyzers() []*analysis.Analyzer {
	return append([]*analysis.Analyzer{
		// A response body that stays open costs a connection of a provider's few.
		bodyclose.Analyzer,
		// Rows or statements that stay open hold a database connection.
		analyzer.NewAnalyzer(),
		// A row loop that ignores Err takes a broken connection for the end of the data.
		sqlrowserr.Analyzer,
		// SQL that is built from data can be made to do what its data says.
		sqltext.Analyzer,
		// A request or statement without a context cannot be stopped by a drain.
		productOnly(noctx.Analyzer, "net.Listen"),
		// Loggers are passed in, messages are constant, keys and values come in pairs.
		sloglint.New(&sloglint.Options{NoMixedArguments: true, NoGlobalLogger: "all", StaticMessage: true}),
		// A dereference that is certain to panic.
		nilness.Analyzer,
		// A field written on a copy and then lost.
		unusedwrite.Analyzer,
		// reflect.Value compared by == compares the wrong thing.
		reflectvaluecompare.Analyzer,
		// One way to write a thing: the newest that the language has.
	}, modernize.Suite...)
}

// productOnly is an analyzer without its reports on test files, where nothing is
// drained, and without those on the named call, which does not wait for anything.
func productOnly(a *analysis.Analyzer, call string) *analysis.Analyzer {
	narrowed := *a
	narrowed.Run = func(pass *analysis.Pass) (any, error) {
		own := *pass
		own.Report = func(d analysis.Diagnostic) {
			if !strings.HasSuffix(pass.Fset.Position(d.Pos).Filename, "_test.go") && !strings.HasPrefix(d.Message, call+" ") {
				pass.Report(d)
			}
		}
		return a.Run(&own)
	}
	return &narrowed
}
