package sqltext

import (
	"go/ast"
	"go/types"
	"slices"
)

// expression proves that all text in what e evaluates to is made of constants. Of a function it proves the results.
func (p *prover) expression(e ast.Expr) {
	e = ast.Unparen(e)
	tv := p.info.Types[e]
	if tv.Value != nil || tv.IsNil() || !holdsText(tv.Type) {
		return
	}
	switch e := e.(type) {
	case *ast.Ident:
		p.object(origin(p.info.ObjectOf(e)), e)
	case *ast.SelectorExpr:
		p.object(origin(p.info.Uses[e.Sel]), e)
	case *ast.IndexExpr:
		p.expression(e.X)
	case *ast.SliceExpr:
		p.expression(e.X)
	case *ast.BinaryExpr:
		p.expression(e.X)
		p.expression(e.Y)
	case *ast.CompositeLit:
		p.elements(e)
	case *ast.CallExpr:
		p.call(e, 0)
	case *ast.FuncLit:
		for i := range tv.Type.(*types.Signature).Results().Len() {
			p.returned(e, tv.Type.(*types.Signature), i)
		}
	case *ast.TypeAssertExpr:
		p.refuse(e, "what is in %s is not followed", types.ExprString(e.X))
	default:
		p.refuse(e, "%s is not followed", types.ExprString(e))
	}
}

func (p *prover) elements(lit *ast.CompositeLit) {
	if _, ok := under(p.info.TypeOf(lit)).(*types.Struct); ok {
		p.refuse(lit, "a struct is not followed as a whole")
		return
	}
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			p.expression(kv.Key)
			e = kv.Value
		}
		p.into(p.info.TypeOf(lit), e)
	}
}

// object proves everything that is ever put into a variable, a field or a parameter. at is where it is used.
func (p *prover) object(obj types.Object, at ast.Node) {
	switch obj := obj.(type) {
	case *types.Func:
		for i := range obj.Signature().Results().Len() {
			p.result(obj, i, at)
		}
	case *types.Var:
		if obj.Pkg() != p.pass.Pkg {
			if !foreignText[fieldName(p, obj)] && !p.pass.ImportObjectFact(obj, new(text)) {
				p.refuse(at, "%s belongs to another package, where nothing says what it holds", obj.Name())
			}
			return
		}
		if p.trial != nil && obj.IsField() && obj.Exported() && !p.base.asked[obj] {
			p.refuse(at, "%s can be set by other packages", obj.Name())
		}
		if p.first(obj) {
			p.contents(obj)
		}
	default:
		p.refuse(at, "%v is not followed", obj)
	}
}

func (p *prover) contents(obj types.Object) {
	for _, a := range p.addresses(obj) {
		p.refuse(a, "the address of %s is taken, which goes into SQL", obj.Name())
	}
	if sharesText(obj.Type()) {
		p.otherNames(obj)
	}
	for _, v := range p.writes[obj] {
		if p.exempt(v.expr) {
			continue
		}
		if v.result < 0 {
			p.into(obj.Type(), v.expr)
			continue
		}
		p.oneOf(v)
	}
	if in, ok := p.params[obj]; ok {
		p.parameter(obj, in)
	}
	if obj.Exported() {
		p.givenTo(obj)
	}
}

// into proves an expression that is put into something of a type, or is made one of its elements.
func (p *prover) into(t types.Type, e ast.Expr) {
	if characters(t) {
		p.character(e)
		return
	}
	p.expression(e)
}

// givenTo proves what is given to a function in an exported field: what it makes of that is up to other packages.
func (p *prover) givenTo(obj types.Object) {
	sig, ok := obj.Type().Underlying().(*types.Signature)
	if !ok {
		return
	}
	for _, id := range p.uses[obj] {
		call := p.called(id)
		if call == nil {
			continue
		}
		for i := range sig.Params().Len() {
			if holdsText(sig.Params().At(i).Type()) {
				p.argument(call, sig, i)
			}
		}
	}
}

// oneOf proves one of the values of an expression that has several.
func (p *prover) oneOf(v value) {
	switch e := ast.Unparen(v.expr).(type) {
	case *ast.CallExpr:
		p.call(e, v.result)
	case *ast.IndexExpr: // v, ok := m[k]
		p.expression(e.X)
	default:
		p.refuse(e, "%s is not followed", types.ExprString(e))
	}
}

func (p *prover) exempt(e ast.Expr) bool {
	for n := p.function(e); n != nil; n = p.function(n) {
		if d, ok := n.(*ast.FuncDecl); ok {
			fn, ok := p.info.Defs[d.Name].(*types.Func)
			return ok && exempt[fn.FullName()] != ""
		}
	}
	return false
}

// parameter proves what the callers of a function hand to it.
func (p *prover) parameter(obj types.Object, in parameter) {
	switch fn := in.fn.(type) {
	case *ast.FuncDecl:
		p.callers(p.info.Defs[fn.Name].(*types.Func), in.at, obj)
	case *ast.FuncLit:
		p.callersOfLiteral(fn, in.at, map[ast.Node]bool{})
	}
}

func (p *prover) callers(fn *types.Func, at int, obj types.Object) {
	if fn == p.trial {
		p.needs[at] = true
		return
	}
	if i, ok := statement(fn); ok && i == at {
		return // whoever calls it is found by its name, behind an interface too
	}
	method := fn.Signature().Recv() != nil
	switch {
	case p.trial != nil && fn.Exported() && !p.base.takes[fn][at]:
		p.refuse(obj, "other packages call %s", fn.Name())
	case method && fn.Exported() && at >= 0:
		p.refuse(obj, "%s is a method that others may call through an interface", fn.Name())
	}
	if p.takes[fn] == nil {
		p.takes[fn] = map[int]bool{}
	}
	p.takes[fn][at] = true
	for _, call := range p.order {
		if other := p.callee(call); other == fn || method && other != nil && other.Name() == fn.Name() && types.IsInterface(receiver(other)) {
			p.argument(call, fn.Signature(), at)
		}
	}
	for _, id := range p.uses[fn] {
		if p.called(id) == nil {
			p.refuse(id, "%s runs what it is given, and who calls it as a value is not seen", fn.Name())
		}
	}
}

// callersOfLiteral finds the calls of a function without a name through the variables, fields and parameters that it is put into.
func (p *prover) callersOfLiteral(fn ast.Expr, at int, seen map[ast.Node]bool) {
	if seen[fn] {
		return
	}
	seen[fn] = true
	if call, ok := p.parent[fn].(*ast.CallExpr); ok && call.Fun == fn {
		p.argument(call, p.info.TypeOf(fn).(*types.Signature), at)
		return
	}
	to := p.goesTo(fn)
	if to != nil && to.Pkg() != p.pass.Pkg && p.pass.ImportObjectFact(to, new(text)) {
		return // see givenTo
	}
	if to == nil || to.Pkg() != p.pass.Pkg || to.Exported() && !p.asked[to] && (p.base == nil || !p.base.asked[to]) {
		p.refuse(fn, "who calls this function is not seen, and what it is given goes into SQL")
		return
	}
	for _, id := range p.uses[to] {
		if call := p.called(id); call != nil {
			p.argument(call, p.info.TypeOf(fn).Underlying().(*types.Signature), at)
		} else if e := p.whole(id); !p.target(e) {
			p.callersOfLiteral(e, at, seen)
		}
	}
}

// whole is the expression that an identifier names: itself, or the selector that it ends.
func (p *prover) whole(id *ast.Ident) ast.Expr {
	if s, ok := p.parent[id].(*ast.SelectorExpr); ok && s.Sel == id {
		return s
	}
	return id
}

// target says whether something is put into e, or compared with nothing, rather than taken out of it.
func (p *prover) target(e ast.Expr) bool {
	switch up := p.parent[e].(type) {
	case *ast.AssignStmt:
		return slices.Contains(up.Lhs, e)
	case *ast.KeyValueExpr:
		return up.Key == e
	case *ast.BinaryExpr:
		return true
	}
	return false
}

func receiver(fn *types.Func) types.Type {
	if r := fn.Signature().Recv(); r != nil {
		return r.Type()
	}
	return types.Typ[types.Invalid]
}

// argument proves what a call hands to a parameter of the function called.
func (p *prover) argument(call *ast.CallExpr, sig *types.Signature, at int) {
	if at < 0 {
		if s, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && p.info.Selections[s] != nil && p.info.Selections[s].Kind() == types.MethodVal {
			p.expression(s.X)
			return
		}
		p.refuse(call, "the method is not called as one")
		return
	}
	if s, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && p.info.Selections[s] != nil && p.info.Selections[s].Kind() == types.MethodExpr {
		at++
	} else if sig.Variadic() && at == sig.Params().Len()-1 {
		for _, e := range call.Args[min(at, len(call.Args)):] {
			p.expression(e)
		}
		return
	}
	if len(call.Args) <= at || p.several(call.Args) {
		p.refuse(call, "what is handed over is not seen one by one")
		return
	}
	p.expression(call.Args[at])
}

// result proves a result of a function.
func (p *prover) result(fn *types.Func, i int, at ast.Node) {
	type key struct {
		fn *types.Func
		i  int
	}
	if !holdsText(fn.Signature().Results().At(i).Type()) || !p.first(key{fn, i}) {
		return
	}
	d := p.decls[fn]
	if d == nil || d.Body == nil {
		p.refuse(at, "what %s answers is not seen", fn.Name())
		return
	}
	p.returned(d, fn.Signature(), i)
}

// returned proves a result of a function whose body is seen.
func (p *prover) returned(fn ast.Node, sig *types.Signature, i int) {
	type key struct {
		fn ast.Node
		i  int
	}
	if !p.first(key{fn, i}) {
		return
	}
	if r := sig.Results().At(i); r.Name() != "" {
		p.object(r, fn)
	}
	for _, r := range p.returns[fn] {
		switch {
		case len(r.Results) == sig.Results().Len():
			p.expression(r.Results[i])
		case len(r.Results) == 1:
			p.oneOf(value{r.Results[0], i})
		}
	}
}

// otherNames proves the other names of a slice or a map: what is put in through one of them is seen through all.
func (p *prover) otherNames(obj types.Object) {
	for _, id := range p.uses[obj] {
		e := p.same(p.whole(id))
		switch up := p.parent[e].(type) {
		case *ast.ReturnStmt:
			p.namesOfResult(up)
		case *ast.AssignStmt, *ast.ValueSpec, *ast.KeyValueExpr, *ast.CallExpr, *ast.CompositeLit:
			p.otherName(e, up)
		case *ast.RangeStmt:
			if to, ok := up.Value.(*ast.Ident); ok && up.X == e && p.info.ObjectOf(to) != nil && sharesText(p.info.TypeOf(to)) {
				p.object(p.info.ObjectOf(to), to)
			}
		case *ast.UnaryExpr, *ast.StarExpr:
			p.refuse(e, "another name of %s is not followed", obj.Name())
		}
	}
}

// same climbs from a slice to the expressions that share its elements.
func (p *prover) same(e ast.Expr) ast.Expr {
	for {
		switch up := p.parent[e].(type) {
		case *ast.ParenExpr:
			e = up
		case *ast.SliceExpr:
			if up.X != e {
				return e
			}
			e = up
		case *ast.IndexExpr:
			if up.X != e || !sharesText(p.info.TypeOf(up)) {
				return e
			}
			e = up
		case *ast.CallExpr:
			if b, ok := ast.Unparen(up.Fun).(*ast.Ident); !ok || b.Name != "append" || up.Args[0] != e {
				return e
			}
			e = up
		default:
			return e
		}
	}
}

func (p *prover) otherName(e ast.Expr, up ast.Node) {
	if p.target(e) || !sharesText(p.info.TypeOf(e)) {
		return
	}
	if call, ok := up.(*ast.CallExpr); ok && p.readsOnly(call) {
		return
	}
	if to := p.goesTo(e); to == nil {
		p.refuse(e, "another name of %s is not followed", types.ExprString(e))
	} else if to.Name() != "_" {
		p.object(to, e)
	}
}

// namesOfResult proves what the callers of a function put its results into.
func (p *prover) namesOfResult(r *ast.ReturnStmt) {
	d, ok := p.function(r).(*ast.FuncDecl)
	if !ok {
		p.refuse(r, "who calls this function is not seen, and could change what it answers")
		return
	}
	for _, id := range p.uses[p.info.Defs[d.Name]] {
		call := p.called(id)
		if call == nil {
			continue
		}
		to := []types.Object{p.goesTo(call)}
		if a, ok := p.parent[call].(*ast.AssignStmt); ok {
			to = to[:0]
			for _, l := range a.Lhs {
				to = append(to, p.place(l))
			}
		}
		for _, obj := range to {
			if obj != nil && obj.Name() != "_" && sharesText(obj.Type()) {
				p.object(origin(obj), call)
			}
		}
	}
}

// readsOnly says whether a call leaves the elements of a slice that it is given as they are.
func (p *prover) readsOnly(call *ast.CallExpr) bool {
	if tv := p.info.Types[call.Fun]; tv.IsType() || tv.IsBuiltin() {
		return true
	}
	fn := p.callee(call)
	return fn != nil && fn.Pkg() != nil && slices.Contains([]string{"strings", "slices", "maps", "sort", "fmt", "bytes"}, fn.Pkg().Path())
}

// holdsText says whether a value of the type can hold text, or answer it.
func holdsText(t types.Type) bool {
	switch u := t.(type) {
	case *types.Tuple:
		return true
	case *types.TypeParam:
		return !integer(t)
	case *types.Named:
		return holdsText(u.Underlying())
	case *types.Alias:
		return holdsText(types.Unalias(u))
	case *types.Basic:
		return u.Info()&(types.IsNumeric|types.IsBoolean) == 0
	case *types.Slice:
		return charOrText(u.Elem())
	case *types.Array:
		return charOrText(u.Elem())
	case *types.Map:
		return holdsText(u.Key()) || charOrText(u.Elem())
	case *types.Signature:
		for i := range u.Results().Len() {
			if holdsText(u.Results().At(i).Type()) {
				return true
			}
		}
		return false
	}
	return true
}

// characters says whether the type is made of bytes or runes one by one.
func characters(t types.Type) bool {
	var elem types.Type
	switch u := t.Underlying().(type) {
	case *types.Slice:
		elem = u.Elem()
	case *types.Array:
		elem = u.Elem()
	default:
		return false
	}
	b, ok := elem.Underlying().(*types.Basic)
	return ok && (b.Kind() == types.Uint8 || b.Kind() == types.Int32) || characters(elem)
}

// charOrText says whether elements of the type make a text.
func charOrText(t types.Type) bool {
	if b, ok := t.Underlying().(*types.Basic); ok && (b.Kind() == types.Uint8 || b.Kind() == types.Int32) {
		return true
	}
	return holdsText(t)
}

// sharesText says whether two variables of the type can share text that changes.
func sharesText(t types.Type) bool {
	switch t.Underlying().(type) {
	case *types.Slice, *types.Map:
		return holdsText(t)
	}
	return false
}

// integer says whether all values of a type are whole numbers, of a type parameter too.
func integer(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Info()&types.IsInteger != 0
	case *types.Interface:
		for e := range u.EmbeddedTypes() {
			union, ok := e.(*types.Union)
			if !ok {
				return integer(e)
			}
			for term := range union.Terms() {
				if !integer(term.Type()) {
					return false
				}
			}
			return union.Len() > 0
		}
	}
	return false
}

// several says whether the arguments of a call are the results of another one.
func (p *prover) several(args []ast.Expr) bool {
	_, ok := p.info.TypeOf(args[0]).(*types.Tuple)
	return ok
}
