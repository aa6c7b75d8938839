// Package sqltext is an analyzer that proves that no SQL is built from data.
//
// Every statement that is run is followed back to where its text comes from, through
// variables, fields, parameters and results, across packages: in the end there may be
// constants alone, put together and picked among by the program, and decimal numbers.
// What a variable or a field may hold is all that is ever put into it. A function that
// runs or builds SQL from its parameter hands the proof on to whoever calls it. Whatever
// is not understood is refused, so that the proof has no gaps but these: a field that is
// filled by reflection through a pointer to its struct, a conversion between two types of
// struct, package unsafe, and a variable of a package that another package changes, which
// internal/arch forbids.
package sqltext

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer is the check. Files of tests, and programs that
// only tests run, are not looked at: they run where no data of others is.
var Analyzer = &analysis.Analyzer{
	Name:      "sqltext",
	Doc:       "reports SQL that is not made of constants",
	Run:       run,
	FactTypes: []analysis.Fact{new(text), new(function)},
}

// module is what is looked at; other modules run what we give them.
const module = "github.com/commserver/commserver"

// runs are the methods that run or prepare the first text that they take, whoever has them.
var runs = []string{
	"Exec", "ExecContext", "Query", "QueryContext", "QueryRow", "QueryRowContext", "Prepare", "PrepareContext", "PrepareTransient", "Queue", "ExecParams",
}

// exempt are the functions whose own texts are taken as they are, and why that is safe.
var exempt = map[string]string{
	module + "/internal/store/sqlstore.LoadMigrations": "reads files that are compiled into the program",
}

// names are types of packages that run no SQL whose texts become a part of it in others: all that is ever put into their
// fields is proven in every package.
var names = map[string]string{
	module + "/internal/store.SealedColumn": "says which tables and columns hold sealed values",
}

// text says of a variable, a field or a parameter that it goes into SQL: everything that is ever put there is proven.
type text struct{}

// function says which parameters of a function go into SQL, and for each result that is made of constants the
// parameters that must be so too; -1 is the receiver.
type function struct {
	Takes []int
	Makes map[int][]int
}

func (f *function) makes(i int) bool { _, ok := f.Makes[i]; return ok }

func (*text) AFact()     {}
func (*function) AFact() {}

func (*text) String() string       { return "goes into SQL" }
func (f *function) String() string { return fmt.Sprintf("takes %v, makes %v", f.Takes, f.Makes) }

func run(pass *analysis.Pass) (any, error) {
	path := pass.Pkg.Path()
	if path != module && !strings.HasPrefix(path, module+"/") || strings.HasPrefix(path, module+"/test/") {
		return nil, nil
	}
	p := &prover{pass: pass, index: read(pass), asked: map[any]bool{}, takes: map[*types.Func]map[int]bool{}}
	for _, call := range p.order {
		p.runsSQL(call)
	}
	p.elsewhere()
	p.named()
	for _, f := range p.failed {
		pass.Reportf(f.at, "SQL is made of data: %s", f.why)
	}
	p.export()
	return nil, nil
}

// failure is a place where a text that goes into SQL is not proven.
type failure struct {
	at  token.Pos
	why string
}

// prover follows texts back. In a trial nothing is settled: it asks whether the results of one
// function are made of constants when its parameters are.
type prover struct {
	pass *analysis.Pass
	*index
	asked  map[any]bool // objects, results and statements that were followed already
	takes  map[*types.Func]map[int]bool
	failed []failure
	trial  *types.Func
	needs  map[int]bool // the parameters of trial that were reached
	base   *prover      // what is settled, in a trial
}

func (p *prover) refuse(at interface{ Pos() token.Pos }, format string, args ...any) {
	if !slices.ContainsFunc(p.failed, func(f failure) bool { return f.at == at.Pos() }) {
		p.failed = append(p.failed, failure{at.Pos(), fmt.Sprintf(format, args...)})
	}
}

// first says whether key is asked for the first time. What is settled need not be asked again.
func (p *prover) first(key any) bool {
	if p.asked[key] || p.base != nil && p.base.asked[key] {
		return false
	}
	p.asked[key] = true
	return true
}

// runsSQL proves what a call hands to a database, or to a function of another package that does.
func (p *prover) runsSQL(call *ast.CallExpr) {
	fn := p.callee(call)
	if fn == nil {
		return
	}
	if i, ok := statement(fn); ok {
		p.argument(call, fn.Signature(), i)
	}
	if fact := new(function); fn.Pkg() != p.pass.Pkg && p.pass.ImportObjectFact(fn, fact) {
		for _, i := range fact.Takes {
			p.argument(call, fn.Signature(), i)
		}
	}
}

// statement is the place of the SQL among the parameters of a method that runs it.
func statement(fn *types.Func) (int, bool) {
	sig := fn.Signature()
	if sig.Recv() == nil || !slices.Contains(runs, fn.Name()) {
		return 0, false
	}
	for i := range sig.Params().Len() {
		if b, ok := sig.Params().At(i).Type().(*types.Basic); ok && b.Kind() == types.String {
			return i, true
		}
	}
	return 0, false
}

// elsewhere proves what this package puts into fields of others that go into SQL, and gives to functions in them.
func (p *prover) elsewhere() {
	for obj := range p.uses {
		if obj.Pkg() != p.pass.Pkg && p.pass.ImportObjectFact(obj, new(text)) {
			p.givenTo(obj)
		}
	}
	for _, obj := range p.written {
		if obj.Pkg() != p.pass.Pkg && (foreignText[fieldName(p, obj)] || p.pass.ImportObjectFact(obj, new(text))) && p.first(obj) {
			p.contents(obj)
		}
	}
}

// named proves the fields of the types of names.
func (p *prover) named() {
	for _, name := range p.pass.Pkg.Scope().Names() {
		if names[p.pass.Pkg.Path()+"."+name] == "" {
			continue
		}
		for field := range p.pass.Pkg.Scope().Lookup(name).Type().Underlying().(*types.Struct).Fields() {
			if holdsText(field.Type()) {
				p.object(field, nil)
			}
		}
	}
}

// export writes down what packages that import this one have to know.
func (p *prover) export() {
	facts := map[*types.Func]*function{}
	for fn, params := range p.takes {
		facts[fn] = &function{Takes: slices.Sorted(maps.Keys(params))}
	}
	for fn := range p.decls {
		for i := range fn.Signature().Results().Len() {
			if !ast.IsExported(fn.Name()) || !holdsText(fn.Signature().Results().At(i).Type()) {
				continue
			}
			t := &prover{pass: p.pass, index: p.index, asked: map[any]bool{}, takes: map[*types.Func]map[int]bool{}, trial: fn, needs: map[int]bool{}, base: p}
			if t.result(fn, i, p.decls[fn]); len(t.failed) > 0 {
				continue
			}
			if facts[fn] == nil {
				facts[fn] = &function{}
			}
			if facts[fn].Makes == nil {
				facts[fn].Makes = map[int][]int{}
			}
			facts[fn].Makes[i] = slices.Sorted(maps.Keys(t.needs))
		}
	}
	for fn, fact := range facts {
		p.pass.ExportObjectFact(fn, fact)
	}
	for key := range p.asked {
		if obj, ok := key.(*types.Var); ok && obj.Pkg() == p.pass.Pkg && (obj.IsField() || obj.Parent() == p.pass.Pkg.Scope()) {
			p.pass.ExportObjectFact(obj, new(text))
		}
	}
	p.exportVariables()
}

// exportVariables does for the exported variables of the package what export does for functions.
func (p *prover) exportVariables() {
	for _, name := range p.pass.Pkg.Scope().Names() {
		obj, ok := p.pass.Pkg.Scope().Lookup(name).(*types.Var)
		if !ok || !obj.Exported() || !holdsText(obj.Type()) || p.asked[obj] {
			continue
		}
		t := &prover{pass: p.pass, index: p.index, asked: map[any]bool{}, takes: map[*types.Func]map[int]bool{}, needs: map[int]bool{}, trial: new(types.Func), base: p}
		if t.contents(obj); len(t.failed) == 0 {
			p.pass.ExportObjectFact(obj, new(text))
		}
	}
}
