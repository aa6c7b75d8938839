package sqltext

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"slices"
)

// foreignText are fields of other modules that hold what was given to a method that runs SQL, and nothing else.
var foreignText = map[string]bool{
	"github.com/jackc/pgx/v5.QueuedQuery.SQL": true,
}

// fieldName is the name of a field with its package and type; "" when it is not one of a named type.
func fieldName(p *prover, obj types.Object) string {
	if obj.Pkg() == nil {
		return ""
	}
	for name := range foreignText {
		dot := len(name) - len(obj.Name()) - 1
		if dot > 0 && name[dot+1:] == obj.Name() && len(name) > len(obj.Pkg().Path()) && name[:len(obj.Pkg().Path())] == obj.Pkg().Path() {
			if named, ok := obj.Pkg().Scope().Lookup(name[len(obj.Pkg().Path())+1 : dot]).(*types.TypeName); ok && hasField(named.Type(), obj) {
				return name
			}
		}
	}
	return ""
}

func hasField(t types.Type, obj types.Object) bool {
	s, ok := t.Underlying().(*types.Struct)
	return ok && slices.Contains(slices.Collect(s.Fields()), obj.(*types.Var))
}

// quoting are the functions that make of any text one that is safe in SQL.
var quoting = map[string]string{
	"(github.com/jackc/pgx/v5.Identifier).Sanitize": "quotes a name as the standard has it, and doubles the quotes within",
}

// numbers are the functions that write a number in figures.
var numbers = []string{"strconv.Itoa", "strconv.FormatInt", "strconv.FormatUint"}

// call proves a result of a call.
func (p *prover) call(call *ast.CallExpr, i int) {
	tv := p.info.Types[call.Fun]
	fn := p.callee(call)
	switch {
	case tv.IsType():
		if integer(p.info.TypeOf(call.Args[0])) {
			p.refuse(call, "a character is made of a number")
			return
		}
		p.expression(call.Args[0])
	case tv.IsBuiltin():
		p.builtin(call)
	case fn == nil:
		p.valueCalled(call, i)
	case p.decls[fn] != nil:
		p.result(fn, i, call)
	case fn.FullName() == "(*strings.Builder).String" || fn.FullName() == "(*bytes.Buffer).String" || fn.FullName() == "(*bytes.Buffer).Bytes":
		p.built(ast.Unparen(call.Fun).(*ast.SelectorExpr).X)
	case fn.FullName() == "(*strings.Replacer).Replace":
		p.replaced(call)
	case fn.FullName() == "fmt.Sprintf":
		p.format(call, call.Args)
	case fn.FullName() == "fmt.Sprint":
		p.printed(call)
	case slices.Contains(numbers, fn.FullName()), quoting[fn.FullName()] != "":
	case fn.Pkg() != nil && slices.Contains([]string{"strings", "slices", "maps"}, fn.Pkg().Path()) && fn.Signature().Recv() == nil && fn.FullName() != "strings.Map":
		for _, e := range call.Args {
			p.expression(e)
		}
	default:
		p.made(call, fn, i)
	}
}

// builtin proves what append, min or max answer; what make answers is empty.
func (p *prover) builtin(call *ast.CallExpr) {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok && id.Name == "make" {
		return
	}
	for _, e := range call.Args {
		p.character(e)
	}
}

// character proves an argument that may be a single character as well as text.
func (p *prover) character(e ast.Expr) {
	if p.info.Types[e].Value != nil {
		return
	}
	if integer(p.info.TypeOf(e)) {
		p.refuse(e, "a character is made of a number")
		return
	}
	p.expression(e)
}

// made proves a result of a function of another package, by what was found out there.
func (p *prover) made(call *ast.CallExpr, fn *types.Func, i int) {
	fact := new(function)
	if fn.Pkg() == p.pass.Pkg || !p.pass.ImportObjectFact(fn, fact) || !fact.makes(i) {
		p.refuse(call, "what %s answers is not known to be made of constants", fn.Name())
		return
	}
	for _, at := range fact.Makes[i] {
		p.argument(call, fn.Signature(), at)
	}
}

// valueCalled proves what a function in a variable answers: all that were ever put there.
func (p *prover) valueCalled(call *ast.CallExpr, i int) {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.FuncLit:
		p.returned(fun, p.info.TypeOf(fun).(*types.Signature), i)
	case *ast.Ident, *ast.SelectorExpr:
		p.expression(fun)
	default:
		p.refuse(call, "what is called here is not followed")
	}
}

// replaced proves what a strings.Replacer makes: the text and the pairs, which stand in the same expression.
func (p *prover) replaced(call *ast.CallExpr) {
	p.expression(call.Args[0])
	made, ok := ast.Unparen(ast.Unparen(call.Fun).(*ast.SelectorExpr).X).(*ast.CallExpr)
	if !ok {
		p.refuse(call, "the replacer is not made here")
		return
	}
	p.call(made, 0)
}

// printed proves arguments that are printed as they are: text, and numbers in figures.
func (p *prover) printed(call *ast.CallExpr) {
	for _, e := range call.Args {
		if _, basic := types.Unalias(p.info.TypeOf(e)).(*types.Basic); !basic || call.Ellipsis != token.NoPos {
			p.refuse(e, "how %s is printed is not followed", types.ExprString(e))
			continue
		}
		p.expression(e)
	}
}

var verb = regexp.MustCompile(`%([-+# 0-9.]*)(.)`)

// format proves a constant format with its arguments: text, and numbers in figures.
func (p *prover) format(call *ast.CallExpr, args []ast.Expr) {
	tv := p.info.Types[args[0]]
	if tv.Value == nil || call.Ellipsis != token.NoPos {
		p.refuse(call, "a format that is not a constant is not followed")
		return
	}
	args = args[1:]
	for _, v := range verb.FindAllStringSubmatch(constant.StringVal(tv.Value), -1) {
		if v[2] == "%" {
			continue
		}
		if len(args) == 0 {
			p.refuse(call, "the format has more verbs than arguments")
			return
		}
		e := args[0]
		args = args[1:]
		_, basic := types.Unalias(p.info.TypeOf(e)).(*types.Basic)
		switch {
		case v[2] == "d" && integer(p.info.TypeOf(e)), basic && (v[2] == "v" || v[2] == "t") && !holdsText(p.info.TypeOf(e)):
		case basic && (v[2] == "s" || v[2] == "v"), p.info.Types[e].Value != nil:
			p.expression(e)
		default:
			p.refuse(e, "%%%s of %s is not followed", v[2], types.ExprString(e))
		}
	}
	for _, e := range args {
		p.refuse(e, "the format has no verb for it")
	}
}

func builder(t types.Type) bool {
	if ptr, ok := t.(*types.Pointer); ok {
		t = ptr.Elem()
	}
	named, ok := t.(*types.Named)
	return ok && named.Obj().Pkg() != nil && slices.Contains([]string{"strings.Builder", "bytes.Buffer"}, named.Obj().Pkg().Path()+"."+named.Obj().Name())
}

// built proves all that is ever written to a strings.Builder or a bytes.Buffer.
func (p *prover) built(e ast.Expr) {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if !ok {
		p.refuse(e, "only a builder in a variable is followed")
		return
	}
	obj := p.info.ObjectOf(id)
	if !p.first(obj) {
		return
	}
	if _, isParam := p.params[obj]; isParam || len(p.writes[obj]) > 0 {
		p.refuse(e, "only a builder that begins empty is followed")
		return
	}
	p.feeds(obj)
}

// feeds proves what is written to a builder through a variable, and through the parameters that it is handed on to.
func (p *prover) feeds(obj types.Object) {
	for _, id := range p.uses[obj] {
		var e ast.Expr = id
		if u, ok := p.parent[e].(*ast.UnaryExpr); ok {
			e = u
		}
		switch up := p.parent[e].(type) {
		case *ast.SelectorExpr:
			p.fed(p.called(up.Sel), up.Sel)
		case *ast.CallExpr:
			p.handedOn(up, e)
		default:
			p.refuse(id, "what becomes of the builder is not followed")
		}
	}
}

func (p *prover) fed(call *ast.CallExpr, method *ast.Ident) {
	switch method.Name {
	case "WriteString", "WriteByte", "WriteRune", "Write":
		if call == nil {
			p.refuse(method, "what becomes of the builder is not followed")
			return
		}
		p.character(call.Args[0])
	case "String", "Bytes", "Len", "Cap", "Grow", "Reset", "Truncate":
	default:
		p.refuse(method, "%s of a builder is not followed", method.Name)
	}
}

func (p *prover) handedOn(call *ast.CallExpr, e ast.Expr) {
	fn := p.callee(call)
	switch {
	case fn != nil && fn.FullName() == "fmt.Fprintf" && call.Args[0] == e:
		p.format(call, call.Args[1:])
	case fn != nil && fn.FullName() == "io.WriteString":
		p.expression(call.Args[1])
	default:
		to := p.goesTo(e)
		if to == nil {
			p.refuse(e, "what becomes of the builder is not followed")
		} else if p.first(to) {
			p.feeds(to)
		}
	}
}
